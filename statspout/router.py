"""Who gets what: every sample goes to every repository, each by a way of its own."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from statspout.delivery.books import Books
from statspout.delivery.delivery import Delivery
from statspout.delivery.live import Live
from statspout.repository import LiveRepository, Repository, name_of
from statspout.sample import Container, Metric, Sample

if TYPE_CHECKING:
    from statspout.delivery.spooldir import SpoolDirectory

_REMEMBERED = 1_000
"""Runs that are over; a sample that comes late was on its way when its run ended, and is so by seconds."""


class Route(Protocol):
    """One repository's way: :class:`Delivery`, or :class:`Live`."""

    name: str
    books: Books

    @property
    def repository(self) -> Repository:
        """Whose way it is."""

    def put(self, samples: Sequence[Sample]) -> None:
        """Take samples; it never blocks and never raises."""

    def settle(self) -> None:
        """Take note that nothing more comes for a while: what waits may as well go now."""

    async def kept(self) -> None:
        """Return when all that it took until now is stored, on disk or given up."""

    def clear(self, container: Container) -> None:
        """Take the word that this container is gone."""

    def start(self) -> None:
        """Begin."""

    async def stop(self, patience: float) -> None:
        """End within ``patience`` seconds."""


class Router:
    """The one sink of all sources; a :class:`statspout.source.Sink`."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = list(routes)
        self._gone: OrderedDict[tuple[str, int | None], None] = OrderedDict()

    def push(self, sample: Sample) -> None:
        """Hand one sample to every repository. A container's of a run that is over is discarded: ``gone``."""
        self.push_all((sample,), last=False)

    def push_all(self, samples: Sequence[Sample], *, last: bool = True) -> None:
        """Hand samples to every repository, as :meth:`push` does; with ``last``, they need not wait for more."""
        if self._gone:
            samples = self._of_living(samples)
        for route in self.routes:
            route.put(samples)
            if last:
                route.settle()

    async def kept(self, patience: float) -> None:
        """Return when every repository has what was pushed until now, or it is on disk; or after ``patience``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await asyncio.gather(*(route.kept() for route in self.routes))

    def _of_living(self, samples: Sequence[Sample]) -> Sequence[Sample]:
        gone = self._gone
        # What an application counted before its container ended is still true, and often comes only now.
        living = [s for s in samples if isinstance(s, Metric) or s.container.identity not in gone]
        if late := len(samples) - len(living):
            for route in self.routes:
                route.books.collected += late
                route.books.drop("gone", late)
        return living

    def begin(self, container: Container) -> None:
        """Samples of this run are welcome (again, when it was thought to be over)."""
        self._gone.pop(container.identity, None)

    def clear(self, container: Container) -> None:
        """This run of this container is over."""
        if container.started_at is not None:
            # Without a start time a later run of the same container would be taken for this one.
            self._gone[container.identity] = None
            if len(self._gone) > _REMEMBERED:
                self._gone.popitem(last=False)
        for route in self.routes:
            route.clear(container)


def route_to(repository: Repository, spools: SpoolDirectory | None = None) -> Route:
    """The way that suits the repository, over a file in ``spools`` where that is good for it."""
    if isinstance(repository, LiveRepository):
        return Live(repository)
    spool = spools.spool(name_of(repository)) if spools is not None and repository.spooled else None
    return Delivery(repository, spool=spool)
