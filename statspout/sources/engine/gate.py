"""How many requests may be in flight to one engine."""

from __future__ import annotations

import asyncio
from collections import deque

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
        self._inside: dict[Place, float] = {}
        """Who holds a place, and since when, the first first."""
        self._waiting: deque[tuple[Place, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

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

    def pass_through(self) -> Place:
        """Wait for a place and hold it, in an ``async with``."""
        return Place(self)

    async def enter(self, place: Place) -> None:
        """Wait until there is room for this place."""
        if len(self._inside) < self.width and not self._waiting:
            self._take(place)
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((place, turn))
        self._watch()
        try:
            await turn
        except asyncio.CancelledError:
            self.leave(place)
            raise

    def leave(self, place: Place) -> None:
        """This place is free, if it was not taken away before."""
        if self._inside.pop(place, None) is not None and self._waiting:
            self._admit()

    def _take(self, place: Place) -> None:
        self._inside[place] = asyncio.get_running_loop().time()

    def _admit(self) -> None:
        while self._waiting and len(self._inside) < self.width:
            place, turn = self._waiting.popleft()
            if not turn.done():
                self._take(place)
                turn.set_result(None)
        self._watch()

    def _watch(self) -> None:
        """While somebody waits, see to it that who is inside for too long makes room."""
        if self._limit is None and self._waiting and self._inside and self._timer is None:
            first = next(iter(self._inside.values()))
            self._timer = asyncio.get_running_loop().call_at(first + self._patience, self._expire)

    def _expire(self) -> None:
        self._timer = None
        oldest = asyncio.get_running_loop().time() - self._patience
        for place in [place for place, since in self._inside.items() if since <= oldest]:
            del self._inside[place]
        self._admit()


class Place:
    """A place in the gate, for the time of an ``async with``."""

    __slots__ = ("_gate",)

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def __aenter__(self) -> None:
        """Wait for it."""
        await self._gate.enter(self)

    async def __aexit__(self, *_: object) -> None:
        """Give it back."""
        self._gate.leave(self)
