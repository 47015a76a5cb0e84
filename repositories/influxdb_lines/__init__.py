"""The lines that the InfluxDB repository writes: each schema is names, tags and types for the same numbers."""

from __future__ import annotations

from statspout.repositories.influxdb_lines.legacy import Legacy
from statspout.repositories.influxdb_lines.own import Own
from statspout.repositories.influxdb_lines.schema import Schema
from statspout.repositories.influxdb_lines.telegraf import Telegraf

SCHEMAS: dict[str, type[Schema]] = {"own": Own, "legacy": Legacy, "telegraf": Telegraf}
