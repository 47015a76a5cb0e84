"""What a StatsD line costs its server: ours beside others, the same lines from the same sender, one after the other.

::

    python bench/statsd.py [--seconds S] [--rounds N] [--save]

Lines are counters, timers and gauges of 1,000 series without tags, which every server reads, as buffered clients send
them (packets of up to 1,432 bytes) and as others do (a line a packet), at a steady pace over UDP on the loopback. CPU
is user+sys of the whole server, the median of the rounds, for the lines that it took from its socket: what the kernel
dropped is not among them. So ``lines/s`` is what one core would do. Nobody passes anything on.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from measuring import ENVIRONMENT, ROOT, Program, Report, simulated_engine, statspout, told

sys.path.insert(0, str(ROOT / "tests"))

from support.dockerd import free_port

PEERS = ROOT / ".work" / "peers"
FLUSH = 10
"""Seconds between two flushes, of all of them: what most are set to."""

SERIES = 1000
PACKET = 1432
TICK = 0.01

BUFFERED, SINGLE = "buffered", "a line a packet"
PACE = {BUFFERED: 150_000, SINGLE: 20_000}
"""Lines a second: what the slowest of them can take."""

LIBRARIES = {"LD_LIBRARY_PATH": f"{PEERS}/usr/lib/x86_64-linux-gnu:{PEERS}/lib/x86_64-linux-gnu"}


@dataclass
class Server:
    """A program to measure, listening at ``port``."""

    name: str
    command: list[str]
    port: int
    warm_up: float = 2.0
    environment: Mapping[str, str] = field(default_factory=lambda: ENVIRONMENT)
    note: str = ""


def ours(engine: str) -> Server:
    """The whole daemon, with an engine without containers."""
    port = free_port()
    arguments = [
        f"--plugin={ROOT}/bench/unheard.py:Unheard", "--repository=unheard", f"--listen.statsd=udp://127.0.0.1:{port}",
        f"--listen.statsd-interval={FLUSH}",
    ]  # fmt: skip
    return Server("statspout", statspout(engine, *arguments), port, note="4 percentiles, strict")


def etsy(work: Path) -> Server | None:
    """The reference server, in JavaScript."""
    program, node = PEERS / "statsd/node_modules/statsd/stats.js", shutil.which("node")
    if node is None or not program.exists():
        return None
    port = free_port()
    settings = {"port": port, "mgmt_port": free_port(), "address": "127.0.0.1", "flushInterval": FLUSH * 1000,
                "backends": [], "percentThreshold": [50, 90, 95, 99]}  # fmt: skip
    (work / "statsd.json").write_text(json.dumps(settings))
    version = json.loads((program.parent / "package.json").read_text())["version"]
    return Server(f"statsd {version} (node)", [node, str(program), str(work / "statsd.json")], port)


def netdata(work: Path) -> Server | None:
    """Netdata with nothing but its StatsD plugin."""
    program = PEERS / "usr/sbin/netdata"
    if not program.exists():
        return None
    port = free_port()
    folders = ("cache", "lib", "log", "config", "lock", "home")
    settings: dict[str, dict[str, object]] = {
        "global": {"run as user": "root", "update every": 1, "hostname": "bench"},
        "db": {"mode": "ram"},
        "directories": {
            **{name: work / name for name in folders},
            "stock config": PEERS / "usr/lib/netdata/conf.d", "plugins": PEERS / "usr/lib/netdata/plugins.d",
            "web": PEERS / "usr/share/netdata/web",
        },
        "web": {"bind to": f"127.0.0.1:{free_port()}"},
        "health": {"enabled": "no"}, "ml": {"enabled": "no"}, "registry": {"enabled": "no"},
        "statsd": {"bind to": f"udp:127.0.0.1:{port}", "update every (flushInterval)": FLUSH,
                   "max private charts hard limit": SERIES, "max private charts allowed": SERIES},
        "plugins": dict.fromkeys(
            ("proc", "diskspace", "idlejitter", "tc", "timex", "apps", "charts.d", "go.d", "python.d", "ebpf", "perf",
             "slabinfo", "nfacct", "cups", "fping", "ioping", "node.d", "checks", "loops", "cgroups",
             "enable running new plugins", "netdata monitoring", "netdata monitoring extended"), "no"
        ),
    }  # fmt: skip
    parts = [
        f"[{part}]\n" + "\n".join(f"    {name} = {value}" for name, value in values.items())
        for part, values in settings.items()
    ]
    for name in folders:
        (work / name).mkdir(exist_ok=True)
    (work / "netdata.conf").write_text("\n".join(parts))
    command = [str(program), "-D", "-c", str(work / "netdata.conf")]
    return Server("Netdata 1.37, StatsD only (C)", command, port, 8.0, {**ENVIRONMENT, **LIBRARIES})


def collectd(work: Path) -> Server | None:
    """Collectd with nothing but its StatsD plugin."""
    program = PEERS / "usr/sbin/collectd"
    if not program.exists():
        return None
    port = free_port()
    percentiles = "\n".join(f"    TimerPercentile {each}" for each in (50, 90, 95, 99))
    (work / "collectd.conf").write_text(f"""
