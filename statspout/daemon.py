"""Start, run, stop: the daemon as a story read from top to bottom."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from statspout import __version__
from statspout.delivery.backoff import Backoff
from statspout.delivery.delivery import CLOSE_PATIENCE, Delivery
from statspout.errors import ConfigError, SourceError, told
from statspout.gathering import GatheringLoop
from statspout.health import Health
from statspout.loglines import about
from statspout.logs import Limited, counted, hooked, setup
from statspout.notify import NOBODY, Supervisor
from statspout.options import described, settings_of
from statspout.quantities import amount, seconds
from statspout.registry import check_class, check_instance, check_needs
from statspout.repository import LiveRepository, Repository, handling_of, name_of, prefix_of, settings_told
from statspout.router import Route, Router, route_to
from statspout.settings import Settings
from statspout.source import Source
from statspout.sources.collectors import SHORTEST, choice_of
from statspout.sources.engine.address import unix_address
from statspout.sources.engine.client import EngineClient, api_override
from statspout.sources.engine.endpoint import Endpoint, endpoint_of
from statspout.sources.engine.source import EngineSource
from statspout.sources.filters import Filters
from statspout.sources.roster import Roster
from statspout.telemetry import Telemetry
from statspout.web.access import access_of
from statspout.web.address import is_loopback, show_address
from statspout.web.server import WebServer
from statspout.web.tls import tls_of

if TYPE_CHECKING:
    from statspout.delivery.spooldir import SpoolDirectory
    from statspout.sources.apps.statsd.source import StatsdSource

log = logging.getLogger("statspout")

DRAIN = 10.0
"""Seconds after a signal by which everything has ended; undelivered samples are counted as lost then."""

_LAST = 0.5
"""Seconds for what a repository leaves running on the loop, or in its threads, after that."""

_ONE_SIGNAL = 0.5
"""Seconds in which a second signal is the first once more: `timeout`, and some supervisors, signal a process twice."""

_SOURCE_PAUSE = 5.0


class Daemon:
    """One engine's containers, routed to ``repositories``. ConfigError when a setting is wrong."""

    def __init__(self, settings: Settings, repositories: Sequence[Repository]) -> None:
        self.settings = settings
        self.telemetry = Telemetry()
        _check_instances(repositories)
        self.spools = _spools(settings)
        self.router = Router([route_to(repository, self.spools) for repository in repositories])
        self.health = Health(self.telemetry, self.router.routes, max(SHORTEST, settings.interval))
        self.web = WebServer(access_of(settings), tls_of(settings), self.telemetry.http_refused)
        self._mount()
        if settings.once and not any(isinstance(route, Delivery) for route in self.router.routes):
            raise ConfigError("--once: live values end with the program: a repository that stores, as stdout, is right")
        api = api_override()
        endpoint = None if settings.demo else endpoint_of(settings, os.environ)
        self._choice = choice_of(settings, endpoint.address if endpoint else None)
        self._roster = Roster()
        self.statsd = self._listening() if settings.listen_statsd else None
        # Last, for it may start an engine: whatever is wrong has been said by now.
        self._engine = ExitStack()
        self.endpoint = endpoint or self._demo_engine()
        self._client = EngineClient(self.endpoint.address, api)
        self._engine_source = EngineSource(
            self._client,
            self.telemetry,
            interval=settings.interval,
            daemons=settings.daemons,
            filters=Filters(settings.ignore, settings.filter_include, settings.filter_exclude),
            host=settings.host_name,
            roots=self._choice.roots,
            insist=self._choice.insist,
            roster=self._roster,
        )
        self._sources: list[Source] = [self._engine_source, *([self.statsd] if self.statsd else [])]

    async def run(self, stop: asyncio.Event, supervisor: Supervisor = NOBODY) -> int:
        """Run until ``stop`` is set, or until nobody wants more; returns the exit code."""
        async with self._serving(), supervisor.watching(self.health.line):
            if self.settings.once:
                code = await _first_of(self._once(), stop) or int(stop.is_set())
            else:
                code = await self._until(stop)
                queued = sum(route.books.queued for route in self.router.routes)
                log.info("stopping: what is queued is delivered first: %s", counted(queued, "sample"))
        return 1 if self.settings.once and any(map(_lost, self.router.routes)) else code

    async def _until(self, stop: asyncio.Event) -> int:
        running = [asyncio.create_task(self._collect(source)) for source in self._sources]
        try:
            return await _first_of(self._wanted(), stop)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            for source in self._sources:
                source.finish(self.router)

    async def look(self) -> str:
        """Who the engine is and how many containers run, or SourceError."""
        with self._engine:
            try:
                engine = await self._client.negotiate()
                running = await self._client.list_running()
            finally:
                self._client.close()
        spoken = "unknown" if engine.api is None else "{}.{}".format(*engine.api)
        count = counted(len(running), "running container")
        kind = "Podman" if engine.podman else "version"
        return f"{self.endpoint}: {kind} {engine.version}, API {spoken}, {count}"

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        """Everything behind the router: up before the first sample, down after the last."""
        with self._engine, self.spools or nullcontext():
            try:
                if self.spools is not None:
                    self.spools.look_for_others([route.name for route in self.router.routes])
                    if not any(isinstance(route, Delivery) and route.spool for route in self.router.routes):
                        log.warning("--spool.dir has no effect: no repository here stores for later")
                for route in self.router.routes:
                    route.start()
                await self.web.start()
                if not self.settings.once:
                    for source in self._sources:
                        await source.open()
                self._say_what_runs()
                yield
            finally:
                for source in self._sources:
                    source.close()
                # A stubborn push, and then its close, each have so long beside the drain itself.
                patience = DRAIN - 2 * CLOSE_PATIENCE
                stopping = [route.stop(patience) for route in self.router.routes]
                for error in await asyncio.gather(*stopping, self.web.stop(), return_exceptions=True):
                    if error is not None:
                        log.error("stopping: %r", error)

    def _listening(self) -> StatsdSource:
        from statspout.sources.apps.statsd.echo import refuse_echo  # only where it is wanted, as is the source
        from statspout.sources.apps.statsd.source import StatsdSource

        heard, roots = self.telemetry.heard, self._choice.roots
        # The host becomes known with the engine.
        source = StatsdSource(self.settings, heard, self._roster, roots, lambda: self._engine_source.host)
        if not self.settings.once:
            refuse_echo(source.addresses, [route.repository for route in self.router.routes])
        return source

    def _mount(self) -> None:
        for route in self.router.routes:
            repository = route.repository
            _tell_interval(repository, self.settings)
            if isinstance(repository, LiveRepository):
                self._mount_live(repository)
        if self.settings.health_address:
            routes, open_paths = self.health.routes(), self.health.open_paths
            self.web.mount(self.settings.health_address, routes, "health.address", "health", open_paths)

    def _mount_live(self, repository: LiveRepository) -> None:
        try:
            routes = repository.routes()
        except Exception as error:
            raise ConfigError(f"repository {name_of(repository)}: {told(error)}") from error
        name = name_of(repository)
        self.web.mount(repository.address, routes, f"{prefix_of(repository)}.address", name)

    async def _collect(self, source: Source) -> None:
        """Run a source for ever; should it fail in a way it does not know itself, say so and run it again."""
        backoff = Backoff(first=_SOURCE_PAUSE, cap=60.0, draw=lambda _, most: most)
        limited = Limited(log)
        while True:
            try:
                await source.run(self.router)
            except Exception as error:
                first = limited.first(type(error).__name__)
                log.error("the source failed; it starts anew: %r", error, exc_info=error if first else None)
            await asyncio.sleep(backoff.failed())

    async def _once(self) -> int:
        began = time.monotonic()
        try:
            count = await self._engine_source.once(self.router)
        except TimeoutError:
            address = self._client.address
            log.error("engine %s did not list its containers within 10 s", address, extra=about(engine=address))
            return 1
        except SourceError as error:
            log.error("the engine is not there: %s", error, extra=about(engine=self._client.address))
            return 1
        if not count:
            address = self._client.address
            log.warning("engine %s: no running container gave a sample", address, extra=about(engine=address))
        log.info("%s in %.1f s", counted(count, "sample"), time.monotonic() - began)
        return 0

    async def _wanted(self) -> int:
        """Return when every repository is closed for good."""
        for route in self.router.routes:
            await (route.finished.wait() if isinstance(route, Delivery) else asyncio.Event().wait())
        return 0

    def _demo_engine(self) -> Endpoint:
        return Endpoint(unix_address(self._engine.enter_context(_simulated()), "demo"))

    def _say_what_runs(self) -> None:
        names = ", ".join(route.name for route in self.router.routes)
        engine = "the simulated engine" if self.settings.demo else f"engine {self.endpoint}"
        every = "once" if self.settings.once else f"every {self.settings.interval:g} s"
        log.info("statspout %s: %s from %s to %s", __version__, every, engine, names)
        if self.endpoint.address.unchecked:
            log.warning("the engine's certificate is not checked: whoever is on the way to it can take its place")
        if self._choice.why and not self.settings.demo:
            log.info("all figures are the engine's: %s", self._choice.why)
        if own := described(self.settings, changed=True):
            log.info("settings: %s", own)
        for route in self.router.routes:
            repository = route.repository
            log.info("repository %s: %s", route.name, settings_told(repository), extra=about(repository=route.name))
        for setting, host, port in self.web.bound:
            log.info("%s: %s://%s", setting, self.web.scheme, show_address(host, port))
        self._say_who_is_answered()
        if self.statsd is not None:
            self._say_what_is_heard(self.statsd)

    def _say_who_is_answered(self) -> None:
        restricted, bound = self.web.access.restricted, self.web.bound
        if not bound and (restricted or self.web.tls):
            log.warning("--web.* has no effect: nothing is served")
        if self.web.tls or all(is_loopback(host) for _, host, _ in bound):
            return
        if restricted:
            log.info("what is served, and the credentials for it, pass the network unencrypted: docs/security.md")
        else:
            log.info("whoever reaches these addresses is answered, unencrypted: docs/security.md")

    def _say_what_is_heard(self, statsd: StatsdSource) -> None:
        if self.settings.once:
            log.warning("--listen.statsd has no effect: --once does not wait for what applications say")
        for address in statsd.listener.bound:
            log.info("listen.statsd: %s, added up every %g s", address, statsd.interval)


