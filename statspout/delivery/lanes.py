"""What is delivered next: what waits in memory, or what waits only on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statspout.delivery.queue import Queue

if TYPE_CHECKING:
    from statspout.delivery.spool import Spool


class Lanes:
    """Chooses the queue of the next batch: each gets every second turn: what is new is not late for what is old."""

    def __init__(self, fresh: Queue, spool: Spool | None) -> None:
        self._fresh, self._spool = fresh, spool
        self._last = fresh

    def __bool__(self) -> bool:
        return bool(self._fresh) or self.backlog

    @property
    def backlog(self) -> bool:
        """Whether something waits only on disk."""
        return self._spool is not None and self._spool.waiting > 0

    async def choose(self, most: int, *, stay: bool) -> Queue | None:
        """The queue to take from, or None when what is on disk cannot be read now.

        ``most`` samples are read from disk at once; ``stay``: the one of the last time, as long as it has something.
        """
        if stay and self._last:
            return self._last
        if self._spool is None or not self.backlog or (self._fresh and self._last is self._spool.queue):
            self._last = self._fresh
        elif await self._spool.load(most):
            self._last = self._spool.queue
        elif self._fresh:
            self._last = self._fresh
        else:
            return None
        return self._last
