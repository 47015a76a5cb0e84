"""Keeps the places on disk, never ahead of what was told: what was read has to be safe before it counts there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from statspout.source import Sink
from statspout.sources.apps.redis.place import About, PlaceFile, Places
from statspout.sources.threads import in_a_thread

_PATIENCE = 5.0
"""Seconds for what was read to be stored or on disk, beyond which a kill may cost what a repository has in memory only;
and for the disk itself."""

T = TypeVar("T")

log = logging.getLogger("statspout.redis")


class Keeper:
    """Saves places in a file of ``directory``, each time that :meth:`note` is told of new ones.

    ``all_places`` are those of the reader, for when the file has none of them. Trouble with the disk is said once, and
    costs nothing but what the file is for.
    """

    def __init__(self, directory: Path, all_places: Callable[[], Places]) -> None:
        self.all_places = all_places
        self._file = PlaceFile(directory)
        self._about: About | None = None
        self._saved: About | None = None
        self._changed: dict[str, bytes | None] = {}
        self._gave = False
        self._wanted = asyncio.Event()
        self._failing = False
        self._work: asyncio.Task[Any] | None = None

    async def load(self, about: About) -> tuple[bool, dict[str, bytes]]:
        """The places that were saved, and whether all labels that are ``looked`` at had been."""
        try:
            found = await self._in_thread(self._file.load)
        except Exception as error:  # noqa: BLE001 - of the disk, or no thread more: without it, it begins anew
            await self._unreadable(error)
            return False, {}
        if found is None:
            return False, {}
        before, places = found
        if before.is_of(about):
            self._saved = before
            return before.looked == about.looked, places
        log.warning(
            "listen.redis: the place in %s is of %s at %s: here it begins anew",
            self._file.path, before.namespace, before.redis,
        )  # fmt: skip
        return False, {}

    def gave(self) -> None:
        """Records were handed over; what is noted from now on is saved when they are safe."""
        self._gave = True

    def note(self, about: About, places: Places) -> None:
        """These have changed; the records up to there are handed over."""
        if self._about is not None and not about.is_of(self._about):
            self._changed = {}
        self._about = about
        self._changed.update(places)
        if self._changed or (about.looked and about != self._saved):
            self._wanted.set()

    async def run(self, sink: Sink) -> None:
        """Save what is noted, for ever."""
        while True:
            await self._wanted.wait()
            await self.save(sink)

    async def save(self, sink: Sink) -> None:
        """Save what is noted until now, as soon as what was read until now is safe."""
        if self._about is None or not self._wanted.is_set():
            return
        self._wanted.clear()
        about, changed, self._changed = self._about, self._changed, {}
        gave, self._gave = self._gave, False
        try:
            if gave:
                await sink.kept(_PATIENCE)
            await self._write(sink, about, changed)
        except BaseException as error:
            self._gave |= gave
            if self._about.is_of(about):
                self._changed = {**changed, **self._changed}
            if not isinstance(error, Exception):
                self._wanted.set()
                raise
            self._failed(error)
            return
        self._saved = about
        if self._failing:
            self._failing = False
            log.info("listen.redis: %s is written again", self._file.path)

    async def end(self, sink: Sink) -> None:
        """Save the last, and let go of the file."""
        await self.save(sink)
        with contextlib.suppress(OSError, RuntimeError):
            await self._in_thread(self._file.close)

    async def _write(self, sink: Sink, about: About, changed: Places) -> None:
        if self._saved is not None and about.is_of(self._saved):
            with contextlib.suppress(FileNotFoundError):
                await self._in_thread(lambda: self._file.save(about, changed, fresh=False))
                return
        places = self.all_places()
        if self._gave:  # while others were waited for
            await sink.kept(_PATIENCE)
        await self._in_thread(lambda: self._file.save(about, places, fresh=True))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """What it returns; TimeoutError when the disk takes too long. One at a time, also after that."""
        if self._work is not None:
            await asyncio.wait({self._work}, timeout=_PATIENCE)
            if not self._work.done():
                raise TimeoutError
        task = asyncio.create_task(in_a_thread(work, "listen.redis"))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may wait for it any more
        self._work = task
        await asyncio.wait({task}, timeout=_PATIENCE)
        if not task.done():
            raise TimeoutError
        return task.result()

    async def _unreadable(self, error: Exception) -> None:
        away = ""
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            with contextlib.suppress(OSError):
                away = f"; it is {await self._in_thread(self._file.put_aside)} now"
        log.error("listen.redis: %s cannot be read: %s%s: here it begins anew", self._file.path, _told(error), away)

    def _failed(self, error: Exception) -> None:
        if not self._failing:
            log.warning(
                "listen.redis: %s cannot be written: %s: after the next start, what is read from now on comes again",
                self._file.path, _told(error),
            )  # fmt: skip
        self._failing = True


def _told(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or "the disk does not answer"
