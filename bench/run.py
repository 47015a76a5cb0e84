"""What watching containers costs, as tables. ``make bench`` runs all of it in about two minutes.

CPU is user+sys of the whole process, all its threads, in microseconds per container-sample, at the real interval; the
start of the process is not in it. Programs under comparison run in turn against the same simulated engine, which has a
process of its own. Only ratios within one run mean anything: wall time and absolute figures depend on the machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
WARM_UP = 4.0


@dataclass(frozen=True)
class Figures:
    """What one program came to: CPU seconds and samples in the window, bytes of memory at its end."""

    cpu: float
    samples: int
    memory: int
    note: str = ""

    @property
    def each(self) -> float:
        """Microseconds of CPU per container-sample."""
        return self.cpu / self.samples * 1e6 if self.samples else float("nan")


@contextmanager
def simulated_engine(containers: int) -> Iterator[str]:
    """A simulated engine in a process of its own; yields the path of its socket."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/docker.sock"
        command = [sys.executable, "-m", "statspout.testing.engine", "--containers", str(containers), "--socket", path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                yield path
            finally:
                process.terminate()


def measure(command: list[str], seconds: float, count: Callable[[Path], int]) -> Figures:
    """Run ``command`` with its output in a file; ``count`` tells from that file how many samples there are."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "out")
        with output.open("wb") as out, Path(folder, "err").open("wb") as err:
            process = subprocess.Popen(command, stdout=out, stderr=err)
        try:
            time.sleep(WARM_UP)
            before, already = cpu_seconds(process.pid), count(output)
            time.sleep(seconds)
            after, total = cpu_seconds(process.pid), count(output)
            return Figures(after - before, total - already, proportional_memory(process.pid))
        finally:
            process.terminate()
            process.wait()


def cpu_seconds(pid: int) -> float:
    """User and system CPU seconds of a process, all its threads, to the nanosecond."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def proportional_memory(pid: int) -> int:
    """Bytes of memory, what is shared counted by its share."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def lines(output: Path) -> int:
    """Samples in a file that has a line for each."""
    return output.read_bytes().count(b"\n")


def statspout(path: str, *arguments: str) -> list[str]:
    """The daemon on the engine at ``path``."""
    return [sys.executable, "-m", "statspout", f"--socket.path={path}", *arguments]


def table(title: str, rows: list[tuple[str, Figures]], reference: str) -> None:
    """Print figures with their ratio to the row called ``reference``."""
    base = dict(rows)[reference].each
    print(f"\n{title}\n{'':34}{'us/sample':>10}{'ratio':>8}{'samples':>9}{'PSS MB':>8}")
    for name, figures in rows:
        ratio = figures.each / base
        print(f"{name:<34}{figures.each:>10.1f}{ratio:>8.2f}{figures.samples:>9}{figures.memory / 1e6:>8.1f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--containers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--interval", type=float, default=1.0)
    given = parser.parse_args()
    every = f"--interval={given.interval:g}"
    rows: list[tuple[str, Figures]] = []
    with simulated_engine(given.containers) as path:
        programs = {
            "statspout, stdout text": statspout(path, every),
            "statspout, stdout json": statspout(path, every, "--stdout.format=json"),
            "statspout, stdout and live both": statspout(
                path,
                every,
                "--repository=stdout,rest,prometheus",
                "--rest.address=127.0.0.1:0",
                "--prometheus.address=127.0.0.1:0",
            ),
            "docker-py, 20 threads": [sys.executable, str(HERE / "dockerpy.py"), path, str(given.interval)],
        }
        for name, command in programs.items():
            print(f"{name}: {given.seconds:g} s ...", file=sys.stderr)
            rows.append((name, measure(command, given.seconds, lines)))
    title = (
        f"{given.containers} simulated containers every {given.interval:g} s, one-shot statistics over a unix socket"
    )
    table(title, rows, "statspout, stdout text")
    for script in ("exposition.py", "delivery.py", "lines.py"):
        print(flush=True)
        subprocess.run([sys.executable, str(HERE / script)], check=True)


if __name__ == "__main__":
    main()
