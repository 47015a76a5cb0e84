"""What happens to machines, done to a daemon that watches a real engine: right again within two intervals of its end.

Its figures come over REST and as lines, so that those that came late, or not at all, are seen; its books are on its
page about itself. Most of it is for the night: what CI has no time for is marked so.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support.books import nanoseconds
from support.daemon import Daemon
from support.engine import OwnEngine, starting
from support.receiver import Receiver
from support.servers import ROOT

pytestmark = pytest.mark.alone

NIGHTLY = os.environ.get("STATSPOUT_NIGHTLY") == "1"
INTERVAL = 1.0
WITHIN = 2 * INTERVAL + 0.5
"""Two intervals; the rest is what it takes to look."""
HALT = 60.0 if NIGHTLY else 4
BURN = ["sh", "-c", "while :; do sleep 0.01; done"]
ZERO = "127.0.0.1:0"


@pytest.fixture(scope="module")
def engine() -> Iterator[OwnEngine]:
    """An engine whose containers outlive it, with one that is always there."""
    with starting(args=("--live-restore",)) as engine:
        engine.run("steady", BURN)
        yield engine


@contextmanager
def watching(engine: OwnEngine, *arguments: str, **options: Any) -> Iterator[Daemon]:
    """A daemon that has steady's second sample. At its end it ends well, its books balance, and it had no accident."""
    repositories = next((one for one in arguments if one.startswith("--repository=")), "--repository=rest,stdout")
    with Daemon(
        f"--socket.path={engine.socket}", repositories, "--stdout.format=json", f"--rest.address={ZERO}",
        f"--health.address={ZERO}", f"--interval={INTERVAL:g}",
        *(one for one in arguments if one != repositories), **options,
    ) as daemon:  # fmt: skip
        daemon.eventually(lambda: fresh(daemon, 0))
        yield daemon
        balanced(daemon)
        assert daemon.terminate() == 0
        assert "Traceback" not in daemon.log
        assert len(daemon.log.splitlines()) < 40, daemon.log


def fresh(daemon: Daemon, since: int, name: str = "steady") -> dict[str, Any] | None:
    """What REST says of the container once it is of a moment after that (ns), with a CPU percentage."""
    shown = daemon.stats().get(name)
    known = shown is not None and shown["cpu_percent"] is not None and nanoseconds(shown["@timestamp"]) > since
    return shown if known else None


def right_again(daemon: Daemon, name: str = "steady", within: float = WITHIN) -> None:
    """A figure that begins after this moment is there in two intervals, and no wrong one is among all that were."""
    daemon.eventually(lambda: fresh(daemon, time.time_ns() - round(0.5e9), name), within)
    shown = daemon.stats()[name]
    assert 0 <= shown["cpu_percent"] <= 100 * (os.cpu_count() or 1) * 1.25


def balanced(daemon: Daemon) -> dict[str, float]:
    """Per repository, collected + restored = filtered + delivered + queued + dropped."""
    found: dict[str, float] = {}
    for line in daemon.get("/metrics", "health.address").body.decode().splitlines():
        if not line.startswith("#"):
            metric, _, value = line.rpartition(" ")
            found[metric] = float(value)
    names = {one.partition('"')[2].partition('"')[0] for one in found if one.startswith("statspout_collected_total")}
    for repository in names:
        of: Counter[str] = Counter()
        for key, amount in found.items():
            if f'repository="{repository}"' in key:
                of[key.removeprefix("statspout_").partition("{")[0]] += round(amount)
        outcome = of["filtered_total"] + of["delivered_total"] + of["queue_samples"] + of["dropped_total"]
        assert of["collected_total"] + of["restored_total"] == outcome
    return found


def read_at(daemon: Daemon, name: str = "steady") -> list[int]:
    return [nanoseconds(one["@timestamp"]) for one in daemon.samples(name)]


# The engine


@pytest.mark.parametrize("collector", [pytest.param("engine", marks=pytest.mark.nightly), "cgroup"])
def test_an_engine_that_is_killed_under_load_and_comes_back(engine: OwnEngine, collector: str) -> None:
    """Containers come and go, and somebody else asks it all the time, when it is killed with SIGKILL."""
    with watching(engine, f"--collector={collector}") as daemon, load(engine):
        engine.dockerd.kill()
        daemon.wait_for_line("the engine is not there")
        engine.dockerd.start()
        daemon.wait_for_line("the engine is there")
        right_again(daemon)


@contextmanager
def load(engine: OwnEngine) -> Iterator[None]:
    """Somebody who asks for the list without end, whatever becomes of it."""
    asking = (
        "import socket,sys\n"
        "while True:\n"
        " try:\n"
        "  s=socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect(sys.argv[1])\n"
        "  s.sendall(b'GET /containers/json?all=1 HTTP/1.0\\r\\n\\r\\n')\n"
        "  while s.recv(65536): pass\n"
        " except OSError: pass\n"
        " finally: s.close()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", asking, str(engine.socket)])
    try:
        yield
    finally:
        process.kill()
        process.wait()


# Containers


def test_a_container_that_runs_out_of_memory_is_gone_and_hurts_nobody(engine: OwnEngine) -> None:
    with watching(engine) as daemon:
        hungry = engine.run("hungry", ["sh", "-c", "sleep 2; tail /dev/zero"], mem_limit="16m", memswap_limit="16m")
        daemon.eventually(lambda: "hungry" in daemon.stats())
        assert hungry.wait(timeout=30)["StatusCode"] == 137
        hungry.reload()
        assert hungry.attrs["State"]["OOMKilled"]
        daemon.eventually(lambda: "hungry" not in daemon.stats(), WITHIN)
        assert all(one["mem_usage"] is None or one["mem_usage"] <= 16 * 2**20 for one in daemon.samples("hungry"))
        right_again(daemon)
    engine.remove("hungry")


