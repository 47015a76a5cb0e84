"""Anybody may speak to our ports: whatever they say, in whatever pieces, the next one is served as ever."""

from __future__ import annotations

import contextlib
import random
import re
import socket
from collections.abc import Iterator

import pytest
from support.daemon import Daemon
from support.fuzz import SEED, TIMES, resident, tried

PATHS = (
    "/stats",
    "/metrics",
    "/stats/app",
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
    for _ in range(chance.randrange(6)):
        at = chance.randrange(len(data) + 1)
        data[at : at + chance.choice((0, 0, 1, 4))] = chance.choice(WORDS)
    if chance.random() < 0.2:
        del data[chance.randrange(len(data) + 1) :]
    return bytes(data) * chance.choice((1, 1, 1, 2, 20))


def say(port: int, data: bytes, chance: random.Random) -> bytes:
    """Send it in one piece or two, and read what comes at once."""
    answer = b""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as speaking:
        cut = chance.randrange(len(data) + 1)
        speaking.sendall(data[:cut])
        speaking.sendall(data[cut:])
        if chance.random() < 0.7:
            speaking.settimeout(0.02)  # One that is not understood as a whole has no answer yet.
            while piece := speaking.recv(1 << 16):
                answer += piece
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
