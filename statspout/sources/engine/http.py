"""HTTP/1.1 as an engine client needs it: GET only, kept-alive connections, a deadline over headers and body.

Ours because this is the path of every sample: one callback per answer instead of a dozen awaits, see ``bench/``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httptools

from statspout.errors import BadAnswer, EngineDown, Refused, Timeout
from statspout.gathering import postpone
from statspout.sources.engine.address import Address, reason_of

MAX_BODY = 64 * 1024 * 1024
"""Bytes after which an answer is not believed any more; 10,000 containers list in 20 MB."""

_STREAM_BACKLOG = 1000

_AT_ONCE = 65536
"""Bytes that are read at once, at the most."""

_OLD = 60.0
"""Seconds after which a connection that nobody needed is closed."""


class Answer:
    """One complete answer."""

    __slots__ = ("_headers", "body", "status")

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status, self._headers, self.body = status, headers, body

    def header(self, name: str) -> str:
        """The value of the header with this lower-case name; empty when there is none."""
        values = [value for key, value in self._headers if key.lower() == name.encode("latin-1")]
        return values[0].decode("latin-1") if values else ""


class Deadlines:
    """When requests are given up: one timer for all of them, for nearly every one is answered long before."""

    def __init__(self) -> None:
        self._due: dict[Connection, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Connection, due: float) -> None:
        """Expire this connection's request at ``due``, in the loop's time."""
        self._due[connection] = due
        if self._timer is None or due < self._timer.when():
            self._arm(due)

    def drop(self, connection: Connection) -> None:
        """Its request is answered, or failed."""
        self._due.pop(connection, None)

    def close(self) -> None:
        """Expire nothing more."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for connection in [connection for connection, due in self._due.items() if due <= now]:
            connection.expire()
        if self._due:
            self._arm(min(self._due.values()))


