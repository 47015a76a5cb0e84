"""StatsD of strangers: a line is taken for what it says or is bad, each is counted once, and hurts no other."""

from __future__ import annotations

import math
import random
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fuzz import SEED, TIMES, Memory, inputs, mutated, resident, tried
from support.metrics import Heard
from support.statsd_lines import TAKEN

from statspout.sample import Metric, Summary
from statspout.sources.apps.statsd.aggregate import Aggregator, Origin
from statspout.sources.apps.statsd.lines import KINDS, PRIORITIES, BadLine, Event, Line, ServiceCheck
from statspout.sources.apps.statsd.parse import parse
from statspout.sources.apps.statsd.summary import Percentile
from statspout.telemetry import Heard as Books

LINES = [line for line in TAKEN if line]
TOKENS = (
    b":", b"|", b"@", b"#", b",", b";", b"=", b"[", b"]", b"c", b"g", b"ms", b"s", b"|@0.1", b"|#a:b", b"|c:", b"|T1",
    b"-", b"+", b"1e308", b"1e-308", b"nan", b"inf", b"0", b"9" * 19, b"_e{1,1}:", b"_sc|", b"\r", b"\x00", b"\xff",
    b"1_0", "é".encode(),
)  # fmt: skip
LINE = mutated(LINES, TOKENS)


@inputs(800)
@given(LINE | st.binary(max_size=60))
def test_a_line_is_understood_or_bad_of_a_kind_that_is_counted(line: bytes) -> None:
    tried("StatsD lines")
    try:
        found = parse(line)
    except BadLine as error:
        assert error.kind in KINDS
        assert "\n" not in str(error)
        return
    if isinstance(found, Line):
        assert found.name
        assert found.readings
        for reading in found.readings:
            assert isinstance(reading.value, bytes) == (reading.type == "s")
            assert isinstance(reading.value, bytes) or math.isfinite(reading.value / reading.rate)
        assert [key for key, _ in found.tags] == sorted({key for key, _ in found.tags})
    elif isinstance(found, ServiceCheck):
        assert 0 <= found.status <= 3
    elif isinstance(found, Event):
        assert found.title
        assert found.priority in ("", *PRIORITIES)


WORD = st.text("abcdefgh.-_ é", min_size=1, max_size=9).map(str.strip).filter(bool)


@inputs(300)
@given(
    WORD, st.integers(-(10**17), 10**17) | st.floats(-1e300, 1e300), st.sampled_from(("c", "g", "ms", "h", "d")),
    st.sampled_from((None, 0.1, 0.5, 1.0)), st.dictionaries(WORD, WORD, max_size=3),
)  # fmt: skip
def test_a_line_in_good_order_means_what_was_meant(
    name: str, value: float, kind: Any, rate: float | None, tags: dict[str, str]
) -> None:
    tried("StatsD lines")
    line = f"{name}:{value!r}|{kind}" + (f"|@{rate}" if rate else "")
    line += f"|#{','.join(f'{key}:{tags[key]}' for key in tags)}" if tags else ""
    found = parse(line.encode())
    assert isinstance(found, Line)
    assert (found.name, found.readings[0].type, found.readings[0].value) == (name, kind, value)
    assert found.tags == tuple(sorted(tags.items()))
    assert found.readings[0].rate == (rate or 1) or kind == "g"


# added up


class Server:
    """An aggregator of which the intervals are one second; what it has counted is kept."""

    def __init__(self) -> None:
        self.books = Books()
        self.aggregator = Aggregator(self.books, percentiles=[Percentile("90")], most=500, memory=2**20)
        self.origin = Origin()
        self.now = 0.0

    def flush(self) -> list[Metric]:
        self.now += 1
        slices = self.aggregator.flush(round(self.now * 1e9), self.now, 1.0, "here")
        return [metric for metrics in slices for metric in metrics]


def numbers(metric: Metric) -> Iterator[float]:
    if isinstance(metric.value, Summary):
        yield from (metric.value.count, metric.value.sum, metric.value.min, metric.value.max, metric.value.mean)
        yield from metric.value.percentiles.values()
    elif not isinstance(metric.value, str):
        yield metric.value


server = Server()


