"""What Podman's answers mean, as captured from 4.3.1 and by the sources of later versions."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from support.replies import replying

from statspout import Container, ContainerSample, Interface
from statspout.source import Target
from statspout.sources.engine.address import UnixAddress
from statspout.sources.engine.client import Engine, EngineClient
from statspout.sources.engine.decode import read_stats, sample_of
from statspout.sources.engine.podman import corrected

STATS = b"""{"read":"2026-11-24T22:29:%02d.000000000Z","preread":"0001-01-01T00:00:00Z","pids_stats":{"current":1},
"blkio_stats":{"io_service_bytes_recursive":[],"io_serviced_recursive":null},"cpu_stats":{"cpu_usage":
{"total_usage":%d},"system_cpu_usage":170797603799,"online_cpus":%d,
"throttling_data":{"periods":0,"throttled_periods":0,"throttled_time":0}},
"memory_stats":{"usage":2576384,"limit":67108864},"networks":{"%b":{"rx_bytes":5,"rx_packets":0,"rx_errors":0,
"rx_dropped":0,"tx_bytes":7,"tx_packets":0,"tx_errors":0,"tx_dropped":0}}}"""


def sample(second: int = 30, used: int = 2 * 10**9, before: Any = None, **more: Any) -> tuple[ContainerSample, Any]:
    """The sample of one answer, and its reading."""
    answer = read_stats(STATS % (second, used, more.get("cpus", 2), more.get("network", b"network")))
    assert answer is not None
    stats, reading = corrected(*answer, more.get("mode", "bridge"), more.get("version", "4.3.1"))
    return sample_of(stats, reading, before, Target(container=Container(id="a", name="a")), "host"), reading


@pytest.mark.parametrize(
    ("second", "used", "percent"),
    [
        (32, 3 * 10**9, 50.0),  # a second of CPU in two of the clock
        (32, 6 * 10**9, 200.0),
        (32, 2 * 10**9, 0.0),
        (32, 8 * 10**9, None),  # more than two CPUs have
        (32, 1 * 10**9, None),
        (30, 3 * 10**9, None),
        (29, 3 * 10**9, None),
    ],
)
def test_cpu_is_a_share_of_the_clock(second: int, used: int, percent: float | None) -> None:
    first, reading = sample()
    assert first.cpu_percent is None
    assert sample(second, used, reading)[0].cpu_percent == percent


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 4), (4, 3), (0, 2), (2, 0), (0, 0)])
def test_cpus_that_come_and_go_change_nothing_about_it(before: int, after: int) -> None:
    _, reading = sample(cpus=before)
    assert sample(32, 6 * 10**9, reading, cpus=after)[0].cpu_percent == 200.0


@pytest.mark.parametrize(
    ("version", "mode", "network", "rx", "tx", "packets"),
    [
        ("4.3.1", "bridge", b"network", 7, 5, None),
        ("4.4.0", "bridge", b"network", 5, 7, None),
        ("5.0.0-dev", "bridge", b"eth0", 5, 7, 0),
        ("", "bridge", b"network", None, None, None),
        ("", "bridge", b"eth0", 5, 7, 0),
        ("4.3.1", "host", b"network", None, None, None),
        ("5.1.0", "none", b"eth0", None, None, None),
    ],
)
def test_the_network_is_what_the_version_knows(
    version: str, mode: str, network: bytes, rx: int | None, tx: int | None, packets: int | None
) -> None:
    one, _ = sample(version=version, mode=mode, network=network)
    assert (one.rx_bytes, one.tx_bytes, one.rx_packets) == (rx, tx, packets)
    assert one.networks is None or isinstance(next(iter(one.networks.values())), Interface)


def test_what_it_does_not_count_is_absent() -> None:
    one, _ = sample()
    assert (one.throttled_periods_total, one.throttled_seconds_total, one.blkio_read_bytes) == (None, None, None)
    assert (one.mem_usage, one.mem_cache, one.pids, one.online_cpus) == (2576384, None, 1, 2)


def met(path: Path, version: dict[str, object] | None, server: str) -> Engine:
    """What is made of an engine that says this; without a version, /version is forbidden."""

    def reply(status: str, body: object) -> bytes:
        text = json.dumps(body).encode()
        head = f"HTTP/1.1 {status}\r\nServer: {server}\r\nApi-Version: 1.41\r\nContent-Length: {len(text)}\r\n\r\n"
        return head.encode() + text

    first = [reply("200 OK", version)] if version is not None else [reply("403 Forbidden", {}), reply("200 OK", "OK")]

    async def main() -> Engine:
        async with await asyncio.start_unix_server(replying(*first, reply("200 OK", {"Name": "web1"})), str(path)):
            client = EngineClient(UnixAddress(str(path)))
            try:
                return await client.negotiate()
            finally:
                client.close()

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("version", "server", "podman"),
    [
        ({"Version": "20.10.24", "ApiVersion": "1.41", "Components": [{"Name": "Engine"}]}, "Docker/20.10.24", False),
        ({"Version": "29.0.0", "ApiVersion": "1.52"}, "", False),
        ({"Version": "4.3.1", "ApiVersion": "1.41", "Components": [{"Name": "Podman Engine"}]}, "", True),
        ({"Version": "4.3.1", "ApiVersion": "1.41", "Components": None}, "Libpod/4.3.1 (linux)", True),
        (None, "Libpod/5.0.0 (linux)", True),
        (None, "Docker/20.10.24", False),
    ],
)
def test_it_is_recognised_by_its_answers_and_not_by_a_name(
    tmp_path: Path, version: dict[str, object] | None, server: str, podman: bool
) -> None:
    engine = met(tmp_path / "s", version, server)
    assert (engine.podman, engine.name, engine.api) == (podman, "web1", (1, 41) if version is None else engine.api)
