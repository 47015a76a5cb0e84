"""Every number that a container sample can carry: its name, kind, unit and meaning, said once.

A line here adds a metric to the points of a sample, to REST and JSON, to Prometheus, and to the tables of the
documentation. Its value is the field of the same name in :class:`statspout.ContainerSample`, which a collector fills;
or the line says with ``derive`` how it follows from a sample, and then the line is all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["counter", "gauge"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One metric.

    ``field`` is its name in the record, in REST, InfluxDB and MongoDB. ``prometheus`` is its name there, in base units;
    ``scale`` times the field's value gives the value in that unit, and ``prometheus_help`` is what it means there, when
    that is another. ``networked`` marks the counters of a network namespace, which containers can share. ``derive``
    computes it from the sample, None where it is not known.
    """

    field: str
    kind: Kind
    unit: str
    prometheus: str
    help: str
    scale: float = 1
    networked: bool = False
    prometheus_help: str = ""
    derive: Callable[[Any], float | None] | None = None


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


def _uptime(sample: Any) -> float | None:
    """None where the start is not known, or is later than the sample: clocks can be set back."""
    started = sample.container.started_at
    return None if started is None or started > sample.time_ns else (sample.time_ns - started) / 1e9


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
    Entry("uptime_seconds", "gauge", "seconds", "uptime_seconds", "Time since the container's start.", derive=_uptime),
)

DERIVED = {entry.field: entry.derive for entry in ENTRIES if entry.derive is not None}
"""How those follow from a sample that no collector reads."""
