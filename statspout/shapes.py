"""A sample as users see it, the same in every repository that writes one: a JSON object, and texts for people."""

from __future__ import annotations

import json
import math
import time
from operator import attrgetter
from typing import Any

import msgspec

from statspout.catalogue import DERIVED
from statspout.sample import ContainerSample, Metric, Sample, Summary

_FIRST = ("cpu_percent", "mem_usage", "mem_percent", "tx_bytes", "rx_bytes")
_REST = tuple(
    field
    for field in (*ContainerSample.__struct_fields__, *DERIVED)
    if field not in {*_FIRST, "time_ns", "host", "container", "networks"}
)
_first_values = attrgetter(*_FIRST)
_rest_values = attrgetter(*_REST)


def rest_object(sample: ContainerSample) -> dict[str, Any]:
    """The object of one sample: plain strings, numbers and dicts, None where unknown, never NaN or infinite.

    ``@timestamp`` and ``started_at`` are RFC 3339; ``networks`` is an object of counters for each interface.
    """
    container = sample.container
    return {
        "@timestamp": rfc3339(sample.time_ns),
        "name": container.name,
        **dict(zip(_FIRST, map(_finite, _first_values(sample)), strict=True)),
        "Labels": dict(container.labels),
        "id": container.id,
        "image": container.image,
        "host": sample.host,
        "started_at": None if container.started_at is None else rfc3339(container.started_at),
        "compose_project": container.compose_project,
        "compose_service": container.compose_service,
        "swarm_stack": container.swarm_stack,
        "swarm_service": container.swarm_service,
        "swarm_task": container.swarm_task,
        **dict(zip(_REST, map(_finite, _rest_values(sample)), strict=True)),
        "networks": _networks(sample),
    }


def metric_object(metric: Metric) -> dict[str, Any]:
    """The object of what an application reported; ``metric``, its name, is a key that no container's object has.

    It has ``value`` and, for a counter, ``rate``; or a summary's ``count``, ``sum``, ``min``, ``max``, ``mean``,
    ``stdev`` and ``percentiles``, all in its ``unit``. ``container``, ``id``, ``image`` and ``Labels`` are the
    sender's. None where unknown, never NaN or infinite; ``@timestamp`` is RFC 3339.
    """
    container = metric.container
    return {
        "@timestamp": rfc3339(metric.time_ns),
        "metric": metric.name,
        "kind": metric.kind,
        **_measured(metric),
        "unit": metric.unit or None,
        "interval_s": _finite(metric.interval_s),
        "tags": dict(metric.tags),
        "context": metric.context,
        "container": None if container is None else container.name,
        "Labels": None if container is None else dict(container.labels),
        "id": None if container is None else container.id,
        "image": None if container is None else container.image,
        "host": metric.host,
    }


def sample_object(sample: Sample) -> dict[str, Any]:
    """The object of a sample of either kind."""
    return rest_object(sample) if isinstance(sample, ContainerSample) else metric_object(sample)


def _measured(metric: Metric) -> dict[str, Any]:
    value = metric.value
    if not isinstance(value, Summary):
        return {"value": _finite(value), "rate": _finite(metric.rate)}
    parts = {part: _finite(getattr(value, part)) for part in Summary.PARTS}
    return {**parts, "percentiles": {name: _finite(one) for name, one in value.percentiles.items()}}


def rfc3339(time_ns: int) -> str:
    """Nanoseconds since the epoch as ``2017-02-14T12:00:01.123456789Z``."""
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    t = time.gmtime(seconds)
    return f"{t.tm_year:04}-{t.tm_mon:02}-{t.tm_mday:02}T{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}.{fraction:09}Z"


def to_json(value: Any) -> bytes:
    """``value`` as JSON; integers of any size stay exact."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        # Half of a surrogate pair, from a name that was not UTF-8: JSON can carry it, escaped.
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def percent(value: float | None) -> str:
    """``20.00%``; ``--`` when it is unknown."""
    return "--" if value is None or not math.isfinite(value) else f"{value:.2f}%"


def printable(name: str) -> str:
    """The name without what would break a line or command a terminal."""
    if name.isprintable():
        return name
    return "".join([c if c.isprintable() else c.encode("unicode_escape").decode() for c in name])


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _networks(sample: ContainerSample) -> dict[str, dict[str, int | None]] | None:
    if sample.networks is None:
        return None
    return {name: msgspec.structs.asdict(interface) for name, interface in sample.networks.items()}
