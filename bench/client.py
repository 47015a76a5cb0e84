"""What a call of a StatsD client costs: ours beside `statsd` and `datadog` from PyPI, off, at once and summed up.

::

    python bench/client.py [--calls N] [--rounds N] [--save]

CPU is user+sys of the whole process that calls, its threads included, with the loop and what is sent at the end; each
cell is the least of the rounds, every round a process of its own. The server is a real UDP socket in another process,
which reads as fast as it can. `scripts/setup-peers` installs the others; the ones that are not there have no rows.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import timeit
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, product
from typing import NamedTuple

from measuring import ENVIRONMENT, ROOT, Cell, Report, own_cpu, told

PEERS = ROOT / ".work" / "peers" / "clients" / "bin" / "python"


class Client(NamedTuple):
    """Python code: what makes ``c``, by the way that it sends, what calls it, and what sends the rest."""

    python: str
    ways: dict[str, str]
    calls: dict[str, str]
    end: str


DATADOG = "from datadog.dogstatsd.base import DogStatsd\nc = DogStatsd('127.0.0.1', {port}, disable_telemetry=True, %s)"

CLIENTS = {
    "statspout": Client(
        sys.executable,
        {
            "off": "from statspout.client import StatsD\nc = StatsD()",
            "at once": "from statspout.client import StatsD\nc = StatsD('127.0.0.1:{port}', period=0)",
            "summed up": "from statspout.client import StatsD\nc = StatsD('127.0.0.1:{port}')",
        },
        {
            "count": "c.count('page.hits')",
            "gauge": "c.gauge_set('queue.depth', next(v))",
            "timing": "c.timing('page.time', next(v))",
            "tagged count": "c.count('page.hits', tags={'route': 'index'})",
        },
        "c.flush()",
    ),
    "statsd": Client(
        str(PEERS),
        {
            "at once": "from statsd import StatsClient\nc = StatsClient('127.0.0.1', {port})",
            "packed": "from statsd import StatsClient\nc = StatsClient('127.0.0.1', {port}).pipeline()",
        },
        {
            "count": "c.incr('page.hits')",
            "gauge": "c.gauge('queue.depth', next(v))",
            "timing": "c.timing('page.time', next(v))",
        },
        "getattr(c, 'send', int)()",
    ),
    "datadog": Client(
        str(PEERS),
        {
            "off": "import os; os.environ['DD_DOGSTATSD_DISABLE'] = 'true'\n" + DATADOG % "disable_buffering=True",
            "at once": DATADOG % "disable_buffering=True",
            "packed": DATADOG % "disable_buffering=False",
            "summed up": DATADOG % "disable_buffering=False, disable_aggregation=False, flush_interval=1.0",
        },
        {
            "count": "c.increment('page.hits')",
            "gauge": "c.gauge('queue.depth', next(v))",
            "timing": "c.timing('page.time', next(v))",
            "tagged count": "c.increment('page.hits', tags=['route:index'])",
        },
        "c.flush()",
    ),
}
WAYS = ("off", "at once", "packed", "summed up")
CALLS = ("count", "gauge", "timing", "tagged count")


def work(client: str, way: str, call: str, port: str, calls: str) -> None:
    """In a process of its own: print the CPU nanoseconds of a call."""
    chosen = CLIENTS[client]
    # Values as they are measured: levels, and milliseconds of a clock that has nanoseconds. No two alike in a row.
    values = cycle([number * 12_347 / 1e6 for number in range(1, 1000)] if call == "timing" else range(1000))
    names: dict[str, object] = {"v": values}
    exec(chosen.ways[way].format(port=port), names)
    timer = timeit.Timer(chosen.calls[call], globals=names)
    timer.timeit(1000)
    exec(chosen.end, names)
    began = own_cpu()
    timer.timeit(int(calls))
    exec(chosen.end, names)
    print((own_cpu() - began) / int(calls) * 1e9)
    sys.stdout.flush()
    os._exit(0)  # what a client does at its end is not part of a call


def drain() -> None:
    """In a process of its own: read from a socket, whose port is printed, for ever."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    print(receiver.getsockname()[1], flush=True)
    while True:
        receiver.recv(65536)


def command(python: str, *arguments: str) -> Sequence[str]:
    return [python, __file__, *arguments]


@contextmanager
def server() -> Iterator[str]:
    """The port of a socket that is read from in another process."""
    with subprocess.Popen(
        command(sys.executable, "--drain"), stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def measured(client: str, way: str, call: str, port: str, calls: int) -> float:
    """Nanoseconds of CPU that a call took in a process of its own."""
    arguments = command(CLIENTS[client].python, "--work", client, way, call, port, str(calls))
    return float(subprocess.run(arguments, capture_output=True, text=True, check=True, env=ENVIRONMENT).stdout)


def rows(calls: int, rounds: int) -> list[list[Cell]]:
    """A row for each client and way; rounds go over all of them, so that a slow minute is everybody's."""
    found = [name for name, client in CLIENTS.items() if os.path.exists(client.python)]  # noqa: PTH110
    pairs = [(name, way) for way, name in product(WAYS, found) if way in CLIENTS[name].ways]
    cells: dict[tuple[str, str, str], float] = {}
    with server() as port:
        for number in range(rounds):
            told(f"round {number + 1} of {rounds}")
            for (name, way), call in product(pairs, CALLS):
                if call in CLIENTS[name].calls:
                    took = measured(name, way, call, port, calls)
                    cells[name, way, call] = min(took, cells.get((name, way, call), took))
    return [[name, way, *(cells.get((name, way, call)) for call in CALLS)] for name, way in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--drain", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--work", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drain:
        drain()
    if arguments.work:
        work(*arguments.work)
    report = Report(
        f"CPU nanoseconds of a StatsD client's call: {arguments.calls:,} calls, the least of {arguments.rounds} rounds",
        ("client", "lines are sent", *CALLS),
        rows(arguments.calls, arguments.rounds),
        decimals=dict.fromkeys(CALLS, 0),
        notes=["Packed is a line for each call, many lines in a packet; summed up, timings are still told one by one."],
    )
    report.show()
    if arguments.save:
        report.save("client")


if __name__ == "__main__":
    main()
