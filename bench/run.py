"""What it costs a host to watch its containers: statspout, a floor in C for each of its two ways, and other programs.

::

    python bench/run.py [--containers N] [--interval S] [--seconds S] [--rounds N] [--only TEXT] [--save]

All of them watch the same idle containers of one real engine, in turn, in every round. ``own`` is the CPU of the
program and what it starts, ``engine`` that of dockerd, containerd and the shims above what they took just before, with
nobody watching; both in microseconds per container-sample, user and system, at the real interval, each the median of
the rounds. ``floors`` is own CPU over that of the C program that reads in the same way, within the same round.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import plots
from fleet import Fleet, fleet
from measuring import ROOT, Program, Report, statspout, told
from peers import ALL, ENGINE, KERNEL, Row, counted

from statspout.sources.cgroup.places import place_of
from statspout.sources.cgroup.reader import FILES

FLOORS = {KERNEL: "floor: C, the same files", ENGINE: "floor: C, one-shot requests"}
UNREAD = ("cpu.stat", "blkio.throttle.io_serviced")
"""What statspout does not read of such containers on cgroup v1: they have no CPU limit, and write to no device."""


@dataclass(frozen=True)
class Figures:
    """What one program came to in one round: microseconds of CPU, its own and the engine's, per container-sample."""

    own: float
    engine: float
    rate: float
    memory: int


def main() -> None:
    """Measure, print, and keep the results if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--containers", type=int, default=100)
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="rows whose names have this text in them, and the floors")
    parser.add_argument("--save", action="store_true", help="keep the results for docs/performance.md")
    given = parser.parse_args()
    measured: dict[str, list[Figures]] = {}
    idle = []
    with fleet(given.containers) as containers, tempfile.TemporaryDirectory() as folder:
        rows = [row for row in _rows(containers, given.interval, Path(folder)) if _wanted(row, given.only)]
        for number in range(1, given.rounds + 1):
            for row in rows:
                told(f"round {number} of {given.rounds}: nobody, and then {row.name}")
                idle.append(_idle(containers, given.seconds))
                figures = _measured(row, containers, given.seconds, idle[-1])
                measured.setdefault(row.name, []).append(figures)
    report = _report(rows, measured, given.containers, given.interval, idle)
    report.show()
    if given.save:
        report.save("host")
        _plot(rows, measured)


def _wanted(row: Row, text: str) -> bool:
    return text.lower() in row.name.lower() or row.name in FLOORS.values()


def _rows(containers: Fleet, interval: float, folder: Path) -> Iterator[Row]:
    """The floors come before those who are compared with them."""
    every = f"{interval:g}"
    files = "\n".join(map(_files, containers.pids, containers.ids)) + "\n"
    names = "\n".join(containers.ids) + "\n"
    yield Row(FLOORS[KERNEL], KERNEL, [_compiled("kernel_files", folder), every], counted, stdin=files.encode())
    yield _statspout("statspout, cgroup collector", KERNEL, containers, "cgroup", every)
    yield Row(
        FLOORS[ENGINE], ENGINE, [_compiled("one_shot", folder), containers.socket, every], counted, stdin=names.encode()
    )
    yield _statspout("statspout, engine collector", ENGINE, containers, "engine", every)
    docker_py = [sys.executable, str(ROOT / "bench" / "dockerpy.py"), containers.socket, every]
    yield Row("docker-py, 20 threads", ENGINE, docker_py, lambda program, _: program.out.read_bytes().count(b"\n"))
    for make in ALL:
        work = folder / make.__name__
        work.mkdir()
        if row := make(containers, interval, work):
            yield row


def _statspout(name: str, reads: str, containers: Fleet, collector: str, every: str) -> Row:
    discard = f"{ROOT}/bench/discard.py:Discard"
    arguments = (f"--interval={every}", f"--collector={collector}", f"--plugin={discard}", "--repository=discard")
    return Row(name, reads, statspout(containers.socket, *arguments), counted)


def _files(pid: int, container: str) -> str:
    """The files that statspout reads of one container, in its order."""
    place = place_of(Path(f"/proc/{pid}/cgroup").read_text(), container, "/sys/fs/cgroup")
    paths = [
        f"{place.folders[controller]}/{name}"
        for controller, name in filter(None, FILES[place.version])
        if controller in place.folders and (place.version == 2 or name not in UNREAD)
    ]
    network = Path(f"/proc/{pid}/net/dev")
    if re.search(r"^ *eth0:", network.read_text(), re.MULTILINE):
        paths.append(str(network))
    return " ".join(path for path in paths if Path(path).exists())


def _compiled(name: str, folder: Path) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        raise SystemExit("a C compiler is needed for the floors: apt-get install gcc libc6-dev")
    program = folder / name
    command = [compiler, "-O2", "-Wall", "-Wextra", "-o", str(program), str(ROOT / "bench/floor" / f"{name}.c"), "-lm"]
    subprocess.run(command, check=True)
    return str(program)


def _idle(containers: Fleet, seconds: float) -> float:
    """The engine's CPU seconds per second with nobody watching, after what went before has come to rest."""
    time.sleep(5)
    before, began = containers.engine_cpu(), time.monotonic()
    time.sleep(seconds)
    return (containers.engine_cpu() - before) / (time.monotonic() - began)


