"""The numbers of real containers, against the kernel's own and the docker command's. One run of the daemon for all."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from support.daemon import Daemon
from support.dockerd import program
from support.engine import Engine
from support.kernel import cgroup, counter, cpu_seconds, seconds_of

pytestmark = pytest.mark.alone

MIB = 1024 * 1024
WINDOW = 10.0
LABELS = {"com.docker.compose.project": "shop", "com.docker.compose.service": "burner", "unit.test/é": 'a "b"\nc'}
NETWORK_SERIES = "statspout_container_network_"
UNITS = {"B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": MIB, "GiB": 1024**3}
NO_COMMAND = "needs the docker command: apt-get install docker.io"


@dataclass(frozen=True)
class Window:
    """What the kernel says of the burning container's CPU, and the docker command of all, over some seconds."""

    began: float
    ended: float
    seconds: float
    cpu_seconds: float
    docker: list[dict[str, dict[str, str]]]

    @property
    def percent(self) -> float:
        """100 is one core."""
        return self.cpu_seconds / self.seconds * 100


@pytest.fixture(scope="module")
def fleet(shared_engine: Engine) -> Iterator[Engine]:
    """The containers that the tests look at."""
    run = shared_engine.run
    run("burner", ["sh", "-c", "while :; do :; done"], nano_cpus=300_000_000, labels=LABELS)
    run("idler")
    run("keeper", ["sh", "-c", "head -c 50m /dev/zero >/m/x; exec sleep 1000000"], tmpfs={"/m": ""}, mem_limit="128m")
    run("hermit", network_mode="none", pids_limit=77)
    run("server", ["sh", "-c", "head -c 4m /dev/zero >/tmp/x; exec httpd -f -h /tmp"], volumes=["/v"])
    run("talker")
    run("sharer", network_mode="container:talker")
    yield shared_engine
    shared_engine.remove_started()


@pytest.fixture(scope="module")
def daemon(fleet: Engine) -> Iterator[Daemon]:
    arguments = ["--repository=rest,prometheus,stdout", "--stdout.format=json", "--interval=1"]
    addresses = ["--rest.address=127.0.0.1:0", "--prometheus.address=127.0.0.1:0"]
    with Daemon(f"--socket.path={fleet.socket}", *arguments, *addresses) as daemon:
        daemon.eventually(lambda: all(known(daemon, name) for name in ("burner", "keeper", "sharer")))
        yield daemon


def known(daemon: Daemon, name: str) -> bool:
    """Whether all of its numbers are there."""
    return daemon.stats().get(name, {}).get("cpu_percent") is not None


@pytest.fixture(scope="module")
def window(fleet: Engine, daemon: Daemon) -> Window:
    """Some seconds, during which the docker command is asked five times, if there is one."""
    pid = fleet.client.containers.get("burner").attrs["State"]["Pid"]
    clock, began, before = time.monotonic(), time.time(), cpu_seconds(pid)
    docker = [docker_stats(fleet) for _ in range(5)] if program("docker") else []
    time.sleep(max(0.0, clock + WINDOW - time.monotonic()))
    after, ended, seconds = cpu_seconds(pid), time.time(), time.monotonic() - clock
    return Window(began, ended, seconds, after - before, docker)


