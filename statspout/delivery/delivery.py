"""One repository's way from the router: queue, batch, push, retry. Nothing of it is shared with another's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from statspout.delivery.backoff import Backoff
from statspout.delivery.books import Books
from statspout.delivery.calls import Calls, GivenUp
from statspout.delivery.lanes import Lanes
from statspout.delivery.queue import Batch, Queue
from statspout.delivery.sizing import Sizing
from statspout.delivery.worker import Overdue
from statspout.errors import Closed, Rejected, RepositoryError, RetryAfter, TooLarge, told
from statspout.handling import Handling, Selection
from statspout.loglines import About, about
from statspout.logs import Limited, counted
from statspout.repository import Repository, name_of, prefix_of
from statspout.sample import Container, Sample

if TYPE_CHECKING:
    from statspout.delivery.spool import Spool

log = logging.getLogger("statspout.delivery")

_DRAINING_PAUSE = 0.5
_PAUSE = 1.0
_LONGEST_PAUSE = 600.0
"""Seconds; a destination that asks for more is asked again after that: one odd header is not to silence it."""

_IN_VAIN = 10
"""Samples rejected each by itself, with none stored between them, after which it is not they that are wrong."""

_QUICK_FLUSH = 0.5
"""Seconds that a batch waits for more where there is a spool: a working destination then leaves it nothing to do."""

_SETTLED = 0.9
"""The share of the flush interval after which a push may be early: no sweep is on time to the millisecond."""

_KEPT = 0.1
"""Seconds between two looks whether what waits is on disk: it is within a second, and nobody waits for it often."""

CLOSE_PATIENCE = 2.0
"""Seconds for a close, after which the repository is left to itself."""

RETIRE_PATIENCE = 5.0
"""Seconds for a push under way when another instance takes over; after that its batch goes to that one as well."""


class Delivery:
    """Takes samples without waiting, and hands them to ``repository`` in batches, oldest first, until they are stored.

    A failed push is retried with back-off; the queue drops its oldest when it is full; every loss is in ``books``.
    With a ``spool``, what is not stored soon waits on disk as well.
    """

    def __init__(self, repository: Repository, *, spool: Spool | None = None, backoff: Backoff | None = None) -> None:
        self.name = name_of(repository)
        self.books = Books(self._waiting)
        self.finished = asyncio.Event()
        """Set when the destination is closed for good."""
        self.close_failed = False
        """Whether what the repository owed when it was closed, such as a buffer, may be lost."""
        handling = repository.handling if isinstance(repository.handling, Handling) else Handling()
        self._selection = Selection(repository.handling or handling, prefix_of(repository))
        self._accepts = repository.accepts
        self._clears = type(repository).clear is not Repository.clear
        self._most = handling.batch_size or repository.batch_size
        self._flush = _flush(repository, handling, spool)
        self._deadline = handling.push_timeout or repository.push_timeout
        self._calls = Calls(repository)
        self._sizing = Sizing(self._most)
        self._room = handling.queue_samples, handling.most_bytes(prefix_of(repository)), self._most
        self._queue = Queue(*self._room[:2], segment=self._most, journal=spool)
        self.spool = spool
        self._lanes = Lanes(self._queue, spool)
        self._backoff = backoff or Backoff()
        self._in_vain = 0
        """Samples that were rejected each by itself since one was stored."""
        self._open = False
        self._pushed = -math.inf
        """When the last push began, in monotonic seconds."""
        self._wanted = asyncio.Event()
        self._full = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._ending = asyncio.Event()
        self._retired = False
        self._task: asyncio.Task[None] | None = None
        self._log = About(log, repository=self.name)
        self._limited = Limited(self._log)

    @property
    def repository(self) -> Repository:
        """The instance that is called now."""
        return self._calls.repository

    @property
    def late(self) -> int:
        """Calls that were given up, and returned after all."""
        return self.given_up.late

    @property
    def stuck(self) -> int:
        """Calls that were given up and have not returned yet."""
        return self.given_up.hanging

    @property
    def given_up(self) -> GivenUp:
        """Calls that were given up, of this one and of those of its name before it."""
        return self._calls.given_up

    @given_up.setter
    def given_up(self, before: GivenUp) -> None:
        self._calls.given_up = before

    # the router's side

    def put(self, samples: Sequence[Sample]) -> None:
        """Queue samples."""
        accepts, takes = self._accepts, self._selection.takes
        wanted = [sample for sample in samples if isinstance(sample, accepts) and takes(sample)]
        self.books.collected += len(samples)
        self.books.filtered += len(samples) - len(wanted)
        if self.finished.is_set():
            self.books.drop("closed", len(wanted))
            return
        if not wanted:
            return
        if lost := self._queue.put(wanted):
            self._overflowed(lost)
        if not self._wanted.is_set():
            self._wake()
        if self._queue.samples >= self._most:
            self._full.set()

    def settle(self) -> None:
        """Deliver what waits without waiting for more, unless that were more pushes than without such words."""
        if self._queue and time.monotonic() - self._pushed >= _SETTLED * self._flush:
            self._full.set()

    async def kept(self) -> None:
        """Return when all that was put until now is done with, or on disk."""
        until = time.monotonic()
        while self._queue.only_in_memory(until):  # noqa: ASYNC110 - an event would be set by each push, for few who ask
            await asyncio.sleep(_KEPT)

    def clear(self, container: Container) -> None:
        """Queue the word that this container is gone, where the repository has use for it."""
        self._selection.drop(container)
        if not self._clears or self.finished.is_set():
            return
        if not self._queue.put_clear(container):
            self._warn("clear", f"too much waits: {container.name} is not cleared")
            return
        self._wake()

    # the daemon's side

    def start(self) -> None:
        """Begin to deliver."""
        if self.spool is not None:
            self.spool.start(self._queue, self.books, self._wake)
        self._begin()

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"delivery {self.name}")

    async def retire(self, hurry: asyncio.Event | None = None) -> None:
        """End between two pushes, with all that waits; :meth:`put` goes on to queue, for whoever succeeds it.

        A push that does not return in :data:`RETIRE_PATIENCE`, or until ``hurry`` is set, is left to itself, and its
        batch is among what waits.
        """
        hurry = hurry or asyncio.Event()
        self._retired = True
        self._ending.set()
        self._full.set()
        if self._task is not None:
            hurrying = asyncio.create_task(hurry.wait())
            patience = RETIRE_PATIENCE if self._pushing else 0
            await asyncio.wait({self._task, hurrying}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            hurrying.cancel()
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=CLOSE_PATIENCE)
        await self._last_close(0.0 if hurry.is_set() else CLOSE_PATIENCE)
        self._calls.stop()

    def succeed(self, other: Delivery) -> None:
        """Begin where ``other``, which is retired, has ended: with its books, and with all that waits there."""
        self.books, self._queue, self.spool = other.books, other._queue, other.spool
        self.given_up = other.given_up
        self.books.waiting = self._waiting
        self._overflowed(self._queue.resize(*self._room))
        self._lanes = Lanes(self._queue, self.spool)
        if self.spool is not None:
            self.spool.wake_up(self._wake)
        if self._lanes:
            self._wake()
        self._begin()

    @property
    def _pushing(self) -> bool:
        queues = [self._queue] if self.spool is None else [self._queue, self.spool.queue]
        return any(queue.in_flight is not None for queue in queues)

    async def stop(self, patience: float) -> None:
        """Deliver what is queued, for ``patience`` seconds at most. What is left is spooled, or counted as lost."""
        self._ending.set()
        self._full.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._idle.wait()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=CLOSE_PATIENCE)
        # Both may hang: one after the other would take too long.
        closing = asyncio.create_task(self._last_close(min(patience, CLOSE_PATIENCE)))
        if self.spool is not None:
            await self.spool.finish(CLOSE_PATIENCE)
        self._lose_all("shutdown")
        if left := self.books.queued:
            self._log.info("%s: %s wait in the spool for the next start", self.name, counted(left, "sample"))
        await closing
        self._calls.stop()

    async def _last_close(self, patience: float) -> None:
        error = await self._close(patience)
        hangs = isinstance(error, Overdue) or self._calls.abandoned or self._calls.are_barred
        if error is not None and not hangs:
            self.books.failures += 1
            self.close_failed = True
            self._log.warning("%s: close failed: %s", self.name, told(error), extra=about(error=told(error)))

    # delivering

    async def _run(self) -> None:
        """Deliver until cancelled; an error of our own is told and survived, for else all would end here in silence."""
        while not (self.finished.is_set() or self._retired):
            try:
                await self._turn()
            except Exception:  # noqa: BLE001 - told with its traceback
                self.books.failures += 1
                self._log.exception("%s: delivery failed; it goes on", self.name)
                await asyncio.sleep(_PAUSE)

    async def _turn(self) -> None:
        """Open if need be, wait for something to deliver, and deliver it."""
        if not self._open and not await self._opened():
            return
        if not self._lanes:
            self._wanted.clear()
            self._full.clear()
            self._idle.set()
        if not await self._came():
            return
        if not (self._lanes.backlog or self._sizing.suspects or self._queue.begins_with_clear):
            await self._fill()
        lane = await self._lanes.choose(self._next_size, stay=bool(self._sizing.suspects))
        if lane is None:
            await self._pause(_PAUSE)
            return
        if self._retired:
            return  # what was waited for together with more is another's to deliver
        head = lane.take(self._next_size)
        self._full.clear()
        if isinstance(head, Container):
            await self._clear(head)
        elif odd := self._not_accepted(head):
            self.books.filtered += len(odd)
            self._overflowed(lane.give_back(odd))
        else:
            await self._push(lane, head)

    def _not_accepted(self, batch: Batch) -> set[int]:
        """What it does not take of what was queued, or spooled, for another before it, which did."""
        return {place for place, sample in enumerate(batch.samples) if not isinstance(sample, self._accepts)}

    async def _opened(self) -> bool:
        try:
            await self._calls("open", deadline=self._deadline)
        except Exception as error:  # noqa: BLE001 - foreign code: whatever it is, it is retried and counted
            await self._failed("open", error)
            return False
        self._open = True
        return True

    def _wake(self) -> None:
        self._idle.clear()
        self._wanted.set()

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
            await self._calls("idle", deadline=self._deadline)
        except Exception as error:  # noqa: BLE001 - foreign code: whatever it is, it is counted, and opened anew
            await self._failed("idle", error)
        return False

    async def _fill(self) -> None:
        """Wait for a full batch, but not longer than the repository wants to."""
        if (
            self._flush
            and not (self._full.is_set() or self._ending.is_set())
            and self._queue.samples < self._sizing.next
        ):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._flush):
                    await self._full.wait()

    async def _push(self, lane: Queue, batch: Batch) -> None:
        self._pushed = time.monotonic()
        try:
            # Made anew: the batch stays ours, whatever the repository does to its list.
            await self._calls("push", self._selection.narrow(batch.samples), deadline=self._deadline)
        except Rejected as error:
            if not self._rejected(lane, batch, error):
                everything = self._in_vain >= _IN_VAIN
                told = f"every sample is rejected: {error}: is that the right place?" if everything else str(error)
                await self._failed("push", RepositoryError(told))
        except Exception as error:  # noqa: BLE001 - foreign code: whatever it is, the batch is kept and retried
            self._overflowed(lane.give_back())
            await self._failed("push", error)
        except BaseException:
            self._overflowed(lane.give_back())
            raise
        else:
            lane.finish()
            self._sizing.stored(len(batch))
            self._stored(len(batch))

    async def _clear(self, container: Container) -> None:
        try:
            await self._calls("clear", container, deadline=self._deadline)
        except Overdue as error:
            await self._failed("clear", error)
        except Exception as error:  # noqa: BLE001 - foreign code: it is counted; the container is gone all the same
            self.books.failures += 1
            self._tell("clear", error)

    @property
    def _next_size(self) -> int:
        """The most samples of the next batch; where all are rejected, one is enough to see whether that is over."""
        return self._sizing.next if self._in_vain < _IN_VAIN else 1

    def _stored(self, count: int) -> None:
        self._in_vain = 0
        self.books.delivered += count
        if self._backoff.failures:
            self._log.info("%s: works again; %s delivered", self.name, counted(count, "sample"))
        self._backoff.succeeded()
        self._limited.reset(f"{self.name} push")

    def _rejected(self, lane: Queue, batch: Batch, error: Rejected) -> bool:
        """Drop what will never be accepted; False when that is nothing. Where it is unknown which, halves tell."""
        count = len(batch)
        unnamed = error.count is None and error.indices is None
        if unnamed and count > 1:
            self.books.failures += 1
            self._overflowed(lane.give_back())
            (self._sizing.too_large if isinstance(error, TooLarge) else self._sizing.rejected)(count)
            return True
        bad = {0} if error.indices is None else error.indices & set(range(count))
        lost = len(bad) if error.count is None else min(max(error.count, 0), count)
        self._sizing.found()
        self._drop_rejected(lost, error)
        if error.rest == "stored":
            lane.finish()
            if count > lost:
                self._stored(count - lost)
            return True
        self._overflowed(lane.give_back(bad))
        self._in_vain += unnamed
        return bool(bad) and self._in_vain < _IN_VAIN

    def _drop_rejected(self, count: int, error: Rejected) -> None:
        if count:
            self.books.failures += 1
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
        if isinstance(error, Overdue):
            self._open = False  # by a new instance
        else:
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
        self._log.info("%s: %s: it gets nothing more", self.name, error)
        self.finished.set()
        self._lose_all("closed")
        self._idle.set()

    def _tell(self, what: str, error: Exception) -> None:
        if not isinstance(error, RepositoryError | OSError) and self._limited.first(type(error).__name__):
            self._log.error("%s: %s failed: %s: %s", self.name, what, type(error).__name__, error, exc_info=error)
            return
        queued = self.books.queued
        kept = f"; {counted(queued, 'sample')} kept" if queued and what != "clear" else ""
        reason = str(error) or type(error).__name__
        self._warn(what, f"{what} failed: {reason}{kept}", f"{type(error).__name__}: {error}".rstrip(": "))

    def _warn(self, kind: str, text: str, error: str = "") -> None:
        self._limited.warning(f"{self.name} {kind}", "%s: %s", self.name, text, error=error)

    async def _close(self, patience: float) -> Exception | None:
        self._open = False
        try:
            await self._calls("close", deadline=patience)
        except Exception as error:  # noqa: BLE001 - foreign code: there is nothing to lose in it any more
            self._log.debug("%s: close failed: %s", self.name, error)
            return error
        return None

    def _waiting(self) -> int:
        return len(self._queue) + (self.spool.waiting if self.spool is not None else 0)

    def _overflowed(self, lost: int) -> None:
        if lost:
            self.books.drop("overflow", lost)
            self._warn("overflow", "the queue is full: the oldest samples are dropped")

    def _lose_all(self, reason: str) -> None:
        """Forget what waits in memory; what of it is on disk is not lost."""
        if self.spool is not None:
            self.spool.leave(self._queue)
        left = self._queue.lose_all()
        if left and reason == "shutdown":
            why = f": {self._calls.broken_off} had not returned" if self._calls.broken_off else ""
            self._log.warning("%s: %s lost: not delivered before the end%s", self.name, counted(left, "sample"), why)
        self.books.drop(reason, left)


def _flush(repository: Repository, handling: Handling, spool: Spool | None) -> float:
    if handling.flush_interval is not None:
        return handling.flush_interval
    return repository.flush_interval if spool is None else min(repository.flush_interval, _QUICK_FLUSH)
