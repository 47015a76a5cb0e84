"""Whatever an engine does, the right containers are sampled, the others are never late, and the log stays short."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Literal

import pytest
from support.standstill import pass_time, running_time
from support.watch import Watch, watching

from statspout.sources.engine.address import unix_address
from statspout.sources.engine.answers import Listed, Version
from statspout.sources.engine.client import EngineClient
from statspout.sources.engine.source import EngineSource
from statspout.sources.filters import Filters
from statspout.testing import FakeEngine
from statspout.testing.engine import PathFaultKind

LATE = 2.2
"""Intervals between two samples: one, and one late, and a little for a busy machine."""


def test_every_container_is_sampled_once_an_interval_and_its_cpu_is_right(engine: FakeEngine) -> None:
    async def main() -> None:
        async with watching(engine) as watch:
            await pass_time(2.6)
            assert watch.names == {"web", "db", "cache"}
            assert watch.longest_gap() < LATE
            assert all(5 <= len(samples) <= 7 for samples in watch.samples.values())
            first, *rest = watch.of("web")
            assert first.cpu_percent is None
            assert [one.cpu_percent for one in rest] == pytest.approx([50] * len(rest), abs=1)

    asyncio.run(main())


BAD = ["hang", "hang_body", "garbage", "wrong_types", "error", "conflict", "gone", "cut", "empty"]


@pytest.mark.parametrize("daemons", [None, 4])
def test_bad_containers_of_every_kind_cost_nobody_else_a_sample(engine: FakeEngine, daemons: int | None) -> None:
    async def main() -> None:
        bad = [f"bad-{kind}" for kind in BAD]
        for name in bad:
            engine.add(name)
        async with watching(engine, daemons=daemons) as watch:
            await watch.until(lambda: len(watch.names) == 12)
            for kind in BAD:
                engine.fault(f"bad-{kind}", kind)  # type: ignore[arg-type]  # the kinds above
            await asyncio.sleep(0.2)
            began, before = running_time(), {name: len(watch.of(name)) for name in bad}
            await pass_time(3)
            assert watch.longest_gap(began, leave_out=bad) < LATE
            assert all(len(watch.of(name)) - before[name] <= 1 for name in bad)
            for name in bad:
                engine.heal(name)
            counts = {name: len(watch.of(name)) for name in bad}
            await watch.until(lambda: all(len(watch.of(name)) > counts[name] for name in bad))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [("no_memory", "mem_usage", None), ("no_cpu", "cpu_percent", None), ("huge", "pids", 3)],
)
def test_what_the_engine_does_not_say_is_absent_and_the_rest_is_there(
    engine: FakeEngine, kind: str, field: str, value: object
) -> None:
    async def main() -> None:
        engine.fault("web", kind)  # type: ignore[arg-type]  # the kinds above
        async with watching(engine) as watch:
            await watch.until(lambda: len(watch.of("web")) >= 2)
            assert getattr(watch.last("web"), field) == value
            assert watch.last("web").rx_bytes is not None
            assert watch.last("db").mem_usage is not None

    asyncio.run(main())


def test_a_counter_that_goes_back_gives_no_percentage_and_no_error(engine: FakeEngine) -> None:
    async def main() -> None:
        async with watching(engine) as watch:
            await watch.until(lambda: len(watch.of("web")) >= 2)
            engine.fault("web", "rollback", times=1)
            count = len(watch.of("web"))
            await watch.until(lambda: len(watch.of("web")) >= count + 4)
            percents = [one.cpu_percent for one in watch.of("web")]
            assert percents.count(None) == 2
            assert percents[-1] == pytest.approx(50, abs=2)
            # An inspect has shown that it was no restart: only that one sample is of an unknown run.
            starts = [one.container.started_at for one in watch.of("web")]
            assert starts.count(None) == 1
            assert starts[-1] is not None

    asyncio.run(main())


def test_a_route_that_fails_for_ever_costs_what_it_gives_and_no_more() -> None:
    async def check(route: str, kind: str) -> None:
        with FakeEngine() as engine:
            engine.add("web")
            engine.fault_path(route, kind)  # type: ignore[arg-type]  # the names below
            async with watching(engine, relist=0.5) as watch:
                await watch.until(lambda: watch.names == {"web"})
                engine.add("late")
                await watch.until(lambda: "late" in watch.names)

    async def main() -> None:
        routes = ("/version", "/info", "inspect", "/events")
        await asyncio.gather(*(check(r, k) for r in routes for k in ("error", "forbidden", "garbage", "cut")))

    asyncio.run(main())


def test_events_that_end_at_once_for_ever_are_asked_for_ever_more_rarely(engine: FakeEngine) -> None:
    async def main() -> None:
        engine.fault_path("/events", "eof")
        async with watching(engine) as watch:
            await watch.until(lambda: watch.names == {"web", "db", "cache"})
            await pass_time(2.5)
            assert len(engine.requests_of("events")) <= 6
            assert watch.longest_gap() < LATE

    asyncio.run(main())


def test_events_that_hang_do_not_hold_up_the_first_list(engine: FakeEngine) -> None:
    async def main() -> None:
        engine.fault_path("/events", "hang")
        async with watching(engine) as watch:
            await watch.until(lambda: watch.names == {"web", "db", "cache"}, 4)

    asyncio.run(main())


def test_what_starts_and_dies_while_events_are_lost_is_found_by_the_list(engine: FakeEngine) -> None:
    async def main() -> None:
        async with watching(engine, relist=0.5) as watch:
            await watch.until(lambda: watch.names == {"web", "db", "cache"})
            engine.drop_events = True
            engine.die("web")
            engine.add("new")
            engine.rename("db", "database")
            engine.pause("cache")
            await watch.until(lambda: watch.names == {"database", "cache", "new"})
            await watch.until(lambda: watch.last("cache").state == "paused")

    asyncio.run(main())


def test_a_restart_that_no_event_told_of_begins_a_new_run(engine: FakeEngine) -> None:
    async def main() -> None:
        async with watching(engine, relist=0.5) as watch:
            await watch.until(lambda: len(watch.of("web")) >= 2)
            before = watch.last("web").container.started_at
            engine.drop_events = True
            engine.restart_container("web")
            await watch.until(lambda: watch.last("web").container.started_at not in (before, None))
            assert watch.last("web").restarts == 1
            assert before in [container.started_at for container in watch.cleared]

    asyncio.run(main())


def test_events_are_followed_at_once(engine: FakeEngine) -> None:
    async def main() -> None:
        async with watching(engine, interval=0.3) as watch:
            await watch.until(lambda: watch.names == {"web", "db", "cache"})
            engine.add("new")
            await watch.until(lambda: "new" in watch.names, 0.3)
            engine.rename("new", "newer")
            await watch.until(lambda: "newer" in watch.names, 1)
            engine.pause("web")
            await watch.until(lambda: watch.last("web").state == "paused", 1)
            engine.unpause("web")
            await watch.until(lambda: watch.last("web").state == "running", 1)
            engine.remove("db")
            await watch.until(lambda: "db" not in watch.names, 0.3)
            engine.restart_container("cache")
            await watch.until(lambda: watch.last("cache").restarts == 1, 1)
            assert len({one.container.id for one in watch.of("newer") + watch.of("new")}) == 1

    asyncio.run(main())


def test_an_event_from_before_a_containers_start_is_about_an_earlier_run(engine: FakeEngine) -> None:
    async def main() -> None:
        engine.fault_path("/containers/json", "hang", times=1)
        async with watching(engine, deadline=1.0) as watch:
            await asyncio.sleep(0.3)
            # These events come while the first list hangs.
            engine.restart_container("web")
            await watch.until(lambda: watch.names == {"web", "db", "cache"}, 15)
            await asyncio.sleep(1)
            assert "web" in watch.names

    asyncio.run(main())


def test_ignored_names_are_never_asked_for(engine: FakeEngine) -> None:
    async def main() -> None:
        async with watching(engine, filters=Filters(["web", "hidden"])) as watch:
            await watch.until(lambda: watch.names == {"db", "cache"})
            engine.rename("db", "hidden")
            await watch.until(lambda: watch.names == {"cache"})
            engine.rename("hidden", "db")
            await watch.until(lambda: watch.names == {"db", "cache"})
            web = engine.containers["web"].id
            assert not [request for request in engine.requests_of("stats") if web in request.path]

    asyncio.run(main())


def test_who_is_left_out_is_never_asked_for_and_counted(engine: FakeEngine) -> None:
    async def main() -> None:
        quiet = engine.add("quiet", labels={"statspout.enable": "false"}).id
        filters = Filters(include=["web*", "db", "quiet", "state=running"], exclude=["label=batch"])
        async with watching(engine, filters=filters, relist=0.2) as watch:
            await watch.until(lambda: watch.names == {"web", "db"})
            assert watch.telemetry.left_out == {"label": 1, "include": 1}
            engine.add("web2", labels={"batch": ""})
            engine.pause("db")
            await watch.until(lambda: watch.names == {"web"})
            await watch.until(lambda: watch.telemetry.left_out == {"label": 1, "include": 2, "exclude": 1})
            engine.unpause("db")
            engine.remove("web2")
            await watch.until(lambda: watch.names == {"web", "db"})
            await watch.until(lambda: watch.telemetry.left_out == {"label": 1, "include": 1})
            never = [quiet, engine.containers["cache"].id]
            asked = [request.path for request in engine.requests_of("stats")]
            assert asked
            assert not [path for path in asked if any(container in path for container in never)]

    asyncio.run(main())


def test_podman_is_told_of_when_it_refuses_a_second_time_in_a_row(
    engine: FakeEngine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may refuse once because the container is on its way out."""
    docker = EngineClient._version

    async def podman(client: EngineClient) -> tuple[Version, bool]:
        return (await docker(client))[0], True

    monkeypatch.setattr(EngineClient, "_version", podman)

    async def main() -> None:
        async with watching(engine) as watch:
            await watch.until(lambda: len(watch.names) == 3)
            looks = len(engine.requests_of("inspect"))
            engine.fault("web", "error")
            await watch.until(lambda: watch.telemetry.errors["refused"] == 1)
            assert "container web" not in caplog.text
            await watch.until(lambda: len(engine.requests_of("inspect")) > looks)
            await watch.until(lambda: "container web: 500" in caplog.text)
            assert watch.telemetry.errors["refused"] == 2

    asyncio.run(main())


