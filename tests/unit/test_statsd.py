"""The repository statsd: what is written in each dialect, counters that neither lose nor double, what is an error."""

from __future__ import annotations

import contextlib
import math
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, get_args, get_type_hints

import pytest
from support.influxdb import free_port
from support.statsd import Receiver

from statspout import (
    ConfigError,
    Container,
    ContainerSample,
    Metric,
    Rejected,
    Repository,
    RepositoryError,
    Sample,
    Summary,
)
from statspout.client.dialects import DIALECTS
from statspout.repositories.statsd import StatsD
from statspout.repositories.statsd_lines import Lines
from statspout.sample import MetricKind
from statspout.testing import RepositoryContract, sample, samples

LATER = 10**18
"""No sample is as late: how long these containers have run is not known."""

WEB = Container(id="0123456789abcdef", name="web", started_at=LATER)
ID = "0123456789ab"


class Kept:
    """What the contract asks of a receiver of datagrams."""

    rejects: ClassVar[frozenset[MetricKind]] = frozenset({"text"})

    receiver: Receiver

    def make(self) -> StatsD:
        # As large as they can be, for the contract has names of kilobytes; and no number needs one before it.
        return StatsD(address=self.receiver.address, packet_size=65_000, counters="gauge")

    def stored(self, repository: Repository) -> Sequence[object] | None:
        return self.receiver.lines()

    def restart(self) -> bool:
        self.receiver.close()
        self.receiver.start()
        return True


class TestOverUDP(Kept, RepositoryContract):
    @pytest.fixture(autouse=True)
    def _receiver(self) -> Iterator[None]:
        with Receiver() as self.receiver:
            yield

    def unreachable(self) -> Repository | None:
        return StatsD(address=f"127.0.0.1:{free_port()}")


class TestOverAUnixSocket(Kept, RepositoryContract):
    @pytest.fixture(autouse=True)
    def _receiver(self, tmp_path: Path) -> Iterator[None]:
        with Receiver(path=tmp_path / "statsd.sock") as self.receiver:
            yield

    def unreachable(self) -> Repository | None:
        return StatsD(address="unix:///nowhere/statsd.sock")


class TestOverTCP(RepositoryContract):
    rejects: ClassVar[frozenset[MetricKind]] = frozenset({"text"})

    @pytest.fixture(autouse=True)
    def _receiver(self) -> Iterator[None]:
        with Receiver("tcp") as self.receiver:
            yield

    def make(self) -> StatsD:
        # As large as they can be, for the contract has names of kilobytes; and no number needs one before it.
        return StatsD(address=self.receiver.address, packet_size=65_000, counters="gauge")

    def unreachable(self) -> Repository | None:
        return StatsD(address=f"tcp://127.0.0.1:{free_port()}")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def opened(receiver: Receiver, **settings: Any) -> StatsD:
    repository = StatsD(address=receiver.address, **settings)
    repository.open()
    return repository


def reading(**fields: Any) -> ContainerSample:
    return ContainerSample(**{"time_ns": 1, "host": "node-1.example", "container": WEB, **fields})


def metric(kind: Any, value: Any, name: str = "shop.orders", **fields: Any) -> Metric:
    key = f"{name} {kind} {fields}"
    return Metric(time_ns=1, host="node-1", key=key, name=name, kind=kind, value=value, **fields)


def texts(lines: Lines, *batch: Any) -> list[str]:
    return [line.data.decode() for one in batch for line in lines.of(one)]


# Each dialect

BEHIND = f"|#container:web,host:node-1.example,id:{ID}"
NAMED = f"container=web{{0}}host=node-1.example{{0}}id={ID}"
SHAPES = {
    "statspout": ("statspout.{}", BEHIND),
    "dogstatsd": ("statspout.{}", BEHIND),
    "gostatsd": ("statspout.{}", BEHIND),
    "statsd_exporter": ("statspout.{}", BEHIND),
    "etsy": (f"statspout.{{}};{NAMED.format(';')}", ""),
    "telegraf": (f"statspout.{{}},{NAMED.format(',')}", ""),
    "librato": (f"statspout.{{}}#{NAMED.format(',')}", ""),
    "signalfx": (f"statspout.{{}}[{NAMED.format(',')}]", ""),
    "brubeck": ("statspout.node-1_example.web.{}", ""),
    "flux": ("statspout.node-1_example.web.{}", ""),
}


def test_every_dialect_can_be_selected_and_is_tested() -> None:
    choices = set(get_args(get_type_hints(StatsD)["dialect"]))
    assert choices == set(SHAPES) == set(DIALECTS)


