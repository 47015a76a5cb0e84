"""A real Podman service: recognised by its answers, and its numbers are right or absent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.daemon import Daemon, run_program
from support.engine import Engine
from support.images import BUSYBOX, ensure_busybox
from support.kernel import cgroup, cpu_seconds, network_bytes, seconds_of
from support.podman import Podman

pytestmark = pytest.mark.alone

SERVING = ("--repository=rest,stdout", "--stdout.format=json", "--rest.address=127.0.0.1:0", "--interval=1")
BURN = ["sh", "-c", "while :; do :; done"]
TALK = ["sh", "-c", "while :; do head -c 200k /dev/zero | nc -w 1 $PEER 80; sleep 0.2; done"]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Podman() as podman:
        engine = Engine(podman.socket)
        ensure_busybox(engine.client)
        yield engine
        engine.close()


@pytest.fixture(scope="module")
def daemon(engine: Engine) -> Iterator[Daemon]:
    with Daemon(f"--docker.host={engine.url}", *SERVING) as daemon:
        daemon.wait_for_line("0 containers to sample")
        yield daemon


@pytest.fixture
def run(engine: Engine, daemon: Daemon) -> Iterator[Any]:
    """Starts containers that go with the test."""
    yield engine.run
    for container in engine.client.containers.list():
        container.kill()
    daemon.eventually(lambda: not daemon.stats())
    engine.remove_started()


def pid_of(container: Any) -> int:
    container.reload()
    return int(container.attrs["State"]["Pid"])


def test_it_is_recognised(engine: Engine) -> None:
    done = run_program("check", f"--docker.host={engine.url}")
    assert done.code == 0
    assert f"engine        {engine.url} (docker.host): Podman 4." in done.out


def test_cpu_is_measured_against_wall_clock_and_is_null_at_first(run: Any, daemon: Daemon) -> None:
    container = run("burner", BURN, network_mode="none", nano_cpus=300_000_000)
    pid = pid_of(container)
    began, before = time.monotonic(), cpu_seconds(pid)
    daemon.eventually(lambda: len(daemon.samples("burner")) >= 8)
    kernel = (cpu_seconds(pid) - before) / (time.monotonic() - began) * 100
    first, *rest = daemon.samples("burner")
    assert first["cpu_percent"] is None
    percent = [sample["cpu_percent"] for sample in rest]
    assert sum(percent) / len(percent) == pytest.approx(kernel, abs=4)
    assert kernel > 10, "it was to burn"
    last = rest[-1]
    passed = seconds_of(last) - seconds_of(first)
    used = last["cpu_seconds_total"] - first["cpu_seconds_total"]
    assert used / passed * 100 == pytest.approx(kernel, abs=4)
    assert last["online_cpus"] >= 1
    assert last["throttled_periods_total"] is None


def test_memory_and_processes_are_the_kernels(run: Any, daemon: Daemon) -> None:
    keep = ["sh", "-c", "sleep 1000 & head -c 30m /dev/zero >/m/x; sleep 1000"]
    pid = pid_of(run("keeper", keep, tmpfs={"/m": ""}, mem_limit="128m", network_mode="none"))
    pids = cgroup(pid, "pids")[0] / "pids.current"
    # Two sleep on; what writes has ended.
    daemon.eventually(lambda: (shown := daemon.stats().get("keeper")) and shown["pids"] == int(pids.read_text()) == 2)
    shown = daemon.stats()["keeper"]
    assert shown["mem_usage"] > 30 * 2**20
    folder, version = cgroup(pid, "memory")
    usage = int((folder / ("memory.usage_in_bytes" if version == 1 else "memory.current")).read_text())
    assert shown["mem_usage_raw"] == pytest.approx(usage, rel=0.05)
    assert shown["mem_limit"] == 128 * 2**20


def test_network_bytes_are_the_containers_own_and_what_podman_does_not_count_is_null(run: Any, daemon: Daemon) -> None:
    server = run("server", ["sh", "-c", "while :; do nc -l -p 80 >/dev/null; done"])
    server.reload()
    peer = server.attrs["NetworkSettings"]["Networks"]["podman"]["IPAddress"]
    talker = run("talker", TALK, environment={"PEER": peer})
    daemon.eventually(lambda: daemon.stats().get("talker", {}).get("tx_bytes", 0) > 100_000)
    pid, count = pid_of(talker), len(daemon.samples("talker"))
    before = network_bytes(pid)["eth0"]
    # The first new one may have been under way.
    daemon.eventually(lambda: len(daemon.samples("talker")) >= count + 2)
    shown = daemon.samples("talker")[-1]
    after = network_bytes(pid)["eth0"]
    for least, read, most in zip(before, (shown["rx_bytes"], shown["tx_bytes"]), after, strict=True):
        assert least <= read <= most
    assert after[0] < before[1], "it was to send more than it received"
    assert shown["rx_packets"] is shown["tx_errors"] is None


@pytest.mark.parametrize("mode", ["host", "none"])
def test_without_a_network_of_its_own_it_has_no_network_figures(mode: str, run: Any, daemon: Daemon) -> None:
    run("hermit", network_mode=mode)
    shown = daemon.eventually(lambda: daemon.stats().get("hermit"))
    assert shown["rx_bytes"] is shown["tx_bytes"] is shown["networks"] is None


def test_what_happens_is_seen_at_once(run: Any, engine: Engine, daemon: Daemon) -> None:
    container = run("subject", network_mode="none", labels={"team.name": "core"})
    shown = daemon.eventually(lambda: daemon.stats().get("subject"), 2)
    assert (shown["Labels"], shown["state"]) == ({"team.name": "core"}, "running")
    assert shown["image"].endswith(BUSYBOX)
    container.rename("renamed")
    daemon.eventually(lambda: sorted(daemon.stats()) == ["renamed"])
    container.kill()
    daemon.eventually(lambda: not daemon.stats(), 2)
    container.start()
    again = daemon.eventually(lambda: daemon.stats().get("renamed"), 2)
    assert again["started_at"] > shown["started_at"]
    engine.remove("renamed")
    daemon.eventually(lambda: not daemon.stats(), 2)


def test_nothing_of_it_was_trouble(daemon: Daemon) -> None:
    assert [line for line in daemon.log.splitlines() if " WARNING " in line or " ERROR " in line] == []
