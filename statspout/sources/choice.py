"""Per container: the kernel's files where they can be read, the engine where not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from statspout.errors import Unreadable
from statspout.loglines import about
from statspout.sample import Container
from statspout.source import Target
from statspout.sources.cgroup.collector import CgroupCollector
from statspout.sources.engine.client import Engine
from statspout.sources.engine.collector import EngineCollector

log = logging.getLogger("statspout.collector")

_MOST_TOLD = 20


class AutoCollector:
    """Gives every container to one of two collectors, and says once what it chose and why.

    ``slower`` is the interval of the engine's in seconds, when that is another than was asked for.
    """

    def __init__(self, kernel: CgroupCollector, engine: EngineCollector, slower: float | None = None) -> None:
        self.kernel, self.engine = kernel, engine
        self._slower = slower
        self._elsewhere: dict[str, Target] = {}
        """Who is read through the engine, by id, as it was when that was found to be the way."""
        self._told: set[str] = set()
        self._podman = False
        kernel.rejected = self._rejected

    @property
    def missing(self) -> Callable[[Container], None]:
        """Who is told of a container that is not there."""
        return self.kernel.missing

    @missing.setter
    def missing(self, told: Callable[[Container], None]) -> None:
        self.kernel.missing = self.engine.missing = told

    @property
    def host(self) -> str:
        """The host of every sample."""
        return self.kernel.host

    @host.setter
    def host(self, name: str) -> None:
        self.kernel.host = self.engine.host = name

    def meet(self, engine: Engine) -> None:
        """A connection was made. Podman's own figures differ from the kernel's: nobody's are to change unasked."""
        self._podman = engine.podman
        self.kernel.meet(engine)
        self.engine.meet(engine)
        if engine.podman:
            self._say("all figures are %s own: %s", "Podman's", "--collector=cgroup has the kernel's")

    def found(self, target: Target) -> None:
        """Read this container from now on."""
        if self._podman:
            self._elsewhere[target.container.id] = target
            self.engine.found(target)
            return
        before = self._elsewhere.get(target.container.id)
        if before is not None and before.pid == target.pid:
            self.engine.found(target)
            return
        self.kernel.found(target)
        if before is not None and self.kernel.has(target.container.id):
            del self._elsewhere[target.container.id]
            self.engine.release(target.container)

    def lost(self, container: Container) -> None:
        """This run is over."""
        if self._elsewhere.pop(container.id, None) is not None:
            self.engine.lost(container)
        else:
            self.kernel.lost(container)

    async def stop(self) -> None:
        """End both."""
        await asyncio.gather(self.kernel.stop(), self.engine.stop())

    async def round(self, targets: Sequence[Target], gap: float) -> int:
        """One sample of each of ``targets``, see the collectors; returns how many there were."""
        if self._podman:
            return await self.engine.round(targets, gap)
        left: list[Target] = []

        def leave(target: Target, error: Unreadable) -> bool:
            self._tell(target, error)
            left.append(target)
            return True

        self.kernel.rejected = leave
        kernel = asyncio.create_task(self.kernel.round(targets, gap))
        await asyncio.sleep(0)  # by then it has opened what it can
        counts = await asyncio.gather(kernel, self.engine.round(left, gap)) if left else [await kernel]
        return sum(counts)

    def _rejected(self, target: Target, error: Unreadable) -> bool:
        self._tell(target, error)
        self._elsewhere[target.container.id] = target
        self.engine.found(target)
        return True

    def _tell(self, target: Target, error: Unreadable) -> None:
        name = target.container.name
        self._say("container %s, and others likewise, through the engine: %s", name, str(error), container=name)

    def _say(self, message: str, name: str, reason: str, **what: str) -> None:
        """Log it, once for each reason."""
        if reason in self._told or len(self._told) >= _MOST_TOLD:
            return
        self._told.add(reason)
        log.info(message, name, reason, extra=about(**what))
        if self._slower is not None:
            log.info("the engine is asked every %g s: more often it has nothing new", self._slower)
            self._slower = None