@pytest.mark.parametrize("name", SHAPES)
def test_a_container_in_each_dialect(name: str) -> None:
    head, tail = SHAPES[name]
    lines = Lines(DIALECTS[name], "statspout")
    first = texts(lines, reading(cpu_percent=20.5, mem_usage=10, rx_bytes=100, restarts=2))
    second = texts(lines, reading(cpu_percent=0.0, rx_bytes=107))
    gauges = [f"{head.format('cpu_percent')}:20.5|g{tail}", f"{head.format('mem_usage')}:10|g{tail}"]
    restarts = f"{head.format('restarts')}:2|g{tail}"
    totals = [f"{head.format('rx_bytes')}:{value}|C{tail}" for value in (100, 107)] if name == "flux" else []
    assert first == [*gauges, *totals[:1], restarts]
    assert second == [
        f"{head.format('cpu_percent')}:0|g{tail}",
        *(totals[1:] or [f"{head.format('rx_bytes')}:7|c{tail}"]),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    {
        "statspout": ["t:0|g|#host:node-1\nt:-5|g|#host:node-1"],
        "etsy": ["t;host=node-1:0|g\nt;host=node-1:-5|g"],
        "brubeck": ["t.host.node-1:0|g\nt.host.node-1:-5|g"],
        "gostatsd": ["t:-5|g|#host:node-1"],
        "dogstatsd": ["t:-5|g|#host:node-1"],
    }.items(),
)
def test_a_negative_gauge_is_set_and_not_changed(name: str, expected: list[str]) -> None:
    assert texts(Lines(DIALECTS[name]), metric("gauge", -5, "t")) == expected


SUMMARY = Summary(count=4, sum=10.0, min=1.0, max=4.0, mean=2.5, stdev=1.25, percentiles={"95": 4.0, "99.9": 4.0})
PARTS = {"sum": "10", "min": "1", "max": "4", "mean": "2.5", "stdev": "1.25", "p95": "4", "p99_9": "4"}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (metric("counter_delta", 3), ["shop.orders:3|c|#host:node-1"]),
        (metric("counter_delta", 3.5), ["shop.orders:3.5|c|#host:node-1"]),
        (metric("counter_delta", -2), ["shop.orders:-2|c|#host:node-1"]),
        (metric("counter_total", 3), []),
        (metric("gauge", 1.5e-7), ["shop.orders:0.00000015|g|#host:node-1"]),
        (metric("set", 3), ["shop.orders:3|g|#host:node-1"]),
        (metric("gauge", 1, tags={"host": "theirs", "env": "prod"}, container=WEB),
         [f"shop.orders:1|g|#container:web,env:prod,exported_host:theirs,host:node-1,id:{ID}"]),
        *((metric(kind, SUMMARY), [*(f"shop.orders.{part}:{value}|g|#host:node-1" for part, value in PARTS.items()),
                                   "shop.orders.count:4|c|#host:node-1"]) for kind in ("timer", "histogram")),
    ],
)  # fmt: skip
def test_a_metric_of_each_kind(sent: Metric, expected: list[str]) -> None:
    assert texts(Lines(DIALECTS["dogstatsd"], "statspout"), sent) == expected


def test_without_tags_a_metric_has_whose_it_is_in_its_name_but_no_id() -> None:
    sent = metric("gauge", 1, container=WEB, tags={"env": "prod"})
    assert texts(Lines(DIALECTS["brubeck"]), sent) == ["shop.orders.container.web.env.prod.host.node-1:1|g"]


@pytest.mark.parametrize(
    ("prefix", "dialect", "start"),
    [
        ("statspout", "dogstatsd", "statspout."),
        ("", "dogstatsd", ""),
        ("servers.{host}.docker", "dogstatsd", "servers.node-1_example.docker."),
        ("servers.{host}.docker", "brubeck", "servers.node-1_example.docker.web."),
        ("", "brubeck", "node-1_example.web."),
    ],
)
def test_what_a_name_begins_with(prefix: str, dialect: str, start: str) -> None:
    [line] = texts(Lines(DIALECTS[dialect], prefix), reading(pids=1))
    assert line.startswith(f"{start}pids:1|g")


def test_labels_become_tags_that_are_never_one_of_ours() -> None:
    container = Container(id="0" * 64, name="web", labels={"team": "core", "host": "mine", "secret": "x"})
    [line] = texts(Lines(DIALECTS["etsy"], "", ["team", "host"]), reading(container=container, pids=1))
    assert line == "pids;container=web;host=node-1.example;host_2=mine;id=000000000000;team=core:1|g"


