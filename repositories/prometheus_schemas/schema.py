"""What a schema is: tables of metrics, filled by columns from the samples of one page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import attrgetter
from typing import Any, NamedTuple

from statspout import ContainerSample
from statspout import Metric as ApplicationMetric
from statspout.exposition import FORMATS, FamilyKind, Format, head, series
from statspout.labels import LabelTags

NANOSECONDS = 10**9
"""An integer, by which Python divides nanoseconds without a rounding in between."""

_SUFFIXES = {"counter": "_total", "info": "_info"}


class Metric(NamedTuple):
    """One family: its series' name, and the field of a row that holds its value.

    The value is written times ``scale``, and divided by ``per``.
    """

    name: str
    kind: FamilyKind
    help: str
    field: str
    scale: float = 1
    per: int = 1


class LabelStrings(NamedTuple):
    """The label strings of one container, and what they were made from.

    ``series`` is that of its numbers, ``info`` that of the one series that says what it is.
    """

    series: str
    info: str
    source: tuple[object, ...] = ()


class Page(NamedTuple):
    """What one scrape shows: the samples, and the label strings of their containers by id."""

    samples: Sequence[ContainerSample]
    labels: Mapping[str, LabelStrings]

    def series_labels(self, samples: Iterable[ContainerSample]) -> list[str]:
        """The label strings of these samples' series."""
        return [self.labels[sample.container.id].series for sample in samples]


Rows = tuple[Sequence[str], Sequence[Any]]
"""Label strings, and as many objects whose attributes are the values."""


def every(page: Page) -> Rows:
    """A row for each container."""
    return page.series_labels(page.samples), page.samples


def networked(page: Page) -> Rows:
    """A row for each container with a network of its own, so that a sum counts a shared one once."""
    samples = [sample for sample in page.samples if sample.network_shared_with is None]
    return page.series_labels(samples), samples


class Table:
    """Metrics whose series have the same rows. ``extra`` says in the documentation which labels they have more."""

    def __init__(self, metrics: Iterable[Metric], rows: Callable[[Page], Rows] = every, extra: str = "") -> None:
        self.metrics = tuple(metrics)
        self.extra = extra
        self._rows = rows
        self._heads = {each: [head(*metric[:3], each) for metric in self.metrics] for each in FORMATS}
        self._row: Callable[[Any], Any] = attrgetter(*(metric.field for metric in self.metrics))

    def families(self, page: Page, format: Format) -> list[str]:  # noqa: A002 - what it is
        """The lines of each family, as one text."""
        labels, objects = self._rows(page)
        families = []
        for metric, start, column in zip(self.metrics, self._heads[format], self._columns(objects), strict=False):
            values = column if metric.per == 1 else [None if value is None else value / metric.per for value in column]
            # Joined at once: the memory of these lines is still in the processor's cache, and serves the next family.
            families.append(start + "".join(series(metric.name, labels, values, metric.scale)))
        return families

    def _columns(self, objects: Sequence[Any]) -> Iterable[Sequence[float | None]]:
        if not objects:
            return repeat(())
        if len(self.metrics) == 1:
            return [list(map(self._row, objects))]  # attrgetter makes no tuple of one field
        return zip(*map(self._row, objects), strict=True)


def _all_of_them(samples: Sequence[ContainerSample]) -> Sequence[ContainerSample]:
    return samples


@dataclass(frozen=True, slots=True)
class Schema:
    """``prefix`` comes before the names of containers' labels, of which ``labels`` are allowed in any case.

    ``strings`` makes the label strings of a sample's container; ``choose`` says which samples are shown. ``sender``
    gives the labels that tell whose an application's series is, in the names that containers have.
    """

    tables: tuple[Table, ...]
    strings: Callable[[ContainerSample, LabelTags], LabelStrings]
    sender: Callable[[ApplicationMetric], dict[str, str]]
    prefix: str = "label_"
    labels: tuple[str, ...] = ()
    choose: Callable[[Sequence[ContainerSample]], Sequence[ContainerSample]] = _all_of_them

    @property
    def words(self) -> frozenset[str]:
        """The names of its families, those that OpenMetrics gives them among them."""
        metrics = [metric for table in self.tables for metric in table.metrics]
        bases = (metric.name.removesuffix(_SUFFIXES.get(metric.kind, "")) for metric in metrics)
        return frozenset({*bases, *(metric.name for metric in metrics)})
