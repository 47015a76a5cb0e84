"""The tags and fields of Telegraf's inputs.statsd for what an application reported.

Source: plugins/inputs/statsd of Telegraf (README.md, statsd.go), as it is set up by default: ``_`` for the dots of a
name, a counter as what was counted in the interval, and its counts as integers.
"""

from __future__ import annotations

from statspout import Metric, Summary
from statspout.repositories.influxdb_lines.numbers import LARGEST

FIELDS = frozenset({"value", "text", "context", "count", "sum", "mean", "stddev", "upper", "lower"})

_TYPES = {"counter_delta": "counter", "timer": "timing", "text": "event"}
"""Its names of our kinds, where they are other ones. It has no ``counter_total``."""

_INTEGERS = frozenset({"counter_delta", "set"})


def tags_of(metric: Metric) -> dict[str, str]:
    """The tags that every point has."""
    own = {"host": metric.host, "metric_type": _TYPES.get(metric.kind, metric.kind)}
    return own if metric.container is None else {**own, "container_name": metric.container.name}


def fields_of(metric: Metric) -> dict[str, float | str]:
    """Its fields. Counts that a sender's sampling left with a fraction are rounded: there they are integers."""
    value = metric.value
    if isinstance(value, Summary):
        parts = {"mean": value.mean, "stddev": value.stdev, "sum": value.sum, "upper": value.max, "lower": value.min}
        parts |= {f"{name}_percentile": one for name, one in value.percentiles.items()}
        return {**{name: float(one) for name, one in parts.items()}, **_whole("count", value.count)}
    if isinstance(value, str):
        return {"text": value}
    return _whole("value", value) if metric.kind in _INTEGERS else {"value": float(value)}


def _whole(name: str, value: float) -> dict[str, float | str]:
    """Absent where it does not fit."""
    return {name: round(value)} if abs(value) <= LARGEST else {}
