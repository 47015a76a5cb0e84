"""Whether the engine has any work with a statspout that reads the kernel's files: pairs of windows, watched and not.

::

    python bench/still.py [--containers N] [--interval S] [--seconds S] [--pairs N] [--save]

The daemon is stopped and continued (SIGSTOP, SIGCONT) in turn, so that windows with and without it alternate; what it
leaves undone while it is stopped it does not make up for. A window is as long as the time between two lists of the
containers, so that there is one in each that is watched. Microseconds of CPU per container-sample, with the standard
error of the mean difference. dockerd alone is the sharper look: nothing else of the engine works unless it asks.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import statistics
import time

from fleet import Fleet, fleet
from measuring import ROOT, Program, Report, cpu_of, statspout, told

from statspout.sources.discovery import RELIST


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--containers", type=int, default=100)
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=RELIST, help="of a window")
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--save", action="store_true", help="keep the results for docs/performance.md")
    given = parser.parse_args()
    with fleet(given.containers) as containers:
        discard = f"--plugin={ROOT}/bench/discard.py:Discard"
        command = statspout(
            containers.socket, f"--interval={given.interval:g}", "--collector=cgroup", discard, "--repository=discard"
        )
        with Program(command) as program:
            time.sleep(10)
            pairs = [_pair(program, containers, given.seconds, number) for number in range(given.pairs)]
    report = Report(
        f"What {given.containers} containers every {given.interval:g} s through the kernel's files cost the engine",
        ("CPU in µs per container-sample", "not watched", "watched", "difference", "standard error"),
        decimals=dict.fromkeys(("not watched", "watched", "difference", "standard error"), 1),
    )
    scale = 1e6 * given.interval / given.containers
    for index, name in enumerate(("dockerd", "dockerd, containerd and shims")):
        without, watched = [p[0][index] * scale for p in pairs], [p[1][index] * scale for p in pairs]
        differences = [b - a for a, b in zip(without, watched, strict=True)]
        error = statistics.stdev(differences) / math.sqrt(len(differences))
        means = (statistics.mean(without), statistics.mean(watched), statistics.mean(differences))
        report.rows.append([name, *means, error])
    report.show()
    if given.save:
        report.save("still")


Rates = tuple[float, float]
"""CPU seconds per second: of dockerd, and of the whole engine."""


def _pair(program: Program, containers: Fleet, seconds: float, number: int) -> tuple[Rates, Rates]:
    told(f"pair {number + 1}")
    program.check()
    os.kill(program.pid, signal.SIGSTOP)
    without = _rates(containers, seconds)
    os.kill(program.pid, signal.SIGCONT)
    return without, _rates(containers, seconds)


def _rates(containers: Fleet, seconds: float) -> Rates:
    time.sleep(0.5)
    pids = containers.engine_pids()
    dockerd, everything, began = cpu_of([containers.engine.dockerd.pid]), cpu_of(pids), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    return (
        (cpu_of([containers.engine.dockerd.pid]) - dockerd) / took,
        (cpu_of(pids) - everything) / took,
    )


if __name__ == "__main__":
    main()
