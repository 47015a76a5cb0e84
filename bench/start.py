"""What a start costs until the first sample is at its destination, and how much memory the daemon has then and later.

::

    python bench/start.py [--starts N] [--containers N] [--steady S] [--only NAME+NAME] [--save]

Every repository has a real destination, and every daemon the same containers: simulated ones where the engine is asked,
real ones of a real engine where the kernel is. Seconds are wall time from exec on, CPU is user+sys of the whole process
until the sample was seen, which is looked for every 20 ms; both are medians of the starts. The last start of each goes
on for the steady memory. PSS depends on who else runs Python beside it; RSS is the most that it can be.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import signal
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from measuring import ENVIRONMENT, Cell, Program, Report, simulated_engine, statspout, told

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.engine import starting
from support.influxdb import Influxd, free_port
from support.mongodb import MongoServer
from support.receiver import Receiver

LOOK = 0.02
"""Seconds between two looks at a destination."""

PATIENCE = 60.0
MB = 1e6

COLUMNS = ("program", "collector", "first sample s", "CPU s", "PSS MB", "PSS MB steady", "RSS MB steady", "modules")


@dataclass(frozen=True)
class Start:
    """One start: the settings that lead to a fresh destination, and how to tell that a sample is there."""

    flags: Sequence[str]
    arrived: Callable[[Program], bool]


def said(program: Program) -> bool:
    return program.out.stat().st_size > 0


def got(url: str) -> bytes:
    """What is served there; nothing while nobody serves it."""
    with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
        return bytes(answer.read())
    return b""


def scraped(address: str) -> bool:
    return any(line and not line.startswith(b"#") for line in got(f"http://{address}/metrics").splitlines())


def to_stdout() -> Start:
    return Start(["--repository=stdout"], said)


def to_rest() -> Start:
    address = f"127.0.0.1:{free_port()}"
    flags = ["--repository=rest", f"--rest.address={address}"]
    return Start(flags, lambda _: bool(json.loads(got(f"http://{address}/stats") or "[]")))


def to_prometheus() -> Start:
    address = f"127.0.0.1:{free_port()}"
    flags = ["--repository=prometheus", f"--prometheus.address={address}"]
    return Start(flags, lambda _: scraped(address))


def to_all_three() -> Start:
    address = f"127.0.0.1:{free_port()}"
    flags = [f"--repository={ALL_THREE}", f"--rest.address={address}", f"--prometheus.address={address}"]
    return Start(flags, lambda program: said(program) and scraped(address))


ALL_THREE = "stdout,rest,prometheus"


class Servers:
    """The servers that samples are pushed to, started when first needed; each start has a database of its own there."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._databases = (f"start{number}" for number in itertools.count(1))

    @cached_property
    def influxd(self) -> Influxd:
        """An InfluxDB 1.x."""
        return self._stack.enter_context(Influxd())

    @cached_property
    def mongo(self) -> MongoServer:
        """What speaks MongoDB's protocol."""
        return self._stack.enter_context(MongoServer())

    def to_influxdb(self) -> Start:
        """A start with a database that nobody had before."""
        server, name = self.influxd, next(self._databases)
        flags = ["--repository=influxdb", f"--influxdb.url={server.url}", f"--influxdb.database={name}"]
        return Start(flags, lambda _: bool(server.rows(name)))

    def to_mongodb(self) -> Start:
        """A start with a database that nobody had before."""
        server, name = self.mongo, next(self._databases)
        flags = ["--repository=mongodb", f"--mongodb.uri={server.uri}", f"--mongodb.database={name}"]
        return Start(flags, lambda _: server.client[name]["stats"].find_one() is not None)

    def to_webhook(self) -> Start:
        """A start with a receiver of its own."""
        server = self._stack.enter_context(Receiver())
        return Start(["--repository=webhook", f"--webhook.url={server.url}"], lambda _: bool(server.stored))


@contextmanager
def real_engine(containers: int) -> Iterator[str]:
    """An engine of our own with idle containers; yields the path of its socket."""
    with starting() as engine, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: engine.run(f"load-{n}", network_mode="none"), range(containers)))
        try:
            yield str(engine.socket)
        finally:
            engine.remove_started()


def wait(program: Program, start: Start) -> float:
    """Seconds until the first sample is at the destination."""
    while not start.arrived(program):
        program.check()
        if time.monotonic() - program.started > PATIENCE:
            raise SystemExit(f"{' '.join(start.flags)}: no sample in {PATIENCE:g} s:\n{program.err.read_text()}")
        time.sleep(LOOK)
    return time.monotonic() - program.started


