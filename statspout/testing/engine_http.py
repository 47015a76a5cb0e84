"""The HTTP/1.1 server of the simulated engine: one thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache
from http import HTTPStatus
from typing import Any, TypeVar

import httptools
import msgspec

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
BACKLOG = 1024
LARGEST_BACKLOG_OF_A_STREAM = 16 << 20
TIMEOUT = 10.0

Result = TypeVar("Result")
Action = Callable[[], object]


@dataclass(slots=True)
class Request:
    """One request that came in. ``time`` is monotonic, in s; ``bytes_answered`` counts the answer's head too."""

    method: str
    path: str
    time: float
    bytes_answered: int = 0
    route: str = ""


class RequestLog:
    """What was asked and what was answered; ``lock`` guards it."""

    def __init__(self, lock: AbstractContextManager[Any], maxlen: int) -> None:
        self._lock = lock
        self._requests: deque[Request] = deque(maxlen=maxlen)
        self._answers: deque[tuple[str, int]] = deque(maxlen=maxlen)
        self.in_flight = 0
        self.max_in_flight = 0

    def came(self, request: Request) -> None:
        """Note a request."""
        self._requests.append(request)

    def answered(self, container_id: str, read_ns: int) -> None:
        """Note a stats answer that was fully written."""
        self._answers.append((container_id, read_ns))

    def enter(self) -> None:
        """Count a stats request that waits for its answer."""
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def leave(self) -> None:
        """Count a stats request that waits no longer."""
        self.in_flight -= 1

    def requests(self) -> list[Request]:
        """Copy the requests, oldest first."""
        with self._lock:
            return [replace(request) for request in self._requests]

    def answers(self) -> list[tuple[str, int]]:
        """Copy the answers, oldest first."""
        with self._lock:
            return list(self._answers)


@lru_cache(maxsize=64)
def _head(status: int, content_type: str, server: tuple[str, str], framing: str) -> bytes:
    version, api_version = server
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Api-Version: {api_version}",
        f"Content-Type: {content_type}",
        "Docker-Experimental: false",
        "Ostype: linux",
        f"Server: Docker/{version} (linux)",
        framing,
    ]
    return "\r\n".join(lines).encode()


class Exchange:
    """One request and its answer. Made, used and dropped on the server's loop, under the server's lock."""

    __slots__ = ("_connection", "_on_done", "_timer", "done", "keep_alive", "request")

    def __init__(self, connection: Connection, request: Request, keep_alive: bool) -> None:
        self.request = request
        self.keep_alive = keep_alive
        self.done = False
        self._connection = connection
        self._timer: asyncio.TimerHandle | None = None
        self._on_done: Action | None = None

    def answer(self, body: bytes, status: int = 200, content_type: str = JSON) -> None:
        """Answer with a whole body."""
        sent = b"" if self.request.method == "HEAD" else body
        self._write(self._sized_head(len(sent), status, content_type) + sent)
        self.finish()

    def refuse(self, status: int, message: str) -> None:
        """Answer with an error as the engine words it."""
        self.answer(msgspec.json.encode({"message": message}) + b"\n", status)

    def part(self, body: bytes, size: int) -> None:
        """Answer with the head and only the first ``size`` bytes of the body."""
        self._write(self._sized_head(len(body), 200, JSON) + body[:size])

    def stream(self) -> None:
        """Answer with a head that chunks follow."""
        self._write(_head(200, JSON, self._connection.server.identity, "Transfer-Encoding: chunked\r\n\r\n"))

    def chunk(self, data: bytes) -> None:
        """Write one chunk; a reader that left megabytes unread is cut."""
        self._write(b"%x\r\n%b\r\n" % (len(data), data))
        if self._connection.unsent > LARGEST_BACKLOG_OF_A_STREAM:
            self._connection.abort()

    def end(self) -> None:
        """End a stream properly."""
        self._write(b"0\r\n\r\n")
        self.finish()

    def cut(self) -> None:
        """Close the connection once what was written is sent."""
        self._connection.close()

    def after(self, seconds: float, action: Action) -> None:
        """Do something in so many seconds unless the client left; at once when that is 0."""
        if seconds <= 0:
            action()
        else:
            self._timer = self._connection.server.later(seconds, action)

    def when_done(self, action: Action) -> None:
        """Do something when the answer is written or the client left."""
        self._on_done = action

    def when_written(self, action: Action) -> None:
        """Do something when the system took all bytes; never, if the client left before."""
        self._connection.when_written(action)

    def finish(self) -> None:
        """Be done, and let the connection turn to its next request."""
        if not self.done:
            self.lost()
            self._connection.finished(self)

    def lost(self) -> None:
        """Be done because there is no one to answer any more."""
        self.done = True
        if self._timer:
            self._timer.cancel()
        if self._on_done:
            self._on_done()

    def _sized_head(self, size: int, status: int, content_type: str) -> bytes:
        framing = "" if self.keep_alive else "Connection: close\r\n"
        head = _head(status, content_type, self._connection.server.identity, framing)
        return b"%bContent-Length: %d\r\n\r\n" % (head, size)

    def _write(self, data: bytes) -> None:
        self._connection.write(data)
        self.request.bytes_answered += len(data)


