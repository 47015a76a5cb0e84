"""What applications report, as families: their own names, as statsd_exporter gives them, with our labels.

A counter adds up what was counted since its series began, a timer is a summary in seconds. Silence ends a value that is
current, and what adds up only after an hour: until then a rate over it is 0, which is right.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from statspout import LatestMetrics, Metric, Rejected, Summary
from statspout.exposition import FamilyKind, Format, declaration, label_string, series, with_label
from statspout.labels import exported, label_name

KEEP = 3600.0
"""Seconds of silence after which a counter or a summary is forgotten."""

TAKEN = frozenset({"quantile", "le"})
"""Labels that have a meaning in a summary or a histogram."""

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_KINDS: Mapping[str, FamilyKind] = {
    "counter_delta": "counter",
    "counter_total": "counter",
    "gauge": "gauge",
    "set": "gauge",
    "timer": "summary",
    "histogram": "summary",
}
_PARTS: Mapping[FamilyKind, tuple[str, ...]] = {"counter": ("_created",), "summary": ("_sum", "_count", "_created")}
"""What a family's series may have behind its name, but for the ``_total`` of a counter, which is a part of that."""

_TOLD = {
    "counter": "Counted by applications as {}.",
    "gauge": "Reported by applications as {}.",
    "summary": "Measured by applications as {}.",
}


class Place(NamedTuple):
    """The name and kind of the family that a metric is shown in."""

    name: str
    kind: FamilyKind

    @property
    def words(self) -> frozenset[str]:
        """The names that no other family may have, nor one of its series; that without ``_total`` is OpenMetrics'."""
        base = self.name.removesuffix("_total") if self.kind == "counter" else self.name
        return frozenset({self.name, base, *(f"{base}{part}" for part in _PARTS.get(self.kind, ()))})


def place_of(metric: Metric) -> Place:
    """Where it belongs. KeyError for a text, which Prometheus has no place for."""
    kind = _KINDS[metric.kind]
    name = re.sub(r"[^a-zA-Z0-9_:]", "_", metric.name)
    if not name or name[0].isdigit():
        name = f"_{name}"
    if kind == "counter":
        return Place(f"{name.removesuffix('_total') or '_'}_total", kind)
    timed = metric.kind == "timer" and metric.unit in _SECONDS
    return Place(f"{name.removesuffix('_seconds')}_seconds" if timed else name, kind)


def scale_of(metric: Metric) -> float:
    """What its values are multiplied with: those of a timer are shown in seconds, all others as they are."""
    return _SECONDS.get(metric.unit, 1) if metric.kind == "timer" else 1


@dataclass(slots=True)
class _Family:
    place: Place
    help: str
    keys: dict[str, str] = field(default_factory=dict)
    """The key of each series by its label string."""


