"""What other settings change in a daemon that runs, and what can stay as it is."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from statspout.options import Options, settings_of
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
    return _values(before) == _values(after) and _values(before.handling) == _values(after.handling)


def _values(options: Options | None) -> list[object]:
    return [] if options is None else [getattr(options, setting.field) for setting in settings_of(type(options))]


def told_changes(before: Sequence[Route], after: Sequence[Route]) -> Iterator[str]:
    """What becomes of each repository, a few words each."""
    return _told({route.name: route for route in before}, {route.name: route for route in after}, "is changed")


def told_engines(before: Sequence[WatchedEngine], after: Sequence[WatchedEngine]) -> Iterator[str]:
    """Likewise of each engine."""
    old = {_called(engine): engine.like for engine in before}
    return _told(old, {_called(engine): engine.like for engine in after}, "is asked anew")


def _called(engine: WatchedEngine) -> str:
    return f"engine {engine.endpoint.name}" if engine.endpoint.name else "the engine"


def _told(old: Mapping[str, object], new: Mapping[str, object], of_another: str) -> Iterator[str]:
    """What was there and what is, by what it is called; equal ones are the same, and not told of."""
    yield from (f"{name} is new" for name in new if name not in old)
    yield from (f"{name} {of_another}" for name in new if name in old and new[name] != old[name])
    yield from (f"{name} is ended" for name in old if name not in new)


def changed(settings: Iterable[str], before: Settings, after: Settings) -> bool:
    """Whether one of these settings, by their fields, is another."""
    return any(getattr(before, field) != getattr(after, field) for field in settings)


def fields_of(*prefixes: str) -> list[str]:
    """The fields of the settings whose names begin with one of ``prefixes``."""
    return [setting.field for setting in settings_of(Settings) if setting.name.startswith(prefixes)]