class Connection(asyncio.Protocol):
    """One client's connection: requests are answered one after the other."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._waiting: deque[Exchange] = deque()
        self._current: Exchange | None = None
        self._unwritten: list[Action] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; with no write buffer a paused writer means that bytes are still unsent."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(0)
        self._paused = False
        self.server.connections.add(self)
        if not self.server.listening:
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        with self.server.lock:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade:
                pass
            except httptools.HttpParserError:
                self.close()

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's target."""
        self._url += url

    def on_message_complete(self) -> None:
        """Take a whole request: answer it now, or when those before it are answered."""
        method = self._parser.get_method().decode()
        request = Request(method, self._url.decode("latin-1"), time.monotonic())
        self._url = b""
        self.server.log.came(request)
        self._waiting.append(Exchange(self, request, self._parser.should_keep_alive()))
        self._turn()

    def _turn(self) -> None:
        while self._waiting and self._current is None and not self._transport.is_closing():
            self._current = self._waiting.popleft()
            self.server.respond(self._current)

    def finished(self, exchange: Exchange) -> None:
        """Turn to the next request, or close when the client wants that."""
        self._current = None
        if not exchange.keep_alive:
            self.close()
        elif self._waiting:
            self.server.later(0, self._turn)

    def write(self, data: bytes) -> None:
        """Send bytes, unless the client left."""
        if not self._transport.is_closing():
            self._transport.write(data)

    @property
    def unsent(self) -> int:
        """Bytes that the system did not take yet."""
        return self._transport.get_write_buffer_size()

    def when_written(self, action: Action) -> None:
        """Do something when the system took all bytes; never, if the client left before."""
        if self._paused:
            self._unwritten.append(action)
        elif not self._transport.is_closing():
            action()

    def pause_writing(self) -> None:
        """Note that bytes are unsent."""
        self._paused = True

    def resume_writing(self) -> None:
        """Note that all bytes were sent."""
        with self.server.lock:
            self._paused = False
            done, self._unwritten = self._unwritten, []
            for action in done:
                action()

    def close(self) -> None:
        """Close once what was written is sent."""
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """Forget the client."""
        with self.server.lock:
            self.server.connections.discard(self)
            if self._current:
                self._current.lost()
                self._current = None


class Server:
    """Accepts connections in a thread of its own and hands each request to ``respond``, under ``lock``."""

    def __init__(
        self,
        lock: AbstractContextManager[Any],
        log: RequestLog,
        identity: tuple[str, str],
        respond: Callable[[Exchange], None],
    ) -> None:
        self.lock = lock
        self.log = log
        self.identity = identity
        self.respond = respond
        self.connections: set[Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._listener: asyncio.Server | None = None

    @property
    def running(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None

    @property
    def listening(self) -> bool:
        """Whether new connections are accepted."""
        return self._listener is not None

    def start(self) -> None:
        """Start the thread."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(self._loop,), name="fake-engine", daemon=True)
        self._thread.start()

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()
        loop.close()

    def stop(self) -> None:
        """Close everything and end the thread."""
        if self._loop is None or self._thread is None:
            return
        self.hang_up()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT)
        self._loop = self._thread = None

    def listen(self, listener: socket.socket) -> None:
        """Accept connections on a bound socket."""
        self._call(self._listen(listener))

    async def _listen(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        serve = loop.create_unix_server if listener.family == socket.AF_UNIX else loop.create_server
        self._listener = await serve(lambda: Connection(self), sock=listener, backlog=BACKLOG)

    def hang_up(self) -> None:
        """Accept no more connections and cut those that are open."""
        self._call(self._hang_up())

    async def _hang_up(self) -> None:
        if self._listener:
            self._listener.close()
            self._listener = None
        for connection in list(self.connections):
            connection.abort()
        await asyncio.sleep(0)  # the loop's next round tells the connections

    def later(self, seconds: float, action: Action) -> asyncio.TimerHandle:
        """Do something on the loop, under the lock, in so many seconds. To be called on the loop."""
        assert self._loop
        return self._loop.call_later(seconds, self._locked, action)

    def soon(self, action: Action) -> None:
        """Do something on the loop, under the lock, as soon as it can. To be called from any thread."""
        if self._loop:
            self._loop.call_soon_threadsafe(self._locked, action)

    def do(self, action: Action) -> None:
        """Do something on the loop, under the lock, and wait for it. To be called from another thread."""
        self._call(self._do(action))

    async def _do(self, action: Action) -> None:
        self._locked(action)

    def _locked(self, action: Action) -> None:
        with self.lock:
            action()

    def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        assert self._loop
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT)
