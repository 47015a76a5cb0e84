"""What statspout costs over the number of containers: CPU, memory, and how late it is.

::

    python bench/scale.py [--containers 10,100,...] [--intervals 1,5] [--seconds S] [--rounds N] [--save]

The containers are those of a simulated engine, read through its API, and their samples go to standard output as text
lines. A row without containers is what the bare daemon costs. How late polls begin after their due time is what the
daemon's own metrics say, interpolated within the buckets of their histogram. Everything is run in several rounds, one
after the other, so that what else the machine does is no difference between rows: CPU and memory are the middle ones.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from urllib.request import urlopen

import plots
from measuring import Program, Report, below, cpu_of, simulated_engine, statspout, told
from prometheus_client.parser import text_string_to_metric_families

_LONGEST_START = 60.0
"""Seconds by which every container has had its first sample."""

COLUMNS = ("containers", "interval s", "CPU µs/sample", "CPU % of a core", "PSS MB", "late p50 ms", "late p99 ms",
           "skipped ticks", "samples/s")  # fmt: skip


@dataclass(frozen=True, slots=True)
class State:
    """A moment of the daemon: its counters, and CPU seconds of its own and of the engine's."""

    metrics: Mapping[str, float]
    late: Mapping[float, float]
    """How many polls were at most so many seconds late."""
    own: float
    engine: float
    time: float


@dataclass(frozen=True, slots=True)
class Run:
    """A row of the table; CPU in seconds a second."""

    containers: int
    interval: float
    cpu: float
    engine: float
    memory: int
    samples: float
    skipped: float
    late: Mapping[float, float]
    seconds: float


class Daemon:
    """The daemon under measurement, asked at its own address for how it is doing."""

    def __init__(self, program: Program) -> None:
        self._program = program
        deadline = time.monotonic() + _LONGEST_START
        while not (found := re.search(r"health\.address: (http://\S+)", program.err.read_text())):
            program.check()
            if time.monotonic() > deadline:
                raise SystemExit("the daemon does not say where it serves its metrics")
            time.sleep(0.05)
        self._url = f"{found[1]}/metrics"

    def state(self) -> State:
        """Ask. The CPU that the answer takes is not in the next difference, but in the one that this state ends."""
        with urlopen(self._url, timeout=10) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        readings = [reading for family in families for reading in family.samples]
        late = {float(reading.labels["le"]): reading.value for reading in readings if "le" in reading.labels}
        own = self._program.pids()
        engine = below([os.getpid()]) - {os.getpid()} - own
        metrics = {reading.name: reading.value for reading in readings if not reading.labels}
        return State(metrics, late, cpu_of(own), cpu_of(engine), time.monotonic())

    def all_sampled(self, containers: int) -> None:
        """Return when every container has had its first sample."""
        deadline = time.monotonic() + _LONGEST_START
        while (count := self.state().metrics["statspout_samples_total"]) < containers:
            if time.monotonic() > deadline:
                raise SystemExit(f"{count:.0f} samples within {_LONGEST_START:g} s of {containers} containers")
            time.sleep(0.5)


def measured(containers: int, interval: float, seconds: float) -> Run:
    """Run the daemon on so many containers, and look for ``seconds`` once their polls are spread over the interval."""
    told(f"{containers} containers every {interval:g} s ...")
    arguments = (f"--interval={interval:g}", "--collector=engine", "--health.address=127.0.0.1:0")
    with simulated_engine(containers) as path, Program(statspout(path, *arguments)) as program:
        daemon = Daemon(program)
        daemon.all_sampled(containers)
        time.sleep(2 * interval + 2)
        before = daemon.state()
        time.sleep(seconds)
        after = daemon.state()
        memory = program.memory()
    took = after.time - before.time
    change = {name: value - before.metrics[name] for name, value in after.metrics.items() if name in before.metrics}
    return Run(
        containers,
        interval,
        cpu=(after.own - before.own) / took,
        engine=(after.engine - before.engine) / took,
        memory=memory,
        samples=change["statspout_samples_total"],
        skipped=change["statspout_ticks_skipped_total"],
        late={bound: count - before.late[bound] for bound, count in after.late.items()},
        seconds=took,
    )


def quantile(share: float, within: Mapping[float, float]) -> float | None:
    """The seconds within which ``share`` of the polls began, as ``histogram_quantile`` interpolates; None for none."""
    total = max(within.values())
    if not total:
        return None
    for (low, below_it), (bound, count) in itertools.pairwise([(0.0, 0.0), *sorted(within.items())]):
        if count >= share * total:
            return (
                low if bound == float("inf") else low + (bound - low) * (share * total - below_it) / (count - below_it)
            )
    raise AssertionError("the last bucket has them all")