def docker_stats(engine: Engine) -> dict[str, dict[str, str]]:
    """What the docker command says now, by container name."""
    docker = program("docker") or "docker"
    command = [docker, "-H", engine.url, "stats", "--no-stream", "--format", "{{json .}}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["Name"]: row for row in rows}


def in_bytes(text: str) -> float:
    """A quantity of the docker command, such as 1.5MiB."""
    found = re.fullmatch(r"([\d.]+)([A-Za-z]+)", text.strip())
    assert found is not None, text
    return float(found[1]) * UNITS[found[2]]


def inside(window: Window, daemon: Daemon, name: str) -> list[dict[str, Any]]:
    """The container's samples of the window."""
    found = [s for s in daemon.samples(name) if window.began <= seconds_of(s) <= window.ended]
    assert len(found) >= WINDOW * 0.8
    return found


def new_samples(daemon: Daemon, *names: str) -> list[dict[str, Any]]:
    """A sample of each, read after this call began."""
    counts = {name: len(daemon.samples(name)) for name in names}
    # The first new one may have been under way.
    daemon.eventually(lambda: all(len(daemon.samples(name)) >= count + 2 for name, count in counts.items()))
    return [daemon.samples(name)[-1] for name in names]


# CPU


def test_cpu_percent_is_the_kernels_within_two_points(window: Window, daemon: Daemon) -> None:
    mean = statistics.mean(sample["cpu_percent"] for sample in inside(window, daemon, "burner"))
    assert mean == pytest.approx(window.percent, abs=2)
    assert 5 < window.percent < 33


def test_the_cpu_counter_grows_as_the_kernels_does(window: Window, daemon: Daemon) -> None:
    first, *_, last = inside(window, daemon, "burner")
    grown = last["cpu_seconds_total"] - first["cpu_seconds_total"]
    assert grown / (seconds_of(last) - seconds_of(first)) * 100 == pytest.approx(window.percent, abs=2)


def test_cpu_percent_is_the_docker_commands_within_six_points(window: Window, daemon: Daemon) -> None:
    if not window.docker:
        pytest.skip(NO_COMMAND)
    docker = statistics.median(float(row["burner"]["CPUPerc"].rstrip("%")) for row in window.docker)
    assert statistics.mean(s["cpu_percent"] for s in inside(window, daemon, "burner")) == pytest.approx(docker, abs=6)


def test_an_idle_container_uses_next_to_no_cpu(window: Window, daemon: Daemon) -> None:
    assert max(sample["cpu_percent"] for sample in inside(window, daemon, "idler")) < 1


@pytest.mark.parametrize(
    ("field", "name"), [("cpu_periods_total", "nr_periods"), ("throttled_periods_total", "nr_throttled")]
)
def test_scheduler_periods_are_the_kernels(field: str, name: str, fleet: Engine, daemon: Daemon) -> None:
    folder, _ = cgroup(fleet.client.containers.get("burner").attrs["State"]["Pid"], "cpu")
    before = counter(folder / "cpu.stat", name)
    [shown] = new_samples(daemon, "burner")
    assert 0 < before <= shown[field] <= counter(folder / "cpu.stat", name)
    assert shown["throttled_seconds_total"] > 0


def test_anonymous_memory_is_the_kernels(fleet: Engine, daemon: Daemon) -> None:
    folder, version = cgroup(fleet.client.containers.get("idler").attrs["State"]["Pid"], "memory")
    kernel = counter(folder / "memory.stat", "total_rss" if version == 1 else "anon")
    [shown] = new_samples(daemon, "idler")
    assert shown["mem_rss"] == kernel > 0


def test_the_first_sample_of_each_container_has_no_cpu_percent(daemon: Daemon) -> None:
    names = {sample["name"] for sample in daemon.samples()}
    assert names >= {"burner", "idler", "keeper", "hermit", "server", "talker", "sharer"}
    for name in names:
        first, second = daemon.samples(name)[:2]
        assert first["cpu_percent"] is None
        assert second["cpu_percent"] is not None


# Memory


def test_memory_is_the_docker_commands_within_five_percent(window: Window, daemon: Daemon) -> None:
    if not window.docker:
        pytest.skip(NO_COMMAND)
    used, limit = (in_bytes(part) for part in window.docker[-1]["keeper"]["MemUsage"].split("/"))
    shown = daemon.stats()["keeper"]
    assert used > 50 * MIB
    assert shown["mem_usage"] == pytest.approx(used, rel=0.05)
    assert shown["mem_limit"] == limit == 128 * MIB
    assert shown["mem_percent"] == pytest.approx(shown["mem_usage"] / limit * 100)


# Network


def test_the_network_counters_are_the_containers_own(fleet: Engine, daemon: Daemon) -> None:
    talker, server = (fleet.client.containers.get(name) for name in ("talker", "server"))
    address = next(iter(server.attrs["NetworkSettings"]["Networks"].values()))["IPAddress"]
    done = talker.exec_run(["wget", "-q", "-O", "/dev/null", f"http://{address}/x"])
    assert done.exit_code == 0, done.output
    talker_itself, shown, sharing = settled(daemon, talker)
    assert shown == sharing == talker_itself
    assert shown["rx_bytes"] > 4 * MIB
    assert daemon.stats()["talker"]["networks"]["eth0"] == shown


def settled(daemon: Daemon, talker: Any) -> list[dict[str, Any]]:
    """The counters as the container sees them, as talker's and as sharer's, once no packet comes or goes any more."""
    deadline = time.monotonic() + 15
    while True:
        itself = own_counters(talker)
        looks = [new_samples(daemon, "talker", "sharer") for _ in range(2)]
        first, second = ([{key: sample[key] for key in itself} for sample in look] for look in looks)
        if (first == second == [itself] * 2 and own_counters(talker) == itself) or time.monotonic() > deadline:
            return [itself, *second]


def own_counters(container: Any) -> dict[str, int]:
    """Of eth0, as the container's own /proc/net/dev has them."""
    rows = container.exec_run(["cat", "/proc/net/dev"]).output.decode().splitlines()
    row = next(row.split(":")[1].split() for row in rows if row.strip().startswith("eth0:"))
    names = [f"{way}_{what}" for way in ("rx", "tx") for what in ("bytes", "packets", "errors", "dropped")]
    return dict(zip(names, map(int, row[:4] + row[8:12]), strict=True))


def test_a_container_without_a_network_has_no_network_numbers(daemon: Daemon) -> None:
    hermit = daemon.stats()["hermit"]
    numbers = [f"{way}_{what}" for way in ("rx", "tx") for what in ("bytes", "packets", "errors", "dropped")]
    assert [hermit[key] for key in ("networks", "network_shared_with", *numbers)] == [None] * 10


def test_a_shared_network_names_its_owner(daemon: Daemon) -> None:
    shown = daemon.stats()
    assert shown["sharer"]["network_shared_with"] == "talker"
    assert shown["talker"]["network_shared_with"] is None


def test_prometheus_counts_a_shared_network_once(daemon: Daemon) -> None:
    page = daemon.get("/metrics", "prometheus.address").body.decode()
    networked = {name for line, name in series(page) if line.startswith(NETWORK_SERIES)}
    assert networked == {name for _, name in series(page)} - {"sharer", "hermit"}
    assert networked >= {"burner", "talker"}


def series(page: str) -> list[tuple[str, str]]:
    """Each line with a value, and the container it is about."""
    return [(line, found[1]) for line in page.splitlines() if (found := re.search(r'[{,]container="([^"]*)"', line))]


# The rest


def test_prometheus_has_the_same_counters_in_base_units(daemon: Daemon) -> None:
    before = daemon.stats()["burner"]["cpu_seconds_total"]
    page = daemon.get("/metrics", "prometheus.address").body.decode()
    after = daemon.stats()["burner"]["cpu_seconds_total"]
    family = "statspout_container_cpu_usage_seconds_total{"
    line = next(line for line, name in series(page) if name == "burner" and line.startswith(family))
    assert before <= float(line.rsplit(" ", 1)[1]) <= after


def test_labels_are_the_containers_own(daemon: Daemon) -> None:
    burner, idler = (daemon.stats()[name] for name in ("burner", "idler"))
    assert burner["Labels"] == LABELS
    assert (burner["compose_project"], burner["compose_service"]) == ("shop", "burner")
    assert (idler["Labels"], idler["compose_project"]) == ({}, None)


@pytest.mark.parametrize("name", ["burner", "hermit", "sharer"])
def test_what_a_container_is_is_what_the_engine_says(name: str, fleet: Engine, daemon: Daemon) -> None:
    shown, told = daemon.stats()[name], fleet.client.api.inspect_container(name)
    assert (shown["id"], shown["image"]) == (told["Id"], told["Config"]["Image"])
    assert shown["started_at"].rstrip("Z0") == told["State"]["StartedAt"].rstrip("Z0")
    assert (shown["state"], shown["health"], shown["restarts"]) == ("running", None, 0)
    assert shown["host"] == fleet.client.info()["Name"]


def test_processes_are_counted(daemon: Daemon) -> None:
    shown = daemon.stats()
    assert (shown["idler"]["pids"], shown["idler"]["pids_limit"]) == (1, None)
    assert shown["hermit"]["pids_limit"] == 77


def test_block_io_is_counted_or_unknown_and_never_0_for_who_wrote(fleet: Engine, daemon: Daemon) -> None:
    writer = fleet.client.containers.get("server")
    done = writer.exec_run(["dd", "if=/dev/zero", "of=/v/x", "bs=1M", "count=8", "oflag=direct"])
    if done.exit_code:
        pytest.skip(f"needs the engine's data on a disk: {done.output.decode().strip()}")
    [shown] = new_samples(daemon, "server")
    told = writer.stats(stream=False)["blkio_stats"]["io_service_bytes_recursive"]
    # Some kernels count none of it; the engine's list is empty then, whatever was written.
    assert shown["blkio_write_bytes"] == (sum_of(told, "write") if told else None)
    assert not told or shown["blkio_write_bytes"] >= 8 * MIB


def sum_of(entries: list[dict[str, Any]], operation: str) -> int:
    return sum(entry["value"] for entry in entries if entry["op"].lower() == operation)


def test_nothing_went_wrong_meanwhile(daemon: Daemon) -> None:
    assert [line for line in daemon.log.splitlines() if " INFO " not in line] == []