def test_a_joined_network_is_left_out() -> None:
    lines = Lines(DIALECTS["dogstatsd"], totals=True)
    assert not texts(lines, reading(rx_bytes=1, network_shared_with="other"))
    assert len(texts(lines, reading(rx_bytes=1))) == 1


def test_every_line_is_whole_and_no_packet_is_too_large(receiver: Receiver) -> None:
    repository = opened(receiver, packet_size=600, counters="gauge")
    repository.push(samples(20))
    lines = receiver.lines()
    sizes = [len(packet) for packet in receiver.packets if b"mark" not in packet]
    assert max(sizes) <= 600
    assert min(sizes[:-1]) > 500
    assert len(lines) == 20 * 28
    assert all(line.count("|") == 2 for line in lines)
    repository.close()


def test_the_two_lines_of_a_negative_gauge_are_in_one_packet(receiver: Receiver) -> None:
    repository = opened(receiver, dialect="etsy", packet_size=128)
    repository.push([metric("gauge", -value, f"gauge.{value}") for value in range(1, 30)])
    receiver.lines()
    packets = [packet for packet in receiver.packets if b"mark" not in packet]
    assert len(packets) > 5
    assert all(packet.count(b":0|g") * 2 == packet.count(b"|g") for packet in packets)
    repository.close()


# Counters


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5], []),
        ([5, 7, 7, 10], [2, 0, 3]),
        ([5, 7, 3, 4], [2, 1]),
        ([2**63, 2**64 - 1], [2**63 - 1]),
    ],
)
def test_growth_is_sent_and_neither_a_first_value_nor_a_decrease(values: list[int], expected: list[int]) -> None:
    lines = Lines(DIALECTS["brubeck"])
    found = texts(lines, *(metric("counter_total", value, "t") for value in values))
    assert found == [f"t.host.node-1:{value}|c" for value in expected]


def test_a_new_run_begins_anew_and_a_rename_does_not() -> None:
    lines = Lines(DIALECTS["brubeck"])
    renamed = Container(id=WEB.id, name="shop", started_at=LATER)
    again = Container(id=WEB.id, name="web", started_at=LATER + 1)
    assert texts(lines, reading(tx_bytes=5), reading(tx_bytes=6, container=renamed)) == [
        "node-1_example.shop.tx_bytes:1|c"
    ]
    assert texts(lines, reading(tx_bytes=9, container=again)) == []


def test_an_applications_series_is_named_anew_when_its_container_is() -> None:
    renamed = Container(id=WEB.id, name="shop", started_at=LATER)
    sent = [Metric(time_ns=1, host="n", key="k", name="t", kind="gauge", value=1, container=one)
            for one in (WEB, renamed)]  # fmt: skip
    assert texts(Lines(DIALECTS["brubeck"]), *sent) == ["t.container.web.host.n:1|g", "t.container.shop.host.n:1|g"]


def test_growth_of_seconds_has_no_noise() -> None:
    [line] = texts(Lines(DIALECTS["brubeck"]), reading(cpu_seconds_total=12.5), reading(cpu_seconds_total=12.7))
    assert line == "node-1_example.web.cpu_seconds_total:0.2|c"


def test_telegraf_gets_whole_numbers_and_in_the_end_all_of_it() -> None:
    lines = Lines(DIALECTS["telegraf"])
    seconds = [reading(cpu_seconds_total=value) for value in (1.0, 1.75, 2.5, 3.25)]
    assert [text.split(":")[1] for text in texts(lines, *seconds)] == ["0|c", "1|c", "1|c"]
    deltas = [metric("counter_delta", 2.5) for _ in range(4)]
    assert [text.split(":")[1] for text in texts(lines, *deltas)] == ["2|c", "3|c", "2|c", "3|c"]


def test_flux_gets_totals_of_what_comes_as_growth() -> None:
    lines = Lines(DIALECTS["flux"])
    found = texts(lines, metric("counter_delta", 2), metric("counter_delta", 3), metric("timer", SUMMARY, "t"))
    assert [line for line in found if line.endswith("C")] == [
        "shop.orders.host.node-1:2|C", "shop.orders.host.node-1:5|C", "t.count.host.node-1:4|C",
    ]  # fmt: skip


def test_totals_can_be_gauges() -> None:
    lines = Lines(DIALECTS["brubeck"], totals=True)
    assert texts(lines, reading(tx_bytes=5), metric("counter_total", 3)) == [
        "node-1_example.web.tx_bytes:5|g", "shop.orders.host.node-1:3|g",
    ]  # fmt: skip


