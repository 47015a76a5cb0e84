"""Our own schema: the catalogue, in base units, and what the container is."""

from __future__ import annotations

from dataclasses import dataclass

from statspout import ContainerSample
from statspout import Metric as ApplicationMetric
from statspout.catalogue import ENTRIES, Entry
from statspout.exposition import label_string
from statspout.labels import LabelTags
from statspout.repositories.prometheus_schemas.schema import (
    NANOSECONDS,
    LabelStrings,
    Metric,
    Page,
    Rows,
    Schema,
    Table,
    networked,
)

_PREFIX = "statspout_container_"


@dataclass(frozen=True, slots=True)
class _Info:
    is_so: int = 1


_INFO = _Info()


def _infos(page: Page) -> Rows:
    labels = [page.labels[sample.container.id].info for sample in page.samples]
    return labels, [_INFO] * len(labels)


def _metric(entry: Entry) -> Metric:
    meaning = entry.prometheus_help or entry.help
    return Metric(_PREFIX + entry.prometheus, entry.kind, meaning, entry.field, entry.scale)


def _strings(sample: ContainerSample, tags: LabelTags) -> LabelStrings:
    container = sample.container
    own = {"host": sample.host, "container": container.name, "id": container.short_id}
    allowed = tags.of(container)
    about = {
        "image": container.image,
        "compose_project": container.compose_project or "",
        "compose_service": container.compose_service or "",
        "swarm_stack": container.swarm_stack or "",
        "swarm_service": container.swarm_service or "",
        "swarm_task": container.swarm_task or "",
        "state": sample.state or "",
        "health": sample.health or "",
        "network_shared_with": sample.network_shared_with or "",
    }
    return LabelStrings(
        label_string({**own, **allowed}), label_string({**own, **about, **allowed, **tags.rest(container)})
    )


def _sender(metric: ApplicationMetric) -> dict[str, str]:
    who = metric.container
    return {"host": metric.host} | ({} if who is None else {"container": who.name, "id": who.short_id})


_ABOUT = (
    Metric(
        _PREFIX + "start_time_seconds",
        "gauge",
        "When the container started, by the engine's clock.",
        "container.started_at",
        per=NANOSECONDS,
    ),
    Metric(
        _PREFIX + "last_sample_time_seconds",
        "gauge",
        "When the values were read, by the engine's clock.",
        "time_ns",
        per=NANOSECONDS,
    ),
)

OWN = Schema(
    tables=(
        Table([Metric(_PREFIX + "info", "info", "What the container is; always 1.", "is_so")], _infos),
        Table((*_ABOUT, *(_metric(entry) for entry in ENTRIES if not entry.networked))),
        Table((_metric(entry) for entry in ENTRIES if entry.networked), networked),
    ),
    strings=_strings,
    sender=_sender,
)
