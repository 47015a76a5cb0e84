"""Start, run, change, stop: the daemon as a story read from top to bottom."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from statspout.announce import say_what_is_heard, say_what_is_served, say_what_runs
from statspout.delivery.delivery import Delivery
from statspout.errors import ConfigError, SourceError, told
from statspout.health import Health
from statspout.instances import check_instances
from statspout.logs import counted
from statspout.notify import NOBODY, Supervisor
from statspout.options import settings_of
from statspout.quantities import amount, seconds
from statspout.reload import as_started, changed, fields_of, same_repository, told_changes, told_engines
from statspout.repository import LiveRepository, Repository, name_of, prefix_of
from statspout.router import Route, Router, route_to
from statspout.running import RunningSources
from statspout.settings import Settings
from statspout.source import Source
from statspout.sources.applications import ApplicationSource, Surroundings, application_sources
from statspout.sources.collectors import SHORTEST
from statspout.sources.engine.address import unix_address
from statspout.sources.engine.endpoint import Endpoint
from statspout.sources.engines import PlannedEngine, WatchedEngine, planned_engines
from statspout.sources.roster import Roster
from statspout.succession import PATIENCE, Succession, is_live, tell_errors
from statspout.telemetry import Heard, Telemetry
from statspout.web.access import access_of
from statspout.web.server import WebServer
from statspout.web.tls import tls_of

if TYPE_CHECKING:
    from statspout.delivery.spooldir import SpoolDirectory

log = logging.getLogger("statspout")


class Daemon:
    """The containers of one engine or several, routed to ``repositories``. ConfigError when a setting is wrong."""

    def __init__(self, settings: Settings, repositories: Sequence[Repository]) -> None:
        check_instances(repositories)
        self.settings = settings
        self.heard = Heard()
        self.refused: Counter[str] = Counter()
        self.spools = _spools(settings)
        for repository in repositories:
            _tell_interval(repository, settings)
        self.router = Router([route_to(repository, self.spools) for repository in repositories])
        self.engines: list[WatchedEngine] = []
        self._telemetries: list[Telemetry] = []
        self._rosters: list[Roster] = []
        self.applications: list[ApplicationSource] = []
        self.health = Health(
            self._telemetries, self.heard, self.router.routes, _interval(settings), self.refused, self.applications
        )
        self.applications += self._listening(settings, repositories)
        self.web = self._served(settings, self.router.routes, self.applications)
        if settings.once and not any(isinstance(route, Delivery) for route in self.router.routes):
            raise ConfigError("--once: live values end with the program: a repository that stores, as stdout, is right")
        planned = planned_engines(settings, os.environ)
        self._running = RunningSources(self.router)
        self._succession = Succession(self.router)
        self._stop = asyncio.Event()
        self._engine = ExitStack()
        self._simulated: Endpoint | None = None
        # Last, for it may start an engine: whatever is wrong has been said by now.
        self._watch(self._engines_of(planned, settings))

    @property
    def _sources(self) -> list[Source]:
        return [*(engine.source for engine in self.engines), *self.applications]

    async def run(
        self,
        stop: asyncio.Event,
        supervisor: Supervisor = NOBODY,
        again: asyncio.Event | None = None,
        reload: Callable[[], Awaitable[None]] | None = None,
    ) -> int:
        """Run until ``stop`` is set, or until nobody wants more; returns the exit code.

        Whenever ``again`` is set, ``reload`` is called, which may :meth:`change` everything.
        """
        self._stop = stop
        async with self._serving(), supervisor.watching(self.health.line):
            if self.settings.once:
                code = await _first_of(self._once(), stop) or int(stop.is_set())
            else:
                code = await self._until(stop, supervisor, again or asyncio.Event(), reload)
                queued = sum(route.books.queued for route in self.router.routes)
                log.info("stopping: what is queued is delivered first: %s", counted(queued, "sample"))
        return 1 if self.settings.once and any(map(_lost, self.router.routes)) else code

    async def _until(
        self,
        stop: asyncio.Event,
        supervisor: Supervisor,
        again: asyncio.Event,
        reload: Callable[[], Awaitable[None]] | None,
    ) -> int:
        for source in self._sources:
            self._running.begin(source)
        try:
            while True:
                code = await _first_of(_first_of(self._wanted(), again), stop)
                if stop.is_set() or not again.is_set() or reload is None:
                    return code
                again.clear()
                with supervisor.reloading():
                    await reload()
        finally:
            await self._running.end_all()

    async def look(self) -> AsyncIterator[tuple[WatchedEngine, str | SourceError]]:
        """Each engine with who it is and how many containers run there, or with why that is not known."""
        with self._engine:
            for engine in self.engines:
                try:
                    yield engine, await _look(engine)
                except SourceError as error:
                    yield engine, error
                finally:
                    engine.client.close()

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        """Everything behind the router: up before the first sample, down after the last."""
        with self._engine, self.spools or nullcontext():
            try:
                if self.spools is not None:
                    self.spools.look_for_others([route.name for route in self.router.routes])
                    if not (self._spools_any or any(source.remembers for source in self.applications)):
                        log.warning("--spool.dir has no effect: no repository here stores for later")
                for route in self.router.routes:
                    route.start()
                await self.web.start()
                if not self.settings.once:
                    for source in self._sources:
                        await source.open()
                self._announce()
                yield
            finally:
                for source in self._sources:
                    source.close()
                stopping = [*(route.stop(PATIENCE) for route in self.router.routes), self.web.stop()]
                tell_errors(await asyncio.gather(*stopping, *self._succession.ending, return_exceptions=True))
                for source in self._sources:
                    await source.settle(self.router)

    @property
    def _spools_any(self) -> bool:
        return any(isinstance(route, Delivery) and route.spool for route in self.router.routes)

    def _announce(self) -> None:
        say_what_runs(self.settings, self.engines, self.router.routes)
        say_what_is_served(self.web)
        say_what_is_heard(self.applications, self.settings)

    # other settings

    async def change(self, settings: Settings, repositories: Sequence[Repository]) -> None:
        """Go on with these: what they do not change goes on as it is. ConfigError, and nothing is changed, when wrong.

        A repository of the same name and other settings takes over what waits, and its books. What only a start reads
        stays as it was.
        """
        check_instances(repositories)
        settings = as_started(self.settings, settings)
        for repository in repositories:
            _tell_interval(repository, settings)
        routes = [self._kept(repository) or route_to(repository, self.spools) for repository in repositories]
        planned = planned_engines(settings, os.environ)
        engines = self._engines_of(planned, settings)
        applications = [self._kept_source(source, settings) for source in self._listening(settings, repositories)]
        other = self._serves_other(settings, routes, applications)
        web = self._served(settings, routes, applications) if other else self.web
        async with AsyncExitStack() as undo:
            await self._open_live(routes, undo)
            if web is not self.web:
                await self._serve_instead(web, undo)
            for source in applications:
                if source not in self.applications:
                    await self._listen_instead(source, undo)
            undo.pop_all()
        log.info("%s", self._told(routes, engines, web, applications))
        self.settings = settings
        await self._go_on_with(routes, web, applications)
        # The engines first: with a repository it may take seconds.
        await self._watch_instead(engines)
        self.health.interval = _interval(settings)
        await self._succession.route_to(routes, self._stop)

    def _kept(self, repository: Repository) -> Route | None:
        """The way of an equal one that is there already."""
        route = self._succession.of_name(name_of(repository))
        return route if route is not None and same_repository(route.repository, repository) else None

    def _serves_other(
        self, settings: Settings, routes: Sequence[Route], applications: Sequence[ApplicationSource]
    ) -> bool:
        live = [[route for route in each if is_live(route)] for each in (self.router.routes, routes)]
        serving = [[source for source in each if source.serves] for each in (self.applications, applications)]
        return (live[0], serving[0]) != (live[1], serving[1]) or changed(
            fields_of("web.", "health."), self.settings, settings
        )

    def _kept_source(self, source: ApplicationSource, settings: Settings) -> ApplicationSource:
        """The one before, where nothing about it is other."""
        before = self._source(source.setting)
        same = before is not None and not changed([*fields_of(source.setting), *source.others], self.settings, settings)
        return before if before is not None and same else source

    def _source(self, setting: str) -> ApplicationSource | None:
        return next((source for source in self.applications if source.setting == setting), None)

    async def _open_live(self, routes: Sequence[Route], undo: AsyncExitStack) -> None:
        """Open the live repositories that are new."""
        for route in routes:
            if is_live(route) and route not in self.router.routes:
                undo.push_async_callback(route.stop, 0.0)
                route.start()

    async def _serve_instead(self, web: WebServer, undo: AsyncExitStack) -> None:
        """Serve beside what is served; where an address of that is in the way, that ends first."""
        before = self.web
        undo.push_async_callback(web.stop)
        try:
            await web.start(beside=before)
        except ConfigError:
            if not before.is_in_the_way_of(web):
                raise
            undo.push_async_callback(before.start)
            await before.stop()
            await web.start()

    async def _listen_instead(self, source: ApplicationSource, undo: AsyncExitStack) -> None:
        """Likewise with what applications are listened to by."""
        before = self._source(source.setting)
        undo.callback(source.close)
        try:
            await source.open()
        except ConfigError:
            if before is None or not source.shares_a_place(before):
                raise
            undo.push_async_callback(self._listen_again, before)
            await self._running.end([before])
            before.close()
            source.follow(before)
            await source.open()

    async def _listen_again(self, source: ApplicationSource) -> None:
        await source.open()
        say_what_is_heard([source], self.settings)
        self._running.begin(source)

    async def _go_on_with(self, routes: Sequence[Route], web: WebServer, applications: list[ApplicationSource]) -> None:
        """What is shown and listened to by these takes the place of what was before, which ends now."""
        shown_before = self._succession.show(routes)
        if web is not self.web:
            before, self.web = self.web, web
            web.take_over(before)
            await before.stop()
            say_what_is_served(web)
        for live in shown_before:
            await live.stop(0)
        ending = [source for source in self.applications if source not in applications]
        beginning = [source for source in applications if source not in self.applications]
        await self._running.end(ending)
        for source in ending:
            source.close()
        for source in beginning:
            for old in ending:
                if old.setting == source.setting:
                    source.follow(old)
        self.applications[:] = applications
        say_what_is_heard(beginning, self.settings)
        for source in beginning:
            self._running.begin(source)
        for source in ending:
            if all(source.setting != new.setting for new in applications):
                await source.settle(self.router)

    def _told(
        self, routes: list[Route], engines: list[WatchedEngine], web: WebServer, applications: list[ApplicationSource]
    ) -> str:
        """What is other than before, in one line."""
        of_web = "" if web is self.web else "what is served is served anew"
        of_applications = "" if applications == self.applications else "applications are listened to anew"
        of_engines = told_engines(self.engines, engines)
        parts = [*told_changes(self.router.routes, routes), *of_engines, of_web, of_applications]
        return f"reloaded: {', '.join(filter(None, parts)) or 'nothing is other than before'}"

    async def _watch_instead(self, engines: list[WatchedEngine]) -> None:
        """Watch these engines from now on; those that are as before are not disturbed."""
        before = {engine.endpoint.name: engine for engine in self.engines}
        merged = [_kept_engine(engine, before.get(engine.endpoint.name)) for engine in engines]
        ending = [engine for engine in self.engines if engine not in merged]
        await self._running.end([engine.source for engine in ending])
        for engine in ending:
            engine.source.close()
            successor = next((new for new in merged if new.endpoint.name == engine.endpoint.name), None)
            if successor is not None:
                successor.follow(engine)
                continue
            for target in engine.source.roster.targets.values():
                self.router.clear(target.container)
        self._watch(merged)
        for engine in merged:
            if engine.source not in self._running:
                self._running.begin(engine.source)

    # parts

    def _engines_of(self, planned: Sequence[PlannedEngine], settings: Settings) -> list[WatchedEngine]:
        return [WatchedEngine(one, settings, self._demo_engine, self._rosters) for one in planned]

    def _watch(self, engines: list[WatchedEngine]) -> None:
        """These are the engines, for all who look at them."""
        self.engines = engines
        self._telemetries[:] = [engine.telemetry for engine in engines]
        self._rosters[:] = [engine.source.roster for engine in engines]

    def _listening(self, settings: Settings, repositories: Sequence[Repository]) -> list[ApplicationSource]:
        return application_sources(Surroundings(settings, self._rosters, self._own_host, self.heard), repositories)

    def _own_host(self) -> str:
        """The host of what comes from no container: the engine's, which is known when it was met; of several, ours."""
        if len(self._rosters) == 1:
            return self._rosters[0].host
        return self.settings.host_name or os.uname().nodename

    def _served(
        self, settings: Settings, routes: Sequence[Route], applications: Sequence[ApplicationSource]
    ) -> WebServer:
        """A server of all that is to be served, not started."""
        web = WebServer(access_of(settings), tls_of(settings), self.refused)
        for route in routes:
            if isinstance(route.repository, LiveRepository):
                _mount_live(web, route.repository)
        for source in applications if not settings.once else ():
            for served in source.served():
                web.mount(served.address, served.routes, served.setting, source.setting)
        if settings.health_address:
            web.mount(settings.health_address, self.health.routes(), "health.address", "health", self.health.open_paths)
        return web

    async def _once(self) -> int:
        began = time.monotonic()
        counts = await asyncio.gather(*(self._once_of(engine) for engine in self.engines))
        log.info("%s in %.1f s", counted(sum(count or 0 for count in counts), "sample"), time.monotonic() - began)
        return int(None in counts)

    async def _once_of(self, engine: WatchedEngine) -> int | None:
        """How many samples there were of one engine; None when it was not there."""
        try:
            count = await engine.source.once(self.router)
        except TimeoutError:
            log.error("%s did not list its containers within 10 s", engine.client, extra=engine.about)
            return None
        except SourceError as error:
            log.error("the engine is not there: %s", error, extra=engine.about)
            return None
        if not count:
            log.warning("%s: no running container gave a sample", engine.client, extra=engine.about)
        return count

    async def _wanted(self) -> int:
        """Return when every repository is closed for good."""
        for route in self.router.routes:
            await (route.finished.wait() if isinstance(route, Delivery) else asyncio.Event().wait())
        return 0

    def _demo_engine(self) -> Endpoint:
        if self._simulated is None:
            self._simulated = Endpoint(unix_address(self._engine.enter_context(_simulated()), "demo"))
        return self._simulated


