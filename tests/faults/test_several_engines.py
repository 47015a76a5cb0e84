"""Several engines at once: each is found, asked and lost by itself."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from support.daemon import Daemon, run_program
from support.standstill import stood_still

from statspout.testing import FakeEngine

ZERO = "127.0.0.1:0"


@pytest.fixture
def engines() -> Iterator[tuple[FakeEngine, FakeEngine]]:
    """Two engines; both have a container called web, and both call themselves alike."""
    with FakeEngine() as near, FakeEngine() as far:
        for engine in (near, far):
            engine.add("web", cpu=0.5)
        near.add("near-db")
        far.add("far-db")
        yield near, far


def flags(near: FakeEngine, far: FakeEngine) -> list[str]:
    return [f"--engine=near=unix://{near.socket_path}", f"--engine=far=unix://{far.socket_path}"]


def watching(near: FakeEngine, far: FakeEngine, *more: str) -> Daemon:
    return Daemon(
        *flags(near, far), "--repository=rest,prometheus", "--interval=1", f"--rest.address={ZERO}",
        f"--health.address={ZERO}", f"--prometheus.address={ZERO}", *more,
    )  # fmt: skip


def seen(daemon: Daemon) -> set[tuple[str, str]]:
    """(host, name) of all that REST shows."""
    return {(each["host"], each["name"]) for each in daemon.get("/stats").json()}


ALL = {("near", "web"), ("far", "web"), ("near", "near-db"), ("far", "far-db")}


def ready(daemon: Daemon) -> dict[str, Any]:
    answer: dict[str, Any] = daemon.get("/readyz", "health.address").json()
    return answer


def test_every_sample_has_the_name_of_its_engine_as_host(engines: tuple[FakeEngine, FakeEngine]) -> None:
    with watching(*engines) as daemon:
        daemon.eventually(lambda: seen(daemon) == ALL)
        page = daemon.get("/metrics", "prometheus.address").body.decode()
        webs = [
            line
            for line in page.splitlines()
            if line.startswith("statspout_container_memory_usage_bytes{") and '="web"' in line
        ]
        assert sorted('host="near"' in line for line in webs) == [False, True]
        assert 'statspout_containers{engine="far"} 2' in daemon.get("/metrics", "health.address").body.decode()


def test_an_engine_that_hangs_or_dies_costs_the_other_nothing(engines: tuple[FakeEngine, FakeEngine]) -> None:
    (near, far), before = engines, stood_still()
    with watching(near, far) as daemon:
        daemon.eventually(lambda: seen(daemon) == ALL)
        far.down()
        daemon.eventually(lambda: seen(daemon) == {one for one in ALL if one[0] == "near"})
        state = daemon.eventually(lambda: (now := ready(daemon))["engines"]["far"]["reason"] and now["ready"] and now)
        assert (state["ready"], state["reason"], state["engine_up"]) == (True, None, False)
        assert state["engines"]["near"]["ready"] is True
        daemon.wait_for_line("engine far is not there")
        page = daemon.get("/metrics", "health.address").body.decode()
        skipped = int(page.partition('statspout_ticks_skipped_total{engine="near"} ')[2].split()[0])
        assert skipped <= 2 * (stood_still() - before), (
            "both of its containers, and only while this process cannot answer"
        )
        near.down()
        daemon.eventually(
            lambda: ready(daemon)["reason"] == "near: the engine does not answer; far: the engine does not answer"
        )
        far.up()
        daemon.eventually(lambda: seen(daemon) == {one for one in ALL if one[0] == "far"})
        daemon.wait_for_line("engine far is there")


def reported(daemon: Daemon, *names: str) -> dict[str, Any]:
    """What REST has of applications, once it has all of these."""
    found = {each["metric"]: each for each in daemon.get("/app-stats").json()}
    return found if found.keys() >= set(names) else {}


def test_what_no_container_sent_has_a_host_of_its_own(engines: tuple[FakeEngine, FakeEngine]) -> None:
    with watching(*engines, f"--listen.statsd=udp://{ZERO}", "--host.name=here") as daemon:
        daemon.eventually(lambda: seen(daemon) == ALL)
        port = int(daemon.wait_for_line("listen.statsd: udp://").rpartition(",")[0].rpartition(":")[2])
        far = next(each for each in daemon.get("/stats").json() if each["name"] == "far-db")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(f"own:1|c\nits:1|c|c:{far['id']}".encode(), ("127.0.0.1", port))
        shown = daemon.eventually(lambda: reported(daemon, "own", "its"))
        assert (shown["own"]["host"], shown["its"]["host"], shown["its"]["container"]) == ("here", "far", "far-db")


def test_check_and_once_tell_of_each_and_one_that_is_away_is_an_error(engines: tuple[FakeEngine, FakeEngine]) -> None:
    near, far = engines
    both = run_program("check", *flags(near, far))
    assert (both.code, both.out.count("2 running containers")) == (0, 2)
    once = run_program("--once", "--stdout.format=json", *flags(near, far))
    assert (once.code, once.out.count("\n")) == (0, 4)
    far.down()
    one = run_program("check", *flags(near, far))
    assert one.code == 1
    assert "(near): version" in one.out
    assert "(far): " in one.out
    once = run_program("--once", "--stdout.format=json", *flags(near, far))
    assert (once.code, once.out.count("\n")) == (1, 2)
    assert "the engine is not there" in once.err
