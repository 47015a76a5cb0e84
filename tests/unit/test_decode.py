"""What an engine's stats answer comes to: the docker command's figures, and None for what is unknown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from statspout import BadAnswer, Container, ContainerSample
from statspout.source import Target
from statspout.sources.engine.answers import Event, Listed, decode, decode_list, read_only, time_ns
from statspout.sources.engine.decode import Reading, cpu_percent, read_stats, rolled_back, sample_of

TARGET = Target(container=Container(id="a" * 64, name="web"), state="running")
ETH = {"rx_bytes": 10, "rx_packets": 2, "rx_errors": 0, "rx_dropped": 1, "tx_bytes": 20, "tx_packets": 3}


def answer(**parts: Any) -> bytes:
    whole: dict[str, Any] = {
        "read": "2026-11-22T10:00:01.5Z",
        "cpu_stats": {
            "cpu_usage": {"total_usage": 2_000_000_000, "percpu_usage": [1, 1]},
            "system_cpu_usage": 100_000_000_000,
            "online_cpus": 2,
            "throttling_data": {"periods": 9, "throttled_periods": 4, "throttled_time": 500_000_000},
        },
        "memory_stats": {"usage": 1000, "limit": 4000, "stats": {"inactive_file": 200, "file": 300, "anon": 500}},
        "networks": {"eth0": {**ETH, "tx_errors": 0, "tx_dropped": 0}},
        "pids_stats": {"current": 3},
    }
    return json.dumps({**whole, **parts}).encode()


def sample(body: bytes, before: Reading | None = None) -> ContainerSample:
    read = read_stats(body)
    assert read is not None
    return sample_of(*read, before, TARGET, "host")


def test_the_first_sample_has_everything_but_a_cpu_percentage() -> None:
    first = sample(answer())
    assert (first.cpu_percent, first.cpu_seconds_total, first.online_cpus) == (None, 2.0, 2)
    assert (first.cpu_periods_total, first.throttled_periods_total, first.throttled_seconds_total) == (9, 4, 0.5)
    assert (first.mem_usage, first.mem_usage_raw, first.mem_cache, first.mem_percent) == (800, 1000, 300, 20.0)
    assert first.mem_rss == 500
    assert (first.rx_bytes, first.tx_bytes, first.pids, first.pids_limit) == (10, 20, 3, None)
    assert first.time_ns == 1_795_341_601_500_000_000


def test_cpu_is_measured_from_our_own_reading_before() -> None:
    # 0.5 s of CPU while each of two CPUs passed 1 s: half a core.
    before = Reading(1, total=1_500_000_000, system=98_000_000_000)
    assert sample(answer(), before).cpu_percent == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("before", "after", "cpus", "percent"),
    [
        (None, (10, 10), 1, None),
        ((5, 10), (5, 20), 1, 0.0),
        ((5, 10), (6, 10), 1, None),
        ((5, 20), (6, 10), 1, None),
        ((6, 10), (5, 20), 1, None),
        ((None, 10), (5, 20), 1, None),
        ((5, None), (6, 20), 1, None),
        ((5, 10), (10, 20), None, None),
        ((0, 10), (11, 20), 1, pytest.approx(110)),
        ((0, 10), (13, 20), 1, None),
        ((5, 10), (10, 20), 4, 200.0),
        ((2**63, 10), (2**63 + 5, 20), 1, 50.0),
    ],
)
def test_cpu_is_a_number_only_when_it_is_known(
    before: Any, after: Any, cpus: int | None, percent: float | None
) -> None:
    first = Reading(1, *before) if before else None
    assert cpu_percent(first, Reading(2, *after), cpus) == percent


@pytest.mark.parametrize(
    ("memory", "used", "cache", "limit"),
    [
        ({"usage": 1000, "limit": 4000, "stats": {"total_inactive_file": 300, "inactive_file": 1}}, 700, None, 4000),
        ({"usage": 1000, "limit": 4000, "stats": {"inactive_file": 300, "file": 400}}, 700, 400, 4000),
        ({"usage": 1000, "limit": 4000, "stats": {"total_inactive_file": 1000, "total_cache": 7}}, 1000, 7, 4000),
        ({"usage": 1000, "limit": 0, "stats": {}}, 1000, None, None),
        ({"usage": 1000, "limit": 9223372036854771712}, 1000, None, None),
        ({"usage": 0, "limit": 4000, "stats": {"anon": 50}}, 50, None, 4000),
        ({}, None, None, None),
    ],
)
def test_memory_is_what_docker_stats_shows(memory: Any, used: int | None, cache: int | None, limit: int | None) -> None:
    got = sample(answer(memory_stats=memory))
    assert (got.mem_usage, got.mem_cache, got.mem_limit) == (used, cache, limit)
    assert (got.mem_percent is None) == (used is None or limit is None)


@pytest.mark.parametrize(
    ("memory", "rss"),
    [
        ({"usage": 1000, "stats": {"rss": 1, "total_rss": 300}}, 300),
        ({"usage": 1000, "stats": {"anon": 400}}, 400),
        ({"usage": 1000, "stats": {"anon": 0}}, 0),
        ({"usage": 1000, "stats": {"rss": 5}}, 5),
        ({"usage": 1000, "stats": {}}, None),
        ({"usage": 1000}, None),
        ({"usage": 0, "stats": {"anon": 50}}, 50),
        ({"usage": 0, "stats": {"total_rss": 0}}, None),
    ],
)
def test_anonymous_memory_is_that_of_the_whole_container(memory: Any, rss: int | None) -> None:
    assert sample(answer(memory_stats=memory)).mem_rss == rss


def test_an_engine_without_throttling_has_no_periods() -> None:
    body = json.loads(answer())
    del body["cpu_stats"]["throttling_data"]
    assert sample(json.dumps(body).encode()).cpu_periods_total is None


@pytest.mark.parametrize(
    ("entries", "read", "write"),
    [
        (None, None, None),
        ([], None, None),
        ([{"op": "Read", "value": 1}, {"op": "Write", "value": 2}, {"op": "Total", "value": 3}], 1, 2),
        ([{"op": "read", "value": 2**60}, {"op": "read", "value": 2**60}, {"op": "discard", "value": 9}], 2**61, 0),
    ],
)
def test_block_io_sums_devices_in_both_spellings(entries: Any, read: int | None, write: int | None) -> None:
    got = sample(answer(blkio_stats={"io_service_bytes_recursive": entries, "io_serviced_recursive": entries}))
    assert (got.blkio_read_bytes, got.blkio_write_bytes, got.blkio_read_ops) == (read, write, read)


@pytest.mark.parametrize("networks", [None, {}])
def test_no_network_is_no_number(networks: Any) -> None:
    got = sample(answer(networks=networks))
    assert (got.rx_bytes, got.tx_bytes, got.networks) == (None, None, None)


def test_interfaces_are_summed_in_64_bits_and_kept_apart_too() -> None:
    got = sample(answer(networks={"eth0": {"rx_bytes": 2**63}, "eth1": {"rx_bytes": 5_000_000_000, "tx_bytes": 1}}))
    assert (got.rx_bytes, got.tx_bytes) == (2**63 + 5_000_000_000, None)
    assert got.networks is not None
    assert got.networks["eth1"].tx_bytes == 1


def test_a_container_that_does_not_run_has_no_sample() -> None:
    assert read_stats(answer(read="0001-01-01T00:00:00Z")) is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"read": 5}', answer(pids_stats={"current": -1}), b"\xff"])
def test_garbage_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer, match="stats: "):
        read_stats(body)


@pytest.mark.parametrize("read", [read_stats, decode_list, lambda body: decode(body, Event, "event")])
def test_what_is_nested_without_end_is_a_bad_answer(read: Any) -> None:
    with pytest.raises(BadAnswer):
        read(b'[{"x":' + b"[" * 100_000)
    with pytest.raises(BadAnswer):
        read(b'{"x":' * 100_000)


def test_zeros_for_the_cpu_are_unknown_not_zero() -> None:
    got = sample(answer(cpu_stats={"cpu_usage": {"total_usage": 0}, "throttling_data": {"periods": 0}}))
    assert (got.cpu_seconds_total, got.cpu_periods_total, got.online_cpus) == (None, None, None)


def test_a_counter_that_goes_back_is_a_restart() -> None:
    assert rolled_back(Reading(1, 5, 5), Reading(2, 4, 6))
    assert not rolled_back(Reading(1, None, 5), Reading(2, 4, 6))


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("2026-11-22T10:00:00.123456789Z", 1_795_341_600_123_456_789),
        ("2026-11-22T12:00:00.1+02:00", 1_795_341_600_100_000_000),
        ("0001-01-01T00:00:00Z", None),
        ("1969-12-31T23:59:59Z", None),
        ("2026-13-01T00:00:00Z", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times_are_exact_to_the_nanosecond(text: str, ns: int | None) -> None:
    assert time_ns(text) == ns


def test_one_bad_container_in_a_list_does_not_hide_the_others() -> None:
    body = b'[{"Id":"a"},{"Id":5},{"Id":"b","Names":null,"Status":null,"Labels":{"x":null}},{"Id":"c","Names":7}]'
    assert [entry.id for entry in decode_list(body)] == ["a", "b", "c"]
    assert decode_list(b'[{"Id":"a","Names":["/x\xff"]}]')[0].name == "x\ufffd"


def test_what_a_sample_carries_cannot_be_changed_for_others() -> None:
    got = sample(answer())
    with pytest.raises(TypeError):
        got.networks["eth0"] = None  # type: ignore[index]  # the point
    with pytest.raises(TypeError):
        read_only({"a": "b"})["a"] = "c"  # type: ignore[index]  # the point


@pytest.mark.parametrize(
    ("status", "health", "young"),
    [
        ("Up 3 seconds", None, True),
        ("Up 1 second (health: starting)", "starting", True),
        ("Up Less than a second", None, True),
        ("Up 5 minutes (unhealthy)", "unhealthy", False),
        ("Up 2 hours (Paused)", None, False),
        ("", None, False),
    ],
)
def test_status_texts_tell_health_and_youth(status: str, health: str | None, young: bool) -> None:
    entry = Listed(id="a" * 64, names=["/other/link", "/web"], status=status)
    assert (entry.name, entry.health, entry.young) == ("web", health, young)


@pytest.mark.parametrize(
    ("line", "action", "container"),
    [
        (b'{"Type":"container","Action":"start","Actor":{"ID":"a","Attributes":{"name":"x"}}}', "start", "a"),
        (b'{"status":"die","id":"b"}', "die", "b"),
        (b'{"Type":"container","Action":"exec_create: sh -c x","Actor":{"ID":"a"}}', "exec_create", "a"),
    ],
)
def test_events_are_read_in_every_engines_form(line: bytes, action: str, container: str) -> None:
    event = decode(line, Event, "event")
    assert (event.action, event.container_id) == (action, container)
