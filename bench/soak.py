"""A daemon that runs on and on beside containers that come and go: whether anything of it grows.

::

    python bench/soak.py [--minutes M] [--containers N] [--interval S] [--save]

A simulated engine, of which a container is replaced every second; the daemon serves REST and Prometheus, which are
asked every second, writes lines that nobody keeps, and takes StatsD from a sender that never stops. PSS, the
memory that no file is behind, descriptors, threads, and how late polls were since the look before are noted 120 times
in the run. ``--save`` keeps the table and a plot. The exit code is 1 when the last third of the run took 1 MB more
of its own than the third before it: by then a run of half an hour has everything in place that stays.
"""

from __future__ import annotations

import argparse
import re
import socket
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import plots
from measuring import ROOT, Program, Report, statspout, told

from statspout.testing import FakeEngine

MOST_GROWTH = 1.0
"""MB of its own from the second third to the last: less than 2 kB for each container that came and went."""

LOOKS = 120
"""Points of the plot."""

FLAGS = (
    f"--plugin={ROOT}/bench/discard.py:Discard", "--repository=discard,rest,prometheus",
    "--rest.address=127.0.0.1:0", "--prometheus.address=127.0.0.1:0", "--health.address=127.0.0.1:0",
    "--listen.statsd=127.0.0.1:0",
)  # fmt: skip


class Look(NamedTuple):
    """The daemon at one moment; memory in MB, ``lateness`` in ms, the mean of the polls since the look before."""

    minutes: float
    pss: float
    own: float
    descriptors: float
    threads: float
    lateness: float
    skipped: float


class Watched:
    """The daemon and the ports that it said it has."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.rest, self.prometheus, self.health, self.statsd = map(
            self._port, ("rest.address", "prometheus.address", "health.address", "listen.statsd")
        )
        self._late = (0.0, 0.0)

    def _port(self, setting: str) -> int:
        for _ in range(200):
            if found := re.search(rf" {setting}: \w+://[^:\s]+:(\d+)", self._program.err.read_text()):
                return int(found[1])
            self._program.check()
            time.sleep(0.05)
        raise SystemExit(f"the daemon does not say where it has {setting}")

    def ask(self, port: int, path: str) -> str:
        """What it serves there."""
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def look(self, minutes: float) -> Look:
        """How it is now."""
        page = dict(line.rsplit(" ", 1) for line in self.ask(self.health, "/metrics").splitlines() if line[0] != "#")
        total, count = (float(page[f"statspout_tick_lateness_seconds_{end}"]) for end in ("sum", "count"))
        before, self._late = self._late, (total, count)
        polls = count - before[1]
        return Look(
            minutes,
            pss=self._program.memory() / 1e6,
            own=self._program.memory("Anonymous") / 1e6,
            descriptors=len(list(Path(f"/proc/{self._program.pid}/fd").iterdir())),
            threads=len(list(Path(f"/proc/{self._program.pid}/task").iterdir())),
            lateness=(total - before[0]) / polls * 1000 if polls else 0.0,
            skipped=float(page["statspout_ticks_skipped_total"]),
        )


def main() -> None:
    """Run, print, and say by the exit code whether it grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--containers", type=int, default=50)
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--save", action="store_true", help="keep the table and the plot in docs/performance")
    given = parser.parse_args()
    with FakeEngine() as engine:
        for number in range(given.containers):
            engine.add(f"soak-{number}", cpu=0.1)
        with Program(statspout(str(engine.socket_path), f"--interval={given.interval:g}", *FLAGS)) as program:
            looks = soaked(Watched(program), engine, given.minutes * 60, given.containers)
    told_of(looks, given.minutes, given.containers, given.save)
    if grew([look.own for look in looks]):
        raise SystemExit("its memory grew")


def soaked(daemon: Watched, engine: FakeEngine, seconds: float, containers: int) -> list[Look]:
    """Keep it busy until the time is over, and look."""
    looks: list[Look] = []
    began, number = time.monotonic(), containers
    daemon.look(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        while (passed := time.monotonic() - began) < seconds:
            for series in range(100):
                with suppress(OSError):
                    sender.sendto(b"soak.%d:%d|ms\nsoak.total:1|c" % (series, number), ("127.0.0.1", daemon.statsd))
            daemon.ask(daemon.rest, "/stats")
            daemon.ask(daemon.prometheus, "/metrics")
            engine.remove(f"soak-{number - containers}")
            engine.add(f"soak-{number}", cpu=0.1)
            number += 1
            if passed >= (len(looks) + 1) * seconds / LOOKS:
                looks.append(daemon.look(passed / 60))
            if number % 60 == 0 and looks:
                told(f"{passed / 60:.1f} min: {looks[-1].pss:.1f} MB, {looks[-1].descriptors:.0f} descriptors")
            time.sleep(1)
    return looks


def grew(memory: Sequence[float]) -> bool:
    """Whether the last third takes more than it may above the third before it."""
    third = len(memory) // 3
    if not third:
        raise SystemExit("too short a run to say anything")
    before, last = statistics.median(memory[third : 2 * third]), statistics.median(memory[-third:])
    return last > before + MOST_GROWTH


def told_of(looks: Sequence[Look], minutes: float, containers: int, save: bool) -> None:
    """The table, and with ``save`` the plot."""
    report = Report(
        f"{minutes:g} minutes beside {containers} containers, one of which is replaced every second",
        ("", "first third", "second third", "last third", "most"),
        decimals=dict.fromkeys(("first third", "second third", "last third", "most"), 1),
    )
    names = {
        "PSS in MB": "pss", "of its own in MB": "own", "descriptors": "descriptors", "threads": "threads",
        "lateness in ms, mean": "lateness",
    }  # fmt: skip
    third = max(1, len(looks) // 3)
    for title, name in names.items():
        values = [float(getattr(look, name)) for look in looks]
        parts = (values[:third], values[third : 2 * third], values[-third:])
        report.rows.append([title, *map(statistics.median, parts), max(values)])
    report.notes.append(f"Of the thirds the medians; ticks skipped in all: {looks[-1].skipped:.0f}.")
    report.show()
    if save:
        report.save("soak")
        lines = {title: [(look.minutes, getattr(look, name)) for look in looks] for title, name in names.items()}
        plots.save("soak", "minutes", {title: {"statspout": points} for title, points in lines.items()})


if __name__ == "__main__":
    main()
