"""The names that the Go program of this name served, with the help it gave; here the values are right."""

from __future__ import annotations

from collections.abc import Sequence

from statspout import ContainerSample
from statspout import Metric as ApplicationMetric
from statspout.exposition import label_string
from statspout.labels import LabelTags
from statspout.repositories.prometheus_schemas.schema import LabelStrings, Metric, Schema, Table, networked


def _strings(sample: ContainerSample, tags: LabelTags) -> LabelStrings:
    labels = label_string({"container": sample.container.name, **tags.of(sample.container)})
    return LabelStrings(labels, labels)


def _sender(metric: ApplicationMetric) -> dict[str, str]:
    return {} if metric.container is None else {"container": metric.container.name}


def _newest_of_each_name(samples: Sequence[ContainerSample]) -> Sequence[ContainerSample]:
    """Two containers of one name, as while one takes the other's place, would be one series."""
    by_age = sorted(samples, key=lambda sample: (sample.container.started_at or 0, sample.time_ns))
    newest = {sample.container.name: sample for sample in by_age}
    return [newest[name] for name in sorted(newest)]


LEGACY = Schema(
    tables=(
        Table(
            (
                Metric("cpu_usage_percent", "gauge", "Current CPU usage percent.", "cpu_percent"),
                Metric("memory_usage_percent", "gauge", "Current memory usage percent.", "mem_percent"),
            )
        ),
        Table(
            (
                Metric("tx_bytes", "gauge", "TX Bytes Total.", "tx_bytes"),
                Metric("rx_bytes", "gauge", "RX Bytes Total.", "rx_bytes"),
            ),
            networked,
        ),
    ),
    strings=_strings,
    sender=_sender,
    choose=_newest_of_each_name,
)
