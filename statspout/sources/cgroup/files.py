"""The open files of one container, and how many files may be open.

A kept descriptor costs a quarter of opening the file each time. A kept cgroup file answers ENODEV once the container is
gone; a kept net/dev would go on answering, and keep the dead container's network alive: whoever keeps them closes them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Protocol

from statspout.sources.limits import open_files

_READ_ONLY = os.O_RDONLY | os.O_CLOEXEC

_WHOLE = 3072
"""The kernel gives a file of several records in pieces of nearly a page: what is shorter than this is all there is."""

_PIECES = 65536

_RESERVE = 256
"""Descriptors for all else: connections, the spool, what repositories open."""

_GONE = (errno.ENODEV, errno.ENOENT, errno.ESRCH)


class Gone(Exception):
    """The container is no more: its files were taken away."""


class Files(Protocol):
    """Files that are read again and again, by their numbers; a number without a file reads as nothing."""

    def read(self, number: int, size: int) -> bytes:
        """The file as it is now; ``size`` is more than it usually has. Gone, or OSError."""

    def close(self) -> None:
        """Close everything, now."""


Entry = tuple[str, int | None]
"""A path, and the descriptor of the folder that it begins at, if it is none from the root."""


class Kept:
    """One descriptor a file. Raises OSError when one of ``entries`` cannot be opened; None has no file."""

    __slots__ = ("_descriptors",)

    def __init__(self, entries: Sequence[Entry | None]) -> None:
        self._descriptors: list[int] = []
        try:
            for entry in entries:
                self._descriptors.append(-1 if entry is None else os.open(entry[0], _READ_ONLY, dir_fd=entry[1]))
        except OSError:
            self.close()
            raise

    def read(self, number: int, size: int) -> bytes:
        """See :class:`Files`."""
        descriptor = self._descriptors[number]
        if descriptor < 0:
            return b""
        try:
            data = os.pread(descriptor, size, 0)
            return data if len(data) < _WHOLE else _whole(descriptor, data, size)
        except OSError as error:
            raise _told(error) from error

    def close(self) -> None:
        """See :class:`Files`."""
        for descriptor in self._descriptors:
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptors = [-1] * len(self._descriptors)


class Reopened:
    """No descriptor but that of the process's folder, which cannot become another process's; ``process`` is now ours.

    A path would lead to a later run of the same container: first it is seen that the process still lives.
    """

    __slots__ = ("_entries", "_process")

    def __init__(self, entries: Sequence[Entry | None], process: int) -> None:
        self._entries = list(entries)
        self._process = process
        for entry in entries:
            if entry is not None:
                os.close(os.open(entry[0], _READ_ONLY, dir_fd=entry[1]))

    def read(self, number: int, size: int) -> bytes:
        """See :class:`Files`."""
        entry = self._entries[number]
        if entry is None:
            return b""
        try:
            if number == 0:
                os.stat("cgroup", dir_fd=self._process)
            descriptor = os.open(entry[0], _READ_ONLY, dir_fd=entry[1])
            try:
                data = os.pread(descriptor, size, 0)
                return data if len(data) < _WHOLE else _whole(descriptor, data, size)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _told(error) from error

    def close(self) -> None:
        """See :class:`Files`."""
        if self._process >= 0:
            os.close(self._process)
        self._process = -1
        self._entries = [None] * len(self._entries)


def _whole(descriptor: int, data: bytes, size: int) -> bytes:
    """All of a file that began with ``data`` when ``size`` was asked for.

    A file of one record is read again from its start: its parts would be of different moments.
    """
    while len(data) == size:
        size *= 4
        data = os.pread(descriptor, size, 0)
    while more := os.pread(descriptor, _PIECES, len(data)):
        data += more
    return data


def _told(error: OSError) -> Exception:
    return Gone() if error.errno in _GONE else error


class Budget:
    """How many descriptors containers may have together: the limit of this process, raised as far as it may be."""

    def __init__(self, reserve: int = _RESERVE) -> None:
        self.limit = open_files()
        self._left = self.limit - min(reserve, self.limit // 2)

    def take(self, count: int) -> bool:
        """Take ``count`` descriptors, or none when there are not so many."""
        if count > self._left:
            return False
        self._left -= count
        return True

    def give(self, count: int) -> None:
        """Give back what was taken."""
        self._left += count
