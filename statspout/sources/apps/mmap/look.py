"""One look at all files: what is in them, who wrote each, and whether anybody does still.

What a container has in its volume is its own to make: links, devices and pipes are not opened, nor large files read.
"""

from __future__ import annotations

import glob
import itertools
import os
import stat
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from statspout.client.mmap import FormatError, MmStatsReader, held
from statspout.client.mmap.processes import FileId
from statspout.client.mmap.reading import Folds, folds_of, read_settled
from statspout.sources.apps.mmap.decode import Decoder, Reported
from statspout.sources.apps.mmap.writers import Writers

MOST_FILES = 10_000
"""Files that are looked at; those beyond them, and beyond what follows, are counted."""

MOST_FIELDS = 500_000
"""Of all files together: some 100 MB while they are looked at."""

MOST_BYTES = 64 * 2**20
"""Of all files together."""

LARGEST = 2**20
"""Bytes of a file: some 10,000 fields."""

_PASSES = 4
"""Times that all is read at most in one look, where threads end all the time."""


class File(NamedTuple):
    """A file as it was found. ``process`` is the writer's number here, None where that is not certain.

    ``id`` tells it from all others, also from one that has its inode when it is gone, and says when it was made.
    ``alive``: somebody writes it, as far as can be known.
    """

    id: Hashable
    path: str
    process: int | None
    alive: bool
    reported: Reported


class Seen(NamedTuple):
    """What a look found: the files, and by path what is wrong with others.

    ``beyond`` is how many files there were too many; ``settled``, whether no counters were moved meanwhile; ``there``
    has the ids of files that were read before and could not be now.
    """

    files: list[File]
    errors: dict[str, str]
    beyond: int
    settled: bool
    there: frozenset[Hashable] = frozenset()


class _NoRoomError(OSError):
    """There are too many files, or fields, before it."""


class Looker:
    """Looks at the files of ``patterns``; ``is_level`` is as :class:`Decoder` has it. Only one look at a time."""

    def __init__(self, patterns: Sequence[str], writers: Writers, is_level: Callable[[str], bool]) -> None:
        self._patterns = patterns
        self._writers = writers
        self._decoder = Decoder(is_level)
        self._ids: dict[str, FileId] = {}
        self._folds: Folds = {}
        self._contents: dict[FileId, int] = {}
        self._known: dict[FileId, Hashable] = {}
        self._read_before: Collection[str] = ()
        self._beyond = 0
        self._fields = 0
        self._bytes = 0
        self._taken: dict[str, tuple[int, int]] = {}

    def follow(self, before: Looker) -> None:
        """Go on with what is known to another, which looks no more."""
        self._folds, self._contents, self._known = before._folds, before._contents, before._known
        self._read_before = before._read_before

    def look(self) -> Seen:
        """Read all there is now."""
        self._ids = {}
        self._fields = self._bytes = 0
        self._taken.clear()
        found = read_settled(self._find, self._read, self._folds, passes=_PASSES, is_held=_is_locked)
        self._folds = folds_of(found.readers)
        self._read_before = found.readers.keys()
        self._writers.look()
        before, self._contents = self._contents, {}
        files: dict[FileId, File] = {}
        for path, reader in found.readers.items():
            reported = self._decoder.decode(path, reader)
            if reported is not None and self._ids[path] not in files:  # a file may have two names
                files[self._ids[path]] = self._file(path, reader, reported, before)
        errors = {path: error for path, error in found.errors.items() if not isinstance(error, _NoRoomError)}
        beyond = self._beyond + len(found.errors) - len(errors)
        told = {path: _told(path, error) for path, error in errors.items()}
        unread = {self._ids[path] for path in found.errors if path in self._ids} - files.keys()
        there = {id_: self._known[id_] for id_ in unread if id_ in self._known}
        self._known = there | {id_: file.id for id_, file in files.items()}
        return Seen(list(files.values()), told, beyond, found.settled, frozenset(there.values()))

    def _file(self, path: str, reader: MmStatsReader, reported: Reported, before: dict[FileId, int]) -> File:
        id_ = self._ids[path]
        writer = self._writers.of(id_, reported.pid, reported.created)
        alive = writer.alive or _is_locked(path, id_)
        if not alive:
            # Of a writer elsewhere that locks nothing, its writing is all that can be seen.
            contents = self._contents[id_] = hash(str(reader.values))  # a NaN is like no other
            alive = before.get(id_, contents) != contents
        return File((*id_, reported.pid, reported.created), path, writer.pid, alive, reported)

    def _find(self) -> list[str]:
        """The paths, first those to which counters are moved: so none can be seen there, and where they were.

        Then those that there was room for the last time: else their counters would end, and begin again.
        """
        paths = dict.fromkeys(itertools.chain.from_iterable(map(glob.iglob, self._patterns)))
        ordered = sorted(paths, key=lambda path: (path not in self._folds, path not in self._read_before, path))
        self._beyond = max(0, len(ordered) - MOST_FILES)
        return ordered[:MOST_FILES]

    def _read(self, path: str) -> MmStatsReader:
        """Read a file, and only if it is one: a device that is opened may well do something."""
        with _looked_at(path) as (fd, found):
            if stat.S_ISDIR(found.st_mode):
                raise IsADirectoryError
            if not stat.S_ISREG(found.st_mode):
                raise FormatError(f"{path}: not a regular file")
            self._ids[path] = found.st_dev, found.st_ino
            if found.st_size > LARGEST:
                raise FormatError(f"{path}: {found.st_size} bytes: {LARGEST} are the most that are read here")
            self._make_room(path, found.st_size)
            try:
                reader = MmStatsReader.from_file(_opened(fd))
            except FormatError as error:
                raise type(error)(f"{path}{str(error).removeprefix(_opened(fd))}") from None
            self._make_room(path, found.st_size, len(reader.values))
            return reader

    def _make_room(self, path: str, size: int, fields: int = 0) -> None:
        """Have room for a file, instead of what it took when it was read before."""
        size_before, fields_before = self._taken.get(path, (0, 0))
        self._taken[path] = size, fields
        self._bytes += size - size_before
        self._fields += fields - fields_before
        if self._bytes > MOST_BYTES or self._fields > MOST_FIELDS:
            raise _NoRoomError


@contextmanager
def _looked_at(path: str) -> Iterator[tuple[int, os.stat_result]]:
    """A descriptor of what is there, which has not been opened for it, and what it is."""
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd, os.fstat(fd)
    finally:
        os.close(fd)


def _opened(fd: int) -> str:
    """A path by which what the descriptor is of, and nothing else, can be opened."""
    return f"/proc/self/fd/{fd}"


def _is_locked(path: str, id_: FileId | None = None) -> bool:
    """Whether somebody has the file locked, also one whom our ``/proc`` does not know; not if it is another now."""
    with suppress(OSError), _looked_at(path) as (fd, found):
        same = id_ in (None, (found.st_dev, found.st_ino))
        return same and stat.S_ISREG(found.st_mode) and held(_opened(fd))
    return False


def _told(path: str, error: Exception) -> str:
    """One line that begins with the path."""
    reason = getattr(error, "strerror", None)
    return f"{path}: {reason}" if reason else str(error)