def test_an_idle_hour_is_a_few_lines_in_the_log(engine: FakeEngine, caplog: pytest.LogCaptureFixture) -> None:
    """An hour has 120 lists, and a proxy cuts the event stream six times; nothing else happens."""

    async def main() -> None:
        async with watching(engine, relist=0.04) as watch:
            await watch.until(lambda: len(watch.names) == 3)
            for _ in range(6):
                lists = len(engine.requests_of("list"))
                await watch.until(lambda lists=lists: len(engine.requests_of("list")) >= lists + 20)  # type: ignore[misc]  # bound now
                engine.cut_events()

    asyncio.run(main())
    assert len(caplog.records) <= 5, caplog.text


def test_the_daemon_starts_before_its_engine_and_outlives_it(engine: FakeEngine) -> None:
    async def main() -> None:
        engine.down()
        async with watching(engine) as watch:
            await asyncio.sleep(1)
            engine.up()
            await watch.until(lambda: watch.names == {"web", "db", "cache"}, 8)
            engine.down()
            await asyncio.sleep(0.5)
            for name in ("web", "db"):
                engine.remove(name)
            engine.restart()
            engine.add("other")
            await watch.until(lambda: watch.names == {"cache", "other"}, 8)
            assert len({one.container.id for one in watch.of("cache")}) == 2

    asyncio.run(main())


