"""What the Prometheus repository can serve: each schema is tables of metrics, and the labels of their series."""

from __future__ import annotations

from statspout.repositories.prometheus_schemas.cadvisor import CADVISOR
from statspout.repositories.prometheus_schemas.legacy import LEGACY
from statspout.repositories.prometheus_schemas.own import OWN
from statspout.repositories.prometheus_schemas.schema import Schema

SCHEMAS: dict[str, Schema] = {"own": OWN, "cadvisor": CADVISOR, "legacy": LEGACY}
