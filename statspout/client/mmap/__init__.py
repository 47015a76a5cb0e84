"""Statistics in memory-mapped files, after mmstats: counting is a store to memory, and anybody may read the file.

Only the standard library, and of statspout only its client. Names are resolved when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from statspout.client.mmap.errors import DuplicateFieldName, FormatError, InvalidMmStatsVersion
    from statspout.client.mmap.fields import (
        AverageField,
        BoolField,
        ByteField,
        CounterField,
        DoubleField,
        FloatField,
        IntField,
        MovingAverageField,
        ShortField,
        StaticDoubleField,
        StaticFloatField,
        StaticInt64Field,
        StaticTextField,
        StaticUInt64Field,
        StaticUIntField,
        StringField,
        TimerField,
        UInt64Field,
        UIntField,
        UShortField,
    )
    from statspout.client.mmap.files import held
    from statspout.client.mmap.model import BaseMmStats, MmStats
    from statspout.client.mmap.places import default_filename, default_glob, default_path
    from statspout.client.mmap.reader import Entry, MmStatsReader, Stat
    from statspout.client.mmap.reading import Found, read_all

_NAMES = {
    "errors": ("DuplicateFieldName", "FormatError", "InvalidMmStatsVersion"),
    "fields": (
        "AverageField",
        "BoolField",
        "ByteField",
        "CounterField",
        "DoubleField",
        "FloatField",
        "IntField",
        "MovingAverageField",
        "ShortField",
        "StaticDoubleField",
        "StaticFloatField",
        "StaticInt64Field",
        "StaticTextField",
        "StaticUInt64Field",
        "StaticUIntField",
        "StringField",
        "TimerField",
        "UInt64Field",
        "UIntField",
        "UShortField",
    ),
    "files": ("held",),
    "model": ("BaseMmStats", "MmStats"),
    "places": ("default_filename", "default_glob", "default_path"),
    "reader": ("Entry", "MmStatsReader", "Stat"),
    "reading": ("Found", "read_all"),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = [
    "AverageField", "BaseMmStats", "BoolField", "ByteField", "CounterField", "DoubleField", "DuplicateFieldName",
    "Entry", "FloatField", "FormatError", "Found", "IntField", "InvalidMmStatsVersion", "MmStats", "MmStatsReader",
    "MovingAverageField", "ShortField", "Stat", "StaticDoubleField", "StaticFloatField", "StaticInt64Field",
    "StaticTextField", "StaticUInt64Field", "StaticUIntField", "StringField", "TimerField", "UInt64Field",
    "UIntField", "UShortField", "default_filename", "default_glob", "default_path", "held", "read_all",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'statspout.client.mmap' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"statspout.client.mmap.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
