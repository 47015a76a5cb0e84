"""Reading a statistics file, while it is written.

A file is copied, and copied again: a field that is the same in both was not being written, so its value is whole. One
that is not is copied alone until it is the same twice, or often enough: then the quickest copy counts, in which nothing
has come between the byte that says which value is right and that value. It is whole unless somebody writes the field
twice while it is copied, which no writer in Python can.

Nothing is mapped: whoever cuts off a file that others have mapped ends them, with a signal.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from time import perf_counter_ns
from typing import NamedTuple, Self

from statspout.client.mmap.errors import FormatError
from statspout.client.mmap.layout import VERSION, ByteOrder, Layout, Place, Value, parse

LIMIT = 16 * 2**20
"""Bytes of a file that is read, at most."""

_COPIES = 4
"""Copies of a field that changes all the time: each takes its memory away from the writer's processor."""

_READS = 5
"""Times that a file is read whose fields are not where they were a moment ago."""


class Stat(NamedTuple):
    """A label and its value."""

    label: str
    value: Value


class Entry(NamedTuple):
    """A field: ``type`` is its code, as ``Q`` or ``255s``; ``buffered``, whether the file has two values of it."""

    label: str
    value: Value
    type: str
    buffered: bool


class MmStatsReader:
    """What a file has, as it was at one moment for each field: iterated, label and value of every one in its order.

    Labels may come more than once, and may have any characters but NUL. Numbers are whatever the writer has stored,
    NaN and infinity among them; a text ends at its first NUL, and bytes in it that are no UTF-8 are left out.

    ``layout`` is where everything is in the file, one object for files that are alike; ``values`` are in its order.
    """

    def __init__(self, layout: Layout, values: list[Value]) -> None:
        self.layout = layout
        self.values = values
        self.byteorder = layout.order
        self.version = VERSION

    def __iter__(self) -> Iterator[Stat]:
        return (Stat(place.label, value) for place, value in zip(self.layout.places, self.values, strict=True))

    @property
    def entries(self) -> list[Entry]:
        """All that is known of each field."""
        fields = zip(self.layout.places, self.values, self.layout.buffered, strict=True)
        return [Entry(place.label, value, place.type.code, buffered) for place, value, buffered in fields]

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], byteorder: ByteOrder | None = None) -> Self:
        """Read a file, in the byte order that is found out where it is not given.

        FormatError, with the path, where it is not one of format version 1, whole; OSError where it cannot be read.
        """
        try:
            _size(os.stat(path))  # a device that is opened may well do something
            # Of a pipe that has come meanwhile nobody would be waited for.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                return cls(*_read(fd, byteorder))
            finally:
                os.close(fd)
        except FormatError as error:
            raise type(error)(f"{os.fspath(path)}: {error}") from None

    @classmethod
    def from_mmap(cls, path: str | os.PathLike[str], byteorder: ByteOrder | None = None) -> Self:
        """As :meth:`from_file`; the original maps the file for it."""
        return cls.from_file(path, byteorder)

    @classmethod
    def from_bytes(cls, data: bytes, byteorder: ByteOrder | None = None) -> Self:
        """Read what a file has; FormatError where it is not one of format version 1, whole."""
        layout = parse(data, byteorder)
        return cls(layout, layout.values(data))


def _read(fd: int, byteorder: ByteOrder | None) -> tuple[Layout, list[Value]]:
    size = _size(os.fstat(fd))
    data = _copy(fd, size)
    for _ in range(_READS):
        layout = parse(data, byteorder)
        again = _copy(fd, size)
        if again == data:
            return layout, layout.values(data)
        if layout.fits(again):
            settled = bytearray(again)
            for place in layout.places:
                if data[place.at : place.end] != again[place.at : place.end]:
                    settled[place.at : place.end] = _settled(fd, place, again[place.at : place.end])
            return layout, layout.values(settled)
        data = again  # it is another file's: somebody writes it anew
    raise FormatError("its fields are other ones each time that it is read")


def _size(found: os.stat_result) -> int:
    if not stat.S_ISREG(found.st_mode):
        raise FormatError("not a regular file")
    if found.st_size > LIMIT:
        raise FormatError(f"{found.st_size} bytes: {LIMIT} are the most that are read")
    return found.st_size


def _copy(fd: int, size: int) -> bytes:
    """What the file has, up to this size: a read of a regular file is short only at its end."""
    return os.pread(fd, size, 0)


def _settled(fd: int, place: Place, before: bytes) -> bytes:
    """The field's write buffer and values, copied at a moment at which nobody was writing the one that is right."""
    size = place.end - place.at
    quickest, chosen = 1 << 62, before
    for _ in range(_COPIES):
        began = perf_counter_ns()
        copied = os.pread(fd, size, place.at)
        took = perf_counter_ns() - began
        if len(copied) < size or (copied[0] in (0, 1)) != (before[0] in (0, 1)):
            raise FormatError(f"{place.label[:40]!r} at byte {place.at}: cut off, or written anew, while it was read")
        if copied == before:
            return copied
        if took < quickest:
            quickest, chosen = took, copied
        before = copied
    return chosen
