"""Every number that a container sample can carry: its name, kind, unit and meaning, said once.

A line here adds a metric to the points of a sample, to Prometheus, and to the tables of the documentation.
The field of the same name is in :class:`statspout.ContainerSample`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One metric.

    ``field`` is its name in the record, in REST, InfluxDB and MongoDB. ``prometheus`` is its name there, in base units;
    ``scale`` times the field's value gives the value in that unit, and ``prometheus_help`` is what it means there, when
    that is another. ``networked`` marks the counters of a network
    namespace, which containers can share.
    """

    field: str
    kind: Kind
    unit: str
    prometheus: str
    help: str
    scale: float = 1
    networked: bool = False
    prometheus_help: str = ""


def _network(direction: str, verb: str, done: str) -> tuple[Entry, ...]:
    """The four counters of one direction of a network namespace, summed over its interfaces."""
    rows = (
        ("bytes", "bytes", "bytes", f"Bytes {done}."),
        ("packets", "packets", "packets", f"Packets {done}."),
        ("errors", "errors", "errors", f"Errors on packets {done}."),
        ("dropped", "packets", "packets_dropped", f"Packets dropped that were to be {done}."),
    )
    return tuple(
        Entry(f"{direction}_{what}", "counter", unit, f"network_{verb}_{name}_total", text, networked=True)
        for what, unit, name, text in rows
    )


ENTRIES: tuple[Entry, ...] = (
    Entry(
        "cpu_percent",
        "gauge",
        "percent",
        "cpu_usage_ratio",
        "CPU in use since the last sample; one core is 100.",
        0.01,
        prometheus_help="CPU in use since the last sample; one core is 1.",
    ),
    Entry("cpu_seconds_total", "counter", "seconds", "cpu_usage_seconds_total", "CPU time used since the start."),
    Entry("online_cpus", "gauge", "cpus", "online_cpus", "CPUs that the container could run on."),
    Entry(
        "cpu_periods_total",
        "counter",
        "periods",
        "cpu_periods_total",
        "Scheduler periods in which the container ran under a CPU limit; 0 without one.",
    ),
    Entry(
        "throttled_periods_total",
        "counter",
        "periods",
        "cpu_throttled_periods_total",
        "Scheduler periods in which the CPU limit held the container back.",
    ),
    Entry(
        "throttled_seconds_total",
        "counter",
        "seconds",
        "cpu_throttled_seconds_total",
        "Time for which the CPU limit held the container back.",
    ),
    Entry(
        "mem_usage",
        "gauge",
        "bytes",
        "memory_usage_bytes",
        "Memory in use without the inactive file cache, as `docker stats` shows it.",
    ),
    Entry("mem_usage_raw", "gauge", "bytes", "memory_usage_raw_bytes", "Memory in use with all of the file cache."),
    Entry("mem_cache", "gauge", "bytes", "memory_cache_bytes", "File cache that is charged to the container."),
    Entry("mem_rss", "gauge", "bytes", "memory_rss_bytes", "Anonymous memory: what belongs to no file."),
    Entry(
        "mem_limit",
        "gauge",
        "bytes",
        "memory_limit_bytes",
        "The most memory the container may use; the host's memory without a limit.",
    ),
    Entry(
        "mem_percent",
        "gauge",
        "percent",
        "memory_usage_ratio",
        "mem_usage as a percentage of mem_limit.",
        0.01,
        prometheus_help="Memory in use as a share of the limit; 1 is all of it.",
    ),
    *_network("rx", "receive", "received"),
    *_network("tx", "transmit", "sent"),
    Entry("blkio_read_bytes", "counter", "bytes", "blkio_read_bytes_total", "Bytes read from block devices."),
    Entry("blkio_write_bytes", "counter", "bytes", "blkio_write_bytes_total", "Bytes written to block devices."),
    Entry("blkio_read_ops", "counter", "operations", "blkio_reads_total", "Read operations on block devices."),
    Entry("blkio_write_ops", "counter", "operations", "blkio_writes_total", "Write operations on block devices."),
    Entry("pids", "gauge", "processes", "pids", "Processes and threads in the container."),
    Entry("pids_limit", "gauge", "processes", "pids_limit", "The most processes and threads it may have."),
    Entry("restarts", "counter", "restarts", "restarts_total", "Restarts by the engine's restart policy."),
)

FIELDS: tuple[str, ...] = tuple(entry.field for entry in ENTRIES)
