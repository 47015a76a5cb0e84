"""What applications report, as points: a measurement for each name, its fields by what kind of number it is.

Every number is a float, whatever the first one was: a counter of whole numbers has a fraction once a sender leaves some
out, and a field cannot change its type. A text is in a field of its own, as none can be a number here and a text there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from statspout import Metric, Summary
from statspout.repositories.influxdb_lines.text import key, string

FIELDS = frozenset({"value", "rate", "text", "context", *Summary.PARTS})
"""The fields; those of percentiles are ``p`` and the percentile: ``p95``, ``p99.9``."""

Fields = Mapping[str, float | str]
"""What is to be written, by field: floats, and texts."""


def fields_of(metric: Metric) -> dict[str, float | str]:
    """The fields of our own schema."""
    value = metric.value
    if isinstance(value, Summary):
        parts: dict[str, float | str] = {part: float(getattr(value, part)) for part in Summary.PARTS}
        return parts | {f"p{name}": float(one) for name, one in value.percentiles.items()}
    if isinstance(value, str):
        return {"text": value}
    number = {"value": float(value)}
    return {**number, "rate": metric.rate} if metric.rate is not None else {**number}


def point(start: bytes, fields: Fields, metric: Metric, *, texts: bool) -> bytes:
    """One line that begins with ``start``.

    ValueError where no field can be written: a number that is none, a text without ``texts``.
    """
    written = list(_written(fields, texts=texts))
    if not written:
        raise ValueError(f"{metric.name} has nothing that can be stored")
    if metric.context is not None and texts:
        written.append(f"context={string(metric.context)}")
    return b"%b %b %d" % (start, ",".join(written).encode(), metric.time_ns)


def _written(fields: Fields, *, texts: bool) -> Iterator[str]:
    for name, value in fields.items():
        if isinstance(value, str):
            if texts:
                yield f"{key(name)}={string(value)}"
        elif math.isfinite(value):
            yield f"{key(name)}={value!r}"
