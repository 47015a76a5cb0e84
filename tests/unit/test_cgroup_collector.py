"""The sweeps: once an interval, each container for itself, and nothing stays open."""

from __future__ import annotations

import asyncio
import logging
import resource
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from support.kernel import open_files
from support.standstill import pass_time, running_time, undisturbed
from support.trees import ID, PID, Tree, target
from support.watch import Watch

from statspout.sample import Container
from statspout.source import Target
from statspout.sources.cgroup.collector import CgroupCollector
from statspout.sources.cgroup.files import Budget

INTERVAL = 0.1


class Fleet:
    """Copies of one tree's container under other ids, in one tree; process ids count up from its own."""

    def __init__(self, into: Path, count: int) -> None:
        self.tree = Tree("v2-cgroupfs", into)
        self.targets = [target()]
        for number in range(1, count):
            self.add(number)

    def add(self, number: int) -> Target:
        container_id, pid = f"{number:064x}", PID + number
        process = shutil.copytree(self.tree.path / "proc" / str(PID), self.tree.path / "proc" / str(pid))
        (process / "cgroup").write_text(f"0::/docker/{container_id}\n")
        shutil.copytree(self.folder(ID), self.folder(container_id))
        found = target(id=container_id, name=f"web-{number}", pid=pid)
        self.targets.append(found)
        return found

    def folder(self, container_id: str) -> Path:
        return self.tree.path / "cgroup" / "docker" / container_id

    def remove(self, what: Target) -> None:
        """Take its process and its cgroup away, as the kernel does."""
        shutil.rmtree(self.tree.path / "proc" / str(what.pid))
        shutil.rmtree(self.folder(what.container.id))


@asynccontextmanager
async def collecting(
    fleet: Fleet, interval: float = INTERVAL, budget: Budget | None = None
) -> AsyncIterator[tuple[CgroupCollector, Watch]]:
    watch = Watch(interval)
    collector = CgroupCollector(watch, watch.telemetry, interval=interval, roots=fleet.tree.roots, budget=budget)
    try:
        yield collector, watch
    finally:
        await collector.stop()


def descriptors_now() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def small_budget(descriptors: int) -> Budget:
    budget = Budget()
    budget.take(budget._left - descriptors)
    return budget


@undisturbed(0.02)
def test_the_first_sample_comes_at_once_and_then_one_an_interval(tmp_path: Path) -> None:
    async def main() -> None:
        fleet = Fleet(Path(tempfile.mkdtemp(dir=tmp_path)), 3)
        async with collecting(fleet) as (collector, watch):
            for one in fleet.targets:
                collector.found(one)
            await asyncio.sleep(0.02)
            assert {len(samples) for samples in watch.samples.values()} == {1}
            await asyncio.sleep(10 * INTERVAL)
            assert all(9 <= len(samples) <= 11 for samples in watch.samples.values())
            assert watch.longest_gap() < 2.2
            telemetry = watch.telemetry
            assert telemetry.samples == telemetry.polls == sum(map(len, watch.samples.values()))

    asyncio.run(main())


def test_without_containers_it_sleeps(tmp_path: Path) -> None:
    async def main() -> None:
        fleet = Fleet(tmp_path, 1)
        async with collecting(fleet) as (collector, watch):
            collector.found(fleet.targets[0])
            await asyncio.sleep(0.02)
            collector.lost(fleet.targets[0].container)
            await asyncio.sleep(3 * INTERVAL)
            assert collector._next is None
            collector.found(fleet.targets[0])
            await watch.until(lambda: len(watch.samples[ID]) >= 3)

    asyncio.run(main())


@pytest.mark.parametrize("descriptors", [10_000, 1])
def test_a_container_that_is_lost_has_nothing_open_and_no_sample_any_more(tmp_path: Path, descriptors: int) -> None:
    async def main() -> None:
        fleet = Fleet(tmp_path, 1)
        async with collecting(fleet, budget=small_budget(descriptors)) as (collector, watch):
            collector.found(fleet.targets[0])
            await watch.until(lambda: len(watch.samples[ID]) >= 2)
            assert open_files(tmp_path) >= 1
            collector.lost(fleet.targets[0].container)
            assert open_files(tmp_path) == 1  # proc/stat
            count = len(watch.samples[ID])
            await asyncio.sleep(3 * INTERVAL)
            assert (len(watch.samples[ID]), watch.cleared) == (count, [fleet.targets[0].container])

    asyncio.run(main())
    assert open_files(tmp_path) == 0


