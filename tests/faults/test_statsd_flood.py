"""Garbage and valid lines as fast as two senders go: containers are sampled on time, losses are counted."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from support.metrics import Heard

from statspout.testing import FakeEngine

pytestmark = pytest.mark.alone

SECONDS = 15
LINES = 20
"""In a packet."""

SENDER = """
import random, socket, sys, time
port, seconds, name, lines = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], int(sys.argv[4])
chance = random.Random(name)
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.connect(("127.0.0.1", port))

def line():
    what, number = chance.random(), chance.randrange(10**9)
    if what < 0.3:
        return bytes(chance.choices([b for b in range(256) if b != 10], k=chance.randrange(1, 80)))
    if what < 0.5:
        return b"new.%d:1|c|#k:%d" % (number, number)
    return chance.choice([b"flood.c:1|c", b"flood.t:%d.5|ms" % number, b"flood.s:%d|s" % number])

# Every packet has one of these, by which the packets that were read are counted.
packets = [b"\\n".join([b"mark:1|c", *(line() for _ in range(lines - 1))]) for _ in range(5000)]
sent, end = 0, time.monotonic() + seconds
while time.monotonic() < end:
    for packet in packets:
        sender.send(packet)
    sent += len(packets)
print(sent)
"""

STREAM = """
import socket, sys
sender = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
while True:
    sender.sendall(b"endless:1|c\\n" * 10_000)
"""


@pytest.fixture(scope="module")
def flooded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """What a daemon said of itself after the flood; ``sent``, ``marks`` (packets), ``memory``, and so on."""
    folder = tmp_path_factory.mktemp("flood")
    with FakeEngine() as engine:
        for name in ("web", "db", "cache"):
            engine.add(name, cpu=0.5)
        return flood(folder, f"--socket.path={engine.socket_path}")


def flood(folder: Path, engine: str) -> dict[str, float]:
    heard = Heard(
        folder, engine, "--interval=1", "--health.address=127.0.0.1:0", "--listen.statsd-max-series=2000", demo=False
    )
    with heard.daemon as daemon:
        port = heard.address("udp")[1]
        daemon.eventually(lambda: scrape(heard).get("statspout_samples_total"))
        with socket.create_connection(heard.address("tcp")) as connection:
            connection.sendall(b"regular:1|c\nmark:0|c\n")
        daemon.eventually(lambda: heard.of("regular"))
        command = [sys.executable, "-c", SENDER, str(port), str(SECONDS)]
        senders = [
            subprocess.Popen([*command, name, str(LINES)], stdout=subprocess.PIPE, text=True) for name in ("one", "two")
        ]
        memory, regular = watched(heard, senders)
        sent = sum(int(sender.communicate()[0]) for sender in senders)
        while not heard.of("after"):
            # The first of them may meet a full buffer, or series that are all taken.
            heard.udp(b"mark:1|c\nafter:1|c")
            sent += 1
            time.sleep(0.3)
        found = daemon.eventually(lambda: balanced(scrape(heard), sent))
        assert daemon.terminate() == 0
        marks = sum(record["value"] for record in heard.of("mark"))
        found |= {"sent": sent, "marks": marks, "memory": memory, "intervals": float(len(heard.of("mark")))}
        found |= {"regular": sum(record["value"] for record in heard.of("regular")), "regular sent": regular + 1}
        samples = Counter(r["container"]["name"] for r in heard.records() if r["kind"] == "sample")
        found["samples"] = min(samples.values())
    late = found["statspout_tick_lateness_seconds_max"] * 1000
    # For whoever runs it with -s: what it was that it stood.
    sys.stdout.write(
        f"offered {sent / SECONDS:,.0f} packets/s of {LINES} lines, read {marks / SECONDS:,.0f}; "
        f"late by at most {late:.1f} ms; {memory / 2**20:.0f} MiB\n"
    )
    return found


def balanced(found: dict[str, float], sent: int) -> dict[str, float] | None:
    """What the daemon says, once every packet is in it."""
    known = found["statspout_statsd_packets_total"] + found["statspout_statsd_socket_drops_total"]
    return found if known == sent else None


def watched(heard: Heard, senders: list[subprocess.Popen[str]]) -> tuple[float, int]:
    """The most bytes that were resident while they sent, and how many lines somebody sent over TCP meanwhile."""
    most, lines = 0.0, 0
    with socket.create_connection(heard.address("tcp")) as connection:
        while any(sender.poll() is None for sender in senders):
            connection.sendall(b"regular:1|c\n")
            lines += 1
            pages = int(Path(f"/proc/{heard.daemon.pid}/statm").read_text().split()[1])
            most = max(most, pages * 4096)
            time.sleep(0.1)
    return most, lines


def scrape(heard: Heard) -> dict[str, float]:
    text = heard.daemon.get("/metrics", "health.address").body.decode()
    rows = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in rows}


def test_every_packet_was_read_or_is_counted_as_dropped(flooded: dict[str, float]) -> None:
    assert flooded["sent"] > 100_000, "too little happened"
    assert flooded["statspout_statsd_socket_drops_total"] > 0, "the flood was none"
    read = flooded["statspout_statsd_packets_total"]
    assert read + flooded["statspout_statsd_socket_drops_total"] == flooded["sent"]
    assert read == flooded["marks"]


def test_garbage_is_counted_by_kind_and_series_are_bounded(flooded: dict[str, float]) -> None:
    bad = {name: count for name, count in flooded.items() if name.startswith("statspout_statsd_bad_lines_total")}
    assert sum(bad.values()) > flooded["marks"]
    assert flooded["statspout_statsd_series"] <= 2000
    assert flooded['statspout_statsd_left_out_total{reason="series"}'] > 0


def test_containers_are_sampled_on_time(flooded: dict[str, float]) -> None:
    """Every second all the while: no due time passed while a poll was under way, and no container missed one."""
    assert flooded["statspout_ticks_skipped_total"] == 0
    assert flooded["samples"] >= SECONDS - 1
    assert flooded["intervals"] >= SECONDS - 1


def test_what_was_known_before_the_flood_is_not_driven_out_by_it(flooded: dict[str, float]) -> None:
    assert flooded["regular"] == flooded["regular sent"] > 0


def test_memory_is_bounded(flooded: dict[str, float]) -> None:
    assert flooded["memory"] < 200 * 2**20


def test_the_daemon_ends_though_senders_over_tcp_never_pause(tmp_path: Path) -> None:
    heard = Heard(tmp_path, "--interval=1", statsd="tcp://127.0.0.1:0")
    with heard.daemon as daemon:
        command = [sys.executable, "-c", STREAM, str(heard.address("tcp")[1])]
        senders = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(4)]
        try:
            heard.first("endless")
            assert daemon.terminate() == 0
        finally:
            for sender in senders:
                sender.kill()
                sender.wait()
