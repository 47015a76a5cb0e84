"""Who runs now: the engine's list is the truth, its events are a hint that makes it quick.

Events are subscribed to first, then the list is taken, so that nothing falls between; it is taken again at every
reconnect and every minute. What starts is confirmed by an inspect, which also gives its identity: the id and the
start time. An event from before that start time is about an earlier run, and ignored.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

import msgspec

from statspout.errors import EngineDown, Refused, SourceError
from statspout.logs import Limited, counted
from statspout.sample import Container
from statspout.source import Target, Watcher
from statspout.sources.engine.answers import Event, Inspected, Listed, read_only
from statspout.sources.engine.client import Engine, EngineClient
from statspout.sources.filters import Filters
from statspout.telemetry import Telemetry

log = logging.getLogger("statspout.discovery")

RELIST = 60.0
"""Seconds between two lists."""

SLOWEST_RETRY = 30.0
"""Seconds between two subscriptions to an event stream that keeps ending; the list is taken each time."""

STEADY = 30.0
"""Seconds after which a subscription that ends was a good one: the next is made at once."""

PATIENCE = 2.0
"""Seconds for which the first list waits for the event stream."""

_INSPECTS = 32
_STATES = {"pause": "paused", "unpause": "running"}


@dataclass(frozen=True, slots=True)
class _Look:
    """An inspect under way, and what is known should it fail."""

    task: asyncio.Task[None]
    fallback: Target | None


@dataclass(slots=True)
class _Known:
    target: Target
    touched: float
    """When, in monotonic seconds, an event or an inspect last changed it; a list asked for before that knows less."""


class Discovery:
    """Keeps a :class:`Watcher` told of one engine's running containers, through everything that happens to the engine.

    Containers that ``filters`` leave out are followed (a rename may change that) but not told of.
    """

    def __init__(
        self,
        client: EngineClient,
        watcher: Watcher,
        telemetry: Telemetry,
        filters: Filters | None = None,
        relist: float = RELIST,
        connected: Callable[[Engine], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._watcher = watcher
        self._telemetry = telemetry
        self._filters = filters or Filters()
        self._relist_every = relist
        self._connected = connected
        self._known: dict[str, _Known] = {}
        self._names: dict[str, str] = {}
        self._adopting: dict[str, _Look] = {}
        self._told: set[str] = set()
        # What an earlier discovery left out is not known to this one.
        telemetry.reasons = {}
        self._inspects = asyncio.Semaphore(_INSPECTS)
        self._limited = Limited(log)
        self._told_down = False
        self._told_forbidden = False
        self.listed = asyncio.Event()
        """Set once the first list is in and everybody on it was looked at."""

    async def run(self) -> None:
        """Watch until cancelled."""
        failures = 0
        try:
            while True:
                began = time.monotonic()
                slowest = SLOWEST_RETRY
                try:
                    await self._session()
                except EngineDown as error:
                    slowest = self._client.address.slowest_connect
                    self._down(error)
                except SourceError as error:
                    self._limited.warning("engine", "%s: %s: trying again", self._client, error)
                failures = 0 if time.monotonic() - began > STEADY else failures + 1
                await asyncio.sleep(_pause(failures, slowest))
        finally:
            for look in self._adopting.values():
                look.task.cancel()

    def tells_of(self, container: Container) -> bool:
        """Whether this run of this container is one that the watcher was told of."""
        known = self._known.get(container.id)
        return container.id in self._told and known is not None and known.target.container.same_run(container)

    def missing(self, container: Container) -> None:
        """A collector was told that this container does not exist: it is looked at again."""
        self._adopt(container.id)

    # one connection to the engine

    async def _session(self) -> None:
        """From a new subscription to its end. Without events, as some proxies have it, one list is taken."""
        with self._down_unless_it_answers():
            self._connected(await self._client.negotiate())
        subscribed = asyncio.Event()
        stream = asyncio.create_task(self._follow(subscribed))
        try:
            await _either(stream, subscribed, PATIENCE)
            await self._list(deep=True)
            self._up()
            while not (await asyncio.wait({stream}, timeout=self._relist_every))[0]:
                await self._list(deep=False)
            self._ended(stream)
        finally:
            stream.cancel()
            await asyncio.gather(stream, return_exceptions=True)

    def _ended(self, stream: asyncio.Task[None]) -> None:
        """Raise what ended the events. That a proxy forbids them is its owner's will, and said once."""
        try:
            stream.result()
        except Refused as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            if not self._told_forbidden:
                every = f"every {SLOWEST_RETRY:g} s or sooner"
                log.warning("%s: its events are forbidden: the list is taken %s", self._client, every)
            self._told_forbidden = True

    async def _follow(self, subscribed: asyncio.Event) -> None:
        async for event in self._client.events():
            if event is None:
                subscribed.set()
            else:
                self._handle(event)

    async def _list(self, deep: bool) -> None:
        """Make the list true. ``deep``: events may have been missed, so everybody is inspected."""
        asked = time.monotonic()
        with self._down_unless_it_answers():
            listed = await self._client.list_running()
        fresher = {i: known.target.container.name for i, known in self._known.items() if known.touched >= asked}
        self._names = {entry.id: fresher.get(entry.id, entry.name) for entry in listed}
        for container_id in [i for i, known in self._known.items() if i not in self._names and known.touched < asked]:
            self._forget(container_id)
        for entry in listed:
            self._reconcile(entry, asked, deep)
        self._telemetry.listed = time.monotonic()
        if not self.listed.is_set():
            await asyncio.gather(*(look.task for look in self._adopting.values()), return_exceptions=True)
            log.info("%s: %s", self._client, self._population())
            self.listed.set()

    def _reconcile(self, entry: Listed, asked: float, deep: bool) -> None:
        known = self._known.get(entry.id)
        if known is not None and not entry.names:
            # The list could not be read here, and takes nothing away from what is known.
            self._adopt(entry.id)
        # A young container may be a new run of one that is known; the list alone does not tell.
        elif known is None or deep or known.target.container.started_at is None or entry.young:
            self._adopt(entry.id, _target_of(entry))
        elif known.touched < asked:
            self._set(self._as_listed(_target_of(entry)))

    @contextmanager
    def _down_unless_it_answers(self) -> Iterator[None]:
        try:
            yield
        except SourceError:
            self._telemetry.engine_up = False
            raise

    def _down(self, error: EngineDown) -> None:
        """Say once that the engine is not there; it may stay so for days."""
        if not self._told_down:
            log.warning("%s is not there: %s: trying again until it is", self._who, error)
        self._told_down = True

    def _up(self) -> None:
        if self._told_down:
            log.info("%s is there: %s", self._who, self._population())
        self._told_down, self._telemetry.engine_up = False, True

    @property
    def _who(self) -> str:
        """The engine, where the address is told beside it."""
        return f"engine {self._client.name}" if self._client.name else "the engine"

    def _population(self) -> str:
        left_out = len(self._telemetry.reasons)
        return f"{counted(len(self._told), 'container')} to sample" + (f", {left_out} left out" if left_out else "")

    # events

    def _handle(self, event: Event) -> None:
        container_id = event.container_id
        if event.Type != "container" or not container_id:
            return
        if event.action in ("start", "update") or container_id in self._adopting:
            self._adopt(container_id, _started(event) if event.action == "start" else None)
        elif event.action in ("die", "destroy", "stop"):
            self._died(container_id, event.timeNano)
        elif known := self._known.get(container_id):
            self._change(known.target, event)

    def _died(self, container_id: str, time_ns: int) -> None:
        known = self._known.get(container_id)
        started = known.target.container.started_at if known else None
        if not (time_ns and started and time_ns < started):
            self._forget(container_id)

    def _change(self, target: Target, event: Event) -> None:
        if state := _STATES.get(event.action):
            self._set(msgspec.structs.replace(target, state=state))
        elif event.action == "rename" and (name := event.Actor.Attributes.get("name", "")):
            container = msgspec.structs.replace(target.container, name=name.removeprefix("/"))
            self._set(msgspec.structs.replace(target, container=container))

    # what is known

    def _adopt(self, container_id: str, fallback: Target | None = None) -> None:
        """Look at a container; what is found replaces what was known. A look that is under way begins again."""
        if running := self._adopting.pop(container_id, None):
            running.task.cancel()
            fallback = fallback or running.fallback
        task = asyncio.create_task(self._look(container_id, fallback))
        self._adopting[container_id] = _Look(task, fallback)
        task.add_done_callback(lambda done: self._looked(container_id, done))

    def _looked(self, container_id: str, task: asyncio.Task[None]) -> None:
        look = self._adopting.get(container_id)
        if look is not None and look.task is task:
            del self._adopting[container_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            short = container_id[:12]
            self._limited.warning("internal", "container %s: %r", short, error, container=short)

    async def _look(self, container_id: str, fallback: Target | None) -> None:
        try:
            async with self._inspects:
                inspected = await self._client.inspect(container_id)
        except SourceError as error:
            if isinstance(error, Refused) and error.gone:
                self._forget(container_id)
                return
            if not isinstance(error, EngineDown):
                short = container_id[:12]
                self._limited.warning("inspect", "container %s: inspect: %s", short, error, container=short)
            if fallback is not None:
                self._set(self._as_listed(fallback))
        else:
            self._judge(container_id, inspected)

    def _as_listed(self, listed: Target) -> Target:
        """What is known of a container, with what a list or an event says anew."""
        known = self._known.get(listed.container.id)
        if known is None or known.target.container.started_at is None:
            return listed
        container = msgspec.structs.replace(known.target.container, name=listed.container.name)
        return msgspec.structs.replace(
            known.target, container=container, state=listed.state or known.target.state, health=listed.health
        )

    def _judge(self, container_id: str, inspected: Inspected) -> None:
        if inspected.state.running:
            self._set(inspected.target())
        else:
            self._forget(container_id)

    def _set(self, target: Target) -> None:
        """Remember ``target`` and tell the watcher what is new about it."""
        target = self._with_shared(target)
        container = target.container
        before = self._known.get(container.id)
        if before is not None and not before.target.container.same_run(container):
            self._forget(container.id)
            before = None
        self._known[container.id] = _Known(target, time.monotonic())
        renamed = self._names.get(container.id) != container.name
        self._names[container.id] = container.name
        reason = self._filters.reason(target)
        if reason is not None:
            self._telemetry.reasons[container.id] = reason
            self._tell_lost(before.target.container if before else container)
        else:
            self._telemetry.reasons.pop(container.id, None)
            if container.id not in self._told or before is None or before.target != target:
                self._told.add(container.id)
                self._telemetry.containers = len(self._told)
                self._watcher.found(target)
        if renamed:
            for guest in [
                known.target for known in self._known.values() if known.target.network_mode == _joined(container)
            ]:
                self._set(guest)

    def _forget(self, container_id: str) -> None:
        # Not left to the next list: where the engine gives none, there would be ever more of them.
        self._names.pop(container_id, None)
        known = self._known.pop(container_id, None)
        if known is not None:
            self._telemetry.reasons.pop(container_id, None)
            self._tell_lost(known.target.container)

    def _tell_lost(self, container: Container) -> None:
        """Tell the watcher that a container is lost, when it was told of it."""
        if container.id in self._told:
            self._told.remove(container.id)
            self._telemetry.containers = len(self._told)
            self._watcher.lost(container)

    def _with_shared(self, target: Target) -> Target:
        kind, _, other = (target.network_mode or "").partition(":")
        if kind != "container" or not other:
            return target
        return msgspec.structs.replace(target, shared_with=self._names.get(other, other[:12]))


def _joined(owner: Container) -> str:
    """The network mode of the containers that joined the network of ``owner``."""
    return f"container:{owner.id}"


async def _either(task: asyncio.Task[None], event: asyncio.Event, patience: float) -> None:
    """Wait until the task ends or the event is set, but not longer than ``patience`` seconds."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({task, waiting}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()  # else, when this is cancelled itself, nobody is left to end it


def _pause(failures: int, slowest: float) -> float:
    """Seconds before the next subscription: doubled at each failure, with jitter, none after a steady one."""
    return random.uniform(0.5, 1.0) * min(slowest, 0.25 * 2 ** min(failures, 10)) if failures else 0.1


def _target_of(entry: Listed) -> Target:
    """What a list alone tells, for an engine whose inspect does not answer."""
    mode = entry.host_config.network_mode if entry.host_config else None
    container = Container(id=entry.id, name=entry.name, image=entry.image or "", labels=read_only(entry.labels))
    return Target(container=container, state=entry.state, health=entry.health, network_mode=mode)


def _started(event: Event) -> Target:
    """What a start event alone tells: its attributes are the labels with the name and the image among them."""
    labels = dict(event.Actor.Attributes)
    name, image = labels.pop("name", event.container_id[:12]), labels.pop("image", "")
    return Target(
        container=Container(id=event.container_id, name=name, image=image, labels=read_only(labels)), state="running"
    )