def test_a_storm_of_other_events_is_not_even_sent(engine: FakeEngine) -> None:
    async def main() -> None:
        async with watching(engine) as watch:
            await watch.until(lambda: watch.names == {"web", "db", "cache"})
            began = running_time()
            engine.exec_storm(5000)
            await pass_time(1.5)
            assert watch.longest_gap(began) < LATE
            assert not engine.requests_of("inspect")[3:]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("mode", "parent", "shared"),
    [("none", None, None), ("host", None, None), ("container:web", "web", "web"), ("bridge", "own", None)],
)
def test_network_modes(engine: FakeEngine, mode: str, parent: str | None, shared: str | None) -> None:
    async def main() -> None:
        engine.add("one", network_mode=mode, rx_rate=5e9)
        async with watching(engine) as watch:
            await watch.until(lambda: bool(watch.of("one")))
            one = watch.last("one")
            assert one.network_shared_with == shared
            assert (one.rx_bytes is None) == (parent is None)
            assert any(point.name == "rx_bytes" for point in one.points()) == (parent == "own")

    asyncio.run(main())


def test_engines_old_and_new_on_both_cgroup_versions() -> None:
    async def check(version: str, api: str, cgroup: Literal[1, 2]) -> None:
        with FakeEngine(version=version, api_version=api, cgroup=cgroup) as engine:
            engine.add("web", cpu=0.5, memory=50 * 2**20, cache=7 * 2**20)
            async with watching(engine, interval=1.0) as watch:
                await watch.until(lambda: len(watch.of("web")) >= 2)
                got = watch.last("web")
                assert got.cpu_percent == pytest.approx(50, abs=2)
                assert got.mem_usage == pytest.approx(50 * 2**20, rel=0.01)
                assert got.host == "fake-engine"

    async def main() -> None:
        engines = [("28.2.2", "1.50"), ("29.1.0", "1.99"), ("20.10.24", "1.41"), ("19.3.1", "1.40")]
        cgroups: tuple[Literal[1, 2], ...] = (1, 2)
        await asyncio.gather(*(check(*engine, cgroup) for engine in engines for cgroup in cgroups))

    asyncio.run(main())