def test_a_restarted_container_has_new_files_and_no_cpu_percent_at_first(tmp_path: Path) -> None:
    async def main() -> None:
        fleet = Fleet(tmp_path, 1)
        async with collecting(fleet) as (collector, watch):
            collector.found(fleet.targets[0])
            await watch.until(lambda: len(watch.samples[ID]) >= 3)
            assert watch.samples[ID][-1].cpu_percent == 0
            fleet.remove(fleet.targets[0])
            collector.lost(fleet.targets[0].container)
            Fleet(tmp_path / "again", 1).tree.path.rename(tmp_path / "new")
            shutil.rmtree(fleet.tree.path)
            (tmp_path / "new").rename(fleet.tree.path)
            count = len(watch.samples[ID])
            collector.found(target(started=2))
            await watch.until(lambda: len(watch.samples[ID]) >= count + 2)
            first, second = watch.samples[ID][count : count + 2]
            assert (first.container.started_at, first.cpu_percent, second.cpu_percent) == (2, None, 0)

    asyncio.run(main())


def test_one_whose_files_are_taken_away_is_looked_at_and_the_others_go_on(tmp_path: Path) -> None:
    async def main() -> None:
        fleet, missing = Fleet(tmp_path, 3), list[Container]()
        # Opened each time: a file that is gone here can still be read by a kept descriptor.
        async with collecting(fleet, budget=small_budget(3)) as (collector, watch):
            collector.missing = missing.append
            for one in fleet.targets:
                collector.found(one)
            await watch.until(lambda: len(watch.samples) == 3)
            fleet.remove(fleet.targets[1])
            await watch.until(lambda: bool(missing))
            gone = fleet.targets[1].container
            assert [one.id for one in missing] == [gone.id]
            count, moment = len(watch.samples[gone.id]), running_time()
            await pass_time(5 * INTERVAL)
            assert len(watch.samples[gone.id]) == count
            assert watch.longest_gap(moment, leave_out=["web-1"]) < 2.2
            assert watch.telemetry.errors["not_running"] == 1
            # It was a misunderstanding: the same run is there again.
            shutil.copytree(fleet.folder(ID), fleet.folder(gone.id))
            process = shutil.copytree(fleet.tree.path / "proc" / str(PID), fleet.tree.path / "proc" / str(PID + 1))
            (process / "cgroup").write_text(f"0::/docker/{gone.id}\n")
            await watch.until(lambda: len(watch.samples[gone.id]) > count)

    asyncio.run(main())


def test_what_cannot_be_read_is_told_counted_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        fleet = Fleet(tmp_path, 1)
        async with collecting(fleet) as (collector, watch):
            collector.found(target(id="e" * 64, name="stranger"))
            collector.found(fleet.targets[0])
            await watch.until(lambda: len(watch.samples[ID]) >= 4)
            assert watch.telemetry.errors["unreadable"] >= 2
            assert set(watch.samples) == {ID}

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    said = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert said[0].startswith("container stranger: its process here is not the container's")
    assert len(said) <= 4


def test_a_file_that_fails_costs_its_container_one_sample_and_nobody_else_any(tmp_path: Path) -> None:
    async def main() -> None:
        fleet = Fleet(tmp_path, 2)
        async with collecting(fleet, budget=small_budget(2)) as (collector, watch):
            for one in fleet.targets:
                collector.found(one)
            await watch.until(lambda: len(watch.samples) == 2)
            memory = fleet.folder(fleet.targets[1].container.id) / "memory.stat"
            text = memory.read_text()
            memory.unlink()
            memory.mkdir()
            await watch.until(lambda: watch.telemetry.errors["unreadable"] >= 2)
            memory.rmdir()
            memory.write_text(text)
            count = len(watch.of("web-1"))
            await watch.until(lambda: len(watch.of("web-1")) > count)
            assert watch.longest_gap(leave_out=["web-1"]) < 2.2

    asyncio.run(main())


@undisturbed(0.02)
def test_ticks_that_pass_during_a_sweep_are_counted_and_none_is_made_up_for(tmp_path: Path) -> None:
    async def main() -> None:
        fleet = Fleet(Path(tempfile.mkdtemp(dir=tmp_path)), 2)
        async with collecting(fleet) as (collector, watch):
            for one in fleet.targets:
                collector.found(one)
            await watch.until(lambda: len(watch.samples[ID]) >= 2)
            time.sleep(3.5 * INTERVAL)  # noqa: ASYNC251 - the loop is to be late
            count = len(watch.samples[ID])
            await asyncio.sleep(1.9 * INTERVAL)
            assert 4 <= watch.telemetry.skipped_ticks <= 8
            assert len(watch.samples[ID]) <= count + 3
            assert watch.telemetry.lateness.most > 2 * INTERVAL

    asyncio.run(main())


