"""Format version 1 of a statistics file: its table, written and read.

A file is one byte, 1; then the fields, without any padding; then zeros to a multiple of :data:`PAGE` bytes. A field::

    uint16  bytes of the label; 0 ends the fields     uint8   255: one value; 0 or 1: two, and which is written next
    ...     label, UTF-8                              ...     the value, or the two
    uint16  bytes of the type
    ...     type: a code of Python's struct for one value

All is in the byte order of who wrote it, which nothing in the file tells. Of two values the one that is not written
next is the field's value.
"""

from __future__ import annotations

import re
import struct
import sys
from collections import deque
from collections.abc import Iterable
from functools import lru_cache
from mmap import PAGESIZE as PAGE
from typing import Literal, NamedTuple

from statspout.client.mmap.errors import FormatError, InvalidMmStatsVersion

ByteOrder = Literal["little", "big"]
Value = int | float | bool | str

VERSION = 1
UNBUFFERED = 255
LONGEST = 65_535
"""Bytes of a label, or of a type, at most."""

FIELDS = 100_000
"""Fields of a file that is read, at most: of each comes more than it takes in the file."""

PID = "sys.pid"
"""The label, behind the prefix, of the process."""

FOLDS = "sys.folds"
"""The label, behind the prefix, of twice the number of threads that have ended, one more while another one does."""

PUBLISHED = "org.statspout.version"
"""The label, behind the prefix, by which a file is known that statspout publishes about somebody else."""

_CODE = 20
"""Bytes of a type at most: longer ones are none."""

_TEXT = re.compile(rb"[0-9]{0,18}[sp]")
_MARKS: dict[ByteOrder, str] = {"little": "<", "big": ">"}
_INTEGERS = {True: {1: "b", 2: "h", 4: "i", 8: "q"}, False: {1: "B", 2: "H", 4: "I", 8: "Q"}}
"""Codes of whole numbers, signed and unsigned, by their bytes: what they are is the same on every machine."""


class Column(NamedTuple):
    """A field as it is to be written: ``initial`` is the value before the first write; empty is all zeros."""

    label: str
    type: str
    buffered: bool
    initial: bytes = b""


class Place(NamedTuple):
    """A field as it was found: ``at`` is where the byte of its write buffer is, ``end`` is behind its last value."""

    label: str
    type: Type
    at: int
    end: int


class Type(NamedTuple):
    """What a value is made of: its code as a text, the one that is the same on every machine, and its bytes."""

    code: str
    part: str
    size: int


@lru_cache(maxsize=1024)
def type_of(code: bytes) -> Type | None:
    """The type of this code; None where it is not one of ``struct``'s codes for one value.

    The sizes are this machine's: a file is read where it is written.
    """
    if _TEXT.fullmatch(code):
        text = code.decode()
        return Type(text, text, struct.calcsize(text))
    if len(code) != 1 or code not in b"bBhHiIlLqQnNPefd?c":
        return None
    text = standard = code.decode()
    if code in b"bBhHiIlLqQnNP":
        standard = _INTEGERS[code in b"bhilqn"][struct.calcsize(text)]
    return Type(text, standard, struct.calcsize(f"={standard}"))


