"""What the log says when the daemon begins, and when it goes on with other settings."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from statspout import __version__
from statspout.loglines import about
from statspout.options import described
from statspout.repository import settings_told
from statspout.settings import Settings
from statspout.web.address import is_loopback, show_address
from statspout.web.server import WebServer

if TYPE_CHECKING:
    from statspout.router import Route
    from statspout.sources.applications import ApplicationSource
    from statspout.sources.engines import WatchedEngine

log = logging.getLogger("statspout")


def say_what_runs(settings: Settings, engines: Sequence[WatchedEngine], routes: Sequence[Route]) -> None:
    """From where, to where, how often; and the settings that are not as by default."""
    names = ", ".join(route.name for route in routes)
    every = "once" if settings.once else f"every {settings.interval:g} s"
    log.info("statspout %s: %s from %s to %s", __version__, every, _engines(settings, engines), names)
    for engine in engines:
        _say_of(engine, settings)
    if own := described(settings, changed=True):
        log.info("settings: %s", own)
    for route in routes:
        log.info("repository %s: %s", route.name, settings_told(route.repository), extra=about(repository=route.name))


def _engines(settings: Settings, engines: Sequence[WatchedEngine]) -> str:
    if settings.demo:
        return "the simulated engine"
    word = "engine" if len(engines) == 1 else "engines"
    return f"{word} {', '.join(str(engine.endpoint) for engine in engines)}"


def _say_of(engine: WatchedEngine, settings: Settings) -> None:
    who = f"engine {engine.endpoint.name}: " if engine.endpoint.name else ""
    if engine.endpoint.address.unchecked:
        gap = "whoever is on the way to it can take its place"
        log.warning("%sthe engine's certificate is not checked: %s", who, gap, extra=engine.about)
    if engine.choice.why and not settings.demo:
        log.info("%sall figures are the engine's: %s", who, engine.choice.why, extra=engine.about)


def say_what_is_served(web: WebServer) -> None:
    """Where, and to whom."""
    for setting, host, port in web.bound:
        log.info("%s: %s://%s", setting, web.scheme, show_address(host, port))
    restricted, bound = web.access.restricted, web.bound
    if not bound and (restricted or web.tls):
        log.warning("--web.* has no effect: nothing is served")
    if web.tls or all(is_loopback(host) for _, host, _ in bound):
        return
    if restricted:
        log.info("what is served, and the credentials for it, pass the network unencrypted: docs/security.md")
    else:
        log.info("whoever reaches these addresses is answered, unencrypted: docs/security.md")


def say_what_is_heard(sources: Iterable[ApplicationSource], settings: Settings) -> None:
    """Where applications are listened to."""
    for source in sources:
        if settings.once:
            log.warning("--%s has no effect: --once does not wait for what applications say", source.setting)
            continue
        for line in source.told():
            log.info("%s", line)
