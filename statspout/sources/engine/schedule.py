"""When a container is due. Times are monotonic seconds."""

from __future__ import annotations

_GOLDEN = 0.618033988749895
_SLOTS = 10


class Schedule:
    """The due times of one container: the first at once, then one per interval.

    ``number`` counts the containers. The second due time is half to one and a half intervals after the first, another
    share for each number: multiples of the golden ratio fill an interval evenly, however many there are. Due times are
    on a grid of ten a interval, the same for all: those who share one cost a wake-up together instead of one each.
    """

    __slots__ = ("_interval", "_share", "due", "rounds")

    def __init__(self, now: float, interval: float, number: int) -> None:
        self._interval = interval
        self._share = 0.5 + (number * _GOLDEN) % 1
        self.due = now
        self.rounds = 0

    def advance(self, now: float, wait: int = 1) -> int:
        """Move on by ``wait`` intervals, and past those that are over already; the number of those is returned."""
        self.rounds += 1
        self.due += wait * self._interval
        if self.rounds == 1:
            slot = self._interval / _SLOTS
            self.due = round((self.due + (self._share - 1) * self._interval) / slot) * slot
        skipped = max(0, int((now - self.due) // self._interval) + 1) if now > self.due else 0
        self.due += skipped * self._interval
        return skipped