def test_a_fixed_number_of_daemons_is_never_exceeded() -> None:
    async def main() -> None:
        with FakeEngine(latency=0.05) as engine:
            for i in range(20):
                engine.add(f"c{i}")
            async with watching(engine, interval=1.0, daemons=3) as watch:
                await watch.until(lambda: len(watch.names) == 20)
                assert engine.max_stats_in_flight <= 3

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["hang", "error", "garbage", "cut"])
def test_an_engine_that_does_not_list_is_not_up(engine: FakeEngine, kind: PathFaultKind) -> None:
    async def main() -> None:
        async with watching(engine, relist=0.2, deadline=0.3) as watch:
            await watch.until(lambda: watch.telemetry.engine_up)
            engine.fault_path("/containers/json", kind)
            await watch.until(lambda: not watch.telemetry.engine_up)
            engine.heal_path("/containers/json")
            await watch.until(lambda: watch.telemetry.engine_up)
            assert watch.names == {"web", "db", "cache"}

    asyncio.run(main())


def test_an_engine_whose_clock_is_set_back_goes_on_being_sampled() -> None:
    async def main() -> None:
        offset = 0
        with FakeEngine(clock=lambda: time.time_ns() - offset) as engine:
            engine.add("web")
            async with watching(engine, interval=0.3) as watch:
                await watch.until(lambda: len(watch.of("web")) >= 2)
                offset = 3600 * 10**9
                count = len(watch.of("web"))
                await watch.until(lambda: len(watch.of("web")) >= count + 3, 3)

    asyncio.run(main())


