"""The connections: :data:`sync_redis` and :data:`async_redis`, one's own clients or those that are opened here.

::

    with sync_redis() as (reader, writer):
        writer.set("key", "value")

Each context manager counts, and the last that ends closes what was opened; ``open_connection`` counts as one that does
not end, until ``close``. Clients that were attached are used as they are, and never closed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

from statspout.client.redis.settings import config

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

Pair: TypeAlias = "tuple[Any, Any]"

PAUSE = 1.0
"""Seconds at least for which nothing is tried after Redis could not be reached."""

LONGEST_PAUSE = 30.0

_MISSING = "redis is not installed: pip install 'statspout[redis]'"


class Cancelled:
    """Whether this task was asked to end since: redis-py may miss that in the middle of an answer, and go on.

    ::

        asked = Cancelled()
        answer = await client.execute_command("PING")
        asked.check()
    """

    def __init__(self) -> None:
        from asyncio import current_task  # takes longer to load than all of this, and who has no tasks needs none

        self._task = current_task()
        self._before = self._task.cancelling() if self._task else 0

    def check(self) -> None:
        """CancelledError when it was."""
        from asyncio import CancelledError

        if self._task and self._task.cancelling() > self._before:
            raise CancelledError


class Gate:
    """Whether it is worth trying: after a failure not for a second, or ten times as long as that failure took."""

    def __init__(self) -> None:
        self._until = 0.0
        self.why: Exception | None = None
        """What the last failure was."""

    def shut(self) -> bool:
        """Whether nothing is to be tried now."""
        return monotonic() < self._until

    def failed(self, began: float, why: Exception) -> None:
        """What began at that moment of the monotonic clock has failed now."""
        self.why, now = why, monotonic()
        self._until = now + min(max(PAUSE, 10 * (now - began)), LONGEST_PAUSE)

    def worked(self) -> None:
        """Redis is there."""
        self._until = 0.0


class SyncRedis:
    """Connections for threads. Of what is opened here there is one client at a time, whose pool all threads share."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.call_count = 0
        """Context managers, and calls of ``open_connection``, that have not ended."""
        self._attached: Pair | None = None
        self._given: str | None = None
        self._client: Any = None
        self._url = ""
        self._lock = threading.RLock()

    def attach(self, reader: Any, writer: Any = None) -> None:
        """Use these clients of ``redis.Redis``; ``writer`` is the reader if there is none."""
        self._attached = (reader, reader if writer is None else writer)
        self.gate.worked()

    def detach(self) -> None:
        """Use what was attached no more."""
        self._attached = None
        self.gate.worked()

    def open_connection(self, url: str | None = None) -> None:
        """Have a client, for ``url`` or else for what the settings say, until :meth:`close`."""
        with self._lock:
            self.call_count += 1
            self._given = url or self._given
            self.gate.worked()
            if self._attached is None:
                self._opened()

    def close(self) -> None:
        """Close what was opened here, whoever else counts on it; connections at work finish what they are at."""
        with self._lock:
            self.call_count, self._given = 0, None
            self._drop()

    def __call__(self) -> SyncRedis:
        """Itself: ``with sync_redis()`` is ``with sync_redis``."""
        return self

    def __enter__(self) -> Pair:
        """The reader and the writer."""
        with self._lock:
            pair = self._attached or self._opened()
            self.call_count += 1
            return pair

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with self._lock:
            self.call_count = max(0, self.call_count - 1)
            if self.call_count == 0:
                self._drop()

    @contextmanager
    def kept(self) -> Iterator[Pair]:
        """The reader and the writer for what is done here: they stay open, so that the next one finds a connection."""
        with self._lock:
            pair = self._attached or self._opened()
        yield pair

    def _opened(self) -> Pair:
        url = self._given or config.redis_url
        if self._client is None or self._url != url:
            self._drop()
            library = _library()
            self._client = library.Redis.from_url(url, **_options(url, library.retry.Retry))
            self._url = url
        return self._client, self._client

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.connection_pool.disconnect(inuse_connections=False)

    def _in_child(self) -> None:
        """A lock that a thread of the parent held would be held for good; its connections are not ours."""
        self._lock, self._client = threading.RLock(), None


class _Opened:
    """What is open in an event loop."""

    def __init__(self) -> None:
        self.count = 0
        self.url = ""
        self.client: Any = None
        self.given: str | None = None


