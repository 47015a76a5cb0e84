"""What counting into a memory-mapped file costs, beside prometheus_client's multiprocess mode and a plain attribute.

::

    python bench/mmstats.py [--calls N] [--rounds N] [--files N] [--turns N] [--seconds S] [--save]

Three tables: a call, in CPU nanoseconds of a process of its own; all files of a thousand processes, read once; and the
rate of a writer while four processes read its file as fast as they can, or another one: that is what they cost it by
being there, on processors that share their caches. The rate is by the writer's own CPU time, of which it has less then.
"""

from __future__ import annotations

import argparse
import mmap
import os
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from operator import truediv
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from measuring import ENVIRONMENT, Cell, Program, Report, least, own_cpu, told

from statspout.client.mmap import MmStatsReader, read_all
from statspout.client.mmap.layout import Column, encode

CALLS = ("counter", "gauge", "timer")
FIELDS = 100
READERS = 4


class Way(NamedTuple):
    """Python code: what comes first, and each kind of call; empty where there is none of that kind."""

    before: str
    counter: str
    gauge: str = ""
    timer: str = ""


OURS = """
from statspout.client.mmap import MmStats, CounterField, DoubleField, TimerField
class Web(MmStats):
    c = CounterField()
    g = DoubleField()
    t = TimerField()
s = Web()
incr = s.c.incr
"""
PEER = """
from prometheus_client import Counter, Gauge, Summary, Histogram
c = Counter("c", "c")
g = Gauge("g", "g", multiprocess_mode="sum")
t = Summary("t", "t")
h = Histogram("h", "h")
"""
PLAIN = """
from time import perf_counter
class Plain:
    n, g, seconds = 0, 0.0, 0.0
s = Plain()
"""
WAYS = {
    "a plain attribute": Way(PLAIN, "s.n += 1", "s.g = 2.5", "b = perf_counter(); s.seconds += perf_counter() - b"),
    "statspout": Way(OURS, "s.c.incr()", "s.g = 2.5", "with s.t: pass"),
    "statspout, the method kept": Way(OURS, "incr()"),
    "prometheus_client": Way(PEER, "c.inc()", "g.set(2.5)", "with t.time(): pass"),
    "prometheus_client, Histogram": Way(PEER, "", "", "with h.time(): pass"),
}


def command(*arguments: str) -> Sequence[str]:
    return [sys.executable, __file__, *arguments]


def environment(folder: str) -> dict[str, str]:
    return {**ENVIRONMENT, "MMSTATS_PATH": folder, "PROMETHEUS_MULTIPROC_DIR": folder}


# a call


def work(way: str, call: str, calls: str) -> None:
    """In a process of its own: print the CPU nanoseconds of a call."""
    names: dict[str, object] = {}
    exec(WAYS[way].before, names)
    timer = timeit.Timer(getattr(WAYS[way], call), globals=names)
    timer.timeit(1000)
    began = own_cpu()
    timer.timeit(int(calls))
    print((own_cpu() - began) / int(calls) * 1e9)