def _spools(settings: Settings) -> SpoolDirectory | None:
    most, age = amount(settings.spool_max_bytes, "spool.max-bytes"), seconds(settings.spool_max_age, "spool.max-age")
    if not settings.spool_dir:
        return None
    from statspout.delivery.spooldir import SpoolDirectory  # SQLite, only where it is wanted

    return SpoolDirectory(settings.spool_dir, most, age)


def _lost(route: Route) -> bool:
    """Whether the repository did not get what it was to get: not all of it, or, when it is closed, nothing."""
    books = route.books
    unwritten = isinstance(route, Delivery) and route.close_failed
    left = books.dropped["shutdown"] or books.queued
    return bool(unwritten or left or (books.collected and not books.delivered))


def _tell_interval(repository: Repository, settings: Settings) -> None:
    # A setting of this name is the repository's own, and the user's to choose.
    if all(setting.field != "interval" for setting in settings_of(type(repository))):
        shortest = 0.0 if settings.collector == "cgroup" else SHORTEST
        repository.interval = math.inf if settings.once else max(shortest, settings.interval)


def _check_instances(repositories: Sequence[Repository]) -> None:
    if not isinstance(repositories, Sequence) or not repositories:
        raise ConfigError("repositories: a list of at least one instance is right, such as [Graphite()]")
    classes: dict[str, type[Repository]] = {}
    names: set[str] = set()
    for repository in repositories:
        if not isinstance(repository, Repository):
            name = getattr(repository, "__name__", type(repository).__name__)
            raise ConfigError(f"repositories: {name} is no instance of a repository: {name}() is right")
        _check_instance(repository, classes, names)


