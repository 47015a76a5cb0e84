"""A WebServer that runs in a thread of its own, and a plain client for it."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.routing import BaseRoute
from support.standstill import PATIENCE

from statspout.web.access import Access
from statspout.web.server import WebServer
from statspout.web.tls import ServedTls


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Client:
    """Asks one port of this machine; with a ``context`` by TLS."""

    port: int
    context: ssl.SSLContext | None = None

    def ask(
        self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Ask with a connection of its own."""
        with closing(self._connection()) as connection:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())

    def _connection(self) -> http.client.HTTPConnection:
        if self.context is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=PATIENCE, context=self.context)


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` there and wait for its end."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def close(self) -> None:
        """Stop the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


@contextmanager
def running(server: WebServer) -> Iterator[list[Client]]:
    """Start ``server`` and stop it; gives a client for each mount."""
    with closing(Loop()) as loop:
        loop.run(server.start())
        try:
            yield [Client(port) for _, _, port in server.bound]
        finally:
            loop.run(server.stop())


@contextmanager
def served(
    routes: Sequence[BaseRoute],
    access: Access | None = None,
    tls: ServedTls | None = None,
    open_paths: Collection[str] = (),
) -> Iterator[Client]:
    """Serve ``routes`` at a free port."""
    server = WebServer(access, tls)
    server.mount("127.0.0.1:0", routes, "test.address", "test", open_paths)
    with running(server) as clients:
        yield clients[0]


def is_cut_off(connection: socket.socket) -> bool:
    """True when the server has closed it; TimeoutError while it has not, after as long as the socket waits."""
    try:
        while connection.recv(1 << 20):
            pass
    except ConnectionResetError:
        pass
    return True
