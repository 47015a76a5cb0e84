"""What the daemon and its Redis pay for each other: samples into Redis, and what applications recorded out of it.

::

    python bench/redis_daemon.py [CONTAINERS] [LABELS]

A Redis of its own, without a disk. CPU milliseconds of this process and of Redis; of a push the least of several, once
what is remembered of a container is remembered.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from measuring import own_cpu

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.redis import RedisServer, settings
from support.redis_source import Looker

from statspout import ContainerSample
from statspout.client.redis import Stats
from statspout.repositories.redis import Redis
from statspout.testing import samples

INTERVAL = 5_000_000_000
ROUNDS = 8


def cpu_of(server: RedisServer) -> float:
    """Seconds that Redis has worked."""
    with server.client() as client:
        info: Any = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def costs(server: RedisServer, work: Callable[[], object]) -> tuple[float, float]:
    """CPU milliseconds of ours and of Redis."""
    ours, its = own_cpu(), cpu_of(server)
    work()
    return (own_cpu() - ours) * 1000, (cpu_of(server) - its) * 1000


def batches(containers: int) -> Iterator[Sequence[ContainerSample]]:
    """A sweep after the other, with counters that grow."""
    first = samples(containers)
    for number in range(ROUNDS):
        yield [
            msgspec.structs.replace(one, time_ns=one.time_ns + number * INTERVAL, rx_bytes=(one.rx_bytes or 0) + number)
            for one in first
        ]


def pushed(server: RedisServer, mode: Literal["aggregates", "stream"], containers: int) -> tuple[float, float]:
    """What a sweep costs, once it is sure that none is there already."""
    repository = Redis(url=server.url, mode=mode)
    repository.open()
    found = [costs(server, lambda batch=batch: repository.push(batch)) for batch in batches(containers)]  # type: ignore[misc]
    repository.close()
    return min(ours for ours, _ in found), min(its for _, its in found)


def recorded(labels: int, values: int) -> None:
    """By an application: so many of each label."""
    with Stats() as stat:
        for number in range(labels * values):
            stat(f"label {number % labels}", number)


def main(containers: int = 1000, labels: int = 100_000) -> None:
    """Print the table."""
    rows: list[tuple[str, tuple[float, float]]] = []
    with RedisServer("--save", "") as server, settings(server.url, history_size=10, timeout=60.0):
        rows.append((f"{containers} samples, aggregates", pushed(server, "aggregates", containers)))
        rows.append((f"{containers} samples, stream", pushed(server, "stream", containers)))
        recorded(labels, 1)
        with server.client() as client:
            looker = Looker(client)
            rows.append((f"{labels} labels, first look", costs(server, looker.look)))
            rows.append((f"{labels} labels, nothing new", costs(server, looker.look)))
            recorded(1000, 10)
            rows.append(("10000 records of 1000 labels", costs(server, looker.values)))
    print(f"{'':<34}{'ours, ms':>10}{'Redis, ms':>11}")
    for name, (ours, its) in rows:
        print(f"{name:<34}{ours:>10.0f}{its:>11.0f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
