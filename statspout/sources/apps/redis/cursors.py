"""How far a label's history was told: a place in it, which is found again whatever befalls Redis meanwhile.

COUNT and HISTORY of a label change together, so entries have numbers: the newest is number COUNT, the one before it one
less. What is new are those behind the number that was told last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

SLICE = 2000
"""Entries of a label that are read at once."""

SLACK = 20
"""More of them, for what is added between the look at the counts and the reading."""


class Answer(NamedTuple):
    """A label at one moment: COUNT, LAST_TIME, the length of HISTORY, and its entries from number ``start`` of it on.

    Entries are the newest first, as the history has them; the first of all is at 0.
    """

    total: int
    last_time: bytes | None
    length: int
    start: int
    entries: Sequence[bytes]

    @property
    def highest(self) -> int:
        """The number of the first entry here."""
        return self.total - self.start

    @property
    def oldest(self) -> int:
        """The number of the last entry of the history."""
        return max(1, self.total - self.length + 1)

    def entry(self, number: int) -> bytes | None:
        """The entry of that number, if it is here."""
        at = self.highest - number
        return self.entries[at] if 0 <= at < len(self.entries) else None


class News(NamedTuple):
    """What there is to tell: entries, the oldest first, and how many before them nobody can tell any more."""

    entries: Sequence[bytes]
    missed: int


NOTHING = News((), 0)


class Cursor:
    """Where we are in one label. ``seen`` is when the label was last in the index, in monotonic seconds."""

    __slots__ = (
        "_doubtful",
        "_first",
        "_known_until",
        "_mark",
        "_newest",
        "_told_before",
        "count",
        "last_time",
        "seen",
    )

    def __init__(self) -> None:
        self.count = 0
        """The number of the entry that was told last; 0 for none."""
        self.last_time: bytes | None = None
        """LAST_TIME when all there was had been told."""
        self.seen = 0.0
        self._mark: int | None = None
        """What that entry was, in short."""
        self._first: tuple[int, int] | None = None
        """The number of the first entry of this series that was told, and what it was."""
        self._newest = -math.inf
        """The latest time of all entries that were told."""
        self._known_until = 0
        """Entries up to this number may have been told before the label began anew, and were if they are not later
        than ``_told_before``: a Redis that restarts with what it had a while ago has them again."""
        self._told_before = -math.inf
        self._doubtful = 0
        """Entries that were gone when they were to be read; were they told before, nothing is missed."""

    def is_behind(self, count: int, last_time: bytes | None) -> bool:
        """Whether there is something new."""
        return count != self.count or last_time != self.last_time

    def wanted(self, count: int) -> tuple[int, int]:
        """Which entries to read, from and to, where there are ``count`` by now; with them the one told last."""
        behind = count - self.count if count > self.count else count
        start = max(0, behind - SLICE)
        return start, behind + SLACK

    def skip(self, answer: Answer) -> None:
        """All there is counts as told."""
        self._tell(answer.total, answer.entries[:1])
        self.count, self.last_time = answer.total, answer.last_time

    def news(self, answer: Answer) -> News | None:
        """What is new in ``answer``; None where more has to be read first. It counts as told by :meth:`told` only."""
        if self._began_anew(answer):
            self._known_until, self._told_before = answer.total, self._newest
            self.count, self._mark = 0, None
        self._see_whether_it_is_another(answer)
        if answer.oldest > self.count + 1:
            self._doubtful += answer.oldest - 1 - self.count
            self.count, self._mark = answer.oldest - 1, None
        first = answer.entry(self.count + 1)
        if first is None and self.count < answer.total:
            return None
        missed, self._doubtful = 0 if self._is_known(self.count + 1, first) else self._doubtful, 0
        entries = () if first is None else answer.entries[answer.highest - self.count - 1 :: -1]
        return News(entries, missed)

    def told(self, answer: Answer, news: News) -> list[bytes]:
        """The news are told now; those of them that were not told before."""
        numbered = enumerate(news.entries, self.count + 1)
        fresh = [entry for number, entry in numbered if not self._is_known(number, entry)]
        self._tell(self.count + 1, news.entries)
        self.count += len(news.entries)
        if self.count == answer.total:
            self.last_time = answer.last_time
        return fresh

    def leave_out(self, count: int, last_time: bytes | None) -> None:
        """Nothing of it can be read until it changes."""
        self.count, self.last_time, self._mark = count, last_time, None

    def _began_anew(self, answer: Answer) -> bool:
        """Whether this is another series than before, or an older state of it."""
        if answer.total < self.count:
            return True
        if answer.total == self.count and self.last_time not in (None, answer.last_time):
            return True
        last = answer.entry(self.count)
        return self._mark is not None and last is not None and hash(last) != self._mark

    def _see_whether_it_is_another(self, answer: Answer) -> None:
        """Of another series than before, and no older state of it, nothing was told, whatever its times are."""
        if self._known_until and self._first is not None:
            number, mark = self._first
            there = answer.entry(number)
            if there is not None and hash(there) != mark:
                self._known_until, self._first = 0, None

    def _is_known(self, number: int, entry: bytes | None) -> bool:
        if number > self._known_until or entry is None:
            return False
        return time_of(entry) <= self._told_before

    def _tell(self, number: int, entries: Sequence[bytes]) -> None:
        """These are told, of which the first has that number."""
        if entries:
            self._first = self._first or (number, hash(entries[0]))
            self._mark = hash(entries[-1])
            self._newest = max(self._newest, *map(time_of, entries))


def time_of(entry: bytes) -> float:
    """When it was recorded, in seconds since the epoch; before all time for what is no entry."""
    try:
        time = float(entry.partition(b";")[0])
    except ValueError:
        return -math.inf
    return -math.inf if math.isnan(time) else time
