"""What an application imports to report its numbers: ``from statspout.client import StatsD``.

Only the standard library, and nothing else of statspout. Names are resolved when first used, and what takes sockets is
loaded only where something is to be sent.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from statspout.client.statsd import StatsD
    from statspout.client.timers import Timer

_HOMES = {"StatsD": "statsd", "Timer": "timers"}

__all__ = ["StatsD", "Timer"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'statspout.client' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"statspout.client.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
