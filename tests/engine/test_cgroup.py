"""The kernel's files of real containers: the same figures as the engine's, and nothing of a container that is gone."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Daemon, run_program
from support.engine import OwnEngine, starting
from support.kernel import cpu_seconds, open_files

pytestmark = pytest.mark.alone

SERVING = ("--repository=rest,stdout", "--stdout.format=json", "--rest.address=127.0.0.1:0")
BURN = ["sh", "-c", "while :; do :; done"]


@pytest.fixture(scope="module")
def engine() -> Iterator[OwnEngine]:
    """One engine, which notes every request in its log."""
    with starting(args=("--debug",)) as engine:
        yield engine


@pytest.fixture
def run(engine: OwnEngine) -> Iterator[Callable[..., Any]]:
    yield engine.run
    engine.remove_started()


@pytest.fixture(scope="module")
def daemon(engine: OwnEngine) -> Iterator[Daemon]:
    """Reads the kernel only."""
    with watching(engine, "--collector=cgroup") as daemon:
        daemon.wait_for_line(": 0 containers to sample")
        yield daemon


def watching(engine: OwnEngine, *arguments: str, interval: float = 1) -> Daemon:
    return Daemon(f"--socket.path={engine.socket}", *SERVING, f"--interval={interval}", *arguments)


def pid_of(container: Any) -> int:
    container.reload()
    return int(container.attrs["State"]["Pid"])


def shows(daemon: Daemon, *names: str) -> Callable[[], bool]:
    return lambda: sorted(daemon.stats()) == sorted(names)


# A container's life


@pytest.mark.parametrize("how", ["kill", "stop", "remove"])
def test_who_ends_is_gone_at_once_and_so_are_its_descriptors(how: str, run: Callable[..., Any], daemon: Daemon) -> None:
    daemon.eventually(shows(daemon))
    before = all_files(daemon)
    container = run("subject")
    daemon.eventually(shows(daemon, "subject"))
    assert all_files(daemon) > before
    getattr(container, how)(**{"force": True} if how == "remove" else {})
    daemon.eventually(shows(daemon), 1.0)
    assert all_files(daemon) == before


def all_files(daemon: Daemon) -> int:
    """Its descriptors of the kernel's files."""
    return open_files(Path("/sys/fs/cgroup"), daemon.pid) + open_files(Path("/proc"), daemon.pid)


def test_who_is_restarted_is_a_new_run_with_new_files(run: Callable[..., Any], daemon: Daemon) -> None:
    container = run("subject", BURN, nano_cpus=200_000_000)
    daemon.eventually(lambda: len(daemon.samples("subject")) >= 3)
    # What stdout has, the other repository may have a moment later.
    first = daemon.eventually(lambda: daemon.stats().get("subject"))
    files = all_files(daemon)
    container.restart()
    again = daemon.eventually(lambda: one if (one := newer(daemon, first)) else None)
    samples = daemon.eventually(lambda: of_run(daemon, again)[1:] and of_run(daemon, again))
    assert samples[0]["cpu_percent"] is None
    assert samples[1]["cpu_percent"] == pytest.approx(20, abs=8)
    assert samples[1]["cpu_seconds_total"] < first["cpu_seconds_total"] + 2
    assert all_files(daemon) == files
    pid = pid_of(container)
    assert newest(daemon)["cpu_seconds_total"] == pytest.approx(cpu_seconds(pid), abs=0.8)


def newest(daemon: Daemon) -> dict[str, Any]:
    return daemon.samples("subject")[-1]


def newer(daemon: Daemon, first: dict[str, Any]) -> dict[str, Any] | None:
    shown: dict[str, Any] = daemon.stats().get("subject", first)
    return shown if shown["started_at"] > first["started_at"] else None


def of_run(daemon: Daemon, run: dict[str, Any]) -> list[dict[str, Any]]:
    """The samples of one run of one container."""
    return [s for s in daemon.samples(run["name"]) if (s["id"], s["started_at"]) == (run["id"], run["started_at"])]


def test_who_is_killed_by_its_limit_and_restarted_by_its_policy_goes_on(
    run: Callable[..., Any], daemon: Daemon
) -> None:
    run("subject", ["sh", "-c", "sleep 1.5"], restart_policy={"Name": "always"})
    daemon.eventually(lambda: len({s["started_at"] for s in daemon.samples("subject")}) >= 5, 30)
    runs = {s["started_at"] for s in daemon.samples("subject")}
    firsts = [next(s for s in daemon.samples("subject") if s["started_at"] == one) for one in runs]
    assert {first["cpu_percent"] for first in firsts} == {None}


def test_a_changed_limit_is_seen(run: Callable[..., Any], daemon: Daemon) -> None:
    container = run("subject", mem_limit="64m", pids_limit=40)
    daemon.eventually(lambda: daemon.stats().get("subject", {}).get("mem_limit") == 64 * 2**20)
    container.update(mem_limit="48m", memswap_limit="96m")
    daemon.eventually(lambda: daemon.stats()["subject"]["mem_limit"] == 48 * 2**20, 3)


def test_a_paused_container_is_read_on(run: Callable[..., Any], daemon: Daemon) -> None:
    container = run("subject", BURN)
    daemon.eventually(lambda: len(daemon.samples("subject")) >= 2)
    container.pause()
    daemon.eventually(lambda: [s for s in daemon.samples("subject") if s["state"] == "paused"][2:])
    assert newest(daemon)["cpu_percent"] == pytest.approx(0, abs=1)
    container.unpause()


