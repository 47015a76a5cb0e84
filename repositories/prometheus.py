"""The current values in the formats that Prometheus scrapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from statspout import Container, ContainerSample, LiveRepository, Metric, option
from statspout.exposition import TEXT, Format, encode
from statspout.labels import LabelTags, labels_option
from statspout.repositories.prometheus_schemas import SCHEMAS
from statspout.repositories.prometheus_schemas.application import Applications
from statspout.repositories.prometheus_schemas.schema import LabelStrings, Page
from statspout.scrape import answer

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute


class Prometheus(LiveRepository):
    """Serve the current values of all containers at ``/metrics`` for Prometheus.

    A container that shares another's network has no network series, so that sums count them once; with our own schema
    its info series says whose network it is. What applications report has their own names.
    """

    name = "prometheus"
    accepts: ClassVar[tuple[type, ...]] = (ContainerSample, Metric)

    schema: Literal["own", "cadvisor", "legacy"] = option(
        default="own", help="Names and labels: our own, those of cAdvisor, or those of the Go program."
    )
    labels: tuple[str, ...] = labels_option()

    def __post_init__(self) -> None:
        self._schema = SCHEMAS[self.schema]
        allowed = (*self._schema.labels, *self.labels)
        self._tags = LabelTags(allowed, setting="prometheus.labels", prefix=self._schema.prefix)
        self._labels: dict[str, LabelStrings] = {}
        super().__post_init__()

    def new_reported(self) -> Applications:
        """What keeps the metrics of applications, in families."""
        self._applications = Applications(self.interval, self._labels_of_sender, self._schema.words)
        return self._applications

    def clear(self, container: Container) -> None:
        """Serve ``container`` no more."""
        super().clear(container)
        self._tags.drop(container)

    def routes(self) -> Sequence[BaseRoute]:
        """``/metrics``: every known value of every container."""
        from starlette.routing import Route

        return [Route("/metrics", self._scraped)]

    async def _scraped(self, request: Request) -> Response:
        return await answer(request, self.exposition)

    def exposition(self, format: Format = TEXT) -> bytes:  # noqa: A002 - what it is
        """The page: each family once, a series for each container whose value is known, and what applications say."""
        samples = self._schema.choose(self.latest.samples())
        # Only the containers of this page are kept: the cache cannot outgrow them.
        self._labels = {sample.container.id: self._labels_of(sample) for sample in samples}
        page = Page(samples, self._labels)
        texts = [text for table in self._schema.tables for text in table.families(page, format)]
        return encode([*texts, *self._applications.texts(format)], format)

    def _labels_of_sender(self, metric: Metric) -> dict[str, str]:
        own = self._schema.sender(metric)
        return own if metric.container is None else {**own, **self._tags.of(metric.container)}

    def _labels_of(self, sample: ContainerSample) -> LabelStrings:
        source = (sample.container, sample.host, sample.state, sample.health, sample.network_shared_with)
        cached = self._labels.get(sample.container.id)
        if cached is not None and cached.source == source:
            return cached
        return self._schema.strings(sample, self._tags)._replace(source=source)