def test_a_batch_that_was_refused_is_told_whole_when_it_comes_again() -> None:
    receiver = Receiver()
    repository = opened(receiver, dialect="brubeck")
    repository.push([reading(rx_bytes=100)])
    receiver.close()
    batch: list[Sample] = [
        reading(rx_bytes=130, time_ns=2),
        reading(rx_bytes=150, time_ns=3),
        metric("counter_delta", 4),
    ]
    for _ in range(2):
        with pytest.raises(RepositoryError, match="nobody listens there"):
            repository.push(batch)
    receiver.start()
    repository.open()
    repository.push(batch)
    assert receiver.lines() == [
        "statspout.node-1_example.web.rx_bytes:30|c", "statspout.node-1_example.web.rx_bytes:20|c",
        "shop.orders.host.node-1:4|c",
    ]  # fmt: skip
    repository.close()
    receiver.close()


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A unix socket that nobody reads from: it takes a few datagrams, and then no more."""
    monkeypatch.setattr("statspout.repositories.statsd_wire._PATIENCE", 0.002)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "full.sock"))
        receiver.settimeout(5)
        yield receiver


@pytest.mark.parametrize("shorter", [0, 5, 100])
def test_what_was_taken_before_the_receiver_was_full_does_not_come_again(full: socket.socket, shorter: int) -> None:
    repository = StatsD(address=f"unix://{full.getsockname()}", dialect="brubeck", packet_size=128)
    repository.open()
    whole: list[Sample] = []
    totals = [reading(rx_bytes=value**2, tx_bytes=value, pids=1, time_ns=value) for value in range(1, 300)]
    for total in totals:
        whole += [total, metric("counter_delta", total.time_ns, "t")]
    batch, sent, lines = whole, 0, []
    while batch:
        try:
            repository.push(batch[: shorter or None])
        except RepositoryError:
            repository.close()
            repository.open()
        else:
            batch = batch[shorter:] if shorter else []
        sent += 1
        full.setblocking(False)
        while True:
            try:
                lines += full.recv(65536).decode().split("\n")
            except BlockingIOError:
                break
    repository.close()
    assert sent > 2
    growth = {name: sum(int(line.split(":")[1][:-2]) for line in lines if f"{name}:" in line and line.endswith("|c"))
              for name in ("rx_bytes", "tx_bytes", "t.host.node-1")}  # fmt: skip
    assert growth == {"rx_bytes": 299**2 - 1, "tx_bytes": 298, "t.host.node-1": sum(range(300))}


def test_a_container_that_is_gone_is_forgotten(receiver: Receiver) -> None:
    repository = opened(receiver, dialect="brubeck")
    repository.push([reading(rx_bytes=1)])
    repository.clear(WEB)
    repository.push([reading(rx_bytes=5)])
    assert receiver.lines() == []
    repository.close()


def test_what_is_remembered_is_bounded_and_who_was_silent_longest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statspout.repositories.statsd_lines.MOST_RUNS", 2)
    lines = Lines(DIALECTS["brubeck"])
    one, two, three = (Container(id=str(number), name=str(number)) for number in range(3))
    for container in (one, two, one, three):
        lines.of(reading(container=container, rx_bytes=1))
    found = texts(lines, *(reading(container=container, rx_bytes=2) for container in (one, three, two)))
    assert found == ["node-1_example.0.rx_bytes:1|c", "node-1_example.2.rx_bytes:1|c"]


# What cannot be sent


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (metric("gauge", math.nan), "nan is not a number that can be sent"),
        (metric("counter_delta", math.inf), "inf is not a number that can be sent"),
        (metric("counter_total", math.nan), "nan is not a number that can be sent"),
        (metric("gauge", 1, tags={"long": "x" * 1500}), "a line of 1534 bytes is longer than a packet of 1432"),
    ],
)
def test_what_cannot_be_sent_is_rejected_and_the_rest_is_sent(bad: Metric, told: str, receiver: Receiver) -> None:
    repository = opened(receiver)
    with pytest.raises(Rejected) as caught:
        repository.push([metric("gauge", 1), bad, metric("gauge", 2)])
    assert (str(caught.value), caught.value.rest) == (told, "stored")
    assert caught.value.indices == frozenset({1})
    assert receiver.lines() == ["shop.orders:1|g|#host:node-1", "shop.orders:2|g|#host:node-1"]
    repository.close()


def test_a_counter_that_goes_down_is_no_total_of_flux() -> None:
    with pytest.raises(ValueError, match="a counter that goes down cannot be told as a total, as flux has it"):
        Lines(DIALECTS["flux"]).of(metric("counter_delta", -1))


def test_a_text_is_refused_and_costs_no_neighbour(receiver: Receiver) -> None:
    with pytest.raises(Rejected) as refused:
        opened(receiver).push([metric("gauge", 1, "a"), metric("text", "deployed", "b"), metric("gauge", 2, "c")])
    assert (list(refused.value.indices or ()), refused.value.rest) == ([1], "stored")
    assert [line.split(":")[0] for line in receiver.lines()] == ["a", "c"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"address": "nowhere:0"}, "--statsd.address: 'nowhere:0' is wrong: localhost:8125, tcp://host:port or unix"),
        ({"address": "http://x"}, "--statsd.address: 'http://x' is wrong"),
        ({"address": "agent..local"}, "--statsd.address: 'agent..local' is wrong"),
        ({"address": "unix://x"}, "--statsd.address: 'unix://x' is wrong"),
        ({"prefix": "a b"}, "--statsd.prefix: 'a b' is wrong: names with dots between, such as statspout or"),
        ({"prefix": "a."}, "--statsd.prefix: 'a.' is wrong"),
        ({"prefix": "{name}"}, "--statsd.prefix: '{name}' is wrong"),
        ({"dialect": "brubeck", "labels": ("team",)}, "--statsd.labels: brubeck has no tags: leave it out, or take"),
        ({"packet_size": 20}, "--statsd.packet-size: 20 is too small"),
        ({"dialect": "graphite"}, "--statsd.dialect: 'graphite' is wrong"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        StatsD(**settings)
    assert str(caught.value).startswith(told)


# The way there


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_of_a_name_with_two_addresses_the_one_that_listens_is_found(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver(host=host) as receiver:
        both = [(socket.AF_INET6, 2, 17, "", ("::1", receiver.port, 0, 0)),
                (socket.AF_INET, 2, 17, "", ("127.0.0.1", receiver.port))]  # fmt: skip
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
        repository = StatsD(address=f"two.example:{receiver.port}", dialect="brubeck")
        refused = 0
        while not receiver.lines():
            repository.open()
            with contextlib.suppress(RepositoryError):
                repository.push([metric("gauge", 1, "t")])
                continue
            refused += 1
        assert refused == (host == "::1")
        assert receiver.lines() == ["t.host.node-1:1|g"]
        repository.close()


def test_ipv6_in_brackets() -> None:
    with Receiver(host="::1") as receiver:
        repository = opened(receiver, dialect="brubeck")
        repository.push([metric("gauge", 1, "t")])
        assert receiver.lines() == ["t.host.node-1:1|g"]
        repository.close()


def test_a_name_that_means_another_server_now_is_followed(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = opened(receiver, dialect="brubeck")
    with Receiver() as moved:
        found = [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", moved.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        monkeypatch.setattr("statspout.repositories.statsd_wire._LOOKED_UP", -1.0)
        repository.push([metric("gauge", 1, "t")])
        assert moved.lines() == ["t.host.node-1:1|g"]
    repository.close()


def test_lines_over_tcp_are_ended_and_a_connection_that_was_closed_is_made_anew() -> None:
    with Receiver("tcp") as receiver:
        repository = opened(receiver, dialect="brubeck")
        repository.push([metric("gauge", 1, "t"), metric("gauge", 2, "t")])
        receiver.wait_for(lambda: receiver.packets == [b"t.host.node-1:1|g\nt.host.node-1:2|g\n"])
        receiver.close()
        receiver.start()
        repository.push([metric("gauge", 3, "t")])
        receiver.wait_for(lambda: receiver.packets[1:] == [b"t.host.node-1:3|g\n"])
        receiver.close()
        with pytest.raises(RepositoryError, match=r"tcp://.*: nobody listens there"):
            repository.push([metric("gauge", 1, "t")])
        repository.close()


def test_the_daemon_can_be_told_its_settings() -> None:
    from statspout.config import configure

    config = configure(["--repository=statsd", "--statsd.dialect=etsy", "--statsd.prefix=a.{host}"], {})
    [repository] = config.repositories
    assert isinstance(repository, StatsD)
    assert (repository.dialect, repository.prefix) == ("etsy", "a.{host}")


def test_a_complete_sample_has_all_its_numbers(receiver: Receiver) -> None:
    repository = opened(receiver, counters="gauge")
    repository.push([one := sample()])
    found = {line.split(":")[0]: float(line.split(":", 1)[1].split("|")[0]) for line in receiver.lines()}
    assert found == {f"statspout.{point.name}": point.value for point in one.points()}
    repository.close()
