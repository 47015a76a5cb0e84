"""One running HTTP server: uvicorn with starlette's routes, held to what a small daemon can promise."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any

import uvicorn
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from statspout.web.access import Access
from statspout.web.application import Application, error_body
from statspout.web.door import Door, Doors

MOST_CONNECTIONS = 100
"""Connections beyond these cost the one that has been without a request for longest its place.

With TLS as many more may be in their handshake.
"""

MOST_HEAD_BYTES = 65536
"""The longest request head that is waited for."""

PATIENCE = 10.0
"""Seconds for which a connection may neither send a request nor read its answer."""

GRACE = 2
"""Seconds for which :meth:`Serving.stop` waits for answers."""

_logger = logging.getLogger(__name__)

# What clients do wrong is theirs to notice, and no client may fill our log.
_unheard = logging.getLogger(f"{__name__}.clients")
_unheard.setLevel(logging.CRITICAL + 1)


class Serving:
    """Serves ``routes`` on listening sockets, which it takes over. ``what`` names it in the log.

    ``access`` says who is answered, but for the ``open_paths``, which are for everybody; ``refused`` counts the others
    by reason; ``tls_context``, asked at each handshake, makes it HTTPS.
    """

    def __init__(
        self,
        routes: Sequence[BaseRoute],
        sockets: list[socket.socket],
        what: str,
        access: Access,
        refused: Counter[str],
        open_paths: Collection[str] = (),
        tls_context: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._refused = refused
        self.change(routes, access, open_paths, tls_context)
        self._server = _Server(_config(self._answer, self._connection))
        self._sockets = sockets
        self._what = what
        self._task: asyncio.Task[None] | None = None

    def change(
        self,
        routes: Sequence[BaseRoute],
        access: Access,
        open_paths: Collection[str] = (),
        tls_context: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        """Serve these from the next request on, also to who is connected; TLS is for new connections."""
        self._doors = (
            None if tls_context is None else Doors(tls_context, MOST_CONNECTIONS, PATIENCE, GRACE, self._refused)
        )
        self._application = Application(routes, access, self._refused, open_paths, self._crowded)

    async def start(self) -> None:
        """Return once it answers."""
        self._task = asyncio.create_task(self._server.serve(self._sockets), name=self._what)
        self._task.add_done_callback(self._ended)
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait((self._task, ready), return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            await self._task

    async def stop(self) -> None:
        """Let answers finish for :data:`GRACE` seconds, then cut off whoever is left."""
        self._server.should_exit = True
        self._server.leave.set()
        if self._doors is not None:
            self._doors.shut()
        if self._task is not None:
            await asyncio.wait((self._task,))
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()

    def _crowded(self) -> bool:
        """Whether there are too many connections, and none of them was idle to give its place away."""
        return len(self._server.server_state.connections) > MOST_CONNECTIONS

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._application(scope, receive, send)

    def _connection(self, **keywords: Any) -> asyncio.Protocol:
        """What uvicorn is to begin a connection with: where TLS comes first, with that."""
        made = _Connection(self._refused, **keywords)
        return made if self._doors is None else Door(self._doors, made)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None or not self._server.should_exit:
            _logger.error("%s ended", self._what, exc_info=error)


def _config(application: Callable[..., Awaitable[None]], connection: Callable[..., asyncio.Protocol]) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        interface="asgi3",
        http=connection,  # type: ignore[arg-type]  # it is only called
        ws="none",
        lifespan="off",
        log_config=None,
        server_header=False,
        headers=[("X-Content-Type-Options", "nosniff")],
        proxy_headers=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=GRACE,
    )


class _Server(uvicorn.Server):
    """A server inside someone else's program: it says when it answers, and leaves the signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self.leave = asyncio.Event()

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # wider: any context manager
        return contextlib.nullcontext()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        # The base class wakes ten times a second to look at a flag; the Date header needs one.
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.leave.wait(), 1.0)


class _Connection(HttpToolsProtocol):
    """A connection that cannot hold its place for nothing: a slow or silent client is cut off.

    uvicorn gives up on a client only after its first answer, and waits for ever for that answer to be read.
    """

    def __init__(self, refused: Counter[str], **keywords: Any) -> None:
        super().__init__(**keywords)
        self._refused = refused
        self.logger = _unheard
        self.access_log = False
        self.since = self.loop.time()
        self.beneath: asyncio.Transport | None = None
        self._unread = 0
        self._head_bytes = 0
        self._watch: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base class
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self._make_room()
        self._watch = self.loop.call_later(PATIENCE, self._check)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)
        # The base class leaves its timer to a connection that broke: it would keep all of this for seconds, and then in
        # a cycle for the collector of garbage, with TLS a quarter of a megabyte each.
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self.idle and self._head_bytes > MOST_HEAD_BYTES:
            self._cut("too_large")

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio has it: whether to go on
        """Let who has sent whole requests, and said that there are no more, have the answers.

        By TLS there is no such half of an end.
        """
        if self.idle or self.cycle.more_body or self.beneath is not None:
            return False
        self.cycle.keep_alive = False
        return True

    def on_headers_complete(self) -> None:
        self.since = self.loop.time()
        self._head_bytes = 0
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's own words are not ours
        self._refused["not_http"] += 1
        body = error_body("this is no HTTP request")
        head = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
        self.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()

    def _make_room(self) -> None:
        """Cut off the one that is idle for longest. When all are busy, the new one's request is refused."""
        others = self.connections - {self}
        idle = [other for other in others if isinstance(other, _Connection) and other.idle]
        if idle:
            oldest = min(idle, key=lambda other: other.since)
            self.connections.discard(oldest)
            oldest._cut("crowded")

    def _cut(self, reason: str) -> None:
        if not self.transport.is_closing():
            self._refused[reason] += 1
        self.transport.abort()

    def _check(self) -> None:
        # TLS keeps next to nothing to itself: what it has made of an answer waits beneath.
        buffers = (self.transport, self.beneath or self.transport)
        unread = sum(buffer.get_write_buffer_size() for buffer in dict.fromkeys(buffers))
        not_reading = 0 < unread == self._unread
        silent = unread == 0 and self.idle and self.loop.time() - self.since >= PATIENCE
        if not_reading or silent:
            self._cut("slow")
            return
        self._unread = unread
        self._watch = self.loop.call_later(PATIENCE, self._check)