@pytest.mark.nightly
def test_a_container_that_is_paused_and_goes_on_is_right_in_two_intervals(engine: OwnEngine) -> None:
    with watching(engine) as daemon:
        subject = engine.run("sleeper", BURN)
        daemon.eventually(lambda: fresh(daemon, 0, "sleeper"))
        subject.pause()
        daemon.eventually(lambda: daemon.stats()["sleeper"]["state"] == "paused", WITHIN)
        subject.unpause()
        daemon.eventually(lambda: daemon.stats()["sleeper"]["state"] == "running", WITHIN)
        right_again(daemon, "sleeper")
    engine.remove("sleeper")


@pytest.mark.nightly
def test_a_container_that_is_restarted_in_a_loop_never_has_figures_of_two_runs(engine: OwnEngine) -> None:
    with watching(engine) as daemon:
        subject = engine.run("loop", BURN)
        for _ in range(20 if NIGHTLY else 4):
            daemon.eventually(lambda: "loop" in daemon.stats())
            subject.restart(timeout=0)
        right_again(daemon, "loop", WITHIN + INTERVAL)  # A new run has no percentage before its second sample.
        runs = [one["started_at"] for one in daemon.samples("loop")]
        firsts = [one for at, one in enumerate(daemon.samples("loop")) if one["started_at"] not in runs[:at]]
        assert {one["cpu_percent"] for one in firsts} == {None}
        right_again(daemon)
    engine.remove("loop")


# The machine


@pytest.mark.nightly
def test_a_full_disk_under_the_spool_costs_no_sample(engine: OwnEngine, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(disk)], check=True)
    try:
        with Receiver() as receiver:
            port = receiver.port
        (disk / "filler").write_bytes(b"x" * (os.statvfs(disk).f_bavail * 4096))
        webhook = (f"--webhook.url=http://127.0.0.1:{port}/", "--webhook.timeout=1", f"--spool.dir={disk}")
        with watching(engine, "--repository=rest,stdout,webhook", *webhook) as daemon:
            daemon.wait_for_line("cannot be")
            (disk / "filler").unlink()
            with Receiver(port=port) as receiver:
                wanted = {one["@timestamp"] for one in daemon.samples("steady")}
                daemon.eventually(lambda: balanced(daemon)['statspout_queue_samples{repository="webhook"}'] == 0, 35)
                stored = {one["@timestamp"] for posted in receiver.stored for one in posted.json()}
                assert wanted <= stored
                right_again(daemon)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("hours", [pytest.param(1, marks=pytest.mark.nightly), -1])
def test_a_clock_that_is_set_by_an_hour_stops_nothing(engine: OwnEngine, tmp_path: Path, hours: int) -> None:
    """libfaketime, under the daemon alone: its own clock is set, the engine's and the kernel's are not."""
    library = next(iter(sorted(ROOT.glob("**/faketime/libfaketime.so.1"))), None)
    if library is None:
        pytest.skip("needs libfaketime: run scripts/setup-servers")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    environ = {
        "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    with watching(engine, "--collector=cgroup", environ=environ) as daemon:
        clock.write_text(f"{hours * 3600:+d}")
        moved = hours * 3600 * 10**9
        near = 60 * 10**9
        after = daemon.eventually(lambda: [at for at in read_at(daemon) if abs(at - time.time_ns() - moved) < near], 5)
        daemon.eventually(lambda: len(read_at(daemon)) >= len(after) + 2, WITHIN)
        clock.write_text("+0")
        right_again(daemon)
        assert all(0 <= one["cpu_percent"] <= 400 for one in daemon.samples("steady") if one["cpu_percent"] is not None)


def test_a_daemon_that_is_halted_goes_on_without_a_wrong_figure(engine: OwnEngine) -> None:
    """SIGSTOP, as of a machine that is suspended: what passed meanwhile is in no rate twice, and is not made up for."""
    with watching(engine) as daemon:
        daemon.signal(signal.SIGSTOP)
        time.sleep(HALT)
        count = len(daemon.samples("steady"))
        daemon.signal(signal.SIGCONT)
        right_again(daemon)
        assert len(daemon.samples("steady")) <= count + 5
        assert all(one["cpu_percent"] is None or one["cpu_percent"] <= 250 for one in daemon.samples("steady"))


@pytest.mark.nightly
def test_with_a_thousand_descriptors_who_takes_them_all_is_served_no_more_and_samples_go_on(engine: OwnEngine) -> None:
    """Everything that may be open is taken by idle connections to one of its ports; then they go."""
    with watching(engine, "--collector=engine") as daemon:
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (1000, 1000))
        line = daemon.wait_for_line(" rest.address: http://")
        port = int(line.rpartition(":")[2])
        idle: list[socket.socket] = []
        for _ in range(1500):
            with suppress(OSError):
                idle.append(socket.create_connection(("127.0.0.1", port), 1))
        count = len(daemon.samples("steady"))
        daemon.eventually(lambda: len(daemon.samples("steady")) >= count + 2, 10)
        assert len(list(Path(f"/proc/{daemon.pid}/fd").iterdir())) <= 1000
        for one in idle:
            one.close()
        right_again(daemon)