TELLING = """
import signal, sys
signal.signal(signal.SIGUSR1, lambda *_: print("modules:", len(sys.modules), file=sys.stderr, flush=True))
"""
"""Goes before a program that is to say how many modules it has loaded."""


def modules(command: Sequence[str], start: Start) -> int:
    """How many modules it has loaded by then. This first start also compiles those that nobody had compiled yet."""
    python, how, what, *rest = command
    if how == "-m":
        what = f"import runpy; runpy.run_module({what!r}, run_name='__main__', alter_sys=True)"
    with Program([python, "-c", TELLING + what, *rest]) as program:
        wait(program, start)
        os.kill(program.pid, signal.SIGUSR1)
        while not (counted := re.search(r"^modules: (\d+)\n", program.err.read_text(), re.MULTILINE)):
            time.sleep(LOOK)
        return int(counted[1])


def measured(
    name: str, collector: str, command: list[str], new: Callable[[], Start], given: argparse.Namespace
) -> list[Cell]:
    """One row of the table."""
    told(f"{name}, {collector}: {given.starts} starts, then {given.steady:g} s")
    first = new()
    count = modules([*command, *first.flags], first)
    seconds, cpu, memory = [], [], []
    for number in range(given.starts):
        start = new()
        with Program([*command, *start.flags]) as program:
            seconds.append(wait(program, start))
            cpu.append(program.cpu())
            memory.append(program.memory())
            if number == given.starts - 1:
                time.sleep(given.steady)
                steady, whole = program.memory(), program.memory("Rss")
    return [
        name,
        collector,
        *map(statistics.median, (seconds, cpu)),
        statistics.median(memory) / MB,
        steady / MB,
        whole / MB,
        count,
    ]


def ended(name: str, command: list[str], starts: int) -> list[Cell]:
    """The row of a program that ends by itself: until its end."""
    seconds, cpu = [], []
    for _ in range(starts + 1):  # the first compiles
        quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
        began = time.monotonic()
        _, status, used = os.wait4(os.posix_spawn(command[0], command, ENVIRONMENT, file_actions=quiet), 0)
        seconds.append(time.monotonic() - began)
        cpu.append(used.ru_utime + used.ru_stime)
        if status:
            raise SystemExit(f"{' '.join(command)}: it failed")
    return [name, "-", statistics.median(seconds[1:]), statistics.median(cpu[1:]), None, None, None, None]


def floor(code: str, given: argparse.Namespace) -> list[Cell]:
    """The row of a bare Python that does this, says so, and stays."""
    stays = f"{code}; print(flush=True); import time; time.sleep(3600)"
    return measured(f'python -c "{code}"', "-", [sys.executable, "-c", stays], lambda: Start([], said), given)


def rows(given: argparse.Namespace) -> Iterator[list[Cell]]:
    yield floor("pass", given)
    yield floor("import asyncio", given)
    yield ended("python -m statspout --version", [sys.executable, "-m", "statspout", "--version"], given.starts)
    with ExitStack() as stack:
        servers = Servers(stack)
        destinations: dict[str, Callable[[], Start]] = {
            "stdout": to_stdout,
            "rest": to_rest,
            "prometheus": to_prometheus,
            ALL_THREE: to_all_three,
            "influxdb": servers.to_influxdb,
            "mongodb": servers.to_mongodb,
            "webhook": servers.to_webhook,
        }
        wanted = given.only.split("+") if given.only else list(destinations)
        for collector, engine in (("engine", simulated_engine), ("cgroup", real_engine)):
            with engine(given.containers) as path:
                for name in wanted:
                    yield measured(
                        name, collector, statspout(path, f"--collector={collector}"), destinations[name], given
                    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--containers", type=int, default=100)
    parser.add_argument("--steady", type=float, default=30.0, help="seconds from the first sample to the last look")
    parser.add_argument("--only", default="", help="destinations with + between them")
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    report = Report(
        f"Start and memory with {given.containers} containers: medians of {given.starts} starts, "
        f"and {given.steady:g} s after the last of them",
        COLUMNS,
        decimals={"first sample s": 2, "CPU s": 3},
    )
    report.rows.extend(rows(given))
    report.show()
    if given.save:
        report.save("start")


if __name__ == "__main__":
    main()
