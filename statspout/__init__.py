"""statspout: what your containers use, routed to the database you already have.

The public door. Names are resolved when first used, so that importing one part loads no other.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from statspout.cmd.main import main
    from statspout.errors import (
        BadAnswer,
        Closed,
        ConfigError,
        EngineDown,
        Refused,
        Rejected,
        RepositoryError,
        RetryAfter,
        SourceError,
        StatspoutError,
        Timeout,
        TooLarge,
    )
    from statspout.handling import Choice, Handling
    from statspout.latest import Latest, LatestMetrics
    from statspout.options import option
    from statspout.program import run, serve
    from statspout.repository import LiveRepository, Repository
    from statspout.sample import Container, ContainerSample, Interface, Metric, Point, Sample, Summary
    from statspout.source import Sink, Source

__version__ = "0.1.0"

_HOMES = {
    "cmd.main": "main",
    "errors": "BadAnswer Closed ConfigError EngineDown Refused Rejected RepositoryError RetryAfter SourceError "
    "StatspoutError Timeout TooLarge",
    "handling": "Choice Handling",
    "latest": "Latest LatestMetrics",
    "options": "option",
    "program": "run serve",
    "repository": "LiveRepository Repository",
    "sample": "Container ContainerSample Interface Metric Point Sample Summary",
    "source": "Sink Source",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "BadAnswer",
    "Choice",
    "Closed",
    "ConfigError",
    "Container",
    "ContainerSample",
    "EngineDown",
    "Handling",
    "Interface",
    "Latest",
    "LatestMetrics",
    "LiveRepository",
    "Metric",
    "Point",
    "Refused",
    "Rejected",
    "Repository",
    "RepositoryError",
    "RetryAfter",
    "Sample",
    "Sink",
    "Source",
    "SourceError",
    "StatspoutError",
    "Summary",
    "Timeout",
    "TooLarge",
    "main",
    "option",
    "run",
    "serve",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'statspout' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"statspout.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
