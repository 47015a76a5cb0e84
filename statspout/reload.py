"""What other settings change in a daemon that runs, and what can stay as it is."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from statspout.options import settings_of
from statspout.repository import Repository
from statspout.router import Route
from statspout.settings import Settings

if TYPE_CHECKING:
    from statspout.sources.engines import WatchedEngine

log = logging.getLogger("statspout")

AT_START = ("once", "demo", "spool_dir", "spool_max_bytes", "spool_max_age")
"""The settings that only a start reads."""


def as_started(before: Settings, after: Settings) -> Settings:
    """``after`` with what only a start reads as it was before; what that leaves out is said."""
    fixed = {field: getattr(before, field) for field in AT_START}
    names = {setting.field: setting.name for setting in settings_of(Settings)}
    for field, value in fixed.items():
        if getattr(after, field) != value:
            log.warning("--%s: it is read at the start: it stays as it was until the next one", names[field])
    return dataclasses.replace(after, **fixed)


def same_repository(before: Repository, after: Repository) -> bool:
    """Whether there is no difference between the two: one of them can go on for the other."""
    if type(before) is not type(after) or before.interval != after.interval or before.instance != after.instance:
        return False
    return _values(before) == _values(after) and _handling(before) == _handling(after)


def _values(repository: Repository) -> list[object]:
    return [getattr(repository, setting.field) for setting in settings_of(type(repository))]


def _handling(repository: Repository) -> list[object]:
    handling = repository.handling
    return [] if handling is None else [getattr(handling, setting.field) for setting in settings_of(type(handling))]


def told_changes(before: Sequence[Route], after: Sequence[Route]) -> Iterator[str]:
    """What becomes of each repository, a few words each."""
    old, new = ({route.name: route for route in routes} for routes in (before, after))
    yield from (f"{name} is new" for name in new if name not in old)
    yield from (f"{name} is changed" for name in new if name in old and new[name] is not old[name])
    yield from (f"{name} is ended" for name in old if name not in new)


def told_engines(before: Sequence[WatchedEngine], after: Sequence[WatchedEngine]) -> Iterator[str]:
    """Likewise of each engine."""
    old, new = ({engine.endpoint.name: engine for engine in engines} for engines in (before, after))
    called = {name: f"engine {name}" if name else "the engine" for name in (*new, *old)}
    yield from (f"{called[name]} is new" for name in new if name not in old)
    yield from (f"{called[name]} is asked anew" for name in new if name in old and new[name].like != old[name].like)
    yield from (f"{called[name]} is ended" for name in old if name not in new)


def changed(settings: Iterable[str], before: Settings, after: Settings) -> bool:
    """Whether one of these settings, by their fields, is another."""
    return any(getattr(before, field) != getattr(after, field) for field in settings)


def fields_of(*prefixes: str) -> list[str]:
    """The fields of the settings whose names begin with one of ``prefixes``."""
    return [setting.field for setting in settings_of(Settings) if setting.name.startswith(prefixes)]