@undisturbed(0.1)
def test_many_are_read_with_turns_for_others_in_between(tmp_path: Path) -> None:
    async def main() -> None:
        fleet = Fleet(Path(tempfile.mkdtemp(dir=tmp_path)), 150)
        async with collecting(fleet, interval=0.5) as (collector, watch):
            for one in fleet.targets:
                collector.found(one)
            await watch.until(lambda: len(watch.samples) == 150)
            await watch.until(lambda: min(map(len, watch.samples.values())) >= 3)
            assert watch.telemetry.polls == watch.telemetry.samples
            assert watch.telemetry.skipped_ticks == 0

    asyncio.run(main())


def test_one_that_is_lost_during_a_sweep_is_read_no_more(tmp_path: Path) -> None:
    async def main() -> None:
        fleet = Fleet(tmp_path, 80)
        async with collecting(fleet) as (collector, watch):
            for one in fleet.targets:
                collector.found(one)
            await watch.until(lambda: len(watch.samples) == 80)
            collector._chunk(list(collector._watched.values()), 0, 0.0)
            last = fleet.targets[-1].container
            count = len(watch.samples[last.id])
            collector.lost(last)
            await asyncio.sleep(2 * INTERVAL)
            assert len(watch.samples[last.id]) == count

    asyncio.run(main())


# Descriptors


def test_descriptors_come_back_when_containers_go(tmp_path: Path) -> None:
    async def main() -> None:
        fleet = Fleet(tmp_path, 20)
        budget = small_budget(8)
        async with collecting(fleet, budget=budget) as (collector, watch):
            for _ in range(5):
                for one in fleet.targets[:3]:
                    collector.found(one)
                await watch.until(lambda: len(watch.live) == 3)
                for one in fleet.targets[:3]:
                    collector.lost(one.container)
            assert budget._left == 8

    asyncio.run(main())


@pytest.mark.parametrize("name", ["v1-cgroupfs", "v2-cgroupfs"])
@pytest.mark.parametrize("descriptors", [10_000, 1])
def test_2_500_runs_found_read_and_lost_leave_every_descriptor_as_it_was(name: str, descriptors: int) -> None:
    """Four times that is 10,000 of them; every fifth is lost before its turn came."""

    async def main() -> None:
        watch, budget = Watch(INTERVAL), small_budget(descriptors)
        before = descriptors_now()
        collector = CgroupCollector(watch, watch.telemetry, interval=INTERVAL, roots=Tree(name).roots, budget=budget)
        for number in range(2500):
            collector.found(target(started=number))
            if number % 5:
                await asyncio.sleep(0)
            collector.lost(target(started=number).container)
        assert (len(watch.samples[ID]), len(watch.cleared), watch.telemetry.errors) == (2000, 2500, {})
        await collector.stop()
        # What tests before this one left open may go meanwhile.
        assert (descriptors_now() - before, open_files(Tree(name).path), budget._left) == (set(), 0, descriptors)

    asyncio.run(main())


def test_who_is_beyond_the_limit_is_read_all_the_same_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        fleet = Fleet(tmp_path, 5)
        async with collecting(fleet, budget=small_budget(9)) as (collector, watch):
            for one in fleet.targets:
                collector.found(one)
            await watch.until(lambda: len(watch.samples) == 4)
            assert open_files(tmp_path) == 1 + 9
            await watch.until(lambda: "is reached" in caplog.text)  # not before it is tried again

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    said = [record.message for record in caplog.records if "RLIMIT_NOFILE" in record.message]
    assert "leaves no room" in said[0]
    assert "is reached" in said[1]


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
        assert Budget().limit == before[1]
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_round_is_one_sample_of_each_with_its_cpu_by_name(tmp_path: Path) -> None:
    async def main() -> None:
        fleet = Fleet(tmp_path, 3)
        async with collecting(fleet) as (collector, watch):
            assert await collector.round([*reversed(fleet.targets), target(id="e" * 64)], 0.05) == 3
            assert list(watch.samples) == [one.container.id for one in fleet.targets]
            assert {one.cpu_percent for samples in watch.samples.values() for one in samples} == {0}
            assert open_files(tmp_path) == 1  # proc/stat

    asyncio.run(main())


def test_who_ended_before_its_files_were_opened_is_looked_at_again_and_not_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        fleet = Fleet(tmp_path, 1)
        async with collecting(fleet) as (collector, _):
            gone = msgspec.structs.replace(fleet.targets[0], pid=4_000_000)
            looked_at: list[str] = []
            collector.missing = lambda container: looked_at.append(container.name)
            collector.found(gone)
            assert (looked_at, caplog.messages) == ([gone.container.name], [])
            collector.lost(gone.container)

    asyncio.run(main())
