"""The tags and fields of Telegraf's inputs.statsd for what an application reported.

Source: plugins/inputs/statsd of Telegraf (README.md, statsd.go), as it is set up by default: ``_`` for the dots of a
name, a counter as what was counted in the interval. Its counts are integers, ours are floats: sampling makes fractions
of them, and a counter and a gauge of one name share a measurement, where a field has one type.
"""

from __future__ import annotations

from statspout import Metric, Summary

FIELDS = frozenset({"value", "text", "context", "count", "sum", "mean", "stddev", "upper", "lower"})

_TYPES = {"counter_delta": "counter", "timer": "timing", "text": "event"}
"""Its names of our kinds, where they are other ones. It has no ``counter_total``."""


def tags_of(metric: Metric) -> dict[str, str]:
    """The tags that every point has."""
    own = {"host": metric.host, "metric_type": _TYPES.get(metric.kind, metric.kind)}
    return own if metric.container is None else {**own, "container_name": metric.container.name}


def fields_of(metric: Metric) -> dict[str, float | str]:
    """Its fields."""
    value = metric.value
    if isinstance(value, str):
        return {"text": value}
    if not isinstance(value, Summary):
        return {"value": float(value)}
    parts = {"mean": value.mean, "stddev": value.stdev, "sum": value.sum, "upper": value.max, "lower": value.min}
    parts |= {f"{name}_percentile": one for name, one in value.percentiles.items()} | {"count": value.count}
    return {name: float(one) for name, one in parts.items()}
