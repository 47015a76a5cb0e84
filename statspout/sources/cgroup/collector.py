"""One sample of every container per interval, from the kernel's files: all in one sweep, in the loop's own thread.

All at once is the cheapest: one wake-up and one look at the host for everybody, with code and kernel paths still in the
caches from one container to the next; reading them one by one over the interval costs up to three times as much. Every
so many containers the loop has its turn, so a sweep over a thousand delays nobody by more than a few milliseconds.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence

from statspout.errors import SourceError, Unreadable
from statspout.logs import Limited
from statspout.sample import Container, Sample
from statspout.source import Sink, Target
from statspout.sources.cgroup.container import Opened, Roots
from statspout.sources.cgroup.files import Budget, Gone
from statspout.sources.cgroup.host import Host
from statspout.sources.engine.client import Engine
from statspout.telemetry import Telemetry

log = logging.getLogger("statspout.collector")

_AT_ONCE = 64
"""Containers that are read without giving the loop a turn: about two milliseconds."""

_LIMITS_AFTER = 60.0
"""Seconds after which limits are read again, should they have been changed without the engine."""

_LONGEST_PAUSE = 30.0
"""Seconds between two attempts to open the files of a container, at the most."""


class _Watched:
    """One container. ``retry`` is when opening it is tried again, ``failures`` how often in a row that failed."""

    __slots__ = ("failures", "opened", "retry", "target")

    def __init__(self, target: Target) -> None:
        self.target = target
        self.opened: Opened | None = None
        self.failures = 0
        self.retry = 0.0


class CgroupCollector:
    """Reads the containers that discovery finds; a :class:`statspout.source.Watcher`.

    ``rejected`` is asked about a container whose files cannot be read, and why: true, and it is somebody else's from
    then on; false, and it is counted, told and tried again. ``missing`` is told of one whose files were taken away.
    """

    def __init__(
        self, sink: Sink, telemetry: Telemetry, *, interval: float, roots: Roots, budget: Budget | None = None
    ) -> None:
        self.host = ""
        self.missing: Callable[[Container], None] = lambda _: None
        self.rejected: Callable[[Target, Unreadable], bool] = lambda *_: False
        self._sink = sink
        self._telemetry = telemetry
        self._interval = interval
        self._roots = roots
        self._budget = budget or Budget()
        self._kernel = Host(roots.proc, interval)
        self._watched: dict[str, _Watched] = {}
        self._limited = Limited(log)
        self._told: set[str] = set()
        self._any_interface = False
        self._next: asyncio.Handle | None = None
        self._first: asyncio.Handle | None = None
        self._due = 0.0
        self._limits_due = 0.0

    # what discovery says

    def found(self, target: Target) -> None:
        """Read this container from now on; what is new about one that is read already counts from its next sample."""
        watched = self._watched.get(target.container.id)
        if watched is not None:
            self._renew(watched, target)
            return
        watched = _Watched(target)
        if self._open(watched):
            self._watched[target.container.id] = watched
            self._sink.begin(target.container)
            self._schedule()

    def lost(self, container: Container) -> None:
        """This run is over: its files are closed at once, and whoever holds values of it forgets them."""
        self.release(container)
        self._sink.clear(container)

    def release(self, container: Container) -> None:
        """Read it no more."""
        watched = self._watched.pop(container.id, None)
        if watched is not None:
            _close(watched)

    def meet(self, engine: Engine) -> None:
        """Podman names interfaces as it likes; Docker's are called eth0 and so on, or as it was told."""
        self._any_interface = engine.podman

    def has(self, container_id: str) -> bool:
        """Whether this container is read here."""
        return container_id in self._watched

    async def stop(self) -> None:
        """End, and close everything."""
        for handle in (self._next, self._first):
            if handle is not None:
                handle.cancel()
        for watched in self._watched.values():
            _close(watched)
        self._watched.clear()
        self._kernel.close()

    async def round(self, targets: Sequence[Target], gap: float) -> int:
        """One sample of each of ``targets``, CPU included: two readings ``gap`` seconds apart, in place of the sweeps.

        Returns how many samples there were.
        """
        everybody = [watched for watched in map(_Watched, targets) if self._open(watched) and watched.opened]
        try:
            self._sweep(everybody, push=False)
            await asyncio.sleep(gap)
            return self._sweep(sorted(everybody, key=lambda watched: watched.target.container.name))
        finally:
            for watched in everybody:
                _close(watched)

    # when

    def _schedule(self) -> None:
        """A new container is read at once; the sweeps begin with the first one."""
        loop = asyncio.get_running_loop()
        if self._first is None:
            self._first = loop.call_soon(self._read_new)
        if self._next is None:
            # On a grid that all who wake up once an interval share.
            self._due = math.ceil(loop.time() / self._interval) * self._interval
            self._next = loop.call_at(self._due, self._tick)

    def _read_new(self) -> None:
        self._first = None
        new = [w for w in self._watched.values() if w.opened is not None and not w.opened.read_at]
        self._telemetry.swept(len(new), self._sweep(new), 0.0)

    def _tick(self) -> None:
        self._next = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now >= self._limits_due:
            self._limits_due = now + _LIMITS_AFTER
            for watched in self._watched.values():
                if watched.opened is not None:
                    watched.opened.forget_limits()
        # Who was read just now, being new, has his turn the next time: over so short a time CPU is not to be measured.
        young = time.monotonic_ns() - int(self._interval * 5e8)
        self._chunk([w for w in self._watched.values() if w.opened is None or w.opened.read_at <= young], 0, now)

    def _chunk(self, everybody: list[_Watched], start: int, began: float) -> None:
        """Read the next of ``everybody``; then give the loop a turn, or end the sweep that began at ``began``."""
        self._next = None
        chosen = everybody[start : start + _AT_ONCE]
        # Who was lost meanwhile is read no more.
        chosen = [w for w in chosen if self._watched.get(w.target.container.id) is w]
        more = start + _AT_ONCE < len(everybody)
        late = max(0.0, began - self._due)
        self._telemetry.swept(len(chosen), self._sweep(chosen, look=not start, last=not more), late)
        loop = asyncio.get_running_loop()
        if more:
            self._next = loop.call_soon(self._chunk, everybody, start + _AT_ONCE, began)
        elif self._watched:
            skipped = max(0, int((loop.time() - self._due) / self._interval))
            self._telemetry.skipped_ticks += skipped * len(self._watched)
            self._due += (1 + skipped) * self._interval
            self._next = loop.call_at(self._due, self._tick)

    # reading

    def _sweep(self, everybody: Sequence[_Watched], *, push: bool = True, look: bool = True, last: bool = True) -> int:
        """Read them all now, the host first unless it was just looked at; returns how many samples there were.

        ``last``: nobody else is read in this sweep.
        """
        if not everybody:
            return 0
        kernel, monotonic = self._kernel, time.monotonic_ns
        samples: list[Sample] = []
        if look:
            kernel.look()
        clock = time.time_ns() - monotonic()
        for watched in everybody:
            opened = watched.opened
            try:
                if opened is None:
                    opened = self._opened_again(watched)
                    if opened is None:
                        continue
                samples.append(opened.sample(watched.target, kernel, self.host, monotonic(), clock))
            except Exception as error:  # noqa: BLE001 - whatever it is, it costs this container one sample
                self._failed(watched, error)
        if push:
            self._sink.push_all(samples, last=last)
        return len(samples)

    def _failed(self, watched: _Watched, error: Exception) -> None:
        container = watched.target.container
        if isinstance(error, Gone):
            self._telemetry.errors["not_running"] += 1
            _close(watched)
            self.missing(container)
            return
        kind = Unreadable.kind if isinstance(error, OSError) else "internal"
        self._telemetry.errors[kind] += 1
        self._limited.warning(kind, "container %s: %r", container.name, error, container=container.name)

    # opening

    def _open(self, watched: _Watched) -> bool:
        """Open its files; false when it is somebody else's now."""
        try:
            watched.opened = Opened(watched.target, self._roots, self._budget, self._any_interface)
        except Unreadable as error:
            if self.rejected(watched.target, error):
                return False
            self._not_opened(watched, error)
        else:
            watched.failures = 0
            self._tell(watched.opened)
        return True

    def _opened_again(self, watched: _Watched) -> Opened | None:
        if time.monotonic() >= watched.retry and not self._open(watched):
            self._watched.pop(watched.target.container.id, None)
        return watched.opened

    def _not_opened(self, watched: _Watched, error: SourceError) -> None:
        watched.retry = time.monotonic() + min(_LONGEST_PAUSE, self._interval * 2 ** min(watched.failures, 10))
        watched.failures += 1
        self._telemetry.errors[error.kind] += 1
        container = watched.target.container
        if watched.failures == 1:
            # It may just have ended. If not, it comes again.
            self.missing(container)
        else:
            self._limited.warning(error.kind, "container %s: %s", container.name, error, container=container.name)

    def _renew(self, watched: _Watched, target: Target) -> None:
        before, watched.target = watched.target, target
        opened = watched.opened
        if opened is None or _where(before) != _where(target):
            _close(watched)
            watched.retry = 0.0
            if not self._open(watched):
                self._watched.pop(target.container.id, None)
            return
        if before.container.started_at != target.container.started_at:
            # Now it is known when it started: the reading before may be of an earlier run.
            opened.before = None
        opened.forget_limits()

    def _tell(self, opened: Opened) -> None:
        if "kernel" not in self._told:
            self._told.add("kernel")
            log.info("containers are read from the kernel's files: cgroup v%d, %s", opened.version, self._roots.cgroup)
        if not opened.kept and "limit" not in self._told:
            self._told.add("limit")
            log.warning(
                "the limit of %d open files (RLIMIT_NOFILE) leaves no room for the files of further containers: they "
                "are opened each time, at three times the price",
                self._budget.limit,
            )


def _where(target: Target) -> tuple[object, ...]:
    """What decides which files are a container's."""
    return target.pid, target.network_mode, target.interfaces


def _close(watched: _Watched) -> None:
    if watched.opened is not None:
        watched.opened.close()
        watched.opened = None