class AsyncRedis:
    """Connections for tasks. A connection belongs to an event loop, so each loop has a client and a count of its own.

    What is recorded without one that is open opens a connection, and closes it: open one where the program begins.
    ``url`` is where to, if that is not what the settings say, and ``options`` are what redis-py opens a client with
    beside it.
    """

    def __init__(self, url: str | None = None, options: Mapping[str, Any] | None = None) -> None:
        self.gate = Gate()
        self._url, self._options = url, dict(options or {})
        self._attached: Pair | None = None
        self._loops: WeakKeyDictionary[AbstractEventLoop, _Opened] = WeakKeyDictionary()

    @property
    def call_count(self) -> int:
        """Context managers, and calls of ``open_connection``, in the running loop, that have not ended."""
        return self._here().count

    def attach(self, reader: Any, writer: Any = None) -> None:
        """Use these clients of ``redis.asyncio.Redis``; ``writer`` is the reader if there is none."""
        self._attached = (reader, reader if writer is None else writer)
        self.gate.worked()

    def detach(self) -> None:
        """Use what was attached no more."""
        self._attached = None
        self.gate.worked()

    async def open_connection(self, url: str | None = None) -> None:
        """Have a client, for ``url`` or else for what the settings say, until :meth:`close`."""
        here = self._here()
        here.count += 1
        here.given = url or here.given
        self.gate.worked()
        if self._attached is None:
            await self._open(here)

    async def close(self) -> None:
        """Close what was opened in this loop, whoever else counts on it."""
        here = self._here()
        here.count, here.given = 0, None
        await self._drop(here)

    def __call__(self) -> AsyncRedis:
        """Itself: ``async with async_redis()`` is ``async with async_redis``."""
        return self

    async def __aenter__(self) -> Pair:
        """The reader and the writer."""
        here = self._here()
        pair = self._attached or await self._open(here)
        here.count += 1
        return pair

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        here = self._here()
        here.count = max(0, here.count - 1)
        if here.count == 0:
            await self._drop(here)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[Pair]:
        """The reader and the writer for what is done here."""
        async with self as pair:
            yield pair

    def _here(self) -> _Opened:
        from asyncio import get_running_loop  # takes longer to load than all of this, and who has no tasks needs none

        return self._loops.setdefault(get_running_loop(), _Opened())

    async def _open(self, here: _Opened) -> Pair:
        url = here.given or self._url or config.redis_url
        if here.client is None or here.url != url:
            before, here.url = here.client, url
            library = _library().asyncio
            here.client = library.Redis.from_url(url, **(_options(url, library.retry.Retry) | self._options))
            if before is not None:
                await _closed(before)
        return here.client, here.client

    async def _drop(self, here: _Opened) -> None:
        client, here.client = here.client, None
        if client is not None:
            await _closed(client)


async def _closed(client: Any) -> None:
    await client.connection_pool.disconnect(inuse_connections=False)


@cache
def _library() -> Any:
    """The module ``redis``, with all that is needed of it; ImportError that says how to get it.

    Nothing is loaded after that: in a child that is forked in the middle of an import, Python can never end it.
    """
    try:
        import redis.asyncio.retry
        import redis.backoff
        import redis.retry
    except ImportError as error:
        raise ImportError(_MISSING) from error
    except Exception as error:  # at the end of the program, when no more threads may be
        raise ImportError(f"redis cannot be loaded: {error}") from error
    # What a first connection would load: the text of its version, and names of hosts.
    redis.Connection()  # type: ignore[no-untyped-call]  # the library's
    "localhost".encode("idna")
    return redis


def _options(url: str, retry: Any) -> dict[str, Any]:
    """How a client is opened: what is sent is sent once, for a second time would be counted twice."""
    options = {
        "socket_timeout": config.timeout,
        "retry": retry(_library().backoff.NoBackoff(), 0),
        "protocol": 2,  # another one takes another round trip at the beginning
    }
    return options if url.startswith("unix:") else options | {"socket_connect_timeout": config.timeout}


sync_redis = SyncRedis()
"""The connections of all threads of this process."""

async_redis = AsyncRedis()
"""The connections of all tasks of this process."""

os.register_at_fork(after_in_child=sync_redis._in_child)
