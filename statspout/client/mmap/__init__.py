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

_HOMES = {
    "AverageField": "fields",
    "BaseMmStats": "model",
    "BoolField": "fields",
    "ByteField": "fields",
    "CounterField": "fields",
    "DoubleField": "fields",
    "DuplicateFieldName": "errors",
    "Entry": "reader",
    "FloatField": "fields",
    "FormatError": "errors",
    "IntField": "fields",
    "InvalidMmStatsVersion": "errors",
    "MmStats": "model",
    "MmStatsReader": "reader",
    "MovingAverageField": "fields",
    "ShortField": "fields",
    "Stat": "reader",
    "StaticDoubleField": "fields",
    "StaticFloatField": "fields",
    "StaticInt64Field": "fields",
    "StaticTextField": "fields",
    "StaticUInt64Field": "fields",
    "StaticUIntField": "fields",
    "StringField": "fields",
    "TimerField": "fields",
    "UInt64Field": "fields",
    "UIntField": "fields",
    "UShortField": "fields",
    "default_filename": "places",
    "default_glob": "places",
    "default_path": "places",
    "held": "files",
}

__all__ = [
    "AverageField", "BaseMmStats", "BoolField", "ByteField", "CounterField", "DoubleField", "DuplicateFieldName",
    "Entry", "FloatField", "FormatError", "IntField", "InvalidMmStatsVersion", "MmStats", "MmStatsReader",
    "MovingAverageField", "ShortField", "Stat", "StaticDoubleField", "StaticFloatField", "StaticInt64Field",
    "StaticTextField", "StaticUInt64Field", "StaticUIntField", "StringField", "TimerField", "UInt64Field",
    "UIntField", "UShortField", "default_filename", "default_glob", "default_path", "held",
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
