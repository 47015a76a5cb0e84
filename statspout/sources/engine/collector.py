"""One sample of every container per interval, through the engine. Each container has a poller of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from statspout.errors import EngineDown, Refused, SourceError, Timeout
from statspout.logs import Limited
from statspout.sample import Container, ContainerSample
from statspout.source import Sink, Target
from statspout.sources.engine.client import Engine, EngineClient
from statspout.sources.engine.decode import Reading, Stats, read_stats, rolled_back, sample_of
from statspout.sources.engine.gate import Gate
from statspout.sources.engine.podman import corrected
from statspout.sources.engine.schedule import Schedule
from statspout.telemetry import Telemetry

log = logging.getLogger("statspout.collector")

_DIRECT_DEADLINE = 2.0
_WAITING_DEADLINE = 5.0
"""Engines before 25 answer after their own collector's turn: a second, and more with many containers."""

_LONGEST_DEADLINE = 10.0

_LONGEST_PAUSE = 30.0
"""Seconds; a container that hangs is asked ever more rarely, down to this."""


@dataclass(slots=True)
class _Poller:
    target: Target
    request: bytes
    before: Reading | None = None
    timeouts: int = 0
    refused: bool = False
    task: asyncio.Task[None] | None = None


class EngineCollector:
    """Polls the containers that discovery finds; a :class:`statspout.source.Watcher`.

    ``sink`` takes the samples and the runs that are over; ``missing`` is told of one that the engine does not know.
    """

    def __init__(
        self,
        client: EngineClient,
        sink: Sink,
        telemetry: Telemetry,
        *,
        interval: float,
        daemons: int | None = None,
        host: str = "",
    ) -> None:
        self.host = host
        self.missing: Callable[[Container], None] = lambda _: None
        self._client = client
        self._sink = sink
        self._telemetry = telemetry
        self._interval = interval
        self._gate = Gate(daemons, interval)
        self._pollers: dict[str, _Poller] = {}
        self._fresh: list[ContainerSample] = []
        """Not yet pushed: those of this turn of the loop."""
        self._waiting: dict[float, list[asyncio.Future[None]]] = {}
        """Who waits for which due time."""
        self._started = 0
        self._limited = Limited(log)

    # what discovery says

    def found(self, target: Target) -> None:
        """Poll this container from now on; what is new about one that is polled already counts from its next sample."""
        poller = self._pollers.get(target.container.id)
        if poller is not None:
            if poller.target.container.started_at != target.container.started_at:
                # Now it is known when it started: the reading before may be of an earlier run.
                poller.before = None
            poller.target = target
            return
        poller = _Poller(target, self._client.stats_request(target.container.id))
        self._pollers[target.container.id] = poller
        self._sink.begin(target.container)
        self._gate.populate(len(self._pollers))
        schedule = Schedule(asyncio.get_running_loop().time(), self._interval, self._started)
        self._started += 1
        poller.task = asyncio.create_task(self._poll_on(poller, schedule))

    def lost(self, container: Container) -> None:
        """This run is over: no more requests, and whoever holds values of it forgets them."""
        self.release(container)
        self._sink.clear(container)

    def release(self, container: Container) -> None:
        """No more requests about it; what was read of it is pushed before whatever comes next."""
        self._hand_over()
        poller = self._pollers.pop(container.id, None)
        if poller is not None and poller.task is not None:
            # Let go of, for a cycle of the two would stay in memory until the collector of garbage comes round.
            task, poller.task = poller.task, None
            task.cancel()
        self._gate.populate(len(self._pollers))

    def meet(self, engine: Engine) -> None:  # noqa: ARG002 - the client knows it already
        """The engine may speak another API version now: the requests are made anew."""
        for container_id, poller in self._pollers.items():
            poller.request = self._client.stats_request(container_id)

    async def stop(self) -> None:
        """End every poller."""
        tasks = [poller.task for poller in self._pollers.values() if poller.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._hand_over()

    async def round(self, targets: Sequence[Target], gap: float) -> int:
        """One sample of each of ``targets``, CPU included: two readings ``gap`` seconds apart, in place of the polling.

        Returns how many samples there were.
        """
        pollers = [_Poller(target, self._client.stats_request(target.container.id)) for target in targets]
        self._gate.populate(len(pollers))
        await asyncio.gather(*(self._read_quietly(poller) for poller in pollers))
        await asyncio.sleep(gap)
        samples = await asyncio.gather(*(self._read_quietly(poller) for poller in pollers))
        got = [sample for sample in samples if sample is not None]
        got.sort(key=lambda sample: sample.container.name)
        self._sink.push_all(got)
        return len(got)

    # one container

    async def _poll_on(self, poller: _Poller, schedule: Schedule) -> None:
        loop = asyncio.get_running_loop()
        most = max(1, int(_LONGEST_PAUSE / self._interval))
        while True:
            await self._poll(poller, schedule.due)
            pause = min(2**poller.timeouts, most) if poller.timeouts else 1
            self._telemetry.skipped_ticks += schedule.advance(loop.time(), pause)
            await self._until(schedule.due)

    async def _until(self, due: float) -> None:
        """Wait for the loop's time ``due``: all who wait for the same one have one timer."""
        loop = asyncio.get_running_loop()
        if due <= loop.time():
            await asyncio.sleep(0)
            return
        waiting = self._waiting.get(due)
        if waiting is None:
            waiting = self._waiting[due] = []
            loop.call_at(due, self._due, due)
        turn = loop.create_future()
        waiting.append(turn)
        await turn

    def _due(self, due: float) -> None:
        for turn in self._waiting.pop(due):
            if not turn.done():
                turn.set_result(None)

    async def _poll(self, poller: _Poller, due: float) -> None:
        try:
            async with self._gate.pass_through():
                self._telemetry.began(asyncio.get_running_loop().time() - due)
                sample = await self._read(poller)
            poller.timeouts, poller.refused = 0, False
            if sample is not None:
                self._give(sample)
        except SourceError as error:
            self._failed(poller, error)
        except Exception as error:  # noqa: BLE001 - an error of our own costs this container one sample, not its poller
            self._telemetry.errors["internal"] += 1
            name = poller.target.container.name
            self._limited.warning("internal", "container %s: %r", name, error, container=name)

    def _give(self, sample: ContainerSample) -> None:
        """Push it, together with what else comes in this turn of the loop."""
        if not self._fresh:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._fresh.append(sample)

    def _hand_over(self) -> None:
        fresh, self._fresh = self._fresh, []
        if fresh:
            self._sink.push_all(fresh, last=False)

    async def _read_quietly(self, poller: _Poller) -> ContainerSample | None:
        try:
            async with self._gate.pass_through():
                return await self._read(poller)
        except SourceError as error:
            self._failed(poller, error)
            return None

    async def _read(self, poller: _Poller) -> ContainerSample | None:
        """Ask once. None when there is nothing new: the container does not run, or the answer is the last one again."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        body = await self._client.stats(poller.request, self._deadline(poller))
        self._gate.answered(loop.time() - asked)
        engine = self._client.engine
        # To Podman, nothing at all is the answer about a container that does not run.
        answer = read_stats(body) if body or not engine.podman else None
        if answer is None:
            self._telemetry.errors["not_running"] += 1
            return None
        if engine.podman:
            answer = corrected(*answer, poller.target.network_mode, engine.version)
        return self._sample(poller, *answer)

    def _sample(self, poller: _Poller, stats: Stats, reading: Reading) -> ContainerSample | None:
        before = poller.before
        target = poller.target
        if before is not None and reading.time_ns == before.time_ns:
            self._telemetry.errors["stale"] += 1
            return None
        if before is not None and rolled_back(before, reading):
            # A restart that no event told of: this sample must not carry the earlier run's start time.
            self.missing(target.container)
            target, before = _of_unknown_start(target), None
        poller.before = reading
        self._telemetry.sampled()
        return sample_of(stats, reading, before, target, self.host)

    def _deadline(self, poller: _Poller) -> float:
        """Seconds for one answer: what this engine needs, more when it was slow lately, or too slow the last time."""
        patience = _DIRECT_DEADLINE if self._client.engine.direct else _WAITING_DEADLINE
        if poller.timeouts:
            patience = min(patience * 2**poller.timeouts, _LONGEST_DEADLINE)
        return max(patience, 4 * self._gate.latency)

    def _failed(self, poller: _Poller, error: SourceError) -> None:
        self._telemetry.errors[error.kind] += 1
        poller.timeouts = poller.timeouts + 1 if isinstance(error, Timeout) else 0
        container = poller.target.container
        first, poller.refused = not poller.refused, isinstance(error, Refused)
        # Podman has 500 for a container that is being removed, too: a look tells, and a second one in a row is told.
        if isinstance(error, Refused) and (error.gone or (first and self._client.engine.podman)):
            self.missing(container)
        elif not isinstance(error, EngineDown):
            self._limited.warning(error.kind, "container %s: %s", container.name, error, container=container.name)


def _of_unknown_start(target: Target) -> Target:
    return msgspec.structs.replace(target, container=msgspec.structs.replace(target.container, started_at=None))
