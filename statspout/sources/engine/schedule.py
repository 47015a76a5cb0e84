"""When a container is due. Times are monotonic seconds."""

from __future__ import annotations

_GOLDEN = 0.618033988749895


class Schedule:
    """The due times of one container: the first at once, then one per interval.

    ``number`` counts the containers. The second due time is half to one and a half intervals after the first, another
    share for each number, so that the polls are spread: multiples of the golden ratio fill an interval evenly, however
    many there are.
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
        step = self._interval * self._share if self.rounds == 1 else self._interval
        self.due += step + (wait - 1) * self._interval
        skipped = max(0, int((now - self.due) // self._interval) + 1) if now > self.due else 0
        self.due += skipped * self._interval
        return skipped
