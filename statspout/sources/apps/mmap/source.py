"""Statistics files as a source: what applications have in them, every interval."""

from __future__ import annotations

import asyncio
import fnmatch
import logging
import math
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from statspout.errors import ConfigError
from statspout.exposition import Family, Histogram
from statspout.logs import Limited
from statspout.sample import Metric
from statspout.source import Sink, Target
from statspout.sources.applications import ApplicationSource, Surroundings
from statspout.sources.apps.mmap.look import Looker
from statspout.sources.apps.mmap.records import LEFT_OUT, Accounts, Whose
from statspout.sources.apps.mmap.writers import Writers
from statspout.sources.apps.statsd.senders import Senders
from statspout.sources.threads import in_a_thread

log = logging.getLogger("statspout.mmap")

_SLICE = 1000
"""Records that are handed on at once, in about a millisecond."""

_SLOW = 3
"""Intervals that a look may take before that is said."""

_MOST_TOLD = 1000
"""Files of which it is remembered that they are bad, and were told of."""


@dataclass
class Counts:
    """What is told about the looks: how many files and bad files there were, and how many looks were left out."""

    files: int = 0
    bad: int = 0
    skipped: int = 0


class MmapSource(ApplicationSource):
    """Reads the files that match the patterns of the settings. ConfigError when one of them cannot be a pattern.

    Files are read in a thread of its own: a file system may take its time, and many files do.
    """

    setting = "listen.mmap"
    others = (*ApplicationSource.others, "proc_root")

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        settings = surroundings.settings
        self.interval = settings.listen_mmap_interval or settings.interval
        self.patterns = [_checked(pattern) for pattern in settings.listen_mmap]
        self._levels = re.compile("|".join(map(fnmatch.translate, settings.listen_mmap_gauges)) or r"(?!)")
        self._senders = Senders(surroundings.rosters, settings.proc_root)
        self._looker = Looker(self.patterns, Writers(settings.proc_root), self._is_level)
        self._accounts = Accounts(self._container_of, self._whose, settings.listen_mmap_max_series)
        self._looking = threading.Lock()
        self._limited = Limited(log)
        self._told: dict[str, str] = {}
        self._counts = Counts()
        self._before: MmapSource | None = None
        self._running: list[tuple[str, dict[str, Target]]] = []
        """Who ran when the look began, by host and id."""

    def told(self) -> list[str]:
        """Each pattern."""
        return [f"{self.setting}: {pattern}, every {self.interval:g} s" for pattern in self.patterns]

    def summary(self) -> str:
        """The patterns."""
        return f"statistics files {', '.join(self.patterns)}, every {self.interval:g} s"

    def follow(self, before: ApplicationSource) -> None:
        """Go on with what was counted in the files: at the first look, as the last one before may be under way."""
        assert isinstance(before, MmapSource)
        self._before = before
        self._counts, self._told = before._counts, before._told
        self._accounts.left_out, self._accounts.series = before._accounts.left_out, before._accounts.series

    def families(self) -> Iterator[Family | Histogram]:
        """How much is found, and what is not passed on."""
        for name, kind, help_, value in (
            ("files", "gauge", "Statistics files at the last look.", self._counts.files),
            ("series", "gauge", "Series of statistics files at the last look.", self._accounts.series),
            ("bad_files_total", "counter", "Statistics files that could not be read.", self._counts.bad),
            ("looks_skipped_total", "counter", "Due looks passed by one under way.", self._counts.skipped),
        ):
            yield Family(f"statspout_mmap_{name}", kind, help_, [({}, value)])  # type: ignore[arg-type]  # kinds, above
        left_out = [({"reason": reason}, self._accounts.left_out[reason]) for reason in LEFT_OUT]
        help_ = "What was found in statistics files and is not told, by reason."
        yield Family("statspout_mmap_left_out_total", "counter", help_, left_out)

    async def run(self, sink: Sink) -> None:
        """Look at every multiple of the interval, by the clock."""
        while True:
            now = time.time()
            due = math.floor(now / self.interval) + 1
            await asyncio.sleep(due * self.interval - now)
            await self._pass_on(sink)
            self._counts.skipped += max(0, math.floor(time.time() / self.interval) - due)

    async def _pass_on(self, sink: Sink) -> None:
        look = asyncio.ensure_future(in_a_thread(self._look, self.setting))
        try:
            done, _ = await asyncio.wait({look}, timeout=_SLOW * self.interval)
            if not done:
                self._limited.once("slow", "%s: a look takes longer than %d intervals", self.setting, _SLOW)
            metrics = await look
        finally:
            look.cancel()
        self._limited.reset("slow")
        for start in range(0, len(metrics), _SLICE):
            sink.push_all(metrics[start : start + _SLICE], last=False)
            await asyncio.sleep(0)
        sink.push_all((), last=True)

    def _look(self) -> list[Metric]:
        """In a thread; after a failure the one before may still be under way."""
        with self._looking:
            self._go_on()
            self._running = [(roster.host, dict(roster.targets)) for roster in self.surroundings.rosters]
            seen = self._looker.look()
            metrics = self._accounts.records(seen, time.time_ns(), self.interval)
            self._counts.files = len(seen.files)
            self._tell(seen.errors)
            self._senders.tidy()
            return metrics

    def _go_on(self) -> None:
        """Take over from the one before, unless its last look does not end: nobody waits for that for ever."""
        before, self._before = self._before, None
        if before is None:
            return
        if not before._looking.acquire(timeout=_SLOW * self.interval):
            self._limited.warning("hand-over", "%s: the look before does not end: totals begin anew", self.setting)
            return
        try:
            before._go_on()  # it may not have come to it itself
            self._looker.follow(before._looker)
            self._accounts.follow(before._accounts, self._is_level)
        finally:
            before._looking.release()

    def _is_level(self, name: str) -> bool:
        return self._levels.fullmatch(name) is not None

    def _tell(self, errors: dict[str, str]) -> None:
        """Say what is wrong with each file, once for as long as it is."""
        self._counts.bad += len(errors)
        for path, error in errors.items():
            if self._told.get(path) != error:
                self._limited.warning("bad files", "%s: %s", self.setting, error)
        self._told = dict(list(errors.items())[:_MOST_TOLD])

    def _container_of(self, pid: int) -> str:
        return self._senders.of_process(pid).container_id

    def _whose(self, container_id: str) -> Whose:
        """A container that runs here, or has ended since it was read, with the host that its samples have."""
        now = ((roster.host, roster.targets) for roster in self.surroundings.rosters)
        for host, targets in (*now, *self._running):
            if target := targets.get(container_id):
                return Whose(target.container, host)
        return Whose(None, self.surroundings.host())


def _checked(pattern: str) -> str:
    if not pattern or "\0" in pattern or pattern.endswith("/"):
        raise ConfigError(f"--listen.mmap: {pattern!r} is wrong: a pattern such as /run/stats/*.mmstats is right")
    return pattern
