"""What a schema is: it makes the lines of a sample, and remembers of each container what does not change."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, ClassVar, Generic, TypeVar

from statspout import Container, ContainerSample, Metric
from statspout.labels import LabelTags, exported
from statspout.repositories.influxdb_lines import application as reported
from statspout.repositories.influxdb_lines.text import RESERVED, series

T = TypeVar("T")

_MOST_KEPT = 10_000
"""Containers, and series of applications, that are remembered; more only cost time."""

_about = attrgetter("name", "kind", "host", "tags", "container")
"""What the beginning of an application's point is made of."""

SEEN = b"seen=1i"
"""A field that says that the container was sampled, where else a point would have none."""


class Kept(Generic[T]):
    """Keeps what ``make`` makes of a sample, per container, as long as the attributes ``about`` stay as they are."""

    def __init__(self, make: Callable[[ContainerSample], T], *about: str) -> None:
        self._make = make
        self._about = attrgetter("container", "host", *about)
        self._kept: dict[str, tuple[Any, T]] = {}

    def of(self, sample: ContainerSample) -> T:
        """What belongs to this sample."""
        about = self._about(sample)
        kept = self._kept.get(sample.container.id)
        if kept is not None and kept[0] == about:
            return kept[1]
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        made = self._make(sample)
        self._kept[sample.container.id] = about, made
        return made

    def drop(self, container: Container) -> None:
        """Forget a container."""
        self._kept.pop(container.id, None)


class Schema(ABC):
    """Names and types of what is written for a sample.

    ``labels`` are patterns of container labels that become tags. ``texts`` says whether the server has string fields;
    VictoriaMetrics makes a number of each, and it is 0.
    """

    names: ClassVar[frozenset[str]]
    """The tags and fields of the schema itself: no label takes their place."""

    measurements: ClassVar[frozenset[str]]
    """The measurements of the schema itself: no application's name takes their place, nor the types of their fields."""

    verbatim: ClassVar[bool] = False
    """Whether a label's tag has the very name of the label."""

    def __init__(self, labels: Iterable[str] = (), *, texts: bool = True) -> None:
        self.texts = texts
        taken = self.names | RESERVED
        self._labels = LabelTags(labels, setting="influxdb.labels", taken=taken, verbatim=self.verbatim)
        self._starts: dict[str, tuple[Any, bytes]] = {}

    @abstractmethod
    def lines(self, sample: ContainerSample) -> bytes:
        """The points of a sample, a line each without the last newline; at least one. TypeError for what is no number.

        All points of a sample have its time.
        """

    def application(self, metric: Metric) -> bytes:
        """The point of what an application reported: one line. ValueError for what has nothing that can be written."""
        about = _about(metric)
        kept = self._starts.get(metric.key)
        if kept is None or kept[0] != about:
            if len(self._starts) >= _MOST_KEPT:
                self._starts.clear()
            kept = self._starts[metric.key] = about, self.series_of(metric)
        return reported.point(kept[1], self.fields_of(metric), metric, texts=self.texts)

    def series_of(self, metric: Metric) -> bytes:
        """The beginning of the point of what an application reported: measurement and tags.

        The kind is one of them, for a counter and a gauge of one name are flushed at one time, and would be one point.
        """
        who = metric.container
        own = {"host": metric.host, "kind": metric.kind}
        own |= {} if who is None else {"container": who.name, "id": who.short_id}
        return series(self._named(metric.name), self._tagged(own, metric, reported.FIELDS))

    def fields_of(self, metric: Metric) -> reported.Fields:
        """Its fields."""
        return reported.fields_of(metric)

    def _named(self, name: str) -> str:
        """The measurement of an application's name."""
        return f"exported_{name}" if name in self.measurements else name or "_"

    def _tagged(self, own: dict[str, str], metric: Metric, fields: frozenset[str]) -> dict[str, str]:
        """``own`` tags, the sender's labels that are allowed, and the application's own tags."""
        labels = {} if metric.container is None else self._labels.of(metric.container)
        return exported({**own, **labels}, metric.tags, taken=fields | RESERVED)

    def clear(self, container: Container) -> None:
        """Forget a container that is gone."""
        self._labels.drop(container)
