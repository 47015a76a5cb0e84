"""The web server: addresses, shared ports, errors, and clients that misbehave."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from support.standstill import PATIENCE, running_time
from support.web import Client, is_cut_off, running, served

from statspout.errors import ConfigError
from statspout.telemetry import HTTP_REFUSED
from statspout.web import serving
from statspout.web.access import Access
from statspout.web.address import parse_address, show_address
from statspout.web.server import WebServer
from statspout.web.sockets import listen


def route(path: str, body: str = "yes") -> Route:
    async def answer(request: Request) -> Response:
        return Response(body)

    return Route(path, answer)


def failing(path: str) -> Route:
    async def answer(request: Request) -> Response:
        raise RuntimeError("a secret detail")

    return Route(path, answer)


def big(path: str) -> Route:
    async def answer(request: Request) -> Response:
        return Response(bytes(20_000_000))

    return Route(path, answer)


def started(server: WebServer) -> None:
    async def both() -> None:
        try:
            await server.start()
        finally:
            await server.stop()

    asyncio.run(both())


@contextmanager
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextmanager
def connected(client: Client, first: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", client.port), timeout=PATIENCE) as connection:
        connection.sendall(first)
        yield connection


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("localhost:0", ("localhost", 0)),
        (":8080", ("", 8080)),
        ("[::1]:65535", ("::1", 65535)),
        ("[fe80::1%eth0]:80", ("fe80::1%eth0", 80)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, pair: tuple[str, int]) -> None:
    assert parse_address(text, "rest.address") == pair
    assert show_address(*pair) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "8080",
        "host:",
        "host:port",
        "host:65536",
        "host:-1",
        "::1:80",
        "[::1]",
        "[x]:1",
        "http://host:80",
        "a b:80",
        "host:80\n",
        "host:٣",
        "u@h:80",
    ],
)
def test_a_wrong_address_names_the_setting_and_what_is_right(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_address(text, "rest.address")
    assert str(error.value) == f"--rest.address: {text!r} is wrong: host:port such as 127.0.0.1:8080 is right"


def test_routes_at_equal_addresses_share_one_port() -> None:
    server = WebServer()
    with taken() as port:
        pass
    server.mount(f"127.0.0.1:{port}", [route("/a", "A")], "a.address", "a")
    server.mount(f"127.0.0.1:{port}", [route("/b", "B")], "b.address", "b")
    with running(server) as (client, same):
        assert server.bound == [("a.address", "127.0.0.1", port), ("b.address", "127.0.0.1", port)]
        assert (client.ask("/a").body, same.ask("/b").body) == (b"A", b"B")
    assert server.bound == []


def test_port_zero_is_a_free_port_for_each() -> None:
    server = WebServer()
    server.mount("127.0.0.1:0", [route("/x", "A")], "a.address", "a")
    server.mount("127.0.0.1:0", [route("/x", "B")], "b.address", "b")
    with running(server) as (a, b):
        assert a.port != b.port
        assert (a.ask("/x").body, b.ask("/x").body) == (b"A", b"B")


def test_every_interface_and_every_address_of_a_name_are_served() -> None:
    server = WebServer()
    server.mount(":0", [route("/x")], "a.address", "a")
    server.mount("localhost:0", [route("/x")], "b.address", "b")
    with running(server) as (everywhere, by_name):
        assert server.bound[0][:2] == ("a.address", "0.0.0.0")
        assert everywhere.ask("/x").status == by_name.ask("/x").status == 200


def test_the_pieces_of_an_answer_do_not_wait_for_each_other() -> None:
    with (
        closing(asyncio.run(listen("127.0.0.1", 0))[0]) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize(("one", "other"), [("/stats", "/stats"), ("/stats/{name}", "/stats/{id}")])
def test_equal_paths_of_two_owners_name_both_settings(one: str, other: str) -> None:
    server = WebServer()
    server.mount(":8080", [route(one)], "rest.address", "rest")
    with pytest.raises(ConfigError, match=r"--rest\.address, --page\.address: rest and page would both serve /stats"):
        server.mount(":8080", [route(other)], "page.address", "page")


def test_a_fixed_path_is_not_hidden_by_a_parameter_of_another() -> None:
    with served([route("/{name}", "any"), route("/metrics", "metrics"), route("/", "root")]) as client:
        assert [client.ask(path).body for path in ("/metrics", "/x", "/")] == [b"metrics", b"any", b"root"]


def test_a_taken_port_is_a_config_error_with_a_remedy() -> None:
    server = WebServer()
    with taken() as port:
        server.mount("127.0.0.1:0", [route("/x")], "page.address", "page")
        server.mount(f"127.0.0.1:{port}", [route("/x")], "rest.address", "rest")
        with pytest.raises(ConfigError) as error:
            started(server)
    wrong = f"--rest.address: 127.0.0.1:{port} cannot be listened on: address already in use: another port is right"
    assert str(error.value) == wrong
    assert server.bound == []


def test_a_port_taken_by_another_setting_is_said_to_be() -> None:
    server = WebServer()
    with taken() as port:
        pass
    server.mount(f":{port}", [route("/x")], "a.address", "a")
    server.mount(f"127.0.0.1:{port}", [route("/y")], "b.address", "b")
    with pytest.raises(ConfigError, match=rf"--a\.address has that port: the same address, :{port}, or another port"):
        started(server)


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid", "a" * 70])
def test_an_address_of_no_use_here_is_a_config_error(host: str) -> None:
    server = WebServer()
    server.mount(f"{host}:8080", [route("/x")], "rest.address", "rest")
    with pytest.raises(ConfigError, match=rf"--rest\.address: {host}:8080 cannot be listened on: .* right"):
        started(server)


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nothing", 404, None),
        ("POST", "/nothing", 404, None),
        ("POST", "/x", 405, "GET, HEAD"),
        ("DELETE", "/x", 405, "GET, HEAD"),
        ("GET", "/bad", 500, None),
    ],
)
def test_errors_are_json(method: str, path: str, status: int, allow: str | None) -> None:
    with served([route("/x"), failing("/bad")]) as client:
        answer = client.ask(path, method)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    assert answer.headers.get("allow") == allow
    assert list(answer.json()) == ["error"]


def test_head_is_answered_and_a_trailing_slash_forgiven() -> None:
    with served([route("/x")]) as client:
        head, slash = client.ask("/x", "HEAD"), client.ask("/x/")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "3")
    assert (slash.status, slash.body) == (200, b"yes")
    assert "server" not in head.headers


def test_a_failing_route_is_logged_once_with_its_traceback_and_tells_the_client_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with served([failing("/bad"), route("/x")]) as client:
        bodies = {client.ask("/bad").body for _ in range(6)}
        assert client.ask("/x").status == 200
    assert bodies == {b'{"error":"internal error"}'}
    assert [record.exc_info is not None for record in caplog.records] == [True, False, False, False, False]


def test_what_clients_send_never_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    upgrade = b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    with served([route("/x")]) as client:
        for nonsense in (b"\x16\x03\x01 nonsense\r\n\r\n", upgrade):
            with connected(client, nonsense) as connection:
                connection.shutdown(socket.SHUT_WR)
                assert is_cut_off(connection)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


@pytest.mark.parametrize("first", [b"", b"GET /x HTTP/1.1\r\nHost: x\r\n", b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_a_silent_or_slow_or_deaf_client_is_cut_off(first: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "PATIENCE", 0.1)
    with served([route("/x"), big("/big")]) as client, connected(client, first) as connection:
        time.sleep(0.35)
        assert is_cut_off(connection)
        monkeypatch.setattr(serving, "PATIENCE", PATIENCE)
        assert client.ask("/x").status == 200


def test_a_request_head_without_an_end_is_cut_off() -> None:
    with served([route("/x")]) as client, connected(client, b"GET /x HTTP/1.1\r\n") as connection:
        with pytest.raises(ConnectionError):
            connection.sendall(b"X-Pad: x\r\n" * 1_000_000)
        assert client.ask("/x").status == 200


def test_idle_connections_cannot_keep_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MOST_CONNECTIONS", 3)
    monkeypatch.setattr(serving, "PATIENCE", 2 * PATIENCE)
    with served([route("/x")]) as client:
        idle = [socket.create_connection(("127.0.0.1", client.port), timeout=PATIENCE) for _ in range(9)]
        assert client.ask("/x").status == 200
        assert is_cut_off(idle[0])
        for connection in idle:
            connection.close()


def slow(path: str) -> Route:
    async def answer(request: Request) -> Response:
        await asyncio.sleep(0.1)
        return Response("late")

    return Route(path, answer)


def everything(connection: socket.socket) -> bytes:
    found = b""
    while part := connection.recv(1 << 20):
        found += part
    return found


@pytest.mark.parametrize(
    ("sent", "answers", "last"),
    [
        (b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n", 1, b"yes"),
        (b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n", 1, b"late"),
        (b"GET /slow HTTP/1.0\r\n\r\n", 1, b"late"),
        (b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n", 1, bytes(1000)),
        (b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n", 4, b"yes"),
        (b"GET /x HTTP/1.1\r\nHost: x\r\n", 0, b""),
        (b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf", 0, b""),
        (b"", 0, b""),
    ],
)
def test_who_says_that_nothing_more_comes_is_answered_what_was_asked(sent: bytes, answers: int, last: bytes) -> None:
    routes = [route("/x"), big("/big"), slow("/slow")]
    with served(routes) as client, connected(client, sent) as connection:
        connection.shutdown(socket.SHUT_WR)
        got = everything(connection)
    assert got.count(b"HTTP/1.1 200 OK\r\n") == answers
    assert got.endswith(last)


def test_who_is_not_answered_is_counted_by_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    server = WebServer(Access(token="t0ken"))
    server.mount("127.0.0.1:0", [route("/x"), big("/big")], "a.address", "a")
    right = {"Authorization": "Bearer t0ken"}
    with running(server) as (client,):
        statuses = [client.ask("/x").status, client.ask("/x", "POST", right, bytes(70_000)).status]
        statuses += [client.ask("/x", headers=right).status, client.ask("/none", headers=right).status]
        with connected(client, b"EHLO x\r\n") as connection:
            assert everything(connection).startswith(b"HTTP/1.1 400")
        with connected(client, b"GET /x HTTP/1.1\r\n" + b"X-Pad: x\r\n" * 7000) as connection:
            assert is_cut_off(connection)
        monkeypatch.setattr(serving, "PATIENCE", 0.1)
        with connected(client) as connection:
            assert is_cut_off(connection)
        monkeypatch.setattr(serving, "PATIENCE", 2 * PATIENCE)
        monkeypatch.setattr(serving, "MOST_CONNECTIONS", 1)
        with connected(client) as connection, connected(client):
            assert is_cut_off(connection)
    assert statuses == [401, 413, 200, 404]
    counted = {"credentials": 1, "too_large": 2, "not_http": 1, "slow": 1, "crowded": 1}
    assert {reason: server.refused[reason] for reason in counted} == counted
    assert server.refused.keys() <= set(HTTP_REFUSED)


def test_stop_cuts_off_who_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "GRACE", 0.2)

    async def stops() -> float:
        server = WebServer()
        server.mount("127.0.0.1:0", [big("/big")], "a.address", "a")
        await server.start()
        _, writer = await asyncio.open_connection("127.0.0.1", server.bound[0][2], limit=1)
        writer.write(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.05)
        began = running_time()
        await server.stop()
        took = running_time() - began
        writer.close()
        return took

    assert asyncio.run(stops()) < 1


def test_signals_stay_with_the_program() -> None:
    async def handlers() -> list[object]:
        server = WebServer()
        server.mount("127.0.0.1:0", [route("/x")], "a.address", "a")
        await server.start()
        found: list[object] = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        await server.stop()
        return found

    before = signal.getsignal(signal.SIGTERM)
    assert asyncio.run(handlers())[1] is before


def test_a_server_that_dies_is_logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    async def dies(self: object) -> None:
        await asyncio.sleep(0.01)
        raise RuntimeError("gone")

    async def start() -> None:
        server = WebServer()
        server.mount("127.0.0.1:0", [route("/x")], "a.address", "a")
        await server.start()
        async with asyncio.timeout(PATIENCE):
            while not caplog.records:  # noqa: ASYNC110 - the log has no event
                await asyncio.sleep(0.005)
        await server.stop()

    monkeypatch.setattr(serving._Server, "main_loop", dies)
    asyncio.run(start())
    assert [record.getMessage() for record in caplog.records] == ["--a.address: the server at 127.0.0.1:0 ended"]


def test_without_a_mount_neither_starlette_nor_uvicorn_is_loaded() -> None:
    code = (
        "import asyncio, sys; from statspout.web.server import WebServer; server = WebServer();"
        "asyncio.run(server.start()); asyncio.run(server.stop());"
        "print({'starlette', 'uvicorn'} & set(sys.modules), server.bound)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "set() []\n"
