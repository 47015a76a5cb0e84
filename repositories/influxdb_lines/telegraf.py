"""The measurements, tags and fields of Telegraf's inputs.docker, as far as a sample has the figures.

Source: plugins/inputs/docker of Telegraf (README.md, gatherers.go), as it is set up by default: totals of the network
and of block I/O, and its unsigned numbers written as integers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from statspout import Container, ContainerSample, Metric
from statspout.repositories.influxdb_lines import telegraf_statsd as statsd
from statspout.repositories.influxdb_lines.numbers import Fields, Values, attributes, followed
from statspout.repositories.influxdb_lines.schema import SEEN, Kept, Schema
from statspout.repositories.influxdb_lines.text import series, string

TAGS = ("engine_host", "container_name", "container_image", "container_version", "container_status")


class Field(NamedTuple):
    """A field of Telegraf's: what it comes from, in words, and how when that is no attribute of the sample."""

    name: str
    source: str
    get: Callable[[ContainerSample], Any] | None = None


class Table(NamedTuple):
    """A measurement of Telegraf's: the tag that tells its points apart, its integers and its floats."""

    measurement: str
    tag: tuple[str, str] | None
    integers: tuple[Field, ...]
    floats: tuple[Field, ...] = ()
    networked: bool = False


def _nanoseconds(field: str) -> Callable[[ContainerSample], int | None]:
    seconds = attrgetter(field)

    def get(sample: ContainerSample) -> int | None:
        value = seconds(sample)
        return None if value is None else round(value * 1e9)

    return get


def _uptime(sample: ContainerSample) -> int | None:
    """As ``uptime_seconds``, in nanoseconds and not rounded."""
    started = _started(sample)
    return None if started is None or started > sample.time_ns else sample.time_ns - started


_asked = attrgetter("uptime_seconds")


def _started(sample: ContainerSample) -> int | None:
    """None also in a sample with only some fields, when ``uptime_seconds`` is none of them."""
    whole = type(sample) is ContainerSample or _asked(sample) is not None
    return sample.container.started_at if whole else None


def _same(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, f"`{name}`") for name in names)


_BYTES, _OPERATIONS = "io_service_bytes_recursive", "io_serviced_recursive"

