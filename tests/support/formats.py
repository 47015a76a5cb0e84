"""The official parsers of the formats that Prometheus scrapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from statspout.exposition import OPENMETRICS, TEXT, Format

PARSERS: dict[Format, Callable[[str], Iterable[Metric]]] = {TEXT: text_families, OPENMETRICS: openmetrics_families}
