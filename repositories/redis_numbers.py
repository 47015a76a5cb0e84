"""Samples as numbers under labels, of which statistics are kept; and what has to be remembered for that.

A label is a name with tags behind it, ``statspout.cpu_percent;host=node1,container=web``, as applications write them
with ``extra_labels``. The id of a container is in none: after each deployment there would be other labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from statspout import Container, ContainerSample, Metric, Sample, Summary
from statspout.catalogue import ENTRIES, Entry
from statspout.client.redis.records import Record, label_of, number

DEFAULT = (
    "cpu_percent", "mem_usage", "mem_percent", "rx_bytes", "tx_bytes", "blkio_read_bytes", "blkio_write_bytes", "pids",
)  # fmt: skip
"""The fields that are kept unless others are asked for: each is a dozen keys for each container."""

_OUTLIVING = {"restarts"}
"""A counter that goes on from run to run: its growth is between the runs, so it is kept as it is."""

_UNKNOWN_TAG = "_"

MOST = 20_000
"""Containers, and series of applications, that are remembered; the one that was silent longest goes first."""

Key: TypeAlias = "tuple[object, ...]"


class Count(NamedTuple):
    """How far counters had come at ``time_ns``; None where that is unknown."""

    time_ns: int
    values: tuple[float | None, ...]


class Growth:
    """Remembers how far counters had come. What is asked for counts as told once :meth:`keep` is called."""

    def __init__(self) -> None:
        self._told: dict[Key, Count] = {}
        self._new: dict[Key, Count] = {}

    def of(self, key: Key, now: Count) -> tuple[float, tuple[float | None, ...]]:
        """The seconds since the last time, and by how much each counter has grown; None where that is not known.

        What comes late has grown by nothing that is not told already.
        """
        before = self._new.get(key) or self._told.get(key)
        if before is not None and now.time_ns <= before.time_ns:
            return 0.0, (None,) * len(now.values)
        self._new[key] = now
        if before is None:
            return 0.0, (None,) * len(now.values)
        grown = tuple(map(_grown, before.values, now.values))
        return (now.time_ns - before.time_ns) / 1e9, grown

    def keep(self) -> None:
        """All of it is stored."""
        for key, count in self._new.items():
            self._told.pop(key, None)
            self._told[key] = count
        self._new.clear()
        while len(self._told) > MOST:
            del self._told[next(iter(self._told))]

    def undo(self) -> None:
        """It is not, and comes again."""
        self._new.clear()

    def clear(self, key: Key) -> None:
        """Forget that one."""
        self._told.pop(key, None)
        self._new.pop(key, None)


class Numbers:
    """Makes records of samples. ``prefix`` stands before the names of a container's numbers.

    ``every``: all fields that a sample has, not only the usual ones. ``rates``: a container's counters by their growth
    a second, else since the last sample.
    """

    def __init__(self, prefix: str = "", *, every: bool = False, rates: bool = True) -> None:
        entries = [entry for entry in ENTRIES if every or entry.field in DEFAULT]
        self._gauges = [entry for entry in entries if not _is_counter(entry)]
        self._counters = [entry for entry in entries if _is_counter(entry)]
        self._gauges_of = attrgetter(*(entry.field for entry in self._gauges))
        self._counters_of = attrgetter(*(entry.field for entry in self._counters))
        self._start = f"{prefix}." if prefix else ""
        self._rates = rates
        self._labels: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
        self._growth = Growth()

    def of(self, sample: Sample) -> list[Record]:
        """What is to be recorded of a sample. ValueError for what is no number, or would make too long a label."""
        try:
            return list(self._container(sample) if isinstance(sample, ContainerSample) else self._metric(sample))
        except TypeError as error:
            raise ValueError(str(error)) from error

    def keep(self) -> None:
        """What was made is stored."""
        self._growth.keep()

    def undo(self) -> None:
        """It is not; the samples come again."""
        self._growth.undo()

    def clear(self, container: Container) -> None:
        """Forget a container that is gone."""
        self._growth.clear(container.identity)

    # containers

    def _container(self, sample: ContainerSample) -> Iterator[Record]:
        gauges, counters = self._labelled(sample.host, sample.container.name)
        shared = sample.network_shared_with is not None
        time = sample.time_ns / 1e9
        for label, value in zip(gauges, self._gauges_of(sample), strict=True):
            if value is not None:
                yield Record(time, label, number(value))
        totals = Count(sample.time_ns, self._counters_of(sample))
        seconds, grown = self._growth.of(sample.container.identity, totals)
        for entry, label, growth in zip(self._counters, counters, grown, strict=True):
            if growth is not None and not (shared and entry.networked):
                yield Record(time, label, number(growth / seconds if self._rates else growth))

    def _labelled(self, host: str, name: str) -> tuple[list[str], list[str]]:
        """The labels of its gauges, and of its counters."""
        known = self._labels.get((host, name))
        if known is None:
            if len(self._labels) >= MOST:
                self._labels.clear()
            tags = {"host": host, "container": name}
            rate = ".rate" if self._rates else ""
            known = self._labels[host, name] = (
                [_label(f"{self._start}{entry.field}", tags) for entry in self._gauges],
                [_label(f"{self._start}{entry.field}{rate}", tags) for entry in self._counters],
            )
        return known

    # applications

    def _metric(self, metric: Metric) -> Iterator[Record]:
        time, tags = metric.time_ns / 1e9, _tags_of(metric)
        for part, value in self._values(metric):
            name = f"{metric.name}.{part}" if part else metric.name
            yield Record(time, _label(name, tags), number(value), metric.context)

    def _values(self, metric: Metric) -> Sequence[tuple[str, float]]:
        value = metric.value
        if isinstance(value, str):
            raise ValueError("a text is no number: only a stream has a place for it")
        if isinstance(value, Summary):
            parts = [(part, getattr(value, part)) for part in Summary.PARTS]
            return [*parts, *((f"p{name}", one) for name, one in value.percentiles.items())]
        if metric.kind != "counter_total":
            rate = metric.rate
            return [("", value)] if rate is None else [("", value), ("rate", rate)]
        number(value)
        whose = metric.container.identity if metric.container else ()
        seconds, (growth,) = self._growth.of((metric.key, metric.host, *whose), Count(metric.time_ns, (value,)))
        return [] if growth is None else [("", growth), ("rate", growth / seconds)]


def _is_counter(entry: Entry) -> bool:
    return entry.kind == "counter" and entry.field not in _OUTLIVING


def _grown(before: float | None, now: float | None) -> float | None:
    return now - before if before is not None and now is not None and now >= before else None


def _tags_of(metric: Metric) -> dict[str, str]:
    tags = metric.own_tags()
    tags.pop("id", None)
    own = {name: tags.pop(name) for name in ("host", "container") if name in tags}
    return own | dict(sorted(tags.items()))


def _label(name: str, tags: Mapping[str, str]) -> str:
    """The label; what could not be told from its own marks is ``_``, and so is a name that is empty."""
    return label_of(name.replace(";", "_") or _UNKNOWN_TAG, {key: text for key, text in tags.items() if text})