TABLES = (
    Table(
        "docker_container_cpu",
        ("cpu", "cpu-total"),
        (
            Field("usage_total", "`cpu_seconds_total` in ns", _nanoseconds("cpu_seconds_total")),
            Field("throttling_periods", "`cpu_periods_total`"),
            Field("throttling_throttled_periods", "`throttled_periods_total`"),
            Field(
                "throttling_throttled_time", "`throttled_seconds_total` in ns", _nanoseconds("throttled_seconds_total")
            ),
        ),
        (Field("usage_percent", "`cpu_percent`"),),
    ),
    Table(
        "docker_container_mem",
        None,
        (
            Field("usage", "`mem_usage`"),
            Field("limit", "`mem_limit`"),
            Field("total_cache", "`mem_cache`"),
            Field("total_rss", "`mem_rss`"),
        ),
        (Field("usage_percent", "`mem_percent`"),),
    ),
    Table(
        "docker_container_net",
        ("network", "total"),
        _same("rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "tx_bytes", "tx_packets", "tx_errors", "tx_dropped"),
        networked=True,
    ),
    Table(
        "docker_container_blkio",
        ("device", "total"),
        (
            Field(f"{_BYTES}_read", "`blkio_read_bytes`"),
            Field(f"{_BYTES}_write", "`blkio_write_bytes`"),
            Field(f"{_OPERATIONS}_read", "`blkio_read_ops`"),
            Field(f"{_OPERATIONS}_write", "`blkio_write_ops`"),
        ),
    ),
    Table(
        "docker_container_status",
        None,
        (
            Field("started_at", "the container's start, ns", _started),
            Field("uptime_ns", "time since that", _uptime),
            Field("restart_count", "`restarts`"),
        ),
    ),
)

STATUS = TABLES[-1].measurement
HEALTH = "docker_container_health"


class _Made(NamedTuple):
    """The beginnings of a container's points by measurement, and the field that all of them have."""

    series: dict[str, bytes]
    id: bytes


class Telegraf(Schema):
    """A point in each of Telegraf's measurements of which a number is known, and always one in that of the status."""

    measurements = frozenset({*(table.measurement for table in TABLES), HEALTH})
    names = frozenset(
        {
            *TAGS, "server_version", "source", "cpu", "network", "device", "container_id", "health_status", "seen",
            *(field.name for table in TABLES for field in (*table.integers, *table.floats)),
        }
    )  # fmt: skip
    verbatim = True

    def __init__(self, labels: Iterable[str] = (), *, texts: bool = True) -> None:
        super().__init__(labels, texts=texts)
        self._made = Kept(self._make, "state")
        self._tables = [(table, _fields(table)) for table in TABLES]

    def lines(self, sample: ContainerSample) -> bytes:
        """Up to six lines."""
        made, found = self._made.of(sample), []
        for table, write in self._tables:
            if table.networked and sample.network_shared_with is not None:
                continue
            fields = write(sample)
            if fields or table.measurement == STATUS:
                all_fields = (made.id + fields).removeprefix(b",") or SEEN
                found.append(b"%b %b %d" % (made.series[table.measurement], all_fields, sample.time_ns))
        if sample.health and self.texts:
            health = f"health_status={string(sample.health)}".encode()
            found.append(b"%b %b %d" % (made.series[HEALTH], health, sample.time_ns))
        return b"\n".join(found)

    def series_of(self, metric: Metric) -> bytes:
        """Measurement and tags as those of Telegraf's inputs.statsd."""
        name = self._named(metric.name.replace(".", "_"))
        return series(name, self._tagged(statsd.tags_of(metric), metric, statsd.FIELDS))

    def fields_of(self, metric: Metric) -> Mapping[str, float | str]:
        """Its fields, likewise."""
        return statsd.fields_of(metric)

    def clear(self, container: Container) -> None:
        """Forget a container that is gone."""
        super().clear(container)
        self._made.drop(container)

    def _make(self, sample: ContainerSample) -> _Made:
        container = sample.container
        image, version = parsed_image(container.image)
        own = (sample.host, container.name, image, version, sample.state or "")
        tags = {**dict(zip(TAGS, own, strict=True)), **self._labels.of(container)}
        made = {table.measurement: series(table.measurement, {**tags, **_tag(table)}) for table in TABLES}
        id_ = f"container_id={string(container.id)}".encode() if self.texts else b""
        return _Made({**made, HEALTH: series(HEALTH, tags)}, id_)


def parsed_image(image: str) -> tuple[str, str]:
    """An image's name and version, ``unknown`` without one. Source: ParseImage of Telegraf's internal/docker."""
    if not image:
        return "", ""
    first, slash, rest = image.partition("/")
    domain = first + slash if slash and (first == "localhost" or re.search("[.:]", first)) else ""
    name, colon, version = (rest if domain else image).rpartition(":")
    return (domain + name, version) if colon else (image, "unknown")


def _tag(table: Table) -> dict[str, str]:
    return dict([table.tag]) if table.tag else {}


def _fields(table: Table) -> Fields:
    floats, integers = _ordered(table.floats), _ordered(table.integers)
    return Fields(_names(floats), _names(integers), _values(floats), _values(integers))


def _names(fields: Iterable[Field]) -> list[str]:
    return [field.name for field in fields]


def _ordered(fields: Iterable[Field]) -> list[Field]:
    """Those that are attributes of the sample first."""
    return sorted(fields, key=lambda field: field.get is not None)


def _values(fields: Iterable[Field]) -> Values:
    read = attributes(*[field.source.strip("`") for field in fields if field.get is None])
    return followed(read, [field.get for field in fields if field.get is not None])
