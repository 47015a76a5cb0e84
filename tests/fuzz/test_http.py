"""Anybody may speak to our ports: whatever they say, in whatever pieces, the next one is served as ever."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import ssl
from collections.abc import Iterator

import pytest
from support.certificates import Authority
from support.daemon import Daemon
from support.fuzz import SEED, TIMES, resident, tried
from support.ports import free_port
from support.web import Client

PATHS = (
    "/stats",
    "/metrics",
    "/stats/web",
    "/app-stats",
    "/healthz",
    "/readyz",
    "/stats/../../etc/passwd",
    "/stats?name=%00&%zz=1",
    "/%ff",
    "*",
)
WORDS = (
    b"GET", b"POST", b"HEAD", b"CONNECT", b" ", b"\r\n", b"\n", b"\r", b":", b"HTTP/1.1", b"HTTP/9.9",
    b"PRI * HTTP/2.0\r\n\r\nSM", b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n", b"ffffffff\r\n", b"Accept: " + b"a/b;q=0.5," * 500,
    b"Accept-Encoding: gzip;q=nan\r\n", b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\n",
    b"Connection: upgrade\r\n", b"Host: \xff\r\n", b"X: " + b"y" * 9000, b"\x00", b"\x16\x03\x01\x02\x00",
    b"%00", b"?", b"/", b"#",
)  # fmt: skip


def request(chance: random.Random) -> bytes:
    """A request that is spoilt in up to five places, cut off, or sent twice."""
    path = chance.choice(PATHS).encode()
    accept = chance.choice((b"", b"Accept: application/openmetrics-text\r\n", b"Accept-Encoding: gzip\r\n"))
    data = bytearray(b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (path, accept))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 5))):
        at = chance.randrange(len(data) + 1)
        data[at : at + chance.choice((0, 0, 1, 4))] = chance.choice(WORDS)
    if chance.random() < 0.2:
        del data[chance.randrange(len(data) + 1) :]
    return bytes(data) * chance.choice((1, 1, 1, 2, 20))


def say(port: int, data: bytes, chance: random.Random, context: ssl.SSLContext | None = None) -> bytes:
    """Send it in one piece or two, by TLS where there is a ``context``, and read what comes at once."""
    answer = b""
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        contextlib.closing(plain if context is None else context.wrap_socket(plain)) as speaking,
    ):
        cut = chance.randrange(len(data) + 1)
        speaking.sendall(data[:cut])
        speaking.sendall(data[cut:])
        if context is None and chance.random() < 0.2:
            speaking.shutdown(socket.SHUT_WR)
        if chance.random() < 0.7:
            # One that is not understood as a whole has no answer yet; one that may be has it as soon as there is time.
            speaking.settimeout(1.0 if b"\r\n\r\n" in data else 0.02)
            while piece := speaking.recv(1 << 16):
                answer += piece
                speaking.settimeout(0.02)
    return answer


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    zero = "127.0.0.1:0"
    with Daemon(
        "--demo", "--repository=rest,prometheus", "--interval=1",
        f"--rest.address={zero}", f"--prometheus.address={zero}", f"--health.address={zero}",
    ) as daemon:  # fmt: skip
        daemon.eventually(daemon.stats)
        yield daemon
        assert daemon.terminate() == 0
        assert "Traceback" not in daemon.log
        assert len(daemon.log.splitlines()) < 30, daemon.log


@pytest.mark.parametrize(
    ("setting", "path"),
    [("rest.address", "/stats"), ("prometheus.address", "/metrics"), ("health.address", "/metrics")],
)
def test_whatever_is_sent_to_a_port_the_next_one_is_served(daemon: Daemon, setting: str, path: str) -> None:
    chance, before, served = random.Random(f"{SEED} {setting}"), 0, 0
    line = daemon.wait_for_line(f" {setting}: http://")
    port = int(line.rpartition(":")[2])
    for number in range(round(200 * max(1, TIMES))):
        answer = say(port, request(chance), chance)
        tried("HTTP requests")
        assert not answer or re.match(rb"HTTP/1\.[01] \d{3} |Invalid HTTP", answer), answer[:200]
        assert b" 500 " not in answer[:20]
        served += answer[9:12] in (b"200", b"404")
        if number % 50 == 49:
            good = daemon.get(path, setting)
            assert (good.status, bool(good.body)) == (200, True)
            before = before or resident(daemon.pid)
    assert served > number / 10, "too little of it was understood"
    assert resident(daemon.pid) - before < 30 * 2**20


# Behind TLS and a token

RIGHT = {"Authorization": "Bearer 5f1c-token"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def guarded(authority: Authority) -> Iterator[tuple[Daemon, Client]]:
    """A daemon that has everything at one address, for those with a token, and who asks it rightly."""
    token = authority.folder / "token"
    token.write_text("5f1c-token")
    port = free_port()
    address = f"127.0.0.1:{port}"
    with Daemon(
        "--demo", "--repository=rest", "--interval=1", f"--rest.address={address}", f"--health.address={address}",
        f"--web.tls-cert={authority.cert('server')}", f"--web.tls-key={authority.key('server')}",
        f"--web.token-file={token}",
    ) as daemon:  # fmt: skip
        client = Client(port, ssl.create_default_context(cafile=str(authority.ca)))
        daemon.wait_for_line(" rest.address: https://")
        daemon.eventually(lambda: client.ask("/stats", headers=RIGHT).json())
        yield daemon, client
        assert daemon.terminate() == 0
        assert "Traceback" not in daemon.log


def is_well(daemon: Daemon, client: Client) -> int:
    """Bytes of its memory, when who has the token is served."""
    assert client.ask("/stats", headers=RIGHT).status == 200
    return resident(daemon.pid)


def test_without_credentials_nothing_that_is_sent_gets_more_than_that_it_lives(
    guarded: tuple[Daemon, Client],
) -> None:
    chance, before = random.Random(f"{SEED} https"), 0
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    refused = 0
    for number in range(round(100 * max(1, TIMES))):
        answer = say(guarded[1].port, request(chance), chance, context)
        tried("HTTPS requests")
        assert not answer or re.match(rb"HTTP/1\.[01] (200|400|401|413|503) ", answer), answer[:200]
        assert not re.search(rb"cpu_percent|statspout_|last_sample|5f1c", answer), answer
        refused += b" 401 " in answer
        if number % 50 == 49:
            before = before or is_well(*guarded)
    assert refused > number / 10, "too little of it was understood"
    assert is_well(*guarded) - before < 30 * 2**20


def hello() -> bytes:
    """How a client begins TLS."""
    sent = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost").do_handshake()
    return sent.read()


def test_a_handshake_of_any_bytes_keeps_nobody_out(guarded: tuple[Daemon, Client]) -> None:
    chance, before = random.Random(f"{SEED} tls"), 0
    for number in range(round(100 * max(1, TIMES))):
        data = bytearray(hello())
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(data))
            data[at : at + chance.choice((0, 1, 4, 99))] = chance.randbytes(chance.randrange(4))
        say(guarded[1].port, bytes(data) * chance.choice((1, 1, 5)), chance)
        tried("TLS handshakes")
        if number % 50 == 49:
            before = before or is_well(*guarded)
    assert is_well(*guarded) - before < 30 * 2**20
