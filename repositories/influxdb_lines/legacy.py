"""The measurements of the Go program of this name: four points a sample."""

from __future__ import annotations

import math
from collections.abc import Iterable

from statspout import Container, ContainerSample
from statspout.repositories.influxdb_lines.numbers import LARGEST
from statspout.repositories.influxdb_lines.schema import Kept, Schema
from statspout.repositories.influxdb_lines.text import series

FLOATS = {"cpu_usage": "cpu_percent", "mem_usage": "mem_percent"}
"""Measurements and the fields they come from; ``mem_usage`` was, and is, the percentage."""

INTEGERS = {"tx_bytes": "tx_bytes", "rx_bytes": "rx_bytes"}

UNKNOWN = "seen"
"""The measurement of a sample that knows none of the four."""


class Legacy(Schema):
    """Each number in a measurement of its own, the field ``value``, the tag ``container``."""

    measurements = frozenset({*FLOATS, *INTEGERS, UNKNOWN})
    names = frozenset({"container", "value"})

    def __init__(self, labels: Iterable[str] = (), *, texts: bool = True) -> None:
        super().__init__(labels, texts=texts)
        self._kept = Kept(self._make)

    def lines(self, sample: ContainerSample) -> bytes:
        """Up to four lines."""
        series_of, found = self._kept.of(sample), []
        for name, field in FLOATS.items():
            value = getattr(sample, field)
            if value is not None and math.isfinite(value):
                found.append(b"%b value=%b %d" % (series_of[name], repr(float(value)).encode(), sample.time_ns))
        for name, field in INTEGERS.items():
            value = getattr(sample, field)
            if value is not None and value <= LARGEST and sample.network_shared_with is None:
                found.append(b"%b value=%di %d" % (series_of[name], value, sample.time_ns))
        return b"\n".join(found) or b"%b value=1i %d" % (series_of[UNKNOWN], sample.time_ns)

    def clear(self, container: Container) -> None:
        """Forget a container that is gone."""
        super().clear(container)
        self._kept.drop(container)

    def _make(self, sample: ContainerSample) -> dict[str, bytes]:
        tags = {"container": sample.container.name, **self._labels.of(sample.container)}
        return {name: series(name, tags) for name in (*FLOATS, *INTEGERS, UNKNOWN)}