def _check_instance(repository: Repository, classes: dict[str, type[Repository]], names: set[str]) -> None:
    cls, name = type(repository), name_of(repository)
    where = f"repositories: {cls.__name__}"
    if cls not in classes.values():
        check_class(cls, where)
        check_needs(cls)
    if classes.setdefault(cls.name, cls) is not cls or name in names:
        raise ConfigError(f"{where}: there is a repository {name!r} already: another name, or instance=, is needed")
    if repository.instance:
        check_instance(repository.instance, where)
    names.add(name)
    if repository.handling is not None and not isinstance(repository.handling, handling_of(cls)):
        raise ConfigError(f"{where}: handling={repository.handling!r} is wrong: a {handling_of(cls).__name__} is right")


@contextmanager
def _simulated() -> Iterator[str]:
    from statspout.testing import demo_engine

    with demo_engine() as engine:
        yield engine.socket_path


async def _first_of(work: Any, stop: asyncio.Event) -> int:
    """The exit code of ``work``, or 0 when ``stop`` is set before it ends."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return int(working.result()) if working.done() else 0
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


async def serve(repositories: Sequence[Repository], *, stop: asyncio.Event | None = None, **settings: Any) -> None:
    """Collect inside an application's own loop until ``stop`` is set or the task is cancelled.

    ``settings`` are the fields of :class:`statspout.settings.Settings`, such as ``interval=1``.
    """
    await Daemon(_in_code(settings), repositories).run(stop or asyncio.Event())


def run(repositories: Sequence[Repository], **settings: Any) -> int:
    """Collect until SIGTERM or SIGINT, deliver what is queued, return the exit code. ``settings`` are as for serve."""
    return run_daemon(_in_code(settings), repositories)


def _in_code(settings: dict[str, Any]) -> Settings:
    """Settings given as keywords; ConfigError for those that would have no effect."""
    for name in ("config", "plugin", "repository"):
        if name in settings:
            raise ConfigError(f"--{name}: only the command line reads it: instances of repositories are right here")
    return Settings(**settings)


def run_daemon(settings: Settings, repositories: Sequence[Repository], notes: Sequence[str] = ()) -> int:
    """Run the program: ``notes`` are logged first; the first signal drains, the second ends it at once."""
    setup(settings.log_level, settings.log_format)
    for note in notes:
        log.warning("%s", note)
    last = threading.Timer(_LAST, _leave, [0])
    last.daemon = True
    _tune_garbage_collection()
    try:
        with hooked(), asyncio.Runner(loop_factory=GatheringLoop) as runner:
            return runner.run(_run_with_signals(settings, repositories, last))
    finally:
        last.cancel()


def _tune_garbage_collection() -> None:
    """What the start made is not looked at again; what comes after it is little, and looked at often.

    Samples are not the collector of garbage's business, so by its own count there is hardly ever a reason to look, and
    what connections and failures left in cycles would wait for megabytes of company.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(700, 5, 2)


def _leave(code: int) -> None:
    log.warning("a call that does not end is left to itself")
    os._exit(code)


async def _run_with_signals(settings: Settings, repositories: Sequence[Repository], last: threading.Timer) -> int:
    """Run; ``last`` then ends the program should foreign code not let the loop end: asyncio waits for it for ever."""
    stop = asyncio.Event()
    first = 0.0

    def signalled(number: int) -> None:
        nonlocal first
        if stop.is_set():
            if time.monotonic() - first < _ONE_SIGNAL:
                return
            log.warning("%s again: ending at once", signal.Signals(number).name)
            os._exit(128 + number)
        log.info("%s", signal.Signals(number).name)
        first = time.monotonic()
        stop.set()

    loop = asyncio.get_running_loop()
    # Another thread than the main one cannot have signals; whoever runs it there has a way of his own to end it.
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signalled, number)
    code = await Daemon(settings, repositories).run(stop, Supervisor(os.environ))
    last.args = [code]
    last.start()
    return code
