"""How lines reach a server: InfluxDB 1.x's API and that of version 2, which InfluxDB 3 and VictoriaMetrics have too."""

from __future__ import annotations

from statspout.repositories.influxdb_api.api import Api
from statspout.repositories.influxdb_api.target import Target
from statspout.repositories.influxdb_api.v1 import V1
from statspout.repositories.influxdb_api.v2 import V2

__all__ = ["Api", "Target", "connect"]


def connect(target: Target) -> Api:
    """The API that ``target`` asks for; version 2 where it names a bucket."""
    return V2(target) if target.bucket else V1(target)
