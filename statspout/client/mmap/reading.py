"""Reading all files of a pattern, so that nothing in them is there twice, or not at all.

While a thread ends, what it counted moves from its own file to one of its process. That one has ``sys.folds`` in it,
which is odd meanwhile and another number afterwards: then all is read again.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from statspout.client.mmap.errors import FormatError
from statspout.client.mmap.layout import FOLDS, ByteOrder
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


Folds = Mapping[str, list[object]]
"""What ``sys.folds`` was, by the path of each file that has it."""


def read_all(pattern: str | None = None, byteorder: ByteOrder | None = None) -> Found:
    """Every file of the pattern, which is :func:`default_glob` unless it is given. A folder is none."""
    pattern = default_glob() if pattern is None else pattern
    return read_settled(
        lambda: sorted(glob.iglob(pattern)), lambda path: MmStatsReader.from_file(path, byteorder), passes=_PASSES
    )


def read_settled(
    find: Callable[[], Iterable[str]], read: Callable[[str], MmStatsReader], before: Folds | None = None, *, passes: int
) -> Found:
    """What ``find`` finds, each read by ``read``, again until nothing moved meanwhile, or so many times.

    ``before`` are the folds of an earlier time: where they are the same still, nothing has moved since.
    """
    for _ in range(passes):
        found, gone = _pass(find(), read)
        folds = folds_of(found.readers)
        moving = any(number % 2 for numbers in folds.values() for number in numbers if isinstance(number, int))
        if not gone and not moving and (not folds or folds == before):
            return found
        before = folds
    return found._replace(settled=False)


def folds_of(readers: Mapping[str, MmStatsReader]) -> Folds:
    """Those of these files."""
    return {path: numbers for path, reader in readers.items() if (numbers := _folds(reader))}


def _pass(paths: Iterable[str], read: Callable[[str], MmStatsReader]) -> tuple[Found, bool]:
    """What these files have, and whether one of them is there no more."""
    found, gone = Found({}, {}, settled=True), False
    for path in paths:
        try:
            found.readers[path] = read(path)
        except FileNotFoundError:
            gone = True
        except (FormatError, OSError) as error:
            if not os.path.isdir(path):
                found.errors[path] = error
    return found, gone


def _folds(reader: MmStatsReader) -> list[object]:
    return [entry.value for entry in reader.entries if entry.label.endswith(FOLDS)]
