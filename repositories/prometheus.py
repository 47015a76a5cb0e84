"""The current values in the text format that Prometheus scrapes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from statspout import ContainerSample, LiveRepository
from statspout.catalogue import ENTRIES, Entry
from statspout.exposition import CONTENT_TYPE, encode, head, label_string, series

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

_SECOND = 10**9  # an integer, by which Python divides nanoseconds without a rounding in between
_PREFIX = "statspout_container_"
_INFO = _PREFIX + "info"
_STARTED = _PREFIX + "start_time_seconds"
_SAMPLED = _PREFIX + "last_sample_time_seconds"


class Prometheus(LiveRepository):
    """Serve the current values of all containers at ``/metrics`` for Prometheus.

    A container that shares another's network has no network series, so that sums count them once; its info series
    says whose network it is.
    """

    name = "prometheus"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._labels: dict[str, _Labels] = {}

    def routes(self) -> Sequence[BaseRoute]:
        """``/metrics``: every known value of every container."""
        from starlette.routing import Route

        return [Route("/metrics", self._scraped)]

    async def _scraped(self, _: Request) -> Response:
        from starlette.responses import Response

        return Response(self.exposition(), headers={"Content-Type": CONTENT_TYPE})

    def exposition(self) -> bytes:
        """The page: each family once, a series for each container whose value is known."""
        samples = self.latest.samples()
        # Only the containers of this page are kept: the cache cannot outgrow them.
        self._labels = {sample.container.id: self._labels_of(sample) for sample in samples}
        networks = [sample for sample in samples if sample.network_shared_with is None]
        lines = self._about(samples)
        lines += _OWN.lines(samples, self._series_labels(samples))
        lines += _NETWORK.lines(networks, self._series_labels(networks))
        return encode(lines)

    def _labels_of(self, sample: ContainerSample) -> _Labels:
        source = (sample.container, sample.host, sample.state, sample.health, sample.network_shared_with)
        cached = self._labels.get(sample.container.id)
        return cached if cached is not None and cached.source == source else _make_labels(sample, source)

    def _series_labels(self, samples: Iterable[ContainerSample]) -> list[str]:
        return [self._labels[sample.container.id].series for sample in samples]

    def _about(self, samples: Sequence[ContainerSample]) -> list[str]:
        labels = self._series_labels(samples)
        started = [sample.container.started_at for sample in samples]
        return [
            head(_INFO, "gauge", "What the container is; always 1."),
            *series(_INFO, [cached.info for cached in self._labels.values()], repeat(1, len(samples))),
            head(_STARTED, "gauge", "When the container started, by the engine's clock."),
            *series(_STARTED, labels, [None if ns is None else ns / _SECOND for ns in started]),
            head(_SAMPLED, "gauge", "When the values were read, by the engine's clock."),
            *series(_SAMPLED, labels, [sample.time_ns / _SECOND for sample in samples]),
        ]


class _Labels(NamedTuple):
    """The label strings of one container, and what they were made from."""

    source: tuple[object, ...]
    series: str
    info: str


def _make_labels(sample: ContainerSample, source: tuple[object, ...]) -> _Labels:
    container = sample.container
    own = {"host": sample.host, "container": container.name, "id": container.short_id}
    more = {
        "image": container.image,
        "compose_project": container.compose_project or "",
        "compose_service": container.compose_service or "",
        "state": sample.state or "",
        "health": sample.health or "",
        "network_shared_with": sample.network_shared_with or "",
    }
    return _Labels(source, label_string(own), label_string(own | more))


class _Families:
    """The families of some of the catalogue's entries, read from the samples by columns."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = [(_PREFIX + entry.prometheus, entry.scale, entry) for entry in entries]
        self._heads = [head(name, entry.kind, entry.prometheus_help or entry.help) for name, _, entry in self._entries]
        self._row = attrgetter(*(entry.field for _, _, entry in self._entries))

    def lines(self, samples: Sequence[ContainerSample], labels: Sequence[str]) -> list[str]:
        """The lines of all families; ``labels`` are the samples' label strings."""
        columns: Iterable[Sequence[float | None]]
        columns = zip(*map(self._row, samples), strict=True) if samples else repeat(())
        lines = []
        for (name, scale, _), start, column in zip(self._entries, self._heads, columns, strict=False):
            lines.append(start)
            lines += series(name, labels, column, scale)
        return lines


_OWN = _Families(entry for entry in ENTRIES if not entry.networked)
_NETWORK = _Families(entry for entry in ENTRIES if entry.networked)
