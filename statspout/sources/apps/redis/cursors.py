"""How far a label's history was told: a place in it, which is found again whatever befalls Redis meanwhile.

COUNT and HISTORY of a label change together, so entries have numbers: the newest is number COUNT, the one before it one
less. What is new are those behind the number that was told last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple, Self

import msgspec

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


class Told(NamedTuple):
    """An entry, and how many directly before it have the same time."""

    text: bytes
    alike: int


class News(NamedTuple):
    """What there is to tell: entries, the oldest first, and how many before them nobody can tell any more."""

    entries: Sequence[bytes]
    missed: int


NOTHING = News((), 0)


class Cursor:
    """Where we are in one label. ``seen`` is when the label was last in the index, in monotonic seconds."""

    __slots__ = (
        "_alike",
        "_doubtful",
        "_first",
        "_known_until",
        "_mark",
        "_newest",
        "_time",
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
        self._time = -math.inf
        self._alike = 0
        """The time of the entry that was told last, and how many directly before it have the same."""
        self._doubtful = 0
        """Entries that were gone when they were to be read; were they told before, nothing is missed."""

    @classmethod
    def from_place(cls, place: bytes) -> Self:
        """One that goes on where another was; ValueError when ``place`` is none."""
        one = cls()
        kept = msgspec.msgpack.decode(place, type=_Place)
        one.count, one.last_time, one._mark, one._first = kept.count, kept.last_time, kept.mark, kept.first
        one._newest, one._known_until, one._told_before = kept.newest, kept.known_until, kept.told_before
        one._time, one._alike, one._doubtful = kept.time, kept.alike, kept.doubtful
        return one

    @property
    def place(self) -> bytes:
        """Where it is, for another process."""
        place = _Place(
            self.count, self.last_time, self._mark, self._first, self._newest, self._known_until, self._told_before,
            self._time, self._alike, self._doubtful,
        )  # fmt: skip
        return msgspec.msgpack.encode(place)

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

    def told(self, answer: Answer, news: News) -> list[Told]:
        """The news are told now; those of them that were not told before."""
        numbered = enumerate(news.entries, self.count + 1)
        fresh = [self._next(entry) for number, entry in numbered if not self._is_known(number, entry)]
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
        return self._mark is not None and last is not None and _short(last) != self._mark

    def _see_whether_it_is_another(self, answer: Answer) -> None:
        """Of another series than before, and no older state of it, nothing was told, whatever its times are."""
        if self._known_until and self._first is not None:
            number, mark = self._first
            there = answer.entry(number)
            if there is not None and _short(there) != mark:
                self._known_until, self._first = 0, None

    def _is_known(self, number: int, entry: bytes | None) -> bool:
        if number > self._known_until or entry is None:
            return False
        return time_of(entry) <= self._told_before

    def _next(self, entry: bytes) -> Told:
        """The entry behind the one that was told last."""
        time = time_of(entry)
        self._time, self._alike = time, self._alike + 1 if time == self._time else 0
        return Told(entry, self._alike)

    def _tell(self, number: int, entries: Sequence[bytes]) -> None:
        """These are told, of which the first has that number."""
        if entries:
            self._first = self._first or (number, _short(entries[0]))
            self._mark = _short(entries[-1])
            self._newest = max(self._newest, *map(time_of, entries))


class _Place(msgspec.Struct, array_like=True):
    """What is kept of a cursor."""

    count: int
    last_time: bytes | None
    mark: int | None
    first: tuple[int, int] | None
    newest: float
    known_until: int
    told_before: float
    time: float
    alike: int
    doubtful: int


def _short(entry: bytes) -> int:
    """What tells it from others, in every process the same."""
    return int.from_bytes(blake2b(entry, digest_size=8).digest(), "big")


def time_of(entry: bytes) -> float:
    """When it was recorded, in seconds since the epoch; before all time for what is no entry."""
    try:
        time = float(entry.partition(b";")[0])
    except ValueError:
        return -math.inf
    return -math.inf if math.isnan(time) else time