def _interval(settings: Settings) -> float:
    return max(SHORTEST, settings.interval)


def _kept_engine(engine: WatchedEngine, before: WatchedEngine | None) -> WatchedEngine:
    return before if before is not None and before.like == engine.like else engine


async def _look(engine: WatchedEngine) -> str:
    found = await engine.client.negotiate()
    running = await engine.client.list_running()
    spoken = "unknown" if found.api is None else "{}.{}".format(*found.api)
    kind = "Podman" if found.podman else "version"
    return f"{engine.endpoint}: {kind} {found.version}, API {spoken}, {counted(len(running), 'running container')}"


def _mount_live(web: WebServer, repository: LiveRepository) -> None:
    try:
        routes = repository.routes()
    except (Exception, SystemExit) as error:  # foreign code, which may be run again while others work
        raise ConfigError(f"repository {name_of(repository)}: {told(error)}") from error
    web.mount(repository.address, routes, f"{prefix_of(repository)}.address", name_of(repository))


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


@contextmanager
def _simulated() -> Iterator[str]:
    from statspout.testing import demo_engine

    with demo_engine() as engine:
        yield engine.socket_path


async def _first_of(work: Awaitable[int], stop: asyncio.Event) -> int:
    """The exit code of ``work``, or 0 when ``stop`` is set before it ends."""
    working, stopping = asyncio.ensure_future(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return int(working.result()) if working.done() else 0
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