@inputs(200)
@given(st.lists(LINE.filter(lambda line: not line.startswith(b"known.")), max_size=12), st.booleans())
def test_what_stands_beside_garbage_is_added_up_all_the_same_and_no_line_is_lost(lines: list[bytes], one: bool) -> None:
    """All through one server, one packet or many: what earlier lines left behind is a part of it."""
    tried("StatsD lines", len(lines) + 3)
    before, bad = server.books.lines, server.books.bad.total()
    mixed = [b"known.c:1|c", *lines, b"known.c:2|c|@0.5", b"known.ms:7|ms"]
    for packet in [b"\n".join(mixed)] if one else mixed:
        server.aggregator.feed(packet, server.origin, 1)
    flushed = server.flush()
    found = {metric.name: metric.value for metric in flushed if metric.name.startswith("known.")}
    assert found["known.c"] == 5
    assert isinstance(found["known.ms"], Summary)
    assert (found["known.ms"].count, found["known.ms"].sum) == (1, 7)
    assert all(math.isfinite(value) for metric in flushed for value in numbers(metric))
    pieces = [piece for line in mixed for piece in line.split(b"\n") if piece.strip()]
    assert server.books.lines - before == len(pieces)
    assert server.books.bad.total() - bad == sum(map(is_bad, pieces))
    assert server.books.series <= 500


def is_bad(line: bytes) -> bool:
    try:
        parse(line)
    except BadLine:
        return True
    return False


def test_memory_does_not_grow_with_what_strangers_send() -> None:
    chance, server, memory = random.Random(SEED), Server(), Memory()
    for number in range(round(2000 * max(1, TIMES))):
        garbage = packet(chance)
        tried("StatsD lines", garbage.count(b"\n") + 1)
        server.aggregator.feed(garbage, server.origin, 1)
        if number % 100 == 99:
            assert all(math.isfinite(value) for metric in server.flush() for value in numbers(metric))
        if number % 1000 == 999:
            memory.look()


# over real sockets


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Heard]:
    folder = tmp_path_factory.mktemp("heard")
    heard = Heard(
        folder, "--interval=1", "--health.address=127.0.0.1:0", "--listen.statsd-max-series=500",
        statsd=f"127.0.0.1:0,unix://{folder}/statsd.sock",
    )  # fmt: skip
    with heard.daemon:
        heard.daemon.wait_for_line("listen.statsd: unix://")
        yield heard
        assert heard.daemon.terminate() == 0
        assert "Traceback" not in heard.daemon.log


def packet(chance: random.Random) -> bytes:
    """Lines, most of them spoilt in one place."""
    lines = []
    for _ in range(chance.randrange(1, 30)):
        line = bytearray(chance.choice(LINES))
        for _ in range(chance.randrange(4)):
            at = chance.randrange(len(line) + 1)
            line[at : at + chance.randrange(3)] = chance.choice(TOKENS)
        lines.append(bytes(line))
    if chance.random() < 0.02:
        lines.append(b"x" * chance.randrange(8000, 40000))
    return b"\n".join(lines)


@pytest.mark.parametrize("transport", ["udp", "tcp", "unix"])
def test_who_sends_garbage_to_a_socket_hurts_nobody_else(heard: Heard, transport: str) -> None:
    """Every hundredth packet is a good line: all that the daemon read of these are added up, and none else."""
    chance, rounds = random.Random(f"{SEED} {transport}"), max(1, round(TIMES))
    name, first = f"good.{transport}", 0
    for sent in range(1, rounds + 1):
        for _ in range(100):
            garbage = packet(chance)
            tried(f"packets over {transport}")
            send(heard, transport, garbage[:60000] if chance.random() < 0.9 else garbage[: chance.randrange(9000)])
        send(heard, transport, f"{name}:1|c\n".encode())
        heard.daemon.eventually(partial(added_up, heard, name, sent))
        first = first or resident(heard.daemon.pid)
    assert resident(heard.daemon.pid) - first < 40 * 2**20


def added_up(heard: Heard, name: str, wanted: int) -> bool:
    return sum(int(one["value"]) for one in heard.of(name)) == wanted


def send(heard: Heard, transport: str, data: bytes) -> None:
    """A packet, or a whole connection that ends with it."""
    if transport == "udp":
        heard.udp(data)
    elif transport == "tcp":
        with socket.create_connection(heard.address("tcp"), 5) as connection:
            connection.sendall(data)
    else:
        line = heard.daemon.wait_for_line("listen.statsd: unix://")
        path = Path(line.rpartition("unix://")[2].split(",")[0])
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(5)
            sender.sendto(data, str(path))
