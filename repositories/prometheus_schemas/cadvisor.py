"""The names, labels and units that cAdvisor serves, as far as our samples have the figures.

Sources: cAdvisor's metrics/prometheus.go and docs/storage/prometheus.md. What is not in a sample is left out: the
split of CPU time into user and system, file system sizes, swap, the root cgroup ``/``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from statspout import ContainerSample
from statspout import Metric as ApplicationMetric
from statspout.catalogue import ENTRIES
from statspout.exposition import label_string, with_label
from statspout.labels import LabelTags
from statspout.repositories.prometheus_schemas.schema import (
    NANOSECONDS,
    LabelStrings,
    Metric,
    Page,
    Rows,
    Schema,
    Table,
    every,
)

DASHBOARD_LABELS = (
    "com.docker.compose.project",
    "com.docker.compose.project.working_dir",
    "com.docker.compose.service",
    "com.docker.stack.namespace",
    "com.docker.swarm.node.id",
    "com.docker.swarm.service.name",
    "com.docker.swarm.task.name",
    "org.label-schema.group",
)
"""Labels that published dashboards ask for by name; they tell no more containers apart than the name does."""


def _strings(sample: ContainerSample, tags: LabelTags) -> LabelStrings:
    container = sample.container
    own = {"id": f"/docker/{container.id}", "name": container.name, "image": container.image, "host": sample.host}
    labels = label_string({**own, **tags.of(container)})
    return LabelStrings(labels, labels)


def _sender(metric: ApplicationMetric) -> dict[str, str]:
    who = metric.container
    known = {} if who is None else {"id": f"/docker/{who.id}", "name": who.name, "image": who.image}
    return {**known, "host": metric.host}


def _whole_cpu(page: Page) -> Rows:
    labels, samples = every(page)
    return [with_label(label, "cpu", "total") for label in labels], samples


def _limited(page: Page) -> Rows:
    """Containers under a CPU limit, which counts periods; cAdvisor, too, has these series for no others."""
    samples = [sample for sample in page.samples if sample.cpu_periods_total]
    return page.series_labels(samples), samples


def _interfaces(page: Page) -> Rows:
    """A row for each interface of a container with a network of its own."""
    found = [
        (with_label(page.labels[sample.container.id].series, "interface", name), interface)
        for sample in page.samples
        if sample.networks and sample.network_shared_with is None
        for name, interface in sample.networks.items()
    ]
    return [label for label, _ in found], [interface for _, interface in found]


@dataclass(frozen=True, slots=True)
class _Checked:
    health: int


def _checked(page: Page) -> Rows:
    """Containers with a health check that has a result: 1 is healthy."""
    samples = [sample for sample in page.samples if sample.health]
    return page.series_labels(samples), [_Checked(int(sample.health == "healthy")) for sample in samples]


def _hosts(page: Page) -> Rows:
    """A row for each host: the sample that knows of the most CPUs online."""
    most: dict[str, ContainerSample] = {}
    for sample in page.samples:
        before = most.get(sample.host)
        if before is None or (sample.online_cpus or 0) > (before.online_cpus or 0):
            most[sample.host] = sample
    return [label_string({"host": host}) for host in most], list(most.values())


def _network() -> Iterator[Metric]:
    """Its names of the network counters are the catalogue's, which are after its own."""
    for entry in ENTRIES:
        if entry.networked:
            yield Metric(f"container_{entry.prometheus}", entry.kind, entry.help, entry.field)


_MEMORY_AND_IO = (
    Metric("container_last_seen", "gauge", "When the values were read.", "time_ns", per=NANOSECONDS),
    Metric(
        "container_start_time_seconds", "gauge", "When the container started.", "container.started_at", per=NANOSECONDS
    ),
    Metric("container_memory_usage_bytes", "gauge", "Memory in use with all of the file cache.", "mem_usage_raw"),
    Metric(
        "container_memory_working_set_bytes", "gauge", "Memory in use without the inactive file cache.", "mem_usage"
    ),
    Metric("container_memory_cache", "gauge", "File cache that is charged to the container, in bytes.", "mem_cache"),
    Metric("container_memory_rss", "gauge", "Anonymous memory, in bytes.", "mem_rss"),
    Metric(
        "container_spec_memory_limit_bytes",
        "gauge",
        "The most memory the container may use; the host's memory without a limit.",
        "mem_limit",
    ),
    Metric("container_fs_reads_bytes_total", "counter", "Bytes read from all block devices.", "blkio_read_bytes"),
    Metric("container_fs_writes_bytes_total", "counter", "Bytes written to all block devices.", "blkio_write_bytes"),
    Metric("container_fs_reads_total", "counter", "Read operations on all block devices.", "blkio_read_ops"),
    Metric("container_fs_writes_total", "counter", "Write operations on all block devices.", "blkio_write_ops"),
    Metric("container_threads", "gauge", "Processes and threads in the container.", "pids"),
    Metric("container_threads_max", "gauge", "The most processes and threads it may have.", "pids_limit"),
)

_CPU = (Metric("container_cpu_usage_seconds_total", "counter", "CPU time used since the start.", "cpu_seconds_total"),)

_LIMIT = (
    Metric(
        "container_cpu_cfs_periods_total",
        "counter",
        "Scheduler periods in which the container ran under its CPU limit.",
        "cpu_periods_total",
    ),
    Metric(
        "container_cpu_cfs_throttled_periods_total",
        "counter",
        "Scheduler periods in which the CPU limit held the container back.",
        "throttled_periods_total",
    ),
    Metric(
        "container_cpu_cfs_throttled_seconds_total",
        "counter",
        "Time for which the CPU limit held the container back.",
        "throttled_seconds_total",
    ),
)

CADVISOR = Schema(
    tables=(
        Table(_MEMORY_AND_IO),
        Table(_CPU, _whole_cpu, extra='`cpu="total"`'),
        Table(_LIMIT, _limited),
        Table(_network(), _interfaces, extra="`interface`"),
        Table([Metric("container_health_state", "gauge", "1 is healthy, 0 is not.", "health")], _checked),
        Table([Metric("machine_cpu_cores", "gauge", "CPUs of the host.", "online_cpus")], _hosts, extra="only `host`"),
    ),
    strings=_strings,
    sender=_sender,
    prefix="container_label_",
    labels=DASHBOARD_LABELS,
)
