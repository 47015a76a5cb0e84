"""Reading all files of a pattern, so that nothing in them is there twice, or not at all.

While a thread ends, what it counted moves from its own file to one of its process. That one has ``sys.folds`` in it,
which is odd meanwhile and another number afterwards: then the files of that process are read again, and no others: it
has to be done before its next thread ends.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from statspout.client.mmap.errors import FormatError
from statspout.client.mmap.files import held
from statspout.client.mmap.layout import ByteOrder
from statspout.client.mmap.places import default_glob
from statspout.client.mmap.reader import MmStatsReader

_PASSES = 10
"""Times that all is read at most, where threads end all the time."""


class Found(NamedTuple):
    """The files that could be read, and what is wrong with the others, each by its path, in the paths' order.

    ``settled``: nothing moved from one to another while they were read.
    """

    readers: dict[str, MmStatsReader]
    errors: dict[str, FormatError | OSError]
    settled: bool


Readers = Mapping[str, MmStatsReader]

Folds = Mapping[str, list[object]]
"""What ``sys.folds`` was, by the path of each file that has it."""


def read_all(pattern: str | None = None, byteorder: ByteOrder | None = None) -> Found:
    """Every file of the pattern, which is :func:`default_glob` unless it is given. A folder is none."""
    pattern = default_glob() if pattern is None else pattern
    return read_settled(
        lambda: sorted(glob.iglob(pattern)), lambda path: MmStatsReader.from_file(path, byteorder), passes=_PASSES
    )


def read_settled(
    find: Callable[[], Iterable[str]],
    read: Callable[[str], MmStatsReader],
    before: Folds | None = None,
    *,
    passes: int,
    is_held: Callable[[str], bool] = held,
) -> Found:
    """What ``find`` finds, each read by ``read``, again until nothing moved meanwhile, or so many times.

    ``before`` are the folds of an earlier time: where they are the same still, nothing has moved since. In a file that
    is not held nothing moves any more, whatever is in it.
    """
    known: dict[str, MmStatsReader] = {}
    kept: Readers = {}
    for _ in range(passes):
        found, gone = _pass(find(), read, kept)
        known |= found.readers
        folds = folds_of(found.readers)
        moved = {path for path, numbers in folds.items() if before is None or before.get(path) != numbers}
        moved |= {path for path, numbers in folds.items() if _odd(numbers) and _still(is_held, path)}
        if not gone and not moved:
            return found
        kept = _at_rest(found.readers, [known[path] for path in moved | gone if path in known])
        if gone - known.keys():  # any process may have what was in there
            kept = {path: reader for path, reader in kept.items() if path not in folds}
        before = folds
    return found._replace(settled=False)


def _at_rest(readers: Readers, moved: Iterable[MmStatsReader]) -> Readers:
    """Those of other processes than the moved ones."""
    moving = {pid for reader in moved for pid in _pids(reader)}
    return {path: reader for path, reader in readers.items() if moving.isdisjoint(_pids(reader))}


def _pids(reader: MmStatsReader) -> Collection[object]:
    """The process that a file is of; who says nothing may be one and the same."""
    return {reader.values[index] for index in reader.layout.pids} or {None}


def folds_of(readers: Readers) -> Folds:
    """Those of these files."""
    return {path: numbers for path, reader in readers.items() if (numbers := _folds(reader))}


def _pass(found: Iterable[str], read: Callable[[str], MmStatsReader], kept: Readers) -> tuple[Found, set[str]]:
    """What these files have, but for what is ``kept`` as it was; and which there are no more."""
    paths, result = list(found), Found({}, {}, settled=True)
    gone = kept.keys() - set(paths)
    for path in paths:
        try:
            result.readers[path] = kept[path] if path in kept else read(path)
        except FileNotFoundError:
            gone.add(path)
        except (FormatError, OSError) as error:
            if not os.path.isdir(path):
                result.errors[path] = error
    return result, gone


def _folds(reader: MmStatsReader) -> list[object]:
    return [reader.values[index] for index in reader.layout.folds]


def _odd(numbers: Iterable[object]) -> bool:
    return any(isinstance(number, int) and number % 2 for number in numbers)


def _still(is_held: Callable[[str], bool], path: str) -> bool:
    try:
        return is_held(path)
    except OSError:  # it has gone, with what moved
        return True
