"""What all programs of one name have counted, over the end of each of their files.

A file's counters begin at 0 and are gone with it; what was counted is not. So the last that was seen of a file is kept
when it goes. There is one way in which a file goes and its counts do not: a thread ends, and they are added to a file
of its process, in which ``sys.folds`` tells of it. Where that has happened, the files of the process are one account.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import NamedTuple

Series = tuple[str, str, str]
"""The container's id, or an empty text; the command; the name."""

KEEP = 3600.0
"""Seconds for which it is known what was counted in files that are all gone."""


class Counted(NamedTuple):
    """A file at one moment. ``process`` is what it has in common with those whose counters may be moved to one."""

    id: Hashable
    process: Hashable
    container: str
    command: str
    counters: Mapping[str, int]
    folds: int | None = None

    def series(self, name: str) -> Series:
        """What a counter of this name belongs to."""
        return self.container, self.command, name


class Totals:
    """Adds up files. ``most`` is of the series without a file that are remembered; ``clock`` is in monotonic seconds.

    A total never falls while it is known, whatever becomes of the files.
    """

    def __init__(self, most: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._files: dict[Hashable, Counted] = {}
        self._past: dict[Series, int] = {}
        self._ended: dict[Series, float] = {}

    def update(self, files: Iterable[Counted], *, settled: bool = True) -> dict[Series, int]:
        """The totals of all series that are in one of ``files``, which are all that there are now.

        ``settled``: no counters were moved while they were read.
        """
        now = {file.id: file for file in files}
        folding = self._folding(now.values())
        before, members = _by_process(self._files.values(), folding), _by_process(now.values(), folding)
        for file in now.values():
            if file.process not in folding:
                self._put(file)
        # Unless all is settled, what is gone may be in another file already, which was read before it was.
        kept = folding if settled else {file.process for file in now.values()}
        for file in [file for id_, file in self._files.items() if id_ not in now]:
            if file.process not in kept:
                self._let_go(file)
        for process in folding:
            self._put_together(before[process], members[process], settled=settled)
        return self._sums()

    def _folding(self, files: Iterable[Counted]) -> set[Hashable]:
        """The processes in which counters were moved since the last time, or are now."""
        known = {id_: file.folds for id_, file in self._files.items()}
        return {file.process for file in files if file.folds is not None and file.folds != known.get(file.id, 0)}

    def _put(self, file: Counted) -> None:
        """Take a file in by itself: a count that is less than it was has begun anew."""
        before = self._files.get(file.id)
        if before is not None:
            for name, value in before.counters.items():
                if file.counters.get(name, 0) < value:
                    self._add(before.series(name), value)
        self._files[file.id] = file

    def _let_go(self, file: Counted) -> None:
        del self._files[file.id]
        for name, value in file.counters.items():
            self._add(file.series(name), value)

    def _put_together(self, before: list[Counted], members: list[Counted], *, settled: bool) -> None:
        """Take in the files of one process as one account.

        While counters are being moved they are in two files, or in none: then all is as it was.
        """
        if any((file.folds or 0) % 2 for file in members):
            return
        old, new = _sums_of(before), _sums_of(members)
        ids = {file.id for file in members}
        anew = settled and not any(file.id in ids for file in before)
        short = {series: value - new.get(series, 0) for series, value in old.items() if new.get(series, 0) < value}
        if short and not settled:
            return
        for series, missing in short.items():
            # Of another process with the same number nothing is in what there was; else a file was removed.
            self._add(series, old[series] if anew else missing)
        for file in before:
            del self._files[file.id]
        self._files.update((file.id, file) for file in members)

    def _add(self, series: Series, value: int) -> None:
        if value:
            self._past[series] = self._past.get(series, 0) + value

    def _sums(self) -> dict[Series, int]:
        sums = _sums_of(self._files.values())
        for series in sums:
            self._ended.pop(series, None)
        self._forget(sums)
        return {series: value + self._past.get(series, 0) for series, value in sums.items()}

    def _forget(self, current: Mapping[Series, int]) -> None:
        """Let go of what is long over, or too much."""
        now = self._clock()
        for series in self._past:
            if series not in current:
                self._ended.setdefault(series, now)
        longest = sorted(self._ended, key=lambda series: self._ended[series])
        excess = len(longest) - self._most
        for number, series in enumerate(longest):
            if number >= excess and now - self._ended[series] < KEEP:
                break
            del self._ended[series]
            self._past.pop(series, None)


def _by_process(files: Iterable[Counted], processes: Iterable[Hashable]) -> dict[Hashable, list[Counted]]:
    """The files of each of these processes."""
    found: dict[Hashable, list[Counted]] = {process: [] for process in processes}
    for file in files:
        if file.process in found:
            found[file.process].append(file)
    return found


def _sums_of(files: Iterable[Counted]) -> dict[Series, int]:
    sums: dict[Series, int] = defaultdict(int)
    for file in files:
        for name, value in file.counters.items():
            sums[file.series(name)] += value
    return dict(sums)
