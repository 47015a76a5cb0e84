"""One running HTTP server: uvicorn with starlette's routes, held to what a small daemon can promise."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from statspout.logs import Limited
from statspout.shapes import to_json

MOST_CONNECTIONS = 100
"""Connections beyond these cost the one that has been without a request for longest its place."""

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
    """Serves ``routes`` on listening sockets, which it takes over. ``what`` names it in the log."""

    def __init__(self, routes: Sequence[BaseRoute], sockets: list[socket.socket], what: str) -> None:
        self._server = _Server(_config(_Application(routes)))
        self._sockets = sockets
        self._what = what
        self._task: asyncio.Task[None] | None = None

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
        if self._task is not None:
            await asyncio.wait((self._task,))
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None or not self._server.should_exit:
            _logger.error("%s ended", self._what, exc_info=error)


def _config(application: _Application) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        interface="asgi3",
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=5,
        limit_concurrency=MOST_CONNECTIONS + 1,
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

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.logger = _unheard
        self.access_log = False
        self.since = self.loop.time()
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

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self.idle and self._head_bytes > MOST_HEAD_BYTES:
            self.transport.abort()

    def on_headers_complete(self) -> None:
        self.since = self.loop.time()
        self._head_bytes = 0
        super().on_headers_complete()

    def _make_room(self) -> None:
        """Cut off the one that is idle for longest. When all are busy, uvicorn refuses the new one's request."""
        others = self.connections - {self}
        idle = [other for other in others if isinstance(other, _Connection) and other.idle]
        if idle:
            oldest = min(idle, key=lambda other: other.since)
            self.connections.discard(oldest)
            oldest.transport.abort()

    def _check(self) -> None:
        unread = self.transport.get_write_buffer_size()
        not_reading = 0 < unread == self._unread
        silent = unread == 0 and self.idle and self.loop.time() - self.since >= PATIENCE
        if not_reading or silent:
            self.transport.abort()
            return
        self._unread = unread
        self._watch = self.loop.call_later(PATIENCE, self._check)


class _Application:
    """The routes, with errors as JSON. What fails in a route is told to us, not to the client."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        # Fixed paths come first, so that one mount's /{name} does not hide another's /metrics.
        ordered = sorted(routes, key=lambda route: "{" in getattr(route, "path", ""))
        self._app = Starlette(routes=ordered, exception_handlers={HTTPException: _refusal, Exception: _failure})
        self._app.router.redirect_slashes = False
        self._limited = Limited(_logger)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["path"] = scope["path"].rstrip("/") or "/"
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - a route is foreign code, and the client has its answer by now
            self._tell(scope, error)

    def _tell(self, scope: Scope, error: Exception) -> None:
        kind = f"{getattr(scope.get('endpoint'), '__qualname__', 'a route')}: {type(error).__name__}"
        if self._limited.first(kind):
            _logger.error("%s %r failed", scope["method"], scope["path"], exc_info=error)
        else:
            self._limited.warning(kind, "%s %r failed again: %r", scope["method"], scope["path"], error)


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 404:
        return _error(404, f"there is nothing at {request.scope['path']}")
    if "Allow" in headers:
        # starlette's order follows the hash seed.
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
    return _error(error.status_code, error.detail, headers)


async def _failure(_: Request, __: Exception) -> Response:
    return _error(500, "internal error")


def _error(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json({"error": text}), status, headers, media_type="application/json")
