"""What one repository could not store yet, on disk: written once a second, read back when its turn comes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from statspout.delivery import rows
from statspout.delivery.backoff import Backoff
from statspout.delivery.books import Books
from statspout.delivery.queue import Queue, Segment
from statspout.delivery.ranges import Range, Ranges
from statspout.delivery.spoolfile import Damaged, Gone, Row, SpoolFile
from statspout.delivery.worker import Worker
from statspout.loglines import About
from statspout.logs import Limited, counted
from statspout.sample import Sample

log = logging.getLogger("statspout.delivery")

ON_DISK_BY = 0.85
"""Seconds after a sample came by which it is being written, if nobody has stored it by then."""

_RIPE = 0.5
"""Seconds: what came later than that waits for the next write; a destination that works will have it by then."""

_LAST_ATTEMPTS = 3
_LAST_PAUSE = 0.2
"""Seconds between two attempts at the last write: somebody may be reading the file, or it is damaged and made anew."""

_READ_PATIENCE = 1.0
"""Seconds for which a delivery waits for what is on disk; then what is new goes first."""

_EXPIRY = 60.0
"""Seconds between two looks for what is too old."""


class Spool:
    """Keeps on disk what waits, and forgets it when all of it is done with. A journal of the queue in memory.

    What there is no room for in memory waits on disk only; :attr:`queue` holds what was read back of that. Trouble with
    the disk is told once and costs nothing but the safety: samples wait in memory meanwhile.
    """

    def __init__(
        self, path: Path, *, name: str, most_bytes: int, max_age: float, hold: Callable[[], None] = lambda: None
    ) -> None:
        self.name = name
        self.queue = Queue(2**62, journal=self)
        self.failures = 0
        """Writes and reads that failed."""
        self._max_age = max_age
        self._file = SpoolFile(path, most_bytes, hold)
        self._thread = Worker(f"spool-{name}")
        self._books = Books()
        self._memory = Queue(0)
        self._wake: Callable[[], None] = lambda: None
        self._unsaved: deque[Segment] = deque()
        self._changed: list[Segment] = []
        self._freed: list[int] = []
        self._ranges = Ranges()
        self._on_disk = 0
        self._is_open = False
        self._wanted = asyncio.Event()
        self._busy = asyncio.Lock()
        self._backoff = Backoff(first=2.0, cap=30.0)
        self._log = About(log, repository=self.name)
        self._limited = Limited(self._log)
        self._task: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Samples that are not in memory, or were read back from disk."""
        return self._on_disk + len(self.queue)

    @property
    def bytes(self) -> int:
        """The size of the file and its log; 0 where there is none."""
        return self._file.size

    # the delivery's side

    def start(self, memory: Queue, books: Books, wake: Callable[[], None]) -> None:
        """Begin to write what waits in ``memory``.

        What an earlier run of the program has left goes into ``books`` as restored, and ``wake`` is called for it: at
        once, or when the file can be opened.
        """
        self._memory, self._books, self._wake = memory, books, wake
        try:
            self._found(*self._file.open())
        except Damaged as error:
            self._replace(error)
        except (sqlite3.Error, OSError) as error:
            self._failed("opened", error)
            self._wanted.set()
        self._task = asyncio.create_task(self._run(), name=f"spool {self.name}")

    def wake_up(self, wake: Callable[[], None]) -> None:
        """Somebody else delivers from now on, and is called when something is to be delivered."""
        self._wake = wake

    async def load(self, most: int) -> bool:
        """Read back the oldest that is only on disk, about ``most`` samples; False when that fails, or takes long."""
        if self.queue:
            return True
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._load(most), name=f"spool {self.name} reading")
        # A disk that hangs holds up what waits there, and not what is new.
        await asyncio.wait({self._reading}, timeout=_READ_PATIENCE)
        if self._reading.done():
            self._reading.result()
        return bool(self.queue)

    async def _load(self, most: int) -> None:
        async with self._busy:
            if any(segment.samples and self._waits_next(segment.row) for segment in self._changed):
                return  # a row on disk holds more than waits, until the next write
            try:
                while self._ranges and not self.queue:
                    self._take_in(await self._thread.call(rows.read, self._file, self._ranges.next, most))
            except Damaged as error:
                self._replace(error)
            except (sqlite3.Error, OSError) as error:
                self._failed("read", error)
        if not self._ranges and self._on_disk:
            self._lose(self._on_disk)  # rows that should be there are not

    def _waits_next(self, row: int) -> bool:
        return bool(self._ranges) and self._ranges.next[0] <= row <= self._ranges.next[1]

    async def finish(self, patience: float) -> None:
        """Write all that waits, for so many seconds at most, and let go of the file."""
        if self._reading is not None:
            self._reading.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience), self._busy:
                # Not in the middle of a write, of which nobody would know what came of it.
                if self._task is not None:
                    self._task.cancel()
                for _ in range(_LAST_ATTEMPTS):
                    if await self._write(ripe=0):
                        break
                    await asyncio.sleep(_LAST_PAUSE)
                await self._thread.call(self._file.close)
        self._thread.stop()
        self.leave(self.queue)
        self.queue.lose_all()

    def leave(self, queue: Queue) -> None:
        """What of this queue is on disk waits only there from now on; the queue is not used any more."""
        self._on_disk += sum(len(segment.samples) for segment in queue.segments() if segment.row)

    # as a journal

    def began(self, segment: Segment) -> None:
        """It is to be written, unless it is stored soon."""
        self._unsaved.append(segment)
        self._wanted.set()

    def changed(self, segment: Segment) -> None:
        """Its row holds more than waits."""
        if segment.row:
            self._changed.append(segment)
            self._wanted.set()

    def ended(self, segment: Segment) -> None:
        """Its row is of no use any more."""
        if segment.row:
            self._freed.append(segment.row)
            segment.row = 0
            self._wanted.set()

    def keeps(self, segment: Segment) -> bool:
        """Take over what is on disk already."""
        if not segment.row:
            return False
        self._ranges.append(segment.row)
        self._on_disk += len(segment.samples)
        return True

    # writing

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EXPIRY if self._ranges else None):
                    await self._wanted.wait()
                    await asyncio.sleep(self._due())
            self._wanted.clear()
            async with self._busy:
                written = await self._write(ripe=_RIPE) and await self._expire()
            if not written:
                await asyncio.sleep(self._backoff.failed())
            if self._unsaved or self._freed or self._changed or not self._is_open:
                self._wanted.set()

    def _due(self) -> float:
        """Seconds until the next write."""
        while self._unsaved and not self._unsaved[0].samples and self._unsaved[0] is not self._memory.tail:
            self._unsaved.popleft()
        age = time.monotonic() - self._unsaved[0].born if self._unsaved else 0.0
        return max(0.0, ON_DISK_BY - age)

    async def _write(self, *, ripe: float) -> bool:
        """Write what came so many seconds ago, and forget what is done with. False when that fails."""
        new = self._ripe(time.monotonic() - ripe)
        # Once each, however often it was: a row of a thousand samples may have been stored one by one.
        changed = [segment for segment in dict.fromkeys(self._changed) if segment.row and segment.samples]
        freed, self._freed, self._changed = self._freed, [], []
        if not (new or changed or freed) and self._is_open:
            return True
        written = [(segment.row, list(segment.samples)) for segment in (*new, *changed)]
        try:
            if not self._is_open:
                self._found(*await self._thread.call(self._file.open))
            ids, dropped, odd = await self._thread.call(rows.store, self._file, written, freed, list(self._ranges))
        except Damaged as error:
            self._unsaved.extendleft(reversed(new))
            self._replace(error)
            return False
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            self._unsaved.extendleft(reversed(new))
            self._freed = freed + self._freed
            self._changed = changed + self._changed
            self._failed("written", error)
            return False
        for place in sorted(odd, reverse=True):
            # Samples of a plugin's source may hold what cannot be written. They wait in memory, and only they.
            del written[place], new[place]
            self._failed("written", odd[place])
        counts = [len(samples) for _, samples in written]
        self._wrote([*new[: len(ids)], *changed], counts[: len(ids)] + counts[len(new) :], ids)
        self._made_room(dropped)
        if len(ids) < len(new):
            self._unsaved.extendleft(reversed(new[len(ids) :]))
            self._failed("written", OSError("it is as large as it may be"))
            return False
        self._works_again()
        return True

    def _ripe(self, latest: float) -> list[Segment]:
        """Segments that are only in memory and came by then; they are as they are from now on."""
        found = []
        while self._unsaved and self._unsaved[0].born <= latest:
            segment = self._unsaved.popleft()
            if segment is self._memory.tail:
                self._memory.seal()
            if segment.samples:
                found.append(segment)
        return found

    def _wrote(self, segments: list[Segment], counts: list[int], ids: list[int]) -> None:
        """So many samples of each segment are in its row; the first of them have new rows, ``ids``."""
        for segment, id_ in zip(segments, ids, strict=False):
            segment.row = id_
        for segment, count in zip(segments, counts, strict=True):
            if not segment.samples:
                self.ended(segment)
            elif len(segment.samples) < count:
                self.changed(segment)

    def _works_again(self) -> None:
        if self._backoff.failures:
            self._log.info("%s: the spool works again", self.name)
            self._backoff.succeeded()
            self._limited.reset(self.name)

    def _made_room(self, dropped: Sequence[tuple[int, int]]) -> None:
        for id_, _ in dropped:
            self._ranges.advance(id_)
        if lost := sum(samples for _, samples in dropped):
            self._on_disk -= lost
            self._books.drop("overflow", lost)
            self._limited.warning(f"{self.name} full", "%s: the spool is full: the oldest are dropped", self.name)

    async def _expire(self) -> bool:
        """Forget what has waited for too long."""
        for range_ in list(self._ranges):
            try:
                lost = await self._thread.call(self._file.expire, range_, self._file.now() - self._max_age)
            except Damaged as error:
                self._replace(error)
                return False
            except (sqlite3.Error, OSError) as error:
                self._failed("written", error)
                return False
            if lost:
                self._on_disk -= lost
                self._books.drop("expired", lost)
                told = "%s: %s in the spool were too old, and are dropped"
                self._limited.warning(f"{self.name} expired", told, self.name, counted(lost, "sample"))
            if not lost:
                break  # what comes behind is younger
        return True

    # reading

    def _take_in(self, read: Sequence[tuple[Row, list[Sample] | None]]) -> None:
        if not read:
            self._ranges.drop_next()
        for row, samples in read:
            self._ranges.advance(row.id)
            self._on_disk -= row.samples
            if samples is None:
                self._freed.append(row.id)
                self._books.drop("damaged", row.samples)
                lost = counted(row.samples, "sample")
                self._limited.warning(f"{self.name} damaged", "%s: %s in the spool cannot be read", self.name, lost)
            else:
                self.queue.load([Segment(time.monotonic(), samples, row.id)])

    # trouble

    def _found(self, left: Range | None, samples: int) -> None:
        """The file is open; what is in it came before all that waits in memory."""
        self._is_open = True
        if left is not None:
            self._ranges.put_first(left)
            self._on_disk += samples
            self._books.restored += samples
            self._log.info("%s: %s wait in the spool", self.name, counted(samples, "sample"))
            self._wake()

    def _failed(self, what: str, error: Exception) -> None:
        self.failures += 1
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        told = "%s: the spool %s cannot be %s: %s; samples wait in memory, and it is tried again"
        kind = type(error).__name__
        self._limited.once(self.name, told, self.name, self._file.path, what, reason, error=f"{kind}: {reason}")

    def _replace(self, error: Damaged) -> None:
        """Begin with a new file; what is in memory goes there."""
        self.failures += 1
        self._is_open = False
        if isinstance(error, Gone):
            self._file.close()
            told = "%s: the spool %s is gone: %s; a new one is made"
            self._limited.warning(f"{self.name} gone", told, self.name, self._file.path, error)
        else:
            self._put_away(error)
        self._lose(self._on_disk)
        self._ranges.clear()
        self._freed.clear()
        self._changed.clear()
        self._memory.seal()
        waiting = [segment for queue in (self.queue, self._memory) for segment in queue.segments()]
        for segment in waiting:
            segment.row = 0
        self._unsaved = deque(waiting)
        self._wanted.set()

    def _put_away(self, error: Damaged) -> None:
        try:
            away = self._file.quarantine()
        except OSError as trouble:
            self._failed("put away", trouble)
        else:
            told = "%s: the spool %s cannot be used: %s; it is %s now, and a new one is made"
            self._log.error(told, self.name, self._file.path, error, away)

    def _lose(self, samples: int) -> None:
        if samples:
            self._on_disk -= samples
            self._books.drop("damaged", samples)
            self._log.error("%s: %s that waited in the spool are lost", self.name, counted(samples, "sample"))
