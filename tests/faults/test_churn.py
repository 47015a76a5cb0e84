"""A day's coming and going of containers, one hundred after the other, leaves nothing behind in the program."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families
from support.daemon import Daemon
from support.influxdb import FakeInflux, free_port

from statspout.testing import FakeEngine

FIRST, ALL, AT_ONCE = 500, 10_000, 100
STEADY = {"web", "db", "cache"}
LABELS = {f"org.example.label-{i}": "a value of some length" for i in range(5)}
STORES = ("stdout", "influxdb")
REPOSITORIES = (*STORES, "rest", "prometheus", "influxdb:away", "webhook")

MOST_GROWTH = 3 * 2**20


class Held(NamedTuple):
    """What the program has: bytes of memory of its own, descriptors but for those to the engine, threads.

    Of the memory only what no file is behind: shares of files change as other programs come and go.
    """

    memory: int
    descriptors: int
    threads: int


@contextmanager
def running(engine: FakeEngine) -> Iterator[Daemon]:
    """The program with every kind of repository: two store, two serve, and two have nobody to send to."""
    nobody = f"http://127.0.0.1:{free_port()}"
    served = [f"--{name}.address=127.0.0.1:0" for name in ("rest", "prometheus", "health")]
    quick = [f"--{name}.flush-interval=0.05" for name in STORES]
    chosen = [f"--{name}.exclude=never*" for name in ("stdout", "rest", "influxdb")]
    labels = [f"--{name}.labels=org.example.*" for name in ("prometheus", "influxdb", "influxdb.away")]
    away = [f"--influxdb.away.url={nobody}", f"--webhook.url={nobody}"]
    away += ["--influxdb.away.database=stats", "--influxdb.away.queue-samples=200", "--webhook.queue-samples=200"]
    with FakeInflux() as influx, Daemon(
        f"--socket.path={engine.socket_path}",
        "--collector=engine",
        "--interval=1",
        f"--repository={','.join(REPOSITORIES)}",
        "--stdout.format=json",
        f"--influxdb.url={influx.url}",
        "--influxdb.database=stats",
        *served, *quick, *chosen, *labels, *away,
    ) as daemon:  # fmt: skip
        yield daemon


def numbers(daemon: Daemon, name: str) -> dict[str, float]:
    """What it says of itself under that name, by repository."""
    page = daemon.get("/metrics", "health.address").body.decode()
    return {
        sample.labels.get("repository", ""): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name
    }


def churn(engine: FakeEngine, daemon: Daemon, names: Sequence[str]) -> None:
    """Let these containers run until each was sampled and is stored, and end; they are scraped meanwhile."""
    stored = numbers(daemon, "statspout_delivered_total")
    for name in names:
        engine.add(name, labels=LABELS)

    def all_stored() -> bool:
        now = numbers(daemon, "statspout_delivered_total")
        return all(now[name] - stored[name] >= len(names) for name in STORES)

    daemon.eventually(lambda: set(daemon.stats()) == STEADY | set(names))
    daemon.eventually(all_stored)
    daemon.get("/metrics", "prometheus.address")
    for name in names:
        engine.remove(name)
    daemon.eventually(lambda: set(daemon.stats()) == STEADY)


def held(engine: FakeEngine, daemon: Daemon) -> Held:
    """What it has when nothing waits; the least of a while, for who is not there is called again and again."""
    daemon.eventually(lambda: not any(numbers(daemon, "statspout_queue_samples")[name] for name in STORES))
    found = []
    for _ in range(20):
        process = Path(f"/proc/{daemon.pid}")
        memory = process.joinpath("smaps_rollup").read_text().partition("Anonymous:")[2].split()[0]
        descriptors = len(list(process.joinpath("fd").iterdir())) - engine.connections
        found.append(Held(int(memory) * 1024, descriptors, len(list(process.joinpath("task").iterdir()))))
        time.sleep(0.02)
    return Held(*map(min, zip(*found, strict=True)))


def test_10_000_containers_come_and_go_and_nothing_is_left_of_them(engine: FakeEngine) -> None:
    jobs = [f"job-{number}" for number in range(ALL)]
    with running(engine) as daemon:
        daemon.eventually(lambda: set(daemon.stats()) == STEADY)
        for start in range(0, FIRST, AT_ONCE):
            churn(engine, daemon, jobs[start : start + AT_ONCE])
        before = held(engine, daemon)
        for start in range(FIRST, ALL, AT_ONCE):
            churn(engine, daemon, jobs[start : start + AT_ONCE])
        after = held(engine, daemon)
        assert (after.descriptors, after.threads) == (before.descriptors, before.threads)
        assert after.memory - before.memory < MOST_GROWTH
        assert engine.connections < AT_ONCE, "one for each container"
        assert {sample["name"] for sample in daemon.samples()} == STEADY | set(jobs)
        assert b"job-" not in daemon.get("/metrics", "prometheus.address").body
        assert "Traceback" not in daemon.log
