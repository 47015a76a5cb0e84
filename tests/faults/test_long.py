"""The promises that take their time to show: half a minute and more on a simulated engine in a process of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from support.standstill import pass_time, running_time, undisturbed
from support.watch import watching

from statspout.health import resident_memory
from statspout.sources.engine.address import unix_address
from statspout.sources.engine.client import EngineClient
from statspout.sources.engine.source import EngineSource
from statspout.telemetry import Telemetry
from statspout.testing import FakeEngine


def test_an_engine_gone_for_long_comes_back_with_other_containers(engine: FakeEngine) -> None:
    async def main() -> None:
        async with watching(engine, interval=1.0) as watch:
            await watch.until(lambda: watch.names == {"web", "db", "cache"})
            engine.down()
            # Attempts to connect are as far apart by now as they ever are.
            await pass_time(25)
            for name in ("web", "db"):
                engine.remove(name)
            engine.add("other")
            engine.up()
            await watch.until(lambda: watch.names == {"cache", "other"}, 8)
            back = running_time()
            await pass_time(5)
            assert watch.longest_gap(back) < 2.2

    asyncio.run(main())


def test_300_containers_that_start_and_die_in_10_s_leave_the_right_set_and_no_memory(engine: FakeEngine) -> None:
    async def churn() -> None:
        for i in range(300):
            engine.add(f"job{i}")
            if i >= 20:
                engine.remove(f"job{i - 20}")
            await asyncio.sleep(10 / 300)
        for i in range(280, 300):
            engine.remove(f"job{i}")

    async def main() -> None:
        async with watching(engine, interval=1.0) as watch:
            await watch.until(lambda: watch.names == {"web", "db", "cache"})
            began, memory = running_time(), resident_memory()
            await churn()
            assert watch.longest_gap(began) < 2.2
            await watch.until(lambda: watch.names == {"web", "db", "cache"}, 2)
            assert watch.telemetry.containers == 3
            assert len(asyncio.all_tasks()) < 12
            assert resident_memory() - memory < 20 * 2**20

    asyncio.run(main())


@undisturbed(0.3)
def test_100_containers_at_1_s_skip_no_tick(tmp_path: Path) -> None:
    class Counting:
        def __init__(self) -> None:
            self.samples = 0

        def push(self, sample: object) -> None:
            self.samples += 1

        def push_all(self, samples: Sequence[object], *, last: bool = True) -> None:
            self.samples += len(samples)

        async def kept(self, patience: float) -> None: ...

        def begin(self, container: object) -> None: ...

        def clear(self, container: object) -> None: ...

    async def main() -> None:
        telemetry, sink = Telemetry(), Counting()
        source = EngineSource(EngineClient(unix_address(path, "socket.path")), telemetry, interval=1.0)
        running = asyncio.create_task(source.run(sink))
        await asyncio.sleep(30)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert telemetry.skipped_ticks == 0
        assert not telemetry.errors
        assert 2850 <= sink.samples <= 3100

    path = str(tmp_path / "docker.sock")
    command = [sys.executable, "-m", "statspout.testing.engine", "--containers", "100", "--socket", path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as engine:
        assert engine.stdout is not None
        engine.stdout.readline()
        try:
            asyncio.run(main())
        finally:
            engine.terminate()
