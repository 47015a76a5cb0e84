"""Reading all files of a pattern, so that nothing in them is there twice, or not at all.

While a thread ends, what it counted moves from its own file to one of its process. That one has ``sys.folds`` in it,
which is odd meanwhile and another number afterwards: then all is read again.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Collection, Iterable, Iterator
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


def read_all(
    pattern: str | Collection[str] | None = None,
    byteorder: ByteOrder | None = None,
    wanted: Callable[[str], bool] = lambda _: True,
) -> Found:
    """Every file of the pattern, or of several, which is :func:`default_glob` unless it is given. A folder is none.

    Only those whose path is ``wanted`` are opened. A pattern without wildcards is a file that is to be there:
    FileNotFoundError is its error where it is not.
    """
    patterns = [default_glob()] if pattern is None else [pattern] if isinstance(pattern, str) else pattern
    before: dict[str, list[object]] | None = None
    missing: set[str] = set()
    for _ in range(_PASSES):
        found, gone = _pass(filter(wanted, dict.fromkeys(_paths(patterns))), byteorder, patterns)
        folds = {path: numbers for path, reader in found.readers.items() if (numbers := _folds(reader))}
        moving = any(number % 2 for numbers in folds.values() for number in numbers if isinstance(number, int))
        if gone <= missing and not moving and (not folds or folds == before):
            return found
        before, missing = dict(folds), gone
    return found._replace(settled=False)


def _paths(patterns: Iterable[str]) -> Iterator[str]:
    for pattern in patterns:
        # A file may be called as a pattern is written.
        if glob.has_magic(pattern) and not os.path.lexists(pattern):
            yield from sorted(glob.iglob(pattern))
        else:
            yield pattern


def _pass(paths: Iterable[str], byteorder: ByteOrder | None, expected: Collection[str]) -> tuple[Found, set[str]]:
    """What these files have, and those that are there no more; of the ``expected`` ones that is an error."""
    found, gone = Found({}, {}, settled=True), set()
    for path in paths:
        try:
            found.readers[path] = MmStatsReader.from_file(path, byteorder)
        except FileNotFoundError as error:
            gone.add(path)
            if path in expected:
                found.errors[path] = error
        except (FormatError, OSError) as error:
            if not os.path.isdir(path):
                found.errors[path] = error
    return found, gone


def _folds(reader: MmStatsReader) -> list[object]:
    return [stat.value for stat in reader if stat.label.endswith(FOLDS)]
