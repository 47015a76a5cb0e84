"""What all programs of one name have counted, over the end of each of their files.

A file's counters begin at 0 and are gone with it; what was counted is not. So the last that was seen of a file is kept
when it goes. There is one way in which a file goes and its counts do not: a thread ends, and they are added to a file
of its process, in which ``sys.folds`` tells of it. Where that has happened, the files of the process are one account.

A file may come back: it was moved away, its folder could not be read, or nobody looked there for a time. Then it has
what it had, and more, and what was kept for it is its own again. One thing cannot be told: where all files of a process
are away while the first of its threads ends, the file that is made for that may as well be of a later process with the
same number, as every container has them. It is taken for that one's, and what the thread had counted counts twice.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import NamedTuple

Series = tuple[str, str, str]
"""The container's id, or an empty text; the command; the name."""

KEEP = 3600.0
"""Seconds for which it is known what was counted in files that are all gone."""


class Counted(NamedTuple):
    """A file at one moment. ``process`` is what it has in common with those whose counters may be moved to one.

    ``unique``: no file that comes later can have its ``id``.
    """

    id: Hashable
    process: Hashable
    container: str
    command: str
    counters: Mapping[str, int]
    folds: int | None = None
    unique: bool = True

    def series(self, name: str) -> Series:
        """What a counter of this name belongs to."""
        return self.container, self.command, name


class _Gone(NamedTuple):
    """A file as it was last, and the number of the look at which it was not there."""

    file: Counted
    look: int


class Totals:
    """Adds up files. ``most`` is of the series without a file that are remembered; ``clock`` is in monotonic seconds.

    A total never falls while it is known, whatever becomes of the files.
    """

    def __init__(self, most: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._files: dict[Hashable, Counted] = {}
        self._past: dict[Series, int] = {}
        self._ended: dict[Series, float] = {}
        self._gone: dict[Hashable, _Gone] = {}
        self._looks = 0

    def follow(self, before: Totals, is_level: Callable[[str], bool]) -> None:
        """Go on with what is known to another, which is not used any more, but for what is no counter now."""

        def is_kept(series: Series) -> bool:
            return not is_level(series[2])

        self._files = {id_: _only(file, is_kept) for id_, file in before._files.items()}
        self._gone = {id_: _Gone(_only(file, is_kept), look) for id_, (file, look) in before._gone.items()}
        self._past = {series: value for series, value in before._past.items() if is_kept(series)}
        self._ended = {series: when for series, when in before._ended.items() if series in self._past}
        self._looks = before._looks

    def update(
        self, files: Iterable[Counted], *, settled: bool = True, there: Collection[Hashable] = ()
    ) -> dict[Series, int]:
        """The totals of all series that are in one of ``files``, which are all that there are now.

        But for those with an id of ``there``, which could not be read: they have what they had. ``settled``: no
        counters were moved while they were read.
        """
        self._looks += 1
        now = {file.id: file for file in files}
        now |= {id_: self._files[id_] for id_ in there if id_ in self._files and id_ not in now}
        self._take_back(now)
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
        if file.unique:
            self._gone[file.id] = _Gone(file, self._looks)

    def _take_back(self, now: Collection[Hashable]) -> None:
        """Have those that are there again as they were, with what else of their process went with them.

        For what a thread counted that has ended meanwhile is in another file of it now.
        """
        back = {(gone.file.process, gone.look) for id_ in now if (gone := self._gone.get(id_))}
        if not back:
            return
        for gone in [gone for gone in self._gone.values() if (gone.file.process, gone.look) in back]:
            file = self._files[gone.file.id] = self._gone.pop(gone.file.id).file
            for name, value in file.counters.items():
                self._add(file.series(name), -value)

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
        total = self._past.get(series, 0) + value
        if total:
            self._past[series] = total
        else:
            self._past.pop(series, None)

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
        forgotten = set()
        for number, series in enumerate(longest):
            if number >= excess and now - self._ended[series] < KEEP:
                break
            del self._ended[series]
            self._past.pop(series, None)
            forgotten.add(series)
        self._forget_gone(forgotten)

    def _forget_gone(self, forgotten: Collection[Series]) -> None:
        """What is not kept any more is nobody's to take back; nor is anything of the first of too many files."""
        if forgotten:
            for id_, (file, look) in self._gone.items():
                self._gone[id_] = _Gone(_only(file, lambda series: series not in forgotten), look)
        room = self._most
        for id_, gone in reversed(list(self._gone.items())):
            room -= max(1, len(gone.file.counters))
            if room < 0:
                del self._gone[id_]


def _only(file: Counted, is_kept: Callable[[Series], bool]) -> Counted:
    counters = {name: value for name, value in file.counters.items() if is_kept(file.series(name))}
    return file._replace(counters=counters)


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
