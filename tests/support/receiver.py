"""An HTTP server that takes what is posted to it, and answers as a test tells it to."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from support.certificates import Authority
from support.standstill import PATIENCE


@dataclass(frozen=True, slots=True)
class Posted:
    """One request that came, whole. ``connection`` is the number of the connection that it came on, from 1."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int

    def json(self) -> Any:
        """The body, decoded."""
        plain = gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body
        return json.loads(plain)


@dataclass(frozen=True, slots=True)
class Reply:
    """What to say to one request, ``delay`` seconds after it came; with ``raw`` these bytes, and then hang up."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0
    raw: bytes | None = None


class Receiver(ThreadingHTTPServer):
    """Listens on a port of this machine, a free one unless told; each of ``replies`` is said once, then always 204.

    With an ``authority`` it speaks TLS with that one's certificate. Connections on which nothing more comes for
    ``idle`` seconds are closed. A batch for which ``refuse`` is true is answered with 400.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, *replies: Reply, authority: Authority | None = None, idle: float = 30.0, port: int = 0) -> None:
        self.replies = deque(replies)
        self.posted: list[Posted] = []
        """Every request, whatever the answer was."""
        self.stored: list[Posted] = []
        self.refuse: Callable[[Any], bool] = lambda _: False
        self.numbers = itertools.count(1)
        self.closed = 0
        self.open: set[socket.socket] = set()
        self.idle = idle
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)
        self.scheme = "http" if authority is None else "https"
        if authority is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(authority.cert("server"), authority.key("server"))
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End it, and cut every connection; what it stored stays known."""
        self.shutdown()
        self.server_close()
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        """Where to post."""
        return f"{self.scheme}://{self.address}/samples"

    def stored_names(self) -> set[str]:
        """The names of the containers in what was answered with 2xx."""
        return {one["name"] for posted in self.stored for one in posted.json()}

    def reply_to(self, posted: Posted) -> Reply:
        """What to say."""
        reply = self.replies.popleft() if self.replies else Reply()
        if reply.status < 300 and self.refuse(posted.json()):
            return Reply(400, body=b"not this")
        if reply.status < 300:
            self.stored.append(posted)
        return reply

    def wait_closed(self, count: int) -> None:
        """Return when so many connections have ended."""
        deadline = time.monotonic() + PATIENCE
        while self.closed < count:
            assert time.monotonic() < deadline, f"{self.closed} connections ended, {count} were to"
            time.sleep(0.01)

    def shutdown_request(self, request: Any) -> None:
        """Note the end of a connection when it has ended: until then its client may still use it."""
        super().shutdown_request(request)
        with self._lock:
            self.open.discard(request)
            self.closed += 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up, and TLS that fails, are what tests do."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def setup(self) -> None:
        self.number = next(self.server.numbers)
        self.server.open.add(self.request)
        super().setup()
        self.connection.settimeout(PATIENCE)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        posted = Posted(self.path, headers, body, self.number)
        self.server.posted.append(posted)
        # Before that, whoever connects may take its time.
        self.connection.settimeout(self.server.idle)
        reply = self.server.reply_to(posted)
        time.sleep(reply.delay)
        if reply.raw is not None:
            self.wfile.write(reply.raw)
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_POST  # noqa: N815 - http.server's name

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""