def test_an_engine_slower_than_the_deadline_is_given_more_time() -> None:
    async def main() -> None:
        with FakeEngine(latency=2.3) as engine:
            engine.add("web")
            async with watching(engine, interval=0.5) as watch:
                await watch.until(lambda: len(watch.of("web")) >= 2)

    asyncio.run(main())


def test_without_inspect_the_list_still_tells_names_and_states(engine: FakeEngine) -> None:
    async def main() -> None:
        async with watching(engine, relist=0.3) as watch:
            await watch.until(lambda: watch.names == {"web", "db", "cache"})
            engine.fault_path("inspect", "forbidden")
            engine.rename("web", "front", emit=False)
            engine.pause("db", emit=False)
            await watch.until(lambda: watch.names == {"front", "db", "cache"})
            await watch.until(lambda: watch.last("db").state == "paused")

    asyncio.run(main())


def test_a_list_that_cannot_be_read_takes_no_name_away(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreadable(client: EngineClient) -> list[Listed]:
        lists.append(1)
        return [Listed(id=container.id) for container in engine.containers.values()]

    async def main() -> None:
        async with watching(engine, relist=0.2) as watch:
            await watch.until(lambda: watch.names == {"web", "db", "cache"})
            engine.fault_path("inspect", "error")
            monkeypatch.setattr(EngineClient, "list_running", unreadable)
            await watch.until(lambda: len(lists) >= 3)
            count = len(watch.of("web"))
            await watch.until(lambda: len(watch.of("web")) > count)
            assert (watch.names, watch.last("web").state) == ({"web", "db", "cache"}, "running")

    lists: list[int] = []
    asyncio.run(main())


@pytest.mark.parametrize("seed", range(4))
def test_after_any_mix_of_trouble_the_live_set_is_the_engines(seed: int) -> None:
    choose = random.Random(seed)

    def trouble(engine: FakeEngine, number: int) -> None:
        names = sorted(engine.containers)
        engine.drop_events = choose.random() < 0.3
        actions: list[Callable[[], object]] = [
            lambda: engine.add(f"new{number}"),
            lambda: engine.remove(choose.choice(names)),
            lambda: engine.restart_container(choose.choice(names)),
            lambda: engine.rename(choose.choice(names), f"renamed{number}"),
            lambda: engine.cut_events(),
            lambda: engine.restart(keep=True),
            lambda: engine.fault_path("inspect", choose.choice(["error", "cut", "garbage"]), times=2),
        ]
        choose.choices(actions, weights=[6, 4, 4, 3, 1, 1, 1])[0]()

    async def main() -> None:
        with FakeEngine() as engine:
            for i in range(8):
                engine.add(f"c{i}")
            async with watching(engine, interval=0.3, relist=0.5) as watch:
                for number in range(40):
                    if engine.containers:
                        trouble(engine, number)
                    await asyncio.sleep(choose.random() * 0.04)
                engine.drop_events = False
                truth = {(one.id, one.name, one.started_ns) for one in engine.containers.values() if one.running}
                await watch.until(lambda: {(c.id, c.name, c.started_at) for c in watch.live.values()} == truth)

    asyncio.run(main())


def test_who_ended_while_the_source_was_not_run_is_gone_and_who_stayed_is_not(engine: FakeEngine) -> None:
    async def main() -> None:
        watch, client = Watch(0.5), EngineClient(unix_address(engine.socket_path, "socket.path"))
        source = EngineSource(client, watch.telemetry, interval=0.5)
        for expected in ({"web", "db", "cache"}, {"web", "db"}):
            running = asyncio.create_task(source.run(watch))
            await watch.until(lambda expected=expected: watch.names == expected)  # type: ignore[misc]
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            if "cache" in expected:
                engine.remove("cache")
        assert [container.name for container in watch.cleared] == ["cache"]
        assert sorted(target.container.name for target in source.roster.targets.values()) == ["db", "web"]

    asyncio.run(main())
