"""One engine as a source: its discovery and its collector, and nothing of any other engine."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from statspout.loglines import concerning
from statspout.sample import Container
from statspout.source import Sink, Source, Target, Watcher
from statspout.sources.cgroup.collector import CgroupCollector
from statspout.sources.cgroup.container import Roots
from statspout.sources.choice import AutoCollector
from statspout.sources.collectors import SHORTEST
from statspout.sources.discovery import RELIST, Discovery
from statspout.sources.engine.client import Engine, EngineClient
from statspout.sources.engine.collector import EngineCollector
from statspout.sources.filters import Filters
from statspout.sources.roster import Roster, Watchers, runs_in
from statspout.telemetry import Telemetry

log = logging.getLogger("statspout.engine")

_ROUND_GAP = 1.0
"""Seconds between the two readings of ``--once``: enough for a CPU figure that holds."""


class Collector(Watcher, Protocol):
    """Reads the containers that discovery finds."""

    host: str
    """The host of every sample."""
    missing: Callable[[Container], None]
    """Who is told of a container that is not there, to look at it."""

    def meet(self, engine: Engine) -> None:
        """A connection was made; the engine may be another than before."""

    async def round(self, targets: Sequence[Target], gap: float) -> int:
        """One sample of each of ``targets``, from two readings ``gap`` seconds apart; returns how many there were."""

    async def stop(self) -> None:
        """End."""


class EngineSource(Source):
    """The running containers of one engine, sampled every ``interval`` seconds.

    ``host`` is the host of every sample; without one it is what the engine calls itself, else this machine's name.
    ``roots`` are where the kernel's own files of the containers are; without them, all figures are the engine's.
    ``insist``: none are. :attr:`roster` knows who runs; ``rosters`` are those of all engines, as they are now.
    """

    def __init__(
        self,
        client: EngineClient,
        telemetry: Telemetry,
        *,
        interval: float = 5.0,
        daemons: int | None = None,
        filters: Filters | None = None,
        host: str = "",
        relist: float = RELIST,
        roots: Roots | None = None,
        insist: bool = False,
        rosters: Sequence[Roster] = (),
    ) -> None:
        self.client = client
        self.telemetry = telemetry
        self.roster = Roster(roots)
        self._interval = interval
        self._daemons = daemons
        self._filters = filters
        self._host = host
        self.roster.host = host or socket.gethostname()
        self._relist = relist
        self._roots = roots
        self._insist = insist
        self._rosters = rosters

    async def run(self, sink: Sink) -> None:
        """Produce samples until cancelled."""
        collector = self._collector(sink)
        # The roster first: who is told of a container's end may still ask whose it was.
        discovery = self._discovery(Watchers((self.roster, collector)), collector)
        known = [target.container for target in self.roster.targets.values()]
        forgetting = asyncio.create_task(self._forget(known, discovery, sink))
        try:
            with concerning(engine=self.client.label):
                await discovery.run()
        finally:
            forgetting.cancel()
            await collector.stop()
            self.client.close()

    async def _forget(self, known: Sequence[Container], discovery: Discovery, sink: Sink) -> None:
        """Once the engine has listed its containers, let go of those that only an earlier run of this source knew.

        Those that another engine has by now go on there: the two have changed places, or names.
        """
        await discovery.listed.wait()
        for container in known:
            if not discovery.tells_of(container):
                if (target := self.roster.targets.get(container.id)) and target.container.same_run(container):
                    self.roster.lost(container)
                if not runs_in(container, self._rosters):
                    sink.clear(container)

    async def once(self, sink: Sink, patience: float = 10.0) -> int:
        """One sample of every container that runs now; returns how many there were.

        SourceError when the engine is not there, TimeoutError when it gives no list within ``patience`` seconds.
        """
        try:
            with concerning(engine=self.client.label):
                await self.client.negotiate()
                return await self._once(sink, patience)
        finally:
            self.client.close()

    async def _once(self, sink: Sink, patience: float) -> int:
        collector, roster = self._collector(sink), Roster()
        discovery = self._discovery(roster, collector)
        watching = asyncio.create_task(discovery.run())
        try:
            async with asyncio.timeout(patience):
                await discovery.listed.wait()
            return await collector.round(list(roster.targets.values()), _ROUND_GAP)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    def _collector(self, sink: Sink) -> Collector:
        interval = self._interval if self._roots is None else max(SHORTEST, self._interval)
        engine = EngineCollector(
            self.client, sink, self.telemetry, interval=interval, daemons=self._daemons, host=self._host
        )
        if self._roots is None:
            return engine
        kernel = CgroupCollector(sink, self.telemetry, interval=self._interval, roots=self._roots)
        if self._insist:
            return kernel
        return AutoCollector(kernel, engine, interval if interval > self._interval else None)

    def _discovery(self, watcher: Watcher, collector: Collector) -> Discovery:
        discovery = Discovery(self.client, watcher, self.telemetry, self._filters, self._relist, self._meet(collector))
        collector.missing = discovery.missing
        return discovery

    def _meet(self, collector: Collector) -> Callable[[Engine], None]:
        """What is done at each connection: the engine may have another name or version than before."""

        def met(engine: Engine) -> None:
            collector.host = self.roster.host = self._host or engine.name or socket.gethostname()
            collector.meet(engine)
            api = ".".join(map(str, engine.api or ("unknown",)))
            log.debug("%s: version %s, API %s", self.client, engine.version, api)

        return met