def _measured(row: Row, containers: Fleet, seconds: float, idle: float) -> Figures:
    with Program(row.command, row.environment, row.stdin) as program:
        time.sleep(row.warm_up)
        _next_round(row, program)
        began = time.monotonic()
        samples = row.count(program, began - program.started)
        own, engine = program.cpu(), containers.engine_cpu()
        time.sleep(seconds)
        _next_round(row, program)
        took = time.monotonic() - began
        count = row.count(program, time.monotonic() - program.started) - samples
        own, engine = program.cpu() - own, containers.engine_cpu() - engine - idle * took
        return Figures(own / count * 1e6, engine / count * 1e6, count / took, program.memory())


def _next_round(row: Row, program: Program) -> None:
    """Wait until a round is just over: a part of one would be CPU without samples, or samples without their CPU."""
    if row.count is not counted:
        return
    size = program.out.stat().st_size
    while program.out.stat().st_size == size:
        program.check()
        time.sleep(0.01)
    time.sleep(0.1)


def _report(
    rows: Sequence[Row], measured: dict[str, list[Figures]], containers: int, interval: float, idle: Sequence[float]
) -> Report:
    report = Report(
        f"{containers} idle containers of a real engine every {interval:g} s; CPU in µs per container-sample",
        ("program", "reads", "own", "least to most", "engine", "floors", "samples/s", "PSS MB", ""),
        decimals={"own": 1, "engine": 0, "floors": 2, "samples/s": 0, "PSS MB": 1},
        notes=[_stillness(idle, containers, interval)],
    )
    for row in rows:
        figures = measured[row.name]
        own = [each.own for each in figures]
        ratios = [mine / floor.own for mine, floor in zip(own, measured[FLOORS[row.reads]], strict=True)]
        report.rows.append(
            [
                row.name, row.reads, statistics.median(own), f"{min(own):.1f} to {max(own):.1f}",
                statistics.median(each.engine for each in figures), statistics.median(ratios),
                statistics.median(each.rate for each in figures),
                statistics.median(each.memory for each in figures) / 1e6, row.note,
            ]
        )  # fmt: skip
    return report


def _stillness(idle: Sequence[float], containers: int, interval: float) -> str:
    """What the engine's column cannot tell from nothing."""
    low, high = min(idle), max(idle)
    noise = (high - low) / containers * interval * 1e6
    return (
        f"With nobody watching the engine takes {low * 1000:.1f} to {high * 1000:.1f} ms of CPU a second: "
        f"up to {noise:.0f} µs a container-sample are no difference."
    )


def _plot(rows: Sequence[Row], measured: dict[str, list[Figures]]) -> None:
    bars = {
        row.name: (
            statistics.median(each.own for each in measured[row.name]),
            max(0.0, statistics.median(each.engine for each in measured[row.name])),
        )
        for row in rows
    }
    plots.bars("host", "CPU, µs per container-sample", ("own", "dockerd, containerd, shims"), bars)


if __name__ == "__main__":
    main()
