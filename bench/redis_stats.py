"""What a stat in Redis costs: written together, one by one, and by an EVAL each with the script's text, as before us.

::

    python bench/redis_stats.py [--stats N] [--rounds N] [--save]

One real Redis, one process, over TCP on this machine. Stats a second are by the clock, from the first call to the last
answer; nanoseconds are CPU of this process (user+sys), microseconds that of Redis; each is of the best of the rounds,
which go over all rows, so that a slow minute is everybody's. The script with its EVAL is an equivalent of Aka Stats'
own, which does what that did, in as many commands.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from measuring import Cell, Report, own_cpu, told

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.akastats import AkaStats
from support.redis import RedisServer, settings

from statspout.client.redis import Stats, fetch_stats, lost, push_stat

COLUMNS = ("written", "labels", "stats/s", "times", "call ns", "write ns", "Redis µs")
SLOW = 20
"""What takes a round trip for each stat is measured over so many times fewer of them."""


class Took(NamedTuple):
    """Seconds of one stat: by the clock, CPU of its call, of its writing, and of Redis."""

    clock: float
    call: float | None
    write: float
    server: float


Work = Callable[[Any, list[tuple[str, float]]], Took]


def together(redis: Any, stats: list[tuple[str, float]]) -> Took:
    """All in one block."""
    count, began, before, server = len(stats), time.perf_counter(), own_cpu(), cpu_of(redis)
    with Stats() as stat:
        for label, value in stats:
            stat(label, value)
        called = own_cpu()
    ended, clock = own_cpu(), time.perf_counter()
    # What the loop itself takes is no part of a call.
    loop = own_cpu()
    for _label, _value in stats:
        pass
    loop = own_cpu() - loop
    calls = max(0.0, called - before - loop)
    return Took((clock - began) / count, calls / count, (ended - called) / count, (cpu_of(redis) - server) / count)


def apiece(redis: Any, stats: list[tuple[str, float]], write: Callable[[str, float], object]) -> Took:
    """Each by a call that returns when it is stored."""
    some = stats[: len(stats) // SLOW]
    began, before, server = time.perf_counter(), own_cpu(), cpu_of(redis)
    for label, value in some:
        write(label, value)
    ended, clock = own_cpu(), time.perf_counter()
    return Took((clock - began) / len(some), None, (ended - before) / len(some), (cpu_of(redis) - server) / len(some))


def one_by_one(redis: Any, stats: list[tuple[str, float]]) -> Took:
    """As :func:`push_stat` does."""
    return apiece(redis, stats, push_stat)


def by_eval(redis: Any, stats: list[tuple[str, float]]) -> Took:
    """As Aka Stats did."""
    return apiece(redis, stats, AkaStats(redis).stat)


def cpu_of(redis: Any) -> float:
    """CPU seconds of Redis so far."""
    used = redis.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


BY_EVAL = "one EVAL each, as Aka Stats"
WAYS: dict[str, Work] = {"together": together, "one by one": one_by_one, BY_EVAL: by_eval}
LABELS = {"together": (1, 10, 100, 1000, 0), "one by one": (10,), BY_EVAL: (10, 0)}
"""How many labels the stats are of, in turn; 0: each is of its own."""


def measured(count: int, rounds: int) -> dict[tuple[str, int], Took]:
    """The best of the rounds of each row."""
    chance, best = random.Random(8), dict[tuple[str, int], Took]()
    with RedisServer("--save", "") as server, server.client() as redis, settings(server.url):
        for number in range(rounds):
            told(f"round {number + 1} of {rounds}")
            for way, labels in [(name, labels) for name in WAYS for labels in LABELS[name]]:
                stats = [(f"label-{n % (labels or count)}", chance.gauss(100, 15)) for n in range(count)]
                redis.flushall()
                push_stat("warm", 1)
                took = WAYS[way](redis, stats)
                written = len(stats) if way == "together" else len(stats) // SLOW
                stored = sum(fetch_stats(label).count or 0 for label in {label for label, _ in stats[:written]})
                if stored != written or lost():
                    raise SystemExit(f"{way}: {stored} of {written} stats stored, lost {lost()}")
                best[way, labels] = min(took, best.get((way, labels), took))
    return best


def row(way: str, labels: int, took: Took, times: float) -> list[Cell]:
    call = None if took.call is None else took.call * 1e9
    shown = f"{labels:,}" if labels else "each its own"
    return [way, shown, 1 / took.clock, times, call, took.write * 1e9, took.server * 1e6]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stats", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", action="store_true")
    arguments = parser.parse_args()
    best = measured(arguments.stats, arguments.rounds)
    rows = [
        row(way, labels, took, best[BY_EVAL, 0 if labels == 0 else 10].clock / took.clock)
        for (way, labels), took in best.items()
    ]
    report = Report(
        f"{arguments.stats:,} stats in Redis, the best of {arguments.rounds} rounds",
        COLUMNS,
        rows,
        decimals={"stats/s": 0, "times": 1, "call ns": 0, "write ns": 0, "Redis µs": 1},
        notes=["Times is how many times as fast it was as one EVAL each, with as many labels each their own or not."],
    )
    report.show()
    if arguments.save:
        report.save("redis")


if __name__ == "__main__":
    main()
