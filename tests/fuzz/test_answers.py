"""What an engine may answer, and what it may not: no answer hurts, and none gives a number that is not in it."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.fuzz import Memory, changed, counts, inputs, is_number, mutated, tried

from statspout import BadAnswer, Container, ContainerSample, SourceError
from statspout.source import Target
from statspout.sources.engine.address import UnixAddress
from statspout.sources.engine.answers import Event, Inspected, Version, decode, decode_list
from statspout.sources.engine.decode import read_stats, sample_of
from statspout.sources.engine.http import Pool

TARGET = Target(container=Container(id="a" * 64, name="web"), state="running")
INTERFACE = dict.fromkeys(
    ("rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "tx_bytes", "tx_packets", "tx_errors", "tx_dropped"), 3
)
STATS: dict[str, Any] = {
    "read": "2026-11-22T10:00:01.5Z",
    "cpu_stats": {
        "cpu_usage": {"total_usage": 2_000_000_000, "percpu_usage": [1, 1]},
        "system_cpu_usage": 100_000_000_000,
        "online_cpus": 2,
        "throttling_data": {"periods": 9, "throttled_periods": 4, "throttled_time": 500_000_000},
    },
    "memory_stats": {"usage": 1000, "limit": 4000, "stats": {"inactive_file": 200, "file": 300, "anon": 500}},
    "blkio_stats": {"io_service_bytes_recursive": [{"major": 8, "minor": 0, "op": "read", "value": 5}]},
    "networks": {"eth0": INTERFACE, "eth1": INTERFACE},
    "pids_stats": {"current": 3, "limit": 9},
}
INSPECT: dict[str, Any] = {
    "Id": "a" * 64, "Name": "/web", "RestartCount": 1,
    "State": {"Status": "running", "Running": True, "StartedAt": "2026-11-22T10:00:00Z", "Pid": 5, "Health": None},
    "Config": {"Image": "busybox", "Labels": {"a": "b"}},
    "HostConfig": {"Memory": 0, "PidsLimit": -1, "NetworkMode": "bridge"},
    "NetworkSettings": {"Networks": {"bridge": {"DriverOpts": None}}},
}  # fmt: skip
LIST = [
    {"Id": "a" * 64, "Names": ["/web"], "Image": "busybox", "Labels": {}, "State": "running", "Status": "Up 2 days"}
]
EVENT: dict[str, Any] = {
    "Type": "container", "Action": "start", "Actor": {"ID": "a" * 64, "Attributes": {"name": "web"}}, "timeNano": 5,
}  # fmt: skip
JSON = (
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"0.5",
    b"NaN",
    b'"x"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"\xff",
)
memory = Memory()


def read(body: bytes) -> ContainerSample | None:
    found = read_stats(body)
    if found is None:
        return None
    before = read_stats(json.dumps(STATS).encode())
    assert before is not None
    return sample_of(*found, before[1], TARGET, "host")


@inputs(800)
@given(changed(STATS) | mutated([json.dumps(STATS).encode()], JSON))
def test_statistics_that_are_garbage_are_a_bad_answer_and_else_every_number_is_one(body: bytes) -> None:
    tried("statistics")
    try:
        sample = read(body)
    except BadAnswer as error:
        assert "\n" not in str(error)
        return
    if sample is not None:
        wrong = {name: value for name, _, _, value, _ in sample.points() if not is_number(value)}
        assert not wrong
        assert sample.cpu_percent is None or sample.cpu_percent <= (sample.online_cpus or 0) * 125


interfaces = st.dictionaries(
    st.sampled_from(("eth0", "eth1", "x")), st.fixed_dictionaries(dict.fromkeys(INTERFACE, counts))
)


@inputs(150)
@given(interfaces, counts, counts, counts, st.lists(counts, max_size=3))
def test_numbers_of_any_size_come_out_as_they_went_in(
    networks: dict[str, Any], cpu: int | None, usage: int | None, current: int | None, written: list[int | None]
) -> None:
    tried("statistics")
    entries = [{"op": "Write", "value": value or 0} for value in written]
    sample = read(
        json.dumps(
            STATS
            | {"networks": networks, "memory_stats": {"usage": usage}, "pids_stats": {"current": current}}
            | {"cpu_stats": {"cpu_usage": {"total_usage": cpu}}, "blkio_stats": {"io_service_bytes_recursive": entries}}
        ).encode()
    )
    assert sample is not None
    for name in INTERFACE:
        parts = [one[name] for one in networks.values()]
        assert getattr(sample, name) == (sum(parts) if parts and None not in parts else None)
    assert sample.mem_usage == sample.mem_usage_raw == (usage or None)
    assert sample.cpu_seconds_total == (cpu / 1e9 if cpu else None)
    assert sample.pids == (current or None)
    assert sample.blkio_write_bytes == (sum(value or 0 for value in written) if written else None)


@inputs(200)
@given(changed(EVENT) | mutated([json.dumps(EVENT).encode()], JSON))
def test_an_event_is_one_or_a_bad_answer(line: bytes) -> None:
    tried("events")
    try:
        event = decode(line, Event, "event")
    except BadAnswer:
        return
    assert isinstance(event.action, str)
    assert isinstance(event.container_id, str)


@inputs(200)
@given(changed(INSPECT) | mutated([json.dumps(INSPECT).encode()], JSON))
def test_an_inspect_is_a_container_or_a_bad_answer(body: bytes) -> None:
    tried("inspects")
    try:
        target = decode(body, Inspected, "inspect").target()
    except BadAnswer:
        return
    assert is_number(target.memory_limit)
    assert is_number(target.pids_limit)
    assert target.container.started_at is None or target.container.started_at >= 0


@inputs(200)
@given(changed(LIST) | mutated([json.dumps(LIST).encode()], JSON))
def test_a_list_is_of_containers_or_a_bad_answer(body: bytes) -> None:
    tried("lists")
    try:
        listed = decode_list(body)
    except BadAnswer:
        return
    assert all(isinstance(one.name, str) and one.id is not None and one.young in (True, False) for one in listed)


@inputs(200)
@given(changed(LIST[0]))
def test_one_container_of_a_list_never_hides_another(one: bytes) -> None:
    tried("lists")
    good = json.dumps(LIST[0] | {"Id": "b" * 64}).encode()
    try:
        json.loads(one.decode())
        listed = decode_list(b"[" + one + b"," + good + b"]")
    except (BadAnswer, ValueError):
        # NaN is no JSON, and a bad answer is bad as a whole.
        assert b"NaN" in one or b"Infinity" in one or b"\\ud" in one
        return
    assert listed[-1].id == "b" * 64


@inputs(200)
@given(mutated([json.dumps({"Version": "1", "ApiVersion": "1.41", "Components": [{"Name": "Engine"}]}).encode()], JSON))
def test_a_version_is_one_or_a_bad_answer(body: bytes) -> None:
    tried("versions")
    try:
        assert decode(body, Version, "version").podman in (True, False)
    except BadAnswer:
        return


# the engine's HTTP, over a socket

REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REPLIES = (
    REPLY,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 17\r\n\r\n" + b'{"message": "no"}',
    b"HTTP/1.1 204 No Content\r\n\r\n",
    REPLY + REPLY,
)
HTTP = (
    b"\r\n",
    b":",
    b" ",
    b"HTTP/1.1 ",
    b"100",
    b"Content-Length: 9\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"0",
    REPLY,
)


@inputs(60)
@given(st.lists(mutated(REPLIES, HTTP), min_size=1, max_size=3))
def test_an_engine_that_answers_garbage_is_told_so_and_never_gives_one_the_answer_of_another(
    replies: list[bytes],
) -> None:
    """After each answer that may be anything comes a question whose right answer is known, over the same pool."""
    tried("answers over HTTP", len(replies))

    async def main() -> None:
        path = str(Path(folder.name) / "s")
        async with await asyncio.start_unix_server(_serve, path):
            pool = Pool(UnixAddress(path))
            for number, reply in enumerate(replies):
                waiting[b"bad"] = reply
                try:
                    await pool.get(b"GET /bad HTTP/1.1\r\n\r\n", 0.05)
                except SourceError as error:
                    assert "\n" not in str(error)
                asked = b"%d" % number
                answer = await pool.get(b"GET /%d HTTP/1.1\r\n\r\n" % number, 5.0)
                assert (answer.status, answer.body) == (200, asked * 4)
            pool.close()

    asyncio.run(main())


waiting: dict[bytes, bytes] = {}
folder = tempfile.TemporaryDirectory(prefix="statspout-fuzz-")


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            what = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1][1:]
            good = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(what) * 4, what * 4)
            writer.write(waiting[what] if what == b"bad" else good)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def test_memory_does_not_grow_with_what_was_read() -> None:
    for _ in range(3):
        for body in (json.dumps(STATS).encode()[:-at] for at in range(1, 900)):
            tried("statistics")
            try:
                read(body)
            except BadAnswer:
                continue
        memory.look()
