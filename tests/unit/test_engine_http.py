"""The engine client's HTTP: kept-alive connections, deadlines over headers and body, whatever the other end does."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.replies import Handler, replying

from statspout import BadAnswer, EngineDown, SourceError, Timeout
from statspout.sources.engine.address import TcpAddress, UnixAddress
from statspout.sources.engine.http import Answer, Pool, error_message

REQUEST = b"GET /x HTTP/1.1\r\nHost: docker\r\n\r\n"


def ask(tmp_path: Path, handler: Handler, times: int = 1, deadline: float = 1.0) -> list[Answer]:
    """What a pool gets from a server whose connections ``handler`` serves."""

    async def main() -> list[Answer]:
        path = str(tmp_path / "s")
        server = await asyncio.start_unix_server(handler, path)
        async with server:
            pool = Pool(UnixAddress(path))
            try:
                return [await pool.get(REQUEST, deadline) for _ in range(times)]
            finally:
                pool.close()

    return asyncio.run(main())


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"


@pytest.mark.parametrize("reply", [OK, CHUNKED, b"HTTP/1.0 200 OK\r\n\r\nok", b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nok"])
def test_every_way_to_end_a_body_is_understood(tmp_path: Path, reply: bytes) -> None:
    (answer,) = ask(tmp_path, replying(reply))
    assert (answer.status, answer.body) == (200, b"ok")


def test_a_connection_is_kept_and_one_that_was_closed_meanwhile_is_replaced(tmp_path: Path) -> None:
    connections = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        await replying(OK, OK)(reader, writer)

    assert [answer.body for answer in ask(tmp_path, handle, times=6)] == [b"ok"] * 6
    assert len(connections) == 3


def test_what_comes_behind_an_answer_is_never_the_beginning_of_the_next(tmp_path: Path) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nno"
    answers = ask(tmp_path, replying(OK + cut, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nNO"), times=2)
    assert [answer.body for answer in answers] == [b"ok"] * 2


def test_engines_of_two_loops_never_get_each_others_answers(tmp_path: Path) -> None:
    def bodies(name: str) -> set[bytes]:
        body = name.encode() * 2000
        reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        folder = tmp_path / name
        folder.mkdir()
        return {answer.body[:1] for answer in ask(folder, replying(*[reply] * 400), times=400, deadline=10.0)}

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(bodies, "ab")) == [{b"a"}, {b"b"}]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"SSH-2.0-OpenSSH\r\n", BadAnswer),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", BadAnswer),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok", BadAnswer),
        (b"", EngineDown),
    ],
)
def test_an_answer_cut_short_is_no_answer(tmp_path: Path, reply: bytes, error: type[SourceError]) -> None:
    with pytest.raises(error):
        ask(tmp_path, replying(reply))


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok"])
def test_the_deadline_covers_headers_and_body(tmp_path: Path, reply: bytes) -> None:
    with pytest.raises(Timeout, match=r"within 0\.\d+ s"):
        ask(tmp_path, replying(reply, close=False), deadline=0.2)


@pytest.mark.parametrize("address", [UnixAddress("/nowhere/docker.sock"), TcpAddress("127.0.0.1", 1)])
def test_nobody_there_is_told_with_the_address(address: UnixAddress | TcpAddress) -> None:
    with pytest.raises(EngineDown, match=str(address).partition("//")[2]):
        asyncio.run(Pool(address).get(REQUEST, 1.0))


def test_a_socket_that_does_not_let_us_in_says_whom_it_would(tmp_path: Path) -> None:
    socket = tmp_path / "docker.sock"
    socket.touch()
    socket.chmod(0o660)
    refused = UnixAddress(str(socket)).remedy(PermissionError())
    assert re.fullmatch(rf": root and the members of its group may .* {socket.stat().st_gid}\)", refused)
    socket.chmod(0o600)
    assert UnixAddress(str(socket)).remedy(PermissionError()) == ""


@pytest.mark.parametrize(
    ("body", "text"),
    [(b'{"message":"No such container: x"}\n', "No such container: x"), (b"<html>\n  no", "<html> no"), (b"\xff", "�")],
)
def test_an_engines_error_is_one_short_line(body: bytes, text: str) -> None:
    assert error_message(body) == text
