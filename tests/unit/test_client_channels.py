"""The ways to a server: each kind of socket, a server that is not there yet, that is slow, or gone for a while."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.lines import Sink, StreamSink, together
from support.standstill import PATIENCE, running_time

from statspout.client import StatsD, channel
from statspout.client.addresses import Address, parse
from statspout.client.channel import writable


def until(condition: Callable[[], object]) -> None:
    """Wait for it; a test that waits in vain ends by the deadline of all tests."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.fixture(autouse=True)
def nothing_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is told, however long the machine takes for it; where that is not what a test is about."""
    monkeypatch.setattr(channel, "STALE", PATIENCE)


def at_once(address: str) -> StatsD:
    return StatsD(address, period=0)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:8125", Address("udp", "localhost", 8125)),
        (" 10.0.0.1:1 ", Address("udp", "10.0.0.1", 1)),
        ("[::1]:8125", Address("udp", "::1", 8125)),
        ("udp://h:1", Address("udp", "h", 1)),
        ("tcp://[fe80::1%eth0]:9", Address("tcp", "fe80::1%eth0", 9)),
        ("unix:///run/s.sock", Address("unix", "/run/s.sock")),
        ("unixgram:///s", Address("unix", "/s")),
    ],
)
def test_an_address_is_read(text: str, address: Address) -> None:
    assert parse(text) == address
    assert parse(str(parse(text))) == address


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "missing colon delimiter"),
        ("localhost", "missing colon delimiter"),
        ("[::1]", "missing colon delimiter"),
        ("host:", "port ''"),
        ("host:http", "port 'http'"),
        ("host:0", "port '0'"),
        ("host:70000", "port '70000'"),
        ("host:-1", "port '-1'"),
        (":8125", "no host"),
        ("[]:8125", "no host"),
        ("a b:8125", "no host"),
        ("a..b:8125", "no host can be called 'a..b'"),
        (f"{'x' * 64}:8125", "no host can be called 'xxx"),
        ("::1:8125", "more than one colon"),
        ("ftp://host:1", "no such transport 'ftp'"),
        ("unix://relative", "no path of a socket"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(text)


def test_an_address_may_lack_its_port_where_there_is_a_usual_one() -> None:
    assert [parse(text, 8125) for text in ("udp://agent", "[::1]")] == [
        Address("udp", "agent", 8125),
        Address("udp", "::1", 8125),
    ]


@pytest.mark.parametrize("where", ["127.0.0.1", "::1"])
def test_lines_go_over_udp(where: str) -> None:
    with Sink(where) as sink, at_once(sink.address) as client:
        client.count("a")
        client.count("b")
        assert sink.packets() == ["a:1|c", "b:1|c"]


def test_a_name_is_looked_up_elsewhere_than_in_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    look_up = socket.getaddrinfo

    def noted(*arguments: Any, **named: Any) -> Any:
        threads.append(threading.current_thread().name)
        return look_up(*arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", noted)
    with Sink() as sink, at_once(f"localhost:{sink.socket.getsockname()[1]}") as client:
        client.count("a")
        client.count("b")
        assert client.flush()
        client.count("c")
        assert sink.packets() == ["a:1|c", "b:1|c", "c:1|c"]
        assert threads == ["statspout-client-channel"]


def test_a_name_that_moves_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = ["127.0.0.1", "127.0.0.1", "127.0.0.2"]

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        assert host == "server"
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (answers.pop(0) if len(answers) > 1 else answers[0], port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr("statspout.client.datagrams.FRESH", 0.0)
    with (
        Sink() as old,
        Sink("127.0.0.2", old.socket.getsockname()[1]) as new,
        at_once(f"server:{old.socket.getsockname()[1]}") as client,
    ):
        while not (moved := new.packets()):
            client.count("a")
            client.flush()
        assert (set(old.packets()), set(moved), client.lost) == ({"a:1|c"}, {"a:1|c"}, {})


def test_a_name_that_nobody_knows_yet_costs_nothing_but_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    look_up = socket.getaddrinfo
    failed: list[object] = []

    def fail_twice(*arguments: object, **named: object) -> object:
        if len(failed) < 2:
            failed.append(arguments[0])
            raise socket.gaierror(-2, "Name or service not known")
        return look_up("127.0.0.1", *arguments[1:], **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", fail_twice)
    with Sink() as sink, at_once(f"statsd.test:{sink.socket.getsockname()[1]}") as client:
        client.count("a")
        assert sink.next() == "a:1|c"
        assert (failed, client.lost) == (["statsd.test", "statsd.test"], {})
    assert [record.message.partition(": [")[0] for record in caplog.records] == [
        f"udp://statsd.test:{sink.address[10:]}"
    ]


def test_what_waits_for_too_long_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("statspout.client.channel.STALE", 0.0)
    with at_once(f"unix://{tmp_path}/nobody") as client:
        client.count("a")
        until(lambda: client.lost)
        assert client.lost == {"late": 1}


def test_more_than_may_wait_is_dropped_from_its_old_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("statspout.client.channel.WAITING", 5)
    path = tmp_path / "socket"
    with at_once(f"unix://{path}") as client:
        for number in range(8):
            client.count("a", number)
        assert client.lost == {"full": 3}
        with Sink(path) as sink:
            assert client.flush(PATIENCE)
            assert sink.lines() == [f"a:{number}|c" for number in range(3, 8)]


def test_what_still_waits_at_the_end_is_counted(tmp_path: Path) -> None:
    client = at_once(f"unix://{tmp_path}/nobody")
    client.count("a")
    client.gauge_set("b", -1)
    assert not client.flush(0)
    client.close(0)
    assert client.lost == {"unsent": 3}


def test_udp_that_nobody_listens_to_is_counted_and_goes_on() -> None:
    with Sink() as sink:
        address = sink.address
    with at_once(address) as client:
        count: Callable[[str], object] = client.count
        client.gauge_set("g", -1)
        until(lambda: [count("a"), client.lost][1])
        assert client.lost["refused"] >= 1
        with Sink(port=int(address.rpartition(":")[2])) as sink:
            client.count("b")
            assert sink.packets() == ["b:1|c"]


def test_a_name_of_two_addresses_is_tried_at_the_other_when_the_first_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sink("::1") as sink:
        port = sink.socket.getsockname()[1]
        places = [
            (f, socket.SOCK_DGRAM, 17, "", (w, port))
            for f, w in ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"))
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)
        with at_once(f"server:{port}") as client:
            count: Callable[[str], object] = client.count
            client.count("nobody hears this")
            client.flush()
            until(lambda: [count("a"), client.lost][1])
            assert set(sink.packets()) == {"a:1|c"}


def test_lines_go_to_a_unix_socket_in_order_however_slow_the_server_is(tmp_path: Path) -> None:
    with Sink(tmp_path / "socket") as sink, at_once(sink.address) as client:
        got: list[str] = []
        for number in range(1000):  # the kernel keeps some ten of them
            client.count("a", number)
            if number % 3 == 0:  # there is room again now and then, for what waits first
                got.append(sink.next())
        while len(got) < 1000:
            got.append(sink.next())
        assert (got, client.lost) == ([f"a:{number}|c" for number in range(1000)], {})


def test_a_unix_server_may_come_later_and_come_again(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with at_once(f"unix://{path}") as client:
        client.count("before")
        for word in ("first", "second"):
            with Sink(path) as sink:
                client.count(word)
                assert client.flush(PATIENCE)
                assert sink.lines()[-1] == f"{word}:1|c"
            path.unlink()
        assert client.lost == {}


def test_lines_over_tcp_end_in_newlines_one_connection_for_all() -> None:
    with StreamSink() as sink:
        client = StatsD(sink.address, period=60)
        client.count("a")
        client.gauge_set("b", -1)
        client.flush(0)
        client.set_period(0)
        client.count("c")
        client.close(PATIENCE)
        assert (sink.text(), client.lost) == ("a:1|c\nb:0|g\nb:-1|g\nc:1|c\n", {})


def test_all_lines_arrive_over_tcp_when_the_server_is_slower_than_the_application() -> None:
    with StreamSink() as sink:
        client = StatsD(sink.address, period=60)
        for _ in range(100):
            for number in range(1000):
                client.count(f"metric.number.{number}")
            client.flush(0)
        client.set_address(None)  # which waits for nobody, and still sends what waits
        lines = sink.text().splitlines()
        assert (len(lines), set(lines), client.lost) == (
            100_000, {f"metric.number.{number}:1|c" for number in range(1000)}, {},
        )  # fmt: skip


def test_a_tcp_server_may_come_later_and_come_again() -> None:
    with StreamSink() as sink:
        port = sink.port
    with at_once(f"tcp://127.0.0.1:{port}") as client:
        for word in ("first", "second"):
            client.count(word)  # before there is anybody, or after the server hung up
            with StreamSink(port) as sink, sink.connection() as connection:
                assert connection.recv(4096) == f"{word}:1|c\n".encode()
        assert client.lost == {}


def test_a_line_that_a_broken_connection_has_cut_is_counted_and_the_rest_comes_whole() -> None:
    lines = [f"metric.{number}.{'x' * 60_000}:1|c" for number in range(400)]
    with StreamSink() as sink:
        client = StatsD(sink.address, period=0, packet_size=65_507)
        for line in lines:
            client.count(line.removesuffix(":1|c"))
        with sink.connection():  # its end, with much that nobody has read, breaks it
            until(lambda: _is_stuck(client))
        rest: list[str] = []
        together(lambda: client.close(PATIENCE), lambda: rest.extend(sink.text().splitlines()))
        assert (client.lost, rest) == ({"cut": 1}, lines[-len(rest) :])


def _is_stuck(client: StatsD) -> bool:
    """The server's and our own buffers are full: the thread waits until there is room."""
    sending = client._outbox.channel
    assert sending is not None
    connection = sending._socket
    return connection is not None and sending._busy and not writable(connection, 0)


def _is_full(client: StatsD) -> bool:
    """And so is what may wait for them."""
    sending = client._outbox.channel
    return sending is not None and len(sending._backlog) == channel.WAITING and _is_stuck(client)


def test_a_client_never_waits_for_a_server_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statspout.client.channel.WAITING", 10)
    with StreamSink() as sink:
        client = at_once(sink.address)
        # The kernel takes some megabytes first, which it may find some more room for a moment later.
        full_since = running_time()
        while running_time() - full_since < 0.3:
            if not _is_full(client):
                client.count("x" * 1400)
                full_since = running_time()
            time.sleep(0)
        client.count("x" * 1400)
        client.close(0)
        assert client.lost["full"] > 0
        assert 0 < client.lost["unsent"] <= 10
