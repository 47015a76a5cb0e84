"""What the benchmarks measure with: CPU and memory of processes, the machine, and the table that comes of it.

CPU is user+sys of whole processes, all their threads, to the nanosecond. Only ratios within one run mean anything.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "performance"

# The checkout must not stand in for the installed package in the programs that are measured. They keep the modules that
# they compile, as pip does: a program that compiles its modules at every start takes twice the time and 3 MB more.
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONSAFEPATH": "1",
    "PYTHONPATH": str(ROOT / "bench"),
}


def told(text: str) -> None:
    """Progress goes to stderr: stdout has the table."""
    print(text, file=sys.stderr, flush=True)


# this process


def own_cpu() -> float:
    """CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def least(work: Callable[[], object], rounds: int = 5) -> float:
    """The least CPU seconds that ``work`` took."""
    took = []
    for _ in range(rounds):
        began = own_cpu()
        work()
        took.append(own_cpu() - began)
    return min(took)


# other processes


def below(pids: Iterable[int]) -> set[int]:
    """These processes and all their descendants that live now."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found, todo = set(), list(pids)
    while todo:
        pid = todo.pop()
        found.add(pid)
        todo += children.get(pid, [])
    return found


def cpu_of(pids: Iterable[int]) -> float:
    """User and system CPU seconds of the threads that live now."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with suppress(OSError):
                total += int(task.read_text().split()[0])
    return total / 1e9


def memory_of(pids: Iterable[int], kind: str = "Pss") -> int:
    """Bytes of memory, what is shared counted by its share (PSS); as ``Rss`` it is counted whole."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith(f"{kind}:"):
                    total += int(line.split()[1]) * 1024
    return total


class Program:
    """A program under measurement; the end of a ``with`` ends it. Its output is in ``out``, its errors in ``err``."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] = ENVIRONMENT, stdin: bytes = b""
    ) -> None:
        self._command = " ".join(command)
        self._folder = tempfile.TemporaryDirectory(prefix="statspout-bench-")
        self.out, self.err = Path(self._folder.name, "out"), Path(self._folder.name, "err")
        given = Path(self._folder.name, "in")
        given.write_bytes(stdin)
        self.started = time.monotonic()
        with given.open("rb") as source, self.out.open("wb") as out, self.err.open("wb") as err:
            self._process = subprocess.Popen(
                command, stdin=source, stdout=out, stderr=err, env=dict(environment), cwd=self._folder.name
            )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def pids(self) -> set[int]:
        """The program's processes, and the ones that it started."""
        self.check()
        return below([self.pid])

    def cpu(self) -> float:
        """CPU seconds so far."""
        return cpu_of(self.pids())

    def memory(self, kind: str = "Pss") -> int:
        """Bytes now, as :func:`memory_of` counts them."""
        return memory_of(self.pids(), kind)

    def check(self) -> None:
        """Raise what it said when it ended by itself."""
        if self._process.poll() is not None:
            said = self.err.read_text(errors="replace")[-2000:]
            raise SystemExit(f"{self._command}: ended with {self._process.returncode}:\n{said}")

    def close(self) -> None:
        """End it and what it started."""
        if self._process.poll() is None:
            everybody = below([self.pid])
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            for pid in everybody:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()
        self._folder.cleanup()


@contextmanager
def simulated_engine(containers: int, *more: str) -> Iterator[str]:
    """A simulated engine in a process of its own; yields the path of its socket."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/docker.sock"
        command = [sys.executable, "-m", "statspout.testing.engine", "--containers", str(containers), "--socket", path]
        with subprocess.Popen([*command, *more], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                yield path
            finally:
                process.terminate()


def statspout(path: str, *arguments: str) -> list[str]:
    """The daemon on the engine at ``path``."""
    return [sys.executable, "-m", "statspout", f"--socket.path={path}", *arguments]


# what comes of it

Cell = str | float | int | None


@dataclass
class Report:
    """A table with what it was measured on. Floats are shown with as many decimals as ``decimals`` says by column."""

    title: str
    columns: Sequence[str]
    rows: list[list[Cell]] = field(default_factory=list)
    decimals: Mapping[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def show(self) -> None:
        """Print it, aligned."""
        lines = [
            list(self.columns),
            *([self.shown(c, v) for c, v in zip(self.columns, r, strict=True)] for r in self.rows),
        ]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        print(f"\n{self.title}")
        for line in lines:
            print(
                "  ".join(
                    [f"{line[0]:<{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(line[1:], widths[1:], strict=True))]
                )
            )
        for note in self.notes:
            print(note)
        sys.stdout.flush()

    def shown(self, column: str, value: Cell) -> str:
        """One cell as text."""
        if value is None:
            return "-"
        return f"{value:,.{self.decimals.get(column, 1)}f}" if isinstance(value, float) else str(value)

    def save(self, name: str) -> None:
        """Keep it for the documentation, from which ``scripts/docs.py`` makes its table."""
        RESULTS.mkdir(exist_ok=True)
        kept = {
            "title": self.title,
            "command": " ".join(["python", *(sys.argv[:1] and [f"bench/{Path(sys.argv[0]).name}"]), *sys.argv[1:]]),
            "taken": time.strftime("%Y-%m-%d"),
            "machine": machine(),
            "columns": list(self.columns),
            "rows": [[self.shown(c, v) for c, v in zip(self.columns, row, strict=True)] for row in self.rows],
            "notes": self.notes,
        }
        Path(RESULTS, f"{name}.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def machine() -> str:
    """The machine in one line: processors, memory, kernel, cgroup version, Python."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?"
    )
    memory = next(int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    release = next(
        (line.partition("=")[2].strip('"') for line in _lines("/etc/os-release") if line.startswith("PRETTY")), ""
    )
    version = 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1
    return (
        f"{os.cpu_count()} x {model}, {memory / 2**20:.0f} GiB, {release}, Linux {platform.release()}, "
        f"cgroup v{version}, Python {platform.python_version()}"
    )


def _lines(path: str) -> list[str]:
    with suppress(OSError):
        return Path(path).read_text().splitlines()
    return []