def measured(way: str, call: str, calls: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        arguments = command("--work", way, call, str(calls))
        done = subprocess.run(arguments, capture_output=True, text=True, check=True, env=environment(folder))
        return float(done.stdout)


def call_rows(calls: int, rounds: int) -> list[list[Cell]]:
    """A row for each way; rounds go over all of them, so that a slow minute is everybody's."""
    cells: dict[tuple[str, str], float] = {}
    for number in range(rounds):
        told(f"calls: round {number + 1} of {rounds}")
        for name, way in WAYS.items():
            for call in CALLS:
                if getattr(way, call):
                    took = measured(name, call, calls)
                    cells[name, call] = min(took, cells.get((name, call), took))
    return [[name, *(cells.get((name, call)) for call in CALLS)] for name in WAYS]


# reading all


def ours_filled(folder: str, files: int) -> None:
    content, _ = encode([Column(f"web.requests.path{number}", "Q", True) for number in range(FIELDS)])
    for number in range(files):
        Path(folder, f"web-{number}-{number}.mmstats").write_bytes(content)


def peer_filled(folder: str, files: int) -> None:
    from prometheus_client.mmap_dict import MmapedDict, mmap_key

    for number in range(files):
        values: Any = MmapedDict(str(Path(folder, f"counter_{number}.db")))  # type: ignore[no-untyped-call]  # it has no types
        for one in range(FIELDS):
            values.write_value(mmap_key("web_requests", "web_requests_total", ["path"], [str(one)], "h"), 1.0, 0.0)
        values.close()


def summed(readers: Iterable[MmStatsReader]) -> dict[str, float]:
    """The sum of each label over all files, as prometheus_client works out, too."""
    sums: dict[str, float] = {}
    for reader in readers:
        for label, value in reader:
            sums[label] = sums.get(label, 0) + float(value)
    return sums


def mapped(folder: str) -> Iterator[MmStatsReader]:
    """Read as the original does, from a mapping: who is cut off meanwhile is ended by a signal."""
    for path in Path(folder).glob("*.mmstats"):
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
            yield MmStatsReader.from_bytes(memory[:])


def reading_rows(files: int) -> list[list[Cell]]:
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    told(f"reading {files} files")
    rows: list[list[Cell]] = []
    with tempfile.TemporaryDirectory() as folder:
        ours_filled(folder, files)
        assert len(read_all(f"{folder}/*.mmstats").readers) == files
        ways: list[tuple[str, Callable[[], object]]] = [
            ("statspout", lambda: summed(read_all(f"{folder}/*.mmstats").readers.values())),
            ("statspout, from a mapping", lambda: summed(mapped(folder))),
        ]
        peer = Path(folder, "peer")
        peer.mkdir()
        peer_filled(str(peer), files)
        collector: Any = MultiProcessCollector(CollectorRegistry(), path=str(peer))  # type: ignore[no-untyped-call]  # as above
        ways.append(("prometheus_client", lambda: list(collector.collect())))
        for name, way in ways:
            seconds = least(way, 3)
            rows.append([name, seconds * 1e3, seconds / files * 1e6])
    return rows


# a writer and its readers


def write() -> None:
    """In a process of its own: print the path, then for each line of stdin the CPU nanoseconds of an increment."""
    names: dict[str, object] = {}
    exec(OURS, names)
    exec("print(s.filename, flush=True)", names)
    timer = timeit.Timer("incr()", globals=names)
    for line in sys.stdin:
        calls, until, began = 0, time.monotonic() + float(line), time.thread_time_ns()
        while time.monotonic() < until:
            timer.timeit(10_000)
            calls += 10_000
        print((time.thread_time_ns() - began) / calls, flush=True)


def read(path: str) -> None:
    """In a process of its own: read the file for ever."""
    while True:
        MmStatsReader.from_file(path)


def writer_rows(turns: int, seconds: float) -> list[list[Cell]]:
    took: dict[str, list[float]] = {
        "alone": [],
        "beside 4 that read another file": [],
        "beside 4 that read its file": [],
    }
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        arguments = command("--write")
        writer = stack.enter_context(
            subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(folder)
            )
        )
        assert writer.stdin is not None
        assert writer.stdout is not None
        path = Path(writer.stdout.readline().strip())
        other = path.with_name("other")
        other.write_bytes(path.read_bytes())
        for number in range(turns):
            told(f"readers: turn {number + 1} of {turns}")
            for (_, values), what in zip(took.items(), (None, other, path), strict=True):
                with ExitStack() as readers:
                    for _ in range(READERS if what else 0):
                        readers.enter_context(Program(command("--read", str(what)), environment(folder)))
                    time.sleep(0.5 if what else 0)
                    writer.stdin.write(f"{seconds}\n")
                    writer.stdin.flush()
                    values.append(float(writer.stdout.readline()))
        writer.stdin.close()
    alone = took["alone"]
    return [
        [name, median(values), 1e9 / median(values), 100 * (median(map(truediv, alone, values)) - 1), min(values)]
        for name, values in took.items()
    ]


def reports(calls: int, rounds: int, files: int, turns: int, seconds: float) -> dict[str, Report]:
    return {
        "mmap": Report(
            f"CPU nanoseconds of a call, prometheus_client in multiprocess mode: {calls:,} calls, "
            f"the least of {rounds} rounds",
            ("", *CALLS),
            call_rows(calls, rounds),
            decimals=dict.fromkeys(CALLS, 0),
            notes=[
                "A timer of ours has the mean of the last 100; one of prometheus_client a sum and a count, or buckets."
            ],
        ),
        "mmap-reading": Report(
            f"{files:,} files of {FIELDS} counters, read and summed up: CPU, the least of 3",
            ("", "ms", "µs/file"),
            reading_rows(files),
            notes=["A mapping is no way to read what somebody else may cut off: that ends the reader with a signal."],
        ),
        "mmap-readers": Report(
            f"A writer that increments without a pause, in its own CPU time: medians of {turns} times {seconds:g} s",
            ("", "ns/increment", "increments/s", "rate against alone %", "least ns"),
            writer_rows(turns, seconds),
            decimals={"increments/s": 0},
            notes=["The rate is the median of each turn's, against the one alone that was just before it."],
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(*arguments.work)
    elif arguments.write:
        write()
    elif arguments.read:
        read(arguments.read)
    else:
        given = arguments.calls, arguments.rounds, arguments.files, arguments.turns, arguments.seconds
        for name, report in reports(*given).items():
            report.show()
            if arguments.save:
                report.save(name)
    sys.stdout.flush()
    os._exit(0)  # what a program does at its end is not measured


if __name__ == "__main__":
    main()
