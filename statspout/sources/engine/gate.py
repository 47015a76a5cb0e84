"""How many requests may be in flight to one engine."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_LEAST = 16
_WEIGHT = 0.1


class Gate:
    """Lets requests through: at most ``limit`` at once, or, without one, as many as the interval needs.

    The adaptive width is what it takes to ask everybody within half an interval at the latency seen (Little's law), and
    a request that takes more than half an interval gives its place away: one that hangs delays nobody. A fixed limit is
    kept to strictly.
    """

    def __init__(self, limit: int | None, interval: float) -> None:
        self.latency = 0.0
        """Seconds that a good answer took lately."""
        self._limit = limit
        self._patience = interval / 2
        self._population = 0
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def width(self) -> int:
        """The most requests at once."""
        if self._limit is not None:
            return self._limit
        return max(_LEAST, int(self._population * self.latency / self._patience) + 1)

    def populate(self, population: int) -> None:
        """Say how many containers there are to ask."""
        self._population = population
        self._admit()

    def answered(self, seconds: float) -> None:
        """Say how long a good answer took."""
        self.latency += _WEIGHT * (seconds - self.latency) if self.latency else seconds

    @asynccontextmanager
    async def pass_through(self) -> AsyncIterator[None]:
        """Wait for a place and hold it."""
        await self._enter()
        place = _Place(self)
        if self._limit is None:
            place.timer = asyncio.get_running_loop().call_later(self._patience, place.leave)
        try:
            yield
        finally:
            place.leave()

    async def _enter(self) -> None:
        if self._inside < self.width and not self._waiting:
            self._inside += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """A place is free."""
        self._inside -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._inside < self.width:
            turn = self._waiting.popleft()
            if not turn.done():
                self._inside += 1
                turn.set_result(None)


class _Place:
    """One place in the gate, given back once."""

    __slots__ = ("_gate", "timer")

    def __init__(self, gate: Gate) -> None:
        self._gate: Gate | None = gate
        self.timer: asyncio.TimerHandle | None = None

    def leave(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.leave()