def encode(columns: Iterable[Column]) -> tuple[bytes, list[int]]:
    """A file with these fields, in this machine's byte order, and where the byte of each one's write buffer is.

    ValueError for a label that no file can have.
    """
    file, places = bytearray([VERSION]), []
    for column in columns:
        label, code = label_bytes(column.label), column.type.encode("ascii")
        size = struct.calcsize(column.type)
        file += struct.pack("H", len(label)) + label + struct.pack("H", len(code)) + code
        places.append(len(file))
        initial = column.initial.ljust(size, b"\0")
        # The reader begins with the buffer that is not written next.
        file += bytes(1 + size) + initial if column.buffered else bytes([UNBUFFERED]) + initial
    return bytes(file).ljust(max(PAGE, -(-len(file) // PAGE) * PAGE), b"\0"), places


def label_bytes(label: str) -> bytes:
    """The label as it stands in a file; ValueError where none can have it."""
    data = label.encode()
    if not 0 < len(data) <= LONGEST or 0 in data:
        raise ValueError(f"label {label[:40]!r}: 1 to {LONGEST} bytes of UTF-8 without a zero are right")
    return data


class Layout:
    """Where everything in a file is. Files of one program have the same, whatever their values are."""

    def __init__(self, places: list[Place], order: ByteOrder, data: bytes) -> None:
        self.places = places
        self.order = order
        self.size = len(data)
        """Bytes of such a file."""
        self.folds = [index for index, place in enumerate(places) if place.label.endswith(FOLDS)]
        """Which of its fields tell of the threads that have ended."""
        self.pids = [index for index, place in enumerate(places) if place.label.endswith(PID)]
        """Which of them tell the process."""
        self._end = min(self.size, (places[-1].end if places else 1) + 2)
        mask, parts, self._columns, at, index = bytearray(b"\xff" * self._end), [], [], 1, 0
        for place in places:
            buffered = data[place.at] != UNBUFFERED
            parts.append(f"{place.at - at}xB{(1 + buffered) * place.type.part}")
            self._columns.append((place.label, index, buffered))
            index += 2 + buffered
            # Of two values either may be the one that is written next; all else of what is written once never changes.
            mask[place.at : place.end] = (b"\xfe" if buffered else b"\xff").ljust(place.end - place.at, b"\0")
            at = place.end
        self._values = struct.Struct(f"{_MARKS[order]}x{''.join(parts)}")
        self._mask = int.from_bytes(mask)
        self._same = self._mask & int.from_bytes(data[: self._end])

    def fits(self, data: bytes) -> bool:
        """Whether a file has this layout: all but its values is the same."""
        return len(data) == self.size and self._mask & int.from_bytes(data[: self._end]) == self._same

    def values(self, data: bytes | bytearray) -> list[Value]:
        """The values of a file that has this layout, in its order."""
        found = self._values.unpack_from(data)
        # The write buffer comes first: 0 leads to the second of two values, 1 to the first.
        values = [found[at + 2 - found[at] if buffered else at + 1] for _, at, buffered in self._columns]
        return [_text(value) if isinstance(value, bytes) else value for value in values]

    @property
    def buffered(self) -> list[bool]:
        """Of each field, whether a file has two values of it."""
        return [buffered for _, _, buffered in self._columns]


def _text(value: bytes) -> str:
    return value.partition(b"\0")[0].decode("utf-8", "ignore")


def parse(data: bytes, order: ByteOrder | None = None) -> Layout:
    """Where everything in a file is, and its byte order, which is found out where it is not given.

    FormatError where the file is not one of format version 1: cut off, or a type, a length or a write buffer that there
    is not. Nothing is taken, or kept, of the size that a length in it says.
    """
    if data[:1] != bytes([VERSION]):
        raise InvalidMmStatsVersion(f"version {data[0]}, not {VERSION}" if data else "empty: no version")
    for known in list(_known):  # another thread may add to it
        if known.fits(data) and order in (None, known.order):
            return known
    layout = _parsed(data, order)
    if layout.size <= _KEPT:
        _known.appendleft(layout)
    return layout


_KEPT = 2**18
"""Bytes of a file whose layout is remembered, at most."""

_known: deque[Layout] = deque(maxlen=16)
"""The last layouts: a thousand processes of a program have one."""


def _parsed(data: bytes, order: ByteOrder | None) -> Layout:
    if order is not None:
        places, wrong = _places(data, order)
    else:
        order = sys.byteorder
        places, wrong = _places(data, order)
        if wrong:
            other: ByteOrder = "big" if order == "little" else "little"
            swapped, still = _places(data, other)
            # Lengths in the wrong order lead nowhere soon: who has come further is right.
            if not still or len(swapped) > len(places):
                places, wrong, order = swapped, still, other
    if wrong:
        raise FormatError(wrong)
    return Layout(places, order, data)


def _places(data: bytes, order: ByteOrder) -> tuple[list[Place], str]:
    """The fields, and what is wrong with the one behind them; empty where they end as they should."""
    length = struct.Struct(_MARKS[order] + "H").unpack_from
    places: list[Place] = []
    at, end = 1, len(data)
    while at < end:
        if at + 2 > end:
            return places, _cut(places, "length of a label", at, 2, end)
        (size,) = length(data, at)
        if not size:
            break
        start = at + 2
        if start + size + 2 > end:
            return places, _cut(places, "label and the length of its type", start, size + 2, end)
        label = data[start : start + size].decode("utf-8", "ignore")
        start += size
        (size,) = length(data, start)
        start += 2
        if start + size + 1 > end:
            return places, _cut(places, f"type of {label[:40]!r}", start, size + 1, end)
        code = data[start : start + size]
        kind = type_of(code) if size <= _CODE else None
        if kind is None:
            return places, f"{label[:40]!r} at byte {start}: {code[:20]!r} is no type of one value"
        start += size
        buffer = data[start]
        if buffer not in (0, 1, UNBUFFERED):
            return (
                places,
                f"{label[:40]!r} at byte {start}: write buffer {buffer}: 0, 1 or {UNBUFFERED} are right",
            )
        at = start + 1 + kind.size * (1 if buffer == UNBUFFERED else 2)
        if at > end:
            return places, _cut(places, f"value of {label[:40]!r}", start + 1, at - start - 1, end)
        if len(places) == FIELDS:
            return places, f"more than {FIELDS} fields"
        places.append(Place(label, kind, start, at))
    return places, ""


def _cut(places: list[Place], what: str, at: int, needed: int, end: int) -> str:
    return f"cut off behind {len(places)} fields: the {what} at byte {at} takes {needed} bytes, {end - at} are left"
