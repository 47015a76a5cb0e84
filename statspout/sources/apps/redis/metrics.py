"""Records as metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from statspout.client.redis.reading import value_to_float
from statspout.sample import Metric
from statspout.sources.apps.redis.cursors import time_of
from statspout.sources.apps.redis.reader import Entry

_MOST_KEPT = 10_000
_LAST = 2**63 / 1e9 - 1
"""Seconds of the epoch that 64 bits have in nanoseconds."""


class Series(NamedTuple):
    """What a label says: a name, and the tags that are written behind it."""

    name: str
    tags: dict[str, str]


class Metrics:
    """Makes gauges of records. ``namespace`` is part of their identity."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._series: dict[str, Series] = {}

    def of(self, entries: Iterable[Entry], host: str) -> tuple[list[Metric], int]:
        """The metrics, and how many entries are none: not a time, not a finite number."""
        made, bad = [], 0
        for entry in entries:
            metric = self._metric(entry, host)
            if metric is None:
                bad += 1
            else:
                made.append(metric)
        return made, bad

    def _metric(self, entry: Entry, host: str) -> Metric | None:
        time_ns, value = (
            _nanoseconds(time_of(entry.text)),
            value_to_float(entry.text.partition(b";")[2].partition(b";")[0]),
        )
        if time_ns is None or value is None:
            return None
        series = self._series_of(entry.label)
        return Metric(
            # Some nanoseconds later where the one before it had the same time: a double does not tell them.
            time_ns=time_ns + entry.alike,
            host=host,
            key=f"redis/{self._namespace}/{entry.label}",
            name=series.name,
            kind="gauge",
            value=value,
            tags=series.tags,
            context=None if entry.context is None else entry.context.decode(errors="replace"),
        )

    def _series_of(self, label: str) -> Series:
        known = self._series.get(label)
        if known is None:
            if len(self._series) >= _MOST_KEPT:
                self._series.clear()
            known = self._series[label] = series_of(label)
        return known


def series_of(label: str) -> Series:
    """``a;k=v,k2=v2`` is ``a`` with two tags; what is not written so is a name as a whole."""
    name, mark, rest = label.partition(";")
    pairs = [pair.partition("=") for pair in rest.split(",")]
    if not (name and mark) or not all(key and equals for key, equals, _ in pairs):
        return Series(label, {})
    return Series(name, {key: value for key, _, value in pairs})


def _nanoseconds(time: float) -> int | None:
    """None for a time that is none, or that no clock of nanoseconds has."""
    return round(time * 1e9) if abs(time) < _LAST else None
