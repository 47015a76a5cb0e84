"""One repository's way from the router: queue, batch, push, retry. Nothing of it is shared with another's."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from statspout.delivery.backoff import Backoff
from statspout.delivery.books import Books
from statspout.delivery.queue import Queue
from statspout.delivery.worker import Worker
from statspout.errors import Closed, Rejected, RepositoryError, RetryAfter, told
from statspout.logs import Limited, counted
from statspout.repository import Repository
from statspout.sample import Container, Sample

log = logging.getLogger("statspout.delivery")

QUEUE_LIMIT = 50_000
"""Samples: 40 minutes of 100 containers at 5 s."""

_DRAINING_PAUSE = 0.5
_PAUSE = 1.0
_LONGEST_PAUSE = 3600.0
CLOSE_PATIENCE = 2.0
"""Seconds for a close, after which the repository is left to itself."""


class Delivery:
    """Takes samples without waiting, and hands them to ``repository`` in batches, oldest first, until they are stored.

    A failed push is retried with back-off; the queue drops its oldest when it is full; every loss is in ``books``.
    """

    def __init__(self, repository: Repository, *, limit: int = QUEUE_LIMIT, backoff: Backoff | None = None) -> None:
        self.repository = repository
        self.books = Books(self._waiting)
        self._in_flight = 0
        self.finished = asyncio.Event()
        """Set when the destination is closed for good."""
        self._queue = Queue(limit)
        self._backoff = backoff or Backoff()
        self._worker = Worker(repository.name)
        self._most = repository.batch_size
        self._open = False
        self.close_failed = False
        """Whether what the repository owed when it was closed, such as a buffer, may be lost."""
        self._wanted = asyncio.Event()
        self._full = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._limited = Limited(log)
        self._clears = type(repository).clear is not Repository.clear

    # the router's side

    def put(self, sample: Sample) -> None:
        """Queue one sample."""
        books = self.books
        books.collected += 1
        if not isinstance(sample, self.repository.accepts):
            books.filtered += 1
            return
        if self.finished.is_set():
            books.drop("closed")
            return
        self._overflowed(self._queue.put(sample))
        if not self._wanted.is_set():
            self._idle.clear()
            self._wanted.set()
        if self._queue.samples >= self._most:
            self._full.set()

    def clear(self, container: Container) -> None:
        """Queue the word that this container is gone, where the repository has use for it."""
        if not self._clears or self.finished.is_set():
            return
        if not self._queue.put_clear(container):
            self._warn("clear", f"too much waits: {container.name} is not cleared")
            return
        self._idle.clear()
        self._wanted.set()

    # the daemon's side

    def start(self) -> None:
        """Begin to deliver."""
        self._task = asyncio.create_task(self._run(), name=f"delivery {self.repository.name}")

    async def stop(self, patience: float) -> None:
        """Deliver what is queued, for ``patience`` seconds at most; what is left is counted as lost. Then close."""
        self._ending.set()
        self._full.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._idle.wait()
        if self._task is not None:
            self._task.cancel()
            # A repository that swallows the cancellation is left to itself.
            await asyncio.wait({self._task}, timeout=CLOSE_PATIENCE)
        if left := self.books.queued:
            log.warning("%s: %s lost: not delivered before the end", self.repository.name, counted(left, "sample"))
        self._lose_all("shutdown")
        error = await self._close(min(patience, CLOSE_PATIENCE))
        if error is not None and not isinstance(error, TimeoutError):
            self.books.failures += 1
            self.close_failed = True
            log.warning("%s: close failed: %s", self.repository.name, told(error))
        self._worker.stop()

    # delivering

    async def _run(self) -> None:
        """Deliver until cancelled; an error of our own is told and survived, for else all would end here in silence."""
        while not self.finished.is_set():
            try:
                await self._turn()
            except Exception:
                self.books.failures += 1
                log.exception("%s: delivery failed; it goes on", self.repository.name)
                await asyncio.sleep(_PAUSE)

    async def _turn(self) -> None:
        """Open if need be, wait for something to deliver, and deliver it."""
        if not self._open and not await self._opened():
            return
        if not self._queue:
            self._wanted.clear()
            self._full.clear()
            self._idle.set()
        if not await self._came():
            return
        await self._fill()
        await self._deliver(self._queue.take(self._most))

    async def _opened(self) -> bool:
        try:
            await self._worker.call(self.repository.open)
        except Exception as error:  # noqa: BLE001 - foreign code: whatever it is, it is retried and counted
            await self._failed("open", error)
            return False
        self._open = True
        return True

    async def _came(self) -> bool:
        """Wait for something to deliver. False when nothing came for so long that the repository was told."""
        pause = self.repository.idle_interval
        try:
            async with asyncio.timeout(pause or None):
                await self._wanted.wait()
            return True
        except TimeoutError:
            pass
        try:
            await self._worker.call(self.repository.idle)
        except Exception as error:  # noqa: BLE001 - foreign code: whatever it is, it is counted, and opened anew
            await self._failed("idle", error)
        return False

    async def _fill(self) -> None:
        """Wait for a full batch, but not longer than the repository wants to."""
        pause = self.repository.flush_interval
        if pause and not self._ending.is_set() and self._queue.samples < self._most:
            self._full.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._full.wait()

    async def _deliver(self, head: Container | list[Sample]) -> None:
        if isinstance(head, Container):
            await self._clear(head)
            return
        self._in_flight = len(head)
        try:
            # A copy: the batch stays ours, whatever the repository does to its list.
            await self._worker.call(self.repository.push, list(head))
        except Rejected as error:
            if not self._rejected(head, error):
                await self._failed("push", error)
        except Exception as error:  # noqa: BLE001 - foreign code: whatever it is, the batch is kept and retried
            self._put_back(head)
            await self._failed("push", error)
        except BaseException:
            self._put_back(head)
            raise
        else:
            # After a bisection the batches grow again.
            self._most = min(self.repository.batch_size, self._most * 2)
            self._stored(len(head))

    async def _clear(self, container: Container) -> None:
        try:
            await self._worker.call(self.repository.clear, container)
        except Exception as error:  # noqa: BLE001 - foreign code: it is counted; the container is gone all the same
            self.books.failures += 1
            self._tell("clear", error)

    def _stored(self, count: int) -> None:
        if self._in_flight < count:
            return  # given up at the end, counted as lost, and stored all the same
        self._in_flight -= count
        self.books.delivered += count
        if self._backoff.failures:
            name = self.repository.name
            log.info("%s: works again; %s delivered", name, counted(count, "sample"))
        self._backoff.succeeded()
        self._limited.reset(f"{self.repository.name} push")

    def _rejected(self, batch: list[Sample], error: Rejected) -> bool:
        """Drop what will never be accepted; False when that is nothing. Where it is unknown which, halves tell."""
        if error.indices is None and len(batch) > 1:
            self.books.failures += 1
            self._put_back(batch)
            self._most = (len(batch) + 1) // 2
            return True
        bad = {0} if error.indices is None else error.indices & set(range(len(batch)))
        rest = [sample for i, sample in enumerate(batch) if i not in bad]
        self._drop_rejected(len(bad), error)
        if error.rest == "stored":
            self._stored(len(rest))
            return True
        self._put_back(rest)
        return bool(bad)

    def _drop_rejected(self, count: int, error: Rejected) -> None:
        self._most = self.repository.batch_size
        if count:
            self.books.failures += 1
            self._in_flight -= count
            self.books.drop("rejected", count)
            self._warn("rejected", f"{counted(count, 'sample')} rejected: {error}")

    async def _failed(self, what: str, error: Exception) -> None:
        """Count and tell a failure, and wait before the next attempt, which begins with :meth:`Repository.open`."""
        self.books.failures += 1
        if isinstance(error, Closed):
            self._finish(error)
            return
        pause = self._backoff.failed()
        if isinstance(error, RetryAfter):
            pause = min(max(pause, error.seconds), _LONGEST_PAUSE)
        self._tell(what, error)
        await self._close(CLOSE_PATIENCE)
        await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        """Wait; when the end comes meanwhile, not for long: there is one more attempt to be made."""
        if not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._ending.wait()
        if self._ending.is_set():
            await asyncio.sleep(min(seconds, _DRAINING_PAUSE))

    def _finish(self, error: Closed) -> None:
        log.info("%s: %s: it gets nothing more", self.repository.name, error)
        self.finished.set()
        self._lose_all("closed")
        self._idle.set()

    def _tell(self, what: str, error: Exception) -> None:
        name = self.repository.name
        if not isinstance(error, RepositoryError | OSError) and self._limited.first(type(error).__name__):
            log.error("%s: %s failed: %s: %s", name, what, type(error).__name__, error, exc_info=error)
            return
        kept = f"; {counted(self.books.queued, 'sample')} kept" if what != "clear" else ""
        reason = str(error) or type(error).__name__
        self._warn(what, f"{what} failed: {reason}{kept}")

    def _warn(self, kind: str, text: str) -> None:
        name = self.repository.name
        self._limited.warning(f"{name} {kind}", "%s: %s", name, text)

    async def _close(self, patience: float) -> Exception | None:
        self._open = False
        try:
            async with asyncio.timeout(patience):
                await self._worker.call(self.repository.close)
        except Exception as error:  # noqa: BLE001 - foreign code: there is nothing to lose in it any more
            log.debug("%s: close failed: %s", self.repository.name, error)
            return error
        return None

    def _waiting(self) -> int:
        return self._queue.samples + self._in_flight

    def _put_back(self, batch: list[Sample]) -> None:
        if self._in_flight < len(batch):
            return  # given up at the end, and counted as lost
        self._in_flight -= len(batch)
        self._overflowed(self._queue.put_back(batch))

    def _overflowed(self, dropped: int) -> None:
        if dropped:
            self.books.drop("overflow", dropped)
            self._warn("overflow", "the queue is full: the oldest samples are dropped")

    def _lose_all(self, reason: str) -> None:
        self.books.drop(reason, self._waiting())
        self._in_flight = 0
        self._queue = Queue(0)
