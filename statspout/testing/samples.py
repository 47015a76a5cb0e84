"""Plausible records for tests: deterministic, complete, and as you change them."""

from __future__ import annotations

import hashlib
from typing import Any

from statspout.sample import Container, ContainerSample, Interface, Metric, MetricKind, Summary

_TIME = 1_487_073_601_123_456_789
"""2017-02-14 12:00:01.123456789 UTC."""

_STARTED = _TIME - 3600 * 1_000_000_000

_CONTAINER = ("id", "image", "labels", "started_at")

_LABELS = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}

_VALUES: dict[str, Any] = {
    "time_ns": _TIME,
    "host": "node-1",
    "cpu_percent": 20.0,
    "cpu_seconds_total": 12.5,
    "online_cpus": 4,
    "cpu_periods_total": 40,
    "throttled_periods_total": 3,
    "throttled_seconds_total": 0.25,
    "mem_usage": 104_857_600,
    "mem_usage_raw": 125_829_120,
    "mem_cache": 20_971_520,
    "mem_rss": 83_886_080,
    "mem_limit": 1_073_741_824,
    "mem_percent": 9.765625,
    "rx_bytes": 1010,
    "rx_packets": 10,
    "rx_errors": 1,
    "rx_dropped": 0,
    "tx_bytes": 2020,
    "tx_packets": 20,
    "tx_errors": 0,
    "tx_dropped": 2,
    "networks": {
        "eth0": Interface(
            rx_bytes=1010,
            rx_packets=10,
            rx_errors=1,
            rx_dropped=0,
            tx_bytes=2020,
            tx_packets=20,
            tx_errors=0,
            tx_dropped=2,
        )
    },
    "blkio_read_bytes": 4096,
    "blkio_write_bytes": 8192,
    "blkio_read_ops": 1,
    "blkio_write_ops": 2,
    "pids": 7,
    "pids_limit": 512,
    "state": "running",
    "health": "healthy",
    "restarts": 0,
}


def sample(name: str = "web", **fields: Any) -> ContainerSample:
    """A complete sample of the container ``name``, with ``fields`` of ContainerSample or Container instead of ours.

    The same arguments give an equal sample; another name gives another id.
    """
    own = {key: fields.pop(key) for key in _CONTAINER if key in fields}
    defaults: dict[str, Any] = {"id": _id(name), "image": "nginx:1.27", "labels": _LABELS, "started_at": _STARTED}
    container = Container(name=name, **(defaults | own))
    return ContainerSample(**({"container": container} | _VALUES | fields))


def samples(n: int) -> list[ContainerSample]:
    """``n`` samples of as many containers, ``web-0`` and so on, oldest first, each with other counters."""
    return [
        sample(f"web-{i}", time_ns=_TIME + i * 1_000_000, cpu_percent=20.0 + i, rx_bytes=1010 + i, tx_bytes=2020 + i)
        for i in range(n)
    ]


_SUMMARY = Summary(
    count=4, sum=100.0, min=10.0, max=40.0, mean=25.0, stdev=11.25, percentiles={"50": 20.0, "95": 40.0, "99.9": 40.0}
)
_MEASURED: dict[MetricKind, Any] = {
    "counter_delta": 12,
    "counter_total": 120,
    "gauge": 2.5,
    "timer": _SUMMARY,
    "histogram": _SUMMARY,
    "set": 3,
    "text": "version 7 is out",
}


def metric(name: str = "orders.placed", kind: MetricKind = "counter_delta", **fields: Any) -> Metric:
    """A complete metric of this name and kind, from the container ``web``, with ``fields`` of Metric instead of ours.

    The same arguments give an equal metric; another name, kind, sender or other tags give another key.
    """
    defaults: dict[str, Any] = {
        "time_ns": _TIME,
        "host": "node-1",
        "value": _MEASURED[kind],
        "container": sample().container,
        "tags": {"env": "prod"},
        "interval_s": 5.0,
        "unit": "ms" if kind == "timer" else "",
    }
    made = defaults | fields
    sender = "" if made["container"] is None else made["container"].id
    key = repr((sender, name, kind, sorted(made["tags"].items())))
    return Metric(**({"name": name, "kind": kind, "key": key} | made))


def metrics() -> list[Metric]:
    """One of each kind, ``shop.gauge`` and so on."""
    return [metric(f"shop.{kind}", kind) for kind in _MEASURED]


def _id(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