def test_fifty_that_come_and_go_leave_no_descriptor_behind(engine: OwnEngine, daemon: Daemon) -> None:
    daemon.eventually(shows(daemon))
    before = all_files(daemon), descriptors(daemon)
    with ThreadPoolExecutor(4) as pool:
        names = [f"brief-{number}" for number in range(50)]
        list(pool.map(lambda name: engine.run(name, mem_limit="32m"), names))
        daemon.eventually(shows(daemon, *names))
        assert all_files(daemon) >= before[0] + 50 * 5
        engine.remove_started()
    daemon.eventually(shows(daemon))
    assert all_files(daemon) == before[0]
    assert descriptors(daemon) <= before[1] + 34, "connections to the engine aside"


def descriptors(daemon: Daemon) -> int:
    return len(list(Path(f"/proc/{daemon.pid}/fd").iterdir()))


def test_who_ends_while_the_engine_is_dead_is_gone_and_who_lives_is_read_on() -> None:
    with starting(args=("--live-restore",)) as engine:
        mortal, _ = engine.run("mortal"), engine.run("survivor", BURN)
        pid = pid_of(mortal)
        with watching(engine) as daemon:
            daemon.eventually(shows(daemon, "mortal", "survivor"))
            before = all_files(daemon)
            engine.dockerd.kill()
            count = len(daemon.samples("survivor"))
            daemon.eventually(lambda: len(daemon.samples("survivor")) >= count + 3)
            os.kill(pid, signal.SIGKILL)
            daemon.eventually(shows(daemon, "survivor"))
            assert all_files(daemon) < before
            engine.dockerd.start()
            daemon.eventually(shows(daemon, "survivor"))
            assert "Traceback" not in daemon.log


# Nobody else is asked


def test_the_engine_is_never_asked_for_figures(run: Callable[..., Any], engine: OwnEngine, daemon: Daemon) -> None:
    subject = run("subject")
    offset = len(engine.dockerd.log.read_text())
    daemon.eventually(lambda: len(daemon.samples("subject")) >= 4)
    asked = re.findall(r"/containers/(\w+)/(\w+)", engine.dockerd.log.read_text()[offset:])
    assert "stats" not in {what for _, what in asked}
    assert (subject.id, "json") in re.findall(r"/containers/(\w+)/(\w+)", engine.dockerd.log.read_text())


def test_auto_reads_the_kernel_here_and_says_so(run: Callable[..., Any], engine: OwnEngine) -> None:
    subject = run("subject")
    with watching(engine) as daemon:
        daemon.eventually(lambda: len(daemon.samples("subject")) >= 3)
        assert "containers are read from the kernel's files: cgroup v" in daemon.log
        assert [line for line in daemon.log.splitlines() if " INFO " not in line] == []
    assert f"/containers/{subject.id}/stats" not in engine.dockerd.log.read_text()


def test_who_cannot_be_read_is_the_engines_and_that_is_said_once(
    run: Callable[..., Any], engine: OwnEngine, tmp_path: Path
) -> None:
    """As in a container without the host's process ids: another /proc, which has the host's figures only."""
    run("one")
    run("two")
    (tmp_path / "stat").write_text("cpu  1 1 1 1 1 1 1\ncpu0 1 1 1 1 1 1 1\nintr 0\n")
    with watching(engine, f"--proc.root={tmp_path}", interval=0.5) as daemon:
        daemon.eventually(lambda: all(len(daemon.samples(name)) >= 2 for name in ("one", "two")))
        assert daemon.log.count("through the engine: its process is not in") == 1
        assert daemon.log.count("the engine is asked every 1 s") == 1


def test_ten_samples_a_second_are_ten_right_ones(run: Callable[..., Any], engine: OwnEngine) -> None:
    pid = pid_of(run("burner", BURN, nano_cpus=500_000_000))
    with watching(engine, "--collector=cgroup", interval=0.1) as daemon:
        daemon.eventually(lambda: len(daemon.samples("burner")) >= 2)
        count, began, before = len(daemon.samples("burner")), time.monotonic(), cpu_seconds(pid)
        time.sleep(5)
        found, passed = daemon.samples("burner")[count:], time.monotonic() - began
        kernel = (cpu_seconds(pid) - before) / passed * 100
    assert 45 <= len(found) <= 52
    mean = sum(sample["cpu_percent"] for sample in found) / len(found)
    assert mean == pytest.approx(kernel, rel=0.05)
    assert max(sample["cpu_percent"] for sample in found) < 200 * 1.3


def test_once_is_one_line_of_each_container_with_its_cpu(run: Callable[..., Any], engine: OwnEngine) -> None:
    run("one", BURN, nano_cpus=300_000_000)
    run("two")
    done = run_program(f"--socket.path={engine.socket}", "--once", "--stdout.format=json", "--collector=cgroup")
    samples = {sample["name"]: sample for sample in map(json.loads, done.out.splitlines())}
    assert (done.code, list(samples)) == (0, ["one", "two"])
    assert samples["one"]["cpu_percent"] == pytest.approx(30, abs=6)
    assert samples["two"]["cpu_percent"] == pytest.approx(0, abs=1)


def test_nothing_of_it_was_trouble(daemon: Daemon) -> None:
    assert [line for line in daemon.log.splitlines() if " INFO " not in line] == []
