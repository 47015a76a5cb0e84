"""Samples as lines of StatsD, and what has to be remembered for that: how far each counter was told."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from statspout import Container, ContainerSample, Metric, Sample, Summary
from statspout.catalogue import ENTRIES
from statspout.client.dialects import Dialect, clean, number, series, set_gauge
from statspout.labels import LabelTags

TAGS = ("host", "container", "id")
"""The tags of a container's series, as those of ``points()``."""

MOST_RUNS = 10_000
MOST_SERIES = 50_000
"""Runs of containers, and series of applications, that are remembered; the one that was silent longest goes first."""

_WHOLE = {"telegraf"}
"""Who cuts a count to a whole number: what is behind the point waits for the rest of its unit."""

_OUTLIVING = {"restarts"}
"""A counter that goes on from run to run: of its growth, which is between the runs, nothing would ever be told."""

_VALUES = attrgetter(*(entry.field for entry in ENTRIES))
_PARTS = tuple(part for part in Summary.PARTS if part != "count")
_DIGITS = 9
"""Of a part of a second: no counter of the kernel has more, and the rest is noise of the subtraction."""

T = TypeVar("T")


class Line(NamedTuple):
    """A line, or two that belong in one packet; ``moves`` is how far the account of counters had come with it."""

    data: bytes
    moves: int


class Counter:
    """How far a counter was told; None before its first value."""

    __slots__ = ("told",)

    def __init__(self) -> None:
        self.told: float | None = None


class _Series(NamedTuple):
    """What stands before the colon and behind the type, and the counter where it is one."""

    head: str
    tail: str
    counter: Counter | None


class _Run:
    """One run of a container: its series in the order of the catalogue, and whom they are named after."""

    __slots__ = ("about", "series")

    def __init__(self, about: tuple[Container, str], made: list[_Series]) -> None:
        self.about = about
        self.series = made


