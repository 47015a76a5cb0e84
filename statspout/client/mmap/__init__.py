"""Statistics in memory-mapped files, after mmstats: counting is a store to memory, and anybody may read the file.

Only the standard library, and of statspout only its client. Names are resolved when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from statspout.client.mmap.errors import DuplicateFieldName, FormatError, InvalidMmStatsVersion
    from statspout.client.mmap.reader import Entry, MmStatsReader, Stat

_HOMES = {
    "DuplicateFieldName": "errors",
    "Entry": "reader",
    "FormatError": "errors",
    "InvalidMmStatsVersion": "errors",
    "MmStatsReader": "reader",
    "Stat": "reader",
}

__all__ = ["DuplicateFieldName", "Entry", "FormatError", "InvalidMmStatsVersion", "MmStatsReader", "Stat"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'statspout.client.mmap' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"statspout.client.mmap.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
