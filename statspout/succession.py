"""What becomes of the repositories that run when others are named: who takes over from whom, and who ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from statspout.delivery.calls import GivenUp
from statspout.delivery.delivery import CLOSE_PATIENCE, Delivery
from statspout.delivery.live import Live
from statspout.repository import LiveRepository
from statspout.router import Route, Router

log = logging.getLogger("statspout")

DRAIN = 10.0
"""Seconds after a signal by which everything has ended; undelivered samples are counted as lost then."""

PATIENCE = DRAIN - 2 * CLOSE_PATIENCE
"""Seconds for a drain: a stubborn push, and then its close, each have so long beside it."""


class Succession:
    """Changes the routes of ``router`` while samples pass."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self.ending: set[asyncio.Task[None]] = set()
        """Those that are no longer named, while they deliver what they have."""
        self._given_up: dict[str, GivenUp] = {}
        """What hangs of those that are no longer named, by name: they may be named again."""

    def of_name(self, name: str) -> Route | None:
        """The route that is there."""
        return next((route for route in self._router.routes if route.name == name), None)

    def show(self, routes: Sequence[Route]) -> list[Live]:
        """Let live repositories take over from those of their names, before anybody can see them; those."""
        replaced = []
        for at, old in enumerate(self._router.routes):
            new = next((route for route in routes if _succeeds(route, old)), None)
            if isinstance(old, Live) and isinstance(new, Live):
                new.succeed(old)
                self._router.routes[at] = new
                replaced.append(old)
        return replaced

    async def route_to(self, routes: Sequence[Route], stop: asyncio.Event) -> None:
        """Hand samples to these from now on; what waits elsewhere is handed over, or delivered.

        When ``stop`` is set meanwhile, who is no longer named is left in :attr:`ending`.
        """
        before = list(self._router.routes)
        self._given_up = {name: calls for name, calls in self._given_up.items() if calls.hanging}
        self._router.routes[:] = [self.of_name(route.name) or route for route in routes]
        for route in routes:
            if all(route.name != old.name for old in before) and isinstance(route, Delivery):
                route.given_up = self._given_up.pop(route.name, route.given_up)
                route.start()
        for route in before:
            if all(route.name != new.name for new in routes):
                self._end(route)
        replacing = [self._replace(old, new, stop) for new in routes for old in before if _succeeds(new, old)]
        tell_errors(await asyncio.gather(*replacing, return_exceptions=True))
        await self._ended(stop)

    def _end(self, route: Route) -> None:
        if isinstance(route, Delivery):
            self._given_up[route.name] = route.given_up
        task = asyncio.create_task(route.stop(PATIENCE), name=f"end of {route.name}")
        self.ending.add(task)
        task.add_done_callback(self._is_over)

    def _is_over(self, task: asyncio.Task[None]) -> None:
        self.ending.discard(task)
        if not task.cancelled():
            tell_errors([task.exception()])

    async def _ended(self, stop: asyncio.Event) -> None:
        """Return when nobody delivers any more who is no longer named, or ``stop`` is set."""
        stopping = asyncio.create_task(stop.wait())
        while self.ending and not stop.is_set():
            waiting: set[asyncio.Task[Any]] = {*self.ending, stopping}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()

    async def _replace(self, old: Route, new: Route, stop: asyncio.Event) -> None:
        """Let ``new`` go on where ``old`` is, or, where it cannot, begin anew."""
        at = self._router.routes.index(old)
        if isinstance(old, Delivery) and isinstance(new, Delivery) and (old.spool is None) == (new.spool is None):
            await old.retire(stop)
            self._router.routes[at] = new
            new.succeed(old)
        else:
            self._router.routes[at] = new  # what comes meanwhile waits there
            await old.stop(PATIENCE)  # they may have a file in common
            if isinstance(old, Delivery) and isinstance(new, Delivery):
                new.given_up = old.given_up
            if not is_live(new):
                new.start()


def is_live(route: Route) -> bool:
    """Whether its repository serves the latest values."""
    return isinstance(route.repository, LiveRepository)


def _succeeds(new: Route, old: Route) -> bool:
    """Whether it is another that takes the place of one of its name."""
    return new is not old and new.name == old.name


def tell_errors(outcomes: Sequence[object]) -> None:
    """Log what an end came to, where that is an exception."""
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            log.error("stopping: %r", outcome)