class Lines:
    """Makes the lines of samples in ``dialect``.

    ``prefix`` stands before the names of a container's numbers, ``{host}`` in it for the host. ``labels`` are patterns
    of labels that become tags. ``totals``: a counter that comes as a total is a gauge.

    Counters are told by their growth, and with each line that is made they count as told. What was not sent after all
    is taken back with :meth:`undo`; :meth:`keep` says that all of it was.
    """

    def __init__(self, dialect: Dialect, prefix: str = "", labels: Iterable[str] = (), *, totals: bool = False) -> None:
        self._dialect = dialect
        self._prefix = prefix
        self._labels = LabelTags(labels, setting="statsd.labels", taken=TAGS)
        self._totals = totals
        self._count = dialect.types["count"]
        self._whole = dialect.name in _WHOLE
        self._runs: dict[tuple[str, int | None], _Run] = {}
        self._told: dict[Any, tuple[str, str, Counter]] = {}
        self._moves: list[tuple[Counter, float | None]] = []

    @property
    def moves(self) -> int:
        """How many times a counter was told further since all was sent."""
        return len(self._moves)

    def of(self, sample: Sample) -> list[Line]:
        """The lines of a sample. ValueError for what is no number, and then nothing is told."""
        before = len(self._moves)
        try:
            return self._container(sample) if isinstance(sample, ContainerSample) else self._metric(sample)
        except (ValueError, TypeError, OverflowError) as error:
            self.undo(before)
            raise ValueError(str(error)) from error

    def undo(self, moves: int = 0) -> None:
        """Take back what was told behind the first ``moves`` moves, the latest first."""
        while len(self._moves) > moves:
            counter, told = self._moves.pop()
            counter.told = told

    def keep(self) -> None:
        """All lines that were made were sent."""
        self._moves.clear()

    def clear(self, container: Container) -> None:
        """Forget a container that is gone."""
        self._runs.pop(container.identity, None)
        self._labels.drop(container)

    # containers

    def _container(self, sample: ContainerSample) -> list[Line]:
        shared = sample.network_shared_with is not None
        lines: list[Line] = []
        for entry, known, value in zip(ENTRIES, self._run(sample).series, _VALUES(sample), strict=True):
            if value is None or (shared and entry.networked):
                continue
            head, tail, counter = known
            if counter is None:
                text: str | None = set_gauge(self._dialect, head, tail, value)
            else:
                text = self._total(head, tail, counter, value)
            if text is not None:
                lines.append(Line(text.encode(), len(self._moves)))
        return lines

    def _run(self, sample: ContainerSample) -> _Run:
        identity, about = sample.container.identity, (sample.container, sample.host)
        run = self._runs.pop(identity, None)
        if run is None or run.about != about:
            # Another name of the same run: what was counted stays.
            run = _Run(about, self._named(sample, [one.counter for one in run.series] if run else None))
        return _remember(self._runs, identity, run, MOST_RUNS)

    def _named(self, sample: ContainerSample, counters: list[Counter | None] | None) -> list[_Series]:
        container = sample.container
        host = _part(sample.host)
        prefix = self._prefix.replace("{host}", host)
        tags: Mapping[str, str] = {}
        if self._dialect.tags:
            tags = {**dict(zip(TAGS, (sample.host, container.name, container.short_id), strict=True))}
            tags = {**tags, **self._labels.of(container)}
            parts = [prefix]
        else:
            parts = [prefix, *([] if "{host}" in self._prefix else [host]), _part(container.name)]
        start = ".".join(filter(None, parts))
        made = []
        for index, entry in enumerate(ENTRIES):
            is_counter = entry.kind == "counter" and not self._totals and entry.field not in _OUTLIVING
            counter = counters[index] if counters else Counter() if is_counter else None
            name = f"{start}.{entry.field}" if start else entry.field
            made.append(_Series(*series(self._dialect, name, tags), counter))
        return made

    # applications

    def _metric(self, metric: Metric) -> list[Line]:
        value = metric.value
        if isinstance(value, str):
            raise ValueError("a text is no number: StatsD has no place for it")
        texts: list[str | None]
        if isinstance(value, Summary):
            texts = [self._gauge(metric, part, getattr(value, part)) for part in _PARTS]
            texts += [self._gauge(metric, f"p{name.replace('.', '_')}", at) for name, at in value.percentiles.items()]
            # Last: when this line was sent, all were; when it was not, they can come again.
            texts.append(self._delta(metric, "count", value.count))
        elif metric.kind == "counter_delta":
            texts = [self._delta(metric, "", value)]
        elif metric.kind == "counter_total" and not self._totals:
            texts = [self._total(*self._known(metric, ""), value)]
        else:
            texts = [self._gauge(metric, "", value)]
        return [Line(text.encode(), len(self._moves)) for text in texts if text is not None]

    def _gauge(self, metric: Metric, part: str, value: float) -> str:
        head, tail, _ = self._known(metric, part)
        return set_gauge(self._dialect, head, tail, value)

    def _known(self, metric: Metric, part: str) -> tuple[str, str, Counter]:
        """What stands before and behind the value, and the counter, of the metric or of a part of it."""
        container = metric.container
        whose = (metric.host, container.name, *container.identity) if container else metric.host
        key = metric.key, part, metric.kind, whose, metric.name
        known = self._told.pop(key, None)
        if known is None:
            tags = metric.own_tags()
            if not self._dialect.tags:
                tags.pop("id", None)  # a name with it would be another one after each deployment
            name = f"{metric.name}.{part}" if part else metric.name
            known = (*series(self._dialect, name, tags), Counter())
        return _remember(self._told, key, known, MOST_SERIES)

    # counters

    def _total(self, head: str, tail: str, counter: Counter, value: float) -> str | None:
        """The line of a counter that stands at ``value``; None where its growth is not known."""
        if self._dialect.absolute:
            return f"{head}:{number(value)}|{self._count}{tail}"
        before = counter.told
        if before is None or value < before:
            self._move(counter, value)
            return None
        growth: float = value - before
        if self._whole and not isinstance(growth, int):
            growth = math.floor(growth)
            self._move(counter, before + growth)
        else:
            self._move(counter, value)
        return f"{head}:{_growth(growth)}|{self._count}{tail}"

    def _delta(self, metric: Metric, part: str, value: float) -> str:
        """The line of what was counted since the last one."""
        head, tail, counter = self._known(metric, part)
        if self._dialect.absolute:
            if value < 0:
                raise ValueError(f"a counter that goes down cannot be told as a total, as {self._dialect.name} has it")
            value += counter.told or 0
            self._move(counter, value)
        elif self._whole and not isinstance(value, int):
            there = value + (counter.told or 0)
            value = math.floor(there)
            self._move(counter, there - value)
        return f"{head}:{number(value)}|{self._count}{tail}"

    def _move(self, counter: Counter, to: float) -> None:
        if not math.isfinite(to):
            raise ValueError(f"{to} is not a number that can be sent")
        self._moves.append((counter, counter.told))
        counter.told = to


def _growth(growth: float) -> str:
    return str(growth) if type(growth) is int else number(round(growth, _DIGITS))


def _part(text: str) -> str:
    """The text as what stands between two dots of a name."""
    return clean(text).replace(".", "_") or "_"


def _remember(kept: dict[Any, T], key: Any, value: T, most: int) -> T:
    """Put the value behind all others; where there are too many, the first goes."""
    kept[key] = value
    if len(kept) > most:
        del kept[next(iter(kept))]
    return value