class Connection(asyncio.BufferedProtocol):
    """One connection, one request at a time. ``fresh`` until its first request: a later one may meet a closed end."""

    def __init__(self, deadlines: Deadlines, buffer: memoryview) -> None:
        self.fresh = True
        self.used = 0.0
        self.limit = MAX_BODY
        self.reusable = False
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[Answer] | None = None
        self._deadlines = deadlines
        self._buffer = buffer
        self._patience = 0.0
        self._stream: Callable[[bytes | None], None] | None = None
        self._start_message()

    @property
    def usable(self) -> bool:
        """Whether another request can go out on it."""
        return self.reusable and self._transport is not None and not self._transport.is_closing()

    def request(self, data: bytes, deadline: float) -> asyncio.Future[Answer]:
        """Send the request; the future has the answer, or SourceError after ``deadline`` seconds at the latest."""
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        self.used = loop.time()
        self.reusable = False
        self._patience = deadline
        self._deadlines.add(self, self.used + deadline)
        self._transport.write(data)
        return waiter

    def stream(self, data: bytes, deadline: float, sink: Callable[[bytes | None], None]) -> asyncio.Future[Answer]:
        """Send the request; the future has the answer's head, ``sink`` gets its body in pieces, and None at its end."""
        self._stream = sink
        return self.request(data, deadline)

    def pause(self, paused: bool) -> None:
        """Hold back, or let come, the rest of a streamed body."""
        if self._transport is not None and not self._transport.is_closing():
            (self._transport.pause_reading if paused else self._transport.resume_reading)()

    def expire(self) -> None:
        """The deadline is over."""
        self._fail(Timeout(f"no complete answer within {round(self._patience, 1):g} s"))

    def postpone(self, window: float) -> None:
        """Its answers may wait for others, for ``window`` seconds."""
        if self._transport is not None:
            postpone(self._transport, window)

    def close(self) -> None:
        """Cut the connection at once."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - it is as large as it is
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._waiter is None and self._stream is None:
            # Nobody asked: with this in the way, the next answer would be taken for another's.
            self.close()
            return
        try:
            self._parser.feed_data(self._buffer[:nbytes])
        except httptools.HttpParserError as error:
            self._fail(BadAnswer(f"not HTTP: {error}"))

    def connection_lost(self, error: Exception | None) -> None:
        self.reusable = False
        if self._status and self._waiter is not None and not self._sized():
            self._finish()
        elif self._stream is not None and self._waiter is None:
            self._end_stream()
        else:
            reason = "connection closed" if error is None else reason_of(error)
            self._fail(EngineDown(reason) if not self._status else BadAnswer("cut short"))

    # the parser's callbacks

    def on_message_begin(self) -> None:
        if self._waiter is None and self._stream is None:
            # It came behind an answer, with it: of one that is cut the rest would be taken for the next answer.
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        # Kept as they are: nobody reads the headers of an ordinary sample.
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        if self._stream is not None and self._status == 200:
            self._resolve()

    def on_body(self, body: bytes) -> None:
        if self._stream is not None and self._waiter is None:
            self._stream(body)
            return
        self._body.append(body)
        self._received += len(body)
        if self._received > self.limit:
            self._fail(BadAnswer(f"more than {self.limit} bytes"))

    def on_message_complete(self) -> None:
        self._finish()

    # the answer

    def _start_message(self) -> None:
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._received = 0

    def _sized(self) -> bool:
        """Whether the head says where the body ends; otherwise the end of the connection does."""
        return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self._headers)

    def _finish(self) -> None:
        if self._stream is not None and self._waiter is None:
            self._end_stream()
            return
        keep = self._parser.should_keep_alive()
        self._resolve()
        self._start_message()
        self.reusable = keep
        self.fresh = False

    def _resolve(self) -> None:
        self._deadlines.drop(self)
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            waiter.set_result(Answer(self._status, self._headers, body))

    def _fail(self, error: Exception) -> None:
        self._deadlines.drop(self)
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self._end_stream()
        self.close()

    def _end_stream(self) -> None:
        sink, self._stream = self._stream, None
        if sink is not None:
            sink(None)


class Pool:
    """Kept-alive connections to one engine: the one used last is used next, so that the rest may grow old and close.

    ``patience`` is how many seconds an answer may wait for others, see :mod:`statspout.gathering`.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self.patience = 0.0
        self._idle: list[Connection] = []
        self._deadlines = Deadlines()
        self._buffer = memoryview(bytearray(_AT_ONCE))
        """What comes in on any connection of this pool, which is one loop's: it is parsed before more is read."""

    async def get(self, data: bytes, deadline: float, limit: int = MAX_BODY) -> Answer:
        """Send the request ``data`` and return the whole answer, or raise SourceError within ``deadline`` seconds.

        An answer of more than ``limit`` bytes is a BadAnswer.
        """
        loop = asyncio.get_running_loop()
        due = loop.time() + deadline
        while True:
            connection = self._take() or await self._connect(max(0.001, due - loop.time()))
            connection.limit = limit
            try:
                answer = await connection.request(data, max(0.001, due - loop.time()))
            except EngineDown as error:
                # The engine closes idle connections; a request that meets this is sent again on a new one.
                if not connection.fresh:
                    continue
                raise self._cut(error) from error
            except asyncio.CancelledError:
                connection.close()
                raise
            self._give_back(connection)
            return answer

    async def stream(self, data: bytes, deadline: float) -> AsyncIterator[bytes]:
        """Send the request and yield the pieces of the answer's body until it ends; ``deadline`` is for its head."""
        connection = await self._connect(deadline)
        pieces: asyncio.Queue[bytes | None] = asyncio.Queue()

        def sink(piece: bytes | None) -> None:
            pieces.put_nowait(piece)
            if pieces.qsize() > _STREAM_BACKLOG:
                connection.pause(True)

        try:
            try:
                answer = await connection.stream(data, deadline, sink)
            except EngineDown as error:
                raise self._cut(error) from error
            if answer.status != 200:
                raise Refused(answer.status, error_message(answer.body))
            yield b""
            while (piece := await pieces.get()) is not None:
                yield piece
                if pieces.empty():
                    connection.pause(False)
        finally:
            connection.close()

    def close(self) -> None:
        """Close every idle connection, and what they shared."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        self._deadlines.close()
        self.address.close()

    def _cut(self, error: EngineDown) -> EngineDown:
        """What to say of a new connection that ended before an answer."""
        return EngineDown(f"{self.address}: {error}{self.address.when_cut}")

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None

    def _give_back(self, connection: Connection) -> None:
        if connection.usable:
            self._idle.append(connection)
        else:
            connection.close()
        if self._idle and connection.used - self._idle[0].used > _OLD:
            self._idle.pop(0).close()

    async def _connect(self, deadline: float) -> Connection:
        try:
            async with asyncio.timeout(deadline):
                connection = await self.address.connect(lambda: Connection(self._deadlines, self._buffer))
        except TimeoutError:
            raise EngineDown(f"{self.address}: no connection within {round(deadline, 1):g} s") from None
        except (OSError, UnicodeError) as error:
            raise EngineDown(f"{self.address}: {reason_of(error)}{self.address.remedy(error)}") from error
        if self.patience:
            connection.postpone(self.patience)
        return connection


def error_message(body: bytes) -> str:
    """The ``message`` of an engine's error answer, as text of one short line."""
    text = body[:300].decode("utf-8", "replace")
    text = text.removeprefix('{"message":"').removesuffix("\n").removesuffix('"}')
    return " ".join(text.split())
