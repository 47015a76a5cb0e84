"""Runs an engine source inside a test and remembers what came out of it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

from support.standstill import PATIENCE, running_time

from statspout import Container, ContainerSample, Sample
from statspout.sources.engine.address import unix_address
from statspout.sources.engine.client import EngineClient
from statspout.sources.engine.source import EngineSource
from statspout.sources.filters import Filters
from statspout.telemetry import Telemetry
from statspout.testing import FakeEngine


class Watch:
    """A sink that knows who is live, by name, and when each sample came (:func:`running_time`)."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.telemetry = Telemetry()
        self.samples: dict[str, list[ContainerSample]] = defaultdict(list)
        self.times: dict[str, list[float]] = defaultdict(list)
        self.live: dict[str, Container] = {}
        self.cleared: list[Container] = []

    def push(self, sample: Sample) -> None:
        assert isinstance(sample, ContainerSample)
        self.samples[sample.container.id].append(sample)
        self.times[sample.container.id].append(running_time())
        self.live[sample.container.id] = sample.container

    def push_all(self, samples: Sequence[Sample], *, last: bool = True) -> None:
        for sample in samples:
            self.push(sample)

    async def kept(self, patience: float) -> None: ...

    def begin(self, container: Container) -> None: ...

    def clear(self, container: Container) -> None:
        self.cleared.append(container)
        self.live.pop(container.id, None)

    @property
    def names(self) -> set[str]:
        return {container.name for container in self.live.values()}

    def of(self, name: str) -> list[ContainerSample]:
        """Every sample that carries this name, oldest first."""
        return [one for samples in self.samples.values() for one in samples if one.container.name == name]

    def last(self, name: str) -> ContainerSample:
        return self.of(name)[-1]

    def longest_gap(self, since: float = 0.0, leave_out: Collection[str] = ()) -> float:
        """The longest time, in intervals, that a live container waited for its next sample, the present included."""
        now, gaps = running_time(), [0.0]
        for container_id, container in self.live.items():
            if container.name not in leave_out:
                times = [max(moment, since) for moment in self.times[container_id]] + [now]
                gaps += [after - before for before, after in pairwise(times)]
        return max(gaps) / self.interval

    async def until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait for the condition, or fail after so many seconds in which this process ran."""
        due = running_time() + seconds
        while not condition():
            assert running_time() < due, f"not within {seconds} s; live: {sorted(self.names)}"
            await asyncio.sleep(0.02)


@asynccontextmanager
async def watching(
    engine: FakeEngine,
    *,
    interval: float = 0.5,
    relist: float = 30.0,
    daemons: int | None = None,
    filters: Filters | None = None,
    deadline: float = 5.0,
) -> AsyncIterator[Watch]:
    """Watch the engine's containers while the block runs."""
    watch = Watch(interval)
    client = EngineClient(unix_address(engine.socket_path, "socket.path"), deadline=deadline)
    source = EngineSource(client, watch.telemetry, interval=interval, relist=relist, daemons=daemons, filters=filters)
    running = asyncio.create_task(source.run(watch))
    try:
        yield watch
        assert not running.done(), f"the source ended: {running}"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