BaseDir "{work}"
PIDFile "{work}/pid"
PluginDir "{PEERS}/usr/lib/collectd"
TypesDB "{PEERS}/usr/share/collectd/types.db"
Interval {FLUSH}
LoadPlugin statsd
<Plugin statsd>
    Host "127.0.0.1"
    Port "{port}"
{percentiles}
</Plugin>
""")
    command = [str(program), "-f", "-C", str(work / "collectd.conf")]
    return Server("collectd 5.12, StatsD only (C)", command, port, environment={**ENVIRONMENT, **LIBRARIES})


PEER_SERVERS: tuple[Callable[[Path], Server | None], ...] = (etsy, netdata, collectd)


def packets(shape: str) -> list[tuple[bytes, int]]:
    """A second's worth of packets, and how many lines each has."""
    chance = random.Random(1)
    lines = [_line(chance) for _ in range(PACE[shape])]
    if shape == SINGLE:
        return [(line, 1) for line in lines]
    found: list[tuple[bytes, int]] = []
    held: list[bytes] = []
    size = 0
    for line in lines:
        if size + len(line) + 1 > PACKET:
            found.append((b"\n".join(held), len(held)))
            held, size = [], 0
        held.append(line)
        size += len(line) + 1
    return [*found, (b"\n".join(held), len(held))]


def _line(chance: random.Random) -> bytes:
    number = chance.randrange(SERIES)
    name = b"shop.checkout.region%d.metric%d" % (number % 7, number)
    if number < SERIES * 0.6:
        return name + b":1|c"
    return name + (b":%d|ms" % chance.randrange(500) if number < SERIES * 0.9 else b":%d|g" % chance.randrange(10**5))


def send(given: Sequence[tuple[bytes, int]], port: int, seconds: float) -> int:
    """Send them again and again, so many a tick; returns how many packets that was."""
    each = max(1, round(len(given) * TICK))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", port))
        sent, began = 0, time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            while sent < passed / TICK * each:
                for packet, _ in (given[(sent + i) % len(given)] for i in range(each)):
                    with suppress(ConnectionRefusedError):
                        sender.send(packet)
                sent += each
            time.sleep(TICK / 2)
    return sent


def drops(port: int) -> int:
    """Packets that the kernel dropped at the sockets with this port."""
    rows = [line.split() for name in ("udp", "udp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return sum(int(row[12]) for row in rows if int(row[1].rpartition(":")[2], 16) == port)


@dataclass(frozen=True)
class Figures:
    """CPU seconds a line, the part of the packets that was lost, and bytes."""

    cpu: float
    lost: float
    memory: int


def measure(server: Server, seconds: float) -> dict[str, Figures]:
    """Each shape of packets for so many seconds, to one start of the server."""
    found = {}
    with Program(server.command, server.environment) as program:
        time.sleep(server.warm_up)
        for shape in PACE:
            given = packets(shape)
            per_packet = sum(lines for _, lines in given) / len(given)
            send(given, server.port, 1)
            time.sleep(0.5)
            cpu, lost = program.cpu(), drops(server.port)
            sent = send(given, server.port, seconds)
            time.sleep(0.5)
            cpu, lost = program.cpu() - cpu, drops(server.port) - lost
            found[shape] = Figures(cpu / ((sent - lost) * per_packet), lost / sent, program.memory())
            told(f"{server.name}: {shape}: {1 / found[shape].cpu:,.0f} lines/s, {found[shape].lost:.1%} lost")
    return found


@contextmanager
def servers() -> Iterator[list[Server]]:
    """All that are there."""
    with simulated_engine(0) as engine, tempfile.TemporaryDirectory(prefix="statspout-bench-") as folder:
        found = [ours(engine)]
        for make in PEER_SERVERS:
            work = Path(folder, make.__name__)
            work.mkdir()
            if (server := make(work)) is not None:
                found.append(server)
        yield found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each shape of packets")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", action="store_true", help="keep the result for docs/performance.md")
    arguments = parser.parse_args()
    with servers() as found:
        rounds = [
            {server.name: measure(server, arguments.seconds) for server in found} for _ in range(arguments.rounds)
        ]
        report = _report(found, rounds)
    report.show()
    if arguments.save:
        report.save("statsd")


def _report(found: Sequence[Server], rounds: Sequence[dict[str, dict[str, Figures]]]) -> Report:
    report = Report(
        f"StatsD, {SERIES} series, flushed every {FLUSH} s; lines a second of one core's CPU time",
        ("server", "buffered", "µs/line", "least to most", "a line a packet", "µs/line ", "lost %", "PSS MB", ""),
        decimals={"buffered": 0, "µs/line": 2, "a line a packet": 0, "µs/line ": 2, "lost %": 2, "PSS MB": 1},
    )
    for server in found:
        figures = [one[server.name] for one in rounds]
        every = {shape: [one[shape].cpu for one in figures] for shape in PACE}
        cpu = {shape: statistics.median(each) for shape, each in every.items()}
        lost = max(one[shape].lost for one in figures for shape in PACE)
        report.rows.append(
            [
                server.name, 1 / cpu[BUFFERED], cpu[BUFFERED] * 1e6,
                f"{min(every[BUFFERED]) * 1e6:.2f} to {max(every[BUFFERED]) * 1e6:.2f}",
                1 / cpu[SINGLE], cpu[SINGLE] * 1e6, lost * 100, figures[-1][SINGLE].memory / 1e6, server.note,
            ]
        )  # fmt: skip
    return report


if __name__ == "__main__":
    main()