class Applications(LatestMetrics):
    """The series of all applications, in families.

    ``labels`` gives those that tell whose a metric is. ``taken`` are the names of families that are there already. A
    family is of one kind: whose comes first has it, and one of another kind is rejected, as is a second series with
    the same labels.
    """

    def __init__(
        self, interval: float, labels: Callable[[Metric], Mapping[str, str]], taken: Collection[str] = ()
    ) -> None:
        super().__init__(interval, keep=KEEP)
        self._labels, self._taken = labels, frozenset(taken)
        self._families: dict[str, _Family] = {}
        self._owners: dict[str, Place] = {}
        self._series_of: dict[str, tuple[str, str]] = {}

    def put(self, metric: Metric) -> None:
        """Make it the current one of its series. Rejected for what cannot be shown, and where there is no room."""
        check(metric)
        super().put(metric)

    def entered(self, metric: Metric) -> None:
        """Give it its place, or reject it."""
        place = place_of(metric)
        labels = label_string(exported(self._labels(metric), metric.tags, taken=TAKEN, clean=label_name))
        self._make_way(metric, place, labels)
        family = self._families.get(place.name)
        if family is None or family.place != place:
            self._claim(metric, place)
            family = _Family(place, _TOLD[place.kind].format(metric.name))
            self._families[place.name] = family
        family.keys[labels] = metric.key
        self._series_of[metric.key] = (place.name, labels)

    def left(self, metric: Metric) -> None:
        """Take it from its place; with its last series a family ends, and its name is free."""
        name, labels = self._series_of.pop(metric.key)
        family = self._families[name]
        del family.keys[labels]
        if not family.keys:
            del self._families[name]
            for word in family.place.words:
                del self._owners[word]

    def texts(self, format: Format) -> Iterator[str]:  # noqa: A002 - what it is
        """The families by name, each as one text; those of which nothing is current are left out."""
        self.expire()
        for name in sorted(self._families):
            family = self._families[name]
            if lines := "".join(self._lines(family)):
                yield declaration(name, family.place.kind, family.help, format) + lines

    def _make_way(self, metric: Metric, place: Place, labels: str) -> None:
        """Of two series with the same labels the first stays, but for one of a container, or a run of it, that is gone.

        Its last counts are lost to Prometheus, if it has not scraped them; those of the new run would be.
        """
        family = self._families.get(place.name)
        if family is None or family.place != place or (holder := family.keys.get(labels)) is None:
            return
        if not self.is_gone(self.of(holder)):
            raise Rejected(f"{metric.name} comes to the series {place.name} with the same labels as another metric")
        self.remove(holder)

    def _claim(self, metric: Metric, place: Place) -> None:
        words = place.words
        if any(word in self._taken for word in words):
            raise Rejected(f"{metric.name} comes to the name {place.name}, which is one of statspout's own")
        for word in words:
            if (owner := self._owners.get(word)) is not None:
                raise Rejected(
                    f"{metric.name}, a {metric.kind}, comes to the name {place.name}, "
                    f"which is in the way of the {owner.kind} {owner.name}"
                )
        self._owners.update(dict.fromkeys(words, place))

    def _lines(self, family: _Family) -> Iterator[str]:
        name, kind = family.place
        for labels, key in family.keys.items():
            found = self.of(key)
            value, fresh = found.metric.value, self.is_fresh(found)
            if isinstance(value, Summary):
                scale = scale_of(found.metric)
                if fresh:
                    yield from _quantiles(name, labels, value, scale)
                yield from series(f"{name}_sum", [labels], [_known(found.total)], scale)
                # OpenMetrics has whole counts; what a sender's sampling left out makes fractions.
                count = _known(found.count)
                yield from series(f"{name}_count", [labels], [None if count is None else round(count)])
            elif not isinstance(value, str) and (fresh or kind == "counter"):
                total = _known(found.total) if found.metric.kind == "counter_delta" else value
                yield from series(name, [labels], [total])


def check(metric: Metric) -> None:
    """Rejected for what Prometheus has no place for: a text, what is no number, a counter below 0."""
    value = metric.value
    if metric.kind == "text" or isinstance(value, str):
        raise Rejected("Prometheus has no texts: what is reported as text is not shown")
    if isinstance(value, Summary) != (metric.kind in ("timer", "histogram")):
        raise Rejected(f"{metric.name} is a {metric.kind} with another one's value")
    numbers = (value.count, value.sum, value.min) if isinstance(value, Summary) else (value,)
    if any(_known(number) is None for number in numbers):
        raise Rejected(f"{metric.name} has a value that is no number")
    if _KINDS[metric.kind] == "counter" and numbers[0] < 0:
        raise Rejected(f"{metric.name} is a counter with a value below 0: Prometheus would take that for a restart")


def _known(value: float) -> float | None:
    """None for what no double can hold: one such number would cost the page."""
    try:
        return value if math.isfinite(value) else None
    except OverflowError:
        return None


def _quantiles(name: str, labels: str, value: Summary, scale: float) -> Iterator[str]:
    for percentile, one in value.percentiles.items():
        quantile = quantile_of(percentile)
        # OpenMetrics has none below 0.
        if quantile is not None and one >= 0:
            yield from series(name, [with_label(labels, "quantile", quantile)], [one], scale)


@functools.lru_cache(maxsize=100)
def quantile_of(percentile: str) -> str | None:
    """``0.95`` for ``95``; None for what is no percentile."""
    try:
        share = float(percentile) / 100
    except ValueError:
        return None
    return f"{share:.12g}" if 0 <= share <= 1 else None