def row(run: Run) -> list[str | float | int | None]:
    """Its cells."""
    late = [quantile(share, run.late) for share in (0.5, 0.99)]
    return [
        f"{run.containers:,}",
        f"{run.interval:g}",
        run.cpu * run.seconds / run.samples * 1e6 if run.samples else None,
        run.cpu * 100,
        run.memory / 1e6,
        *(None if seconds is None else seconds * 1e3 for seconds in late),
        int(run.skipped),
        run.samples / run.seconds,
    ]


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Where the straight line of least squares begins, and how steep it is."""
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    steep = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
    return mean_y - steep * mean_x, steep


def growth(runs: Sequence[Run]) -> str:
    """What each container adds, at one interval; and what twice as many cost, above the bare daemon."""
    cpu = line([(run.containers, run.cpu * 1e6) for run in runs])
    memory = line([(run.containers, run.memory / 1e3) for run in runs])
    text = (
        f"Every {runs[0].interval:g} s: CPU {cpu[0]:,.0f} µs/s and {cpu[1]:.1f} µs/s per container, "
        f"PSS {memory[0] / 1e3:.1f} MB and {memory[1]:.1f} KB per container (least squares)"
    )
    by_count = {run.containers: run for run in runs}
    bare, most = by_count[0], by_count[max(by_count)]
    half = by_count.get(most.containers // 2)
    if half is None or not half.containers:
        return f"{text}."
    return (
        f"{text}; {most.containers:,} cost {(most.cpu - bare.cpu) / (half.cpu - bare.cpu):.2f} times the CPU and "
        f"{(most.memory - bare.memory) / (half.memory - bare.memory):.2f} times the memory of {half.containers:,}, "
        "above the bare daemon."
    )


def plot(runs: Mapping[float, Sequence[Run]]) -> None:
    """CPU and memory over the number of containers."""
    names = {interval: f"every {interval:g} s" for interval in runs}
    cpu = {names[interval]: [(run.containers, run.cpu * 100) for run in each] for interval, each in runs.items()}
    memory = {names[interval]: [(run.containers, run.memory / 1e6) for run in each] for interval, each in runs.items()}
    plots.save("scale", "containers", {"CPU (% of a core)": cpu, "memory (PSS, MB)": memory})


def numbers(text: str) -> list[float]:
    """``1,5``."""
    return [float(number) for number in text.split(",")]


def together(rounds: Sequence[Run]) -> Run:
    """One row of several: the middle one of what each used, and all that happened in any of them."""
    first = rounds[0]
    return Run(
        first.containers,
        first.interval,
        cpu=median(run.cpu for run in rounds),
        engine=max(run.engine for run in rounds),
        memory=int(median(run.memory for run in rounds)),
        samples=sum(run.samples for run in rounds),
        skipped=sum(run.skipped for run in rounds),
        late={bound: sum(run.late[bound] for run in rounds) for bound in first.late},
        seconds=sum(run.seconds for run in rounds),
    )


def main() -> None:
    """Measure, print, and keep it when asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--containers", type=numbers, default="10,100,500,1000,2000")
    parser.add_argument("--intervals", type=numbers, default="1,5")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", action="store_true", help="keep the table and the plot in docs/performance")
    given = parser.parse_args()
    counts = sorted({0, *map(int, given.containers)})
    pairs = [(interval, count) for interval in given.intervals for count in counts]
    rounds = [{pair: measured(pair[1], pair[0], given.seconds) for pair in pairs} for _ in range(given.rounds)]
    runs = {i: [together([each[i, count] for each in rounds]) for count in counts] for i in given.intervals}
    every = [run for each in runs.values() for run in each]
    report = Report(
        "The cost of containers: a simulated engine's, through its API, as text lines to standard output",
        COLUMNS,
        [row(run) for run in every],
        {"CPU % of a core": 2, "samples/s": 0},
        [growth(each) for each in runs.values()],
    )
    report.notes.append(
        f"CPU and PSS are the middle ones of {given.rounds} rounds; lateness and skipped ticks are of all of them. "
        f"The simulated engine took at most {max(run.engine for run in every):.0%} of a core."
    )
    report.show()
    if given.save:
        report.save("scale")
        plot(runs)


if __name__ == "__main__":
    main()
