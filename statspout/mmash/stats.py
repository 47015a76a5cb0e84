"""What is asked of statistics files: labels, the values of some of them, and one value made of many."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from statspout.client.mmap import Entry, Found, MmStatsReader

Value = int | float | bool | str


def labels(readers: Iterable[MmStatsReader]) -> list[str]:
    """Every label once, sorted."""
    return sorted({stat.label for reader in readers for stat in reader})


def values(found: Found, wanted: Callable[[str], bool]) -> dict[str, list[Value]]:
    """The values of the wanted labels, one for each file in the order of their paths; labels are sorted."""
    values: dict[str, list[Value]] = {}
    for reader in found.readers.values():
        for label, value in reader:
            if wanted(label):
                values.setdefault(label, []).append(value)
    return dict(sorted(values.items()))


def kinds(readers: Iterable[MmStatsReader]) -> list[dict[str, Any]]:
    """For each label, sorted, its kind, ``counter``, ``number`` or ``text``, and how many files have it.

    A counter is what may be one: the format does not tell it from another number of that type.
    """
    found: dict[str, dict[str, Any]] = {}
    for reader in readers:
        for entry in reader.entries:
            told = found.setdefault(entry.label, {"label": entry.label, "kind": _kind(entry), "files": 0})
            told["files"] += 1
    return [told for _, told in sorted(found.items())]


def _kind(entry: Entry) -> str:
    if isinstance(entry.value, str):
        return "text"
    return "counter" if entry.type == "Q" and entry.buffered else "number"


def _nonzero(values: Sequence[Any]) -> list[Any]:
    return [value for value in values if value != 0]


def _average(values: Sequence[Any]) -> float:
    return float(sum(values)) / len(values)


AGGREGATES: Mapping[str, Callable[[Sequence[Any]], Any]] = {
    "avg": _average,
    "max": max,
    "min": min,
    "nonzero-avg": lambda values: _average(_nonzero(values)),
    "nonzero-min": lambda values: min(_nonzero(values)),
    "one": lambda values: values[0],
    "sum": sum,
}
"""What makes one value of those of all files; an exception where they have none."""


def aggregated(values: Sequence[Value], how: str) -> Value | None:
    """The one value; None where there is none, as for the sum of texts. NaN counts as no value at all."""
    known = [value for value in values if not (isinstance(value, float) and math.isnan(value))]
    try:
        result: Value | None = AGGREGATES[how](known) if known else None
    except (TypeError, ValueError, ArithmeticError, LookupError):
        return None
    return result
