"""The reference StatsD server: it takes every line of the dialects that it reads, and holds what was sent."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from support.statsd import ReferenceServer
from support.statsd_lines import TAKEN

from statspout import Container, ContainerSample, Metric, RepositoryError, Summary
from statspout.repositories.statsd import StatsD
from statspout.testing import sample

HEADS = {
    "etsy": "statspout.{};container=web;host=node-1;id={id}",
    "dogstatsd": "statspout.{};container=web;host=node-1;id={id}",
    "statspout": "statspout.{};container=web;host=node-1;id={id}",
    "brubeck": "statspout.node-1.web.{}",
}


@pytest.fixture
def server() -> Iterator[ReferenceServer]:
    with ReferenceServer() as server:
        yield server


def opened(server: ReferenceServer, scheme: str = "udp", **settings: Any) -> StatsD:
    repository = StatsD(address=f"{scheme}://{server.host}:{server.port}", **settings)
    repository.open()
    return repository


def grown(growth: int) -> ContainerSample:
    return sample(rx_bytes=1010 + growth, cpu_seconds_total=12.5 + growth / 8)


def metric(kind: Any, value: Any, name: str) -> Metric:
    return Metric(time_ns=1, host="n", key=f"{name} {kind}", name=name, kind=kind, value=value)


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
@pytest.mark.parametrize("dialect", HEADS)
def test_every_number_of_a_sample_is_there(dialect: Any, scheme: str, server: ReferenceServer) -> None:
    repository, one = opened(server, scheme, dialect=dialect), sample()
    repository.push([one])
    repository.push([grown(3), grown(5)])
    points = list(one.points())
    counted = [point.name for point in points if point.kind == "counter" and point.name != "restarts"]
    gauges = [point.name for point in points if point.name not in counted]
    server.took(3 * len(gauges) + 2 * len(counted))
    name = HEADS[dialect].replace("{id}", one.container.short_id)
    growth = {"rx_bytes": 5, "cpu_seconds_total": 0.625}
    assert {key: value for key, value in server.holds("counters").items() if not key.startswith("statsd.")} == {
        name.format(field): pytest.approx(growth.get(field, 0)) for field in counted
    }
    assert {key: value for key, value in server.holds("gauges").items() if not key.startswith("statsd.")} == {
        name.format(field): pytest.approx(getattr(one, field)) for field in gauges
    }
    repository.close()


def test_metrics_of_applications_in_its_own_dialect(server: ReferenceServer) -> None:
    repository = opened(server, dialect="etsy")
    summary = Summary(count=4, sum=10.0, min=1.0, max=4.0, mean=2.5, stdev=1.25, percentiles={"99.9": 4.0})
    repository.push([
        metric("counter_delta", 3, "c"), metric("counter_delta", 4, "c"), metric("gauge", 5, "g"),
        metric("gauge", -7, "g"), metric("gauge", -0.5, "fresh"), metric("set", 9, "s"), metric("timer", summary, "t"),
    ])  # fmt: skip
    server.took(2 + 1 + 2 + 2 + 1 + 7)
    assert {"c;host=n": 7, "t.count;host=n": 4}.items() <= server.holds("counters").items()
    parts = {"sum": 10, "min": 1, "max": 4, "mean": 2.5, "stdev": 1.25, "p99_9": 4}
    expected = {"g": -7, "fresh": -0.5, "s": 9, **{f"t.{part}": value for part, value in parts.items()}}
    assert {f"{name};host=n": value for name, value in expected.items()}.items() <= server.holds("gauges").items()
    repository.close()


def test_growth_while_the_server_was_away_is_there_when_it_is_back(server: ReferenceServer) -> None:
    repository = opened(server, dialect="brubeck")
    repository.push([grown(0)])
    server.stop()
    with pytest.raises(RepositoryError, match="nobody listens there"):
        repository.push([grown(3)])
    server.start()
    repository.open()
    repository.push([grown(3), grown(5)])
    server.took(2 * 28)
    assert server.holds("counters")["statspout.node-1.web.rx_bytes"] == 5
    repository.close()


def test_a_restarted_container_begins_anew(server: ReferenceServer) -> None:
    repository = opened(server, dialect="brubeck")
    again = Container(id=sample().container.id, name="web", started_at=10**18)
    bare: dict[str, Any] = {"time_ns": 1, "host": "n"}
    repository.push([ContainerSample(**bare, container=again, rx_bytes=value) for value in (500, 510)])
    later = Container(id=again.id, name="web", started_at=10**18 + 1)
    repository.push([ContainerSample(**bare, container=later, rx_bytes=value) for value in (600, 601)])
    server.took(2)
    assert server.holds("counters")["statspout.n.web.rx_bytes"] == 11
    repository.close()


def test_over_ipv6() -> None:
    with ReferenceServer("::1") as server:
        repository = StatsD(address=f"[::1]:{server.port}", dialect="brubeck")
        repository.open()
        repository.push([metric("gauge", 1, "six")])
        server.took(1)
        assert server.holds("gauges")["six.host.n"] == 1
        repository.close()


def test_it_takes_what_the_rules_of_listen_say_that_it_takes(server: ReferenceServer) -> None:
    taken = [line for line, servers in TAKEN.items() if "etsy" in servers and line]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for line in taken:
            sender.sendto(line, (server.host, server.port))
    server.took(len(taken))


@pytest.mark.parametrize(
    "line", [b"a:b|g", b"a:1", b"a:-1|ms", b"a:1:2|ms", b"a:1|c|c:abc", b"_e{1,1}:a|b", b"_sc|a|0"]
)
def test_a_line_that_it_does_not_take_is_bad_there_too(line: bytes, server: ReferenceServer) -> None:
    assert "etsy" not in TAKEN[line]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(line, (server.host, server.port))
    server.wait_for(lambda: server.holds("counters")["statsd.bad_lines_seen"] > 0)
