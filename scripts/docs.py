"""Writes the generated parts of the documentation; ``--check`` only says which are not as they should be."""

from __future__ import annotations

import inspect
import json
import re
import sys
import tomllib
from functools import partial
from pathlib import Path

from statspout.catalogue import ENTRIES
from statspout.client import mmap
from statspout.client.dialects import DIALECTS, Type, series
from statspout.client.mmap.layout import Column, encode
from statspout.instances import EVERY, shown
from statspout.options import Setting, is_list, settings_of, type_name
from statspout.registry import load
from statspout.repositories.influxdb_lines.own import TEXTS, is_integer
from statspout.repositories.influxdb_lines.telegraf import HEALTH, TABLES
from statspout.repositories.prometheus_schemas import SCHEMAS
from statspout.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


def repositories_table() -> str:
    """Every shipped repository."""
    rows = ["| name | what it does |", "|---|---|"]
    for name, cls in sorted(load().classes.items()):
        rows.append(f"| `{name}` | {(inspect.getdoc(cls) or '').splitlines()[0]} |")
    return "\n".join(rows)


def settings_table() -> str:
    """Every setting of the program and of the shipped repositories."""
    rows = ["| flag | variable | key in the file | default | |", "|---|---|---|---|---|"]
    settings = [*settings_of(Settings), *(s for group in shown(load()).values() for s in group)]
    return "\n".join([*rows, *map(_setting_row, settings)])


def options_table(name: str) -> str:
    """The settings of one repository, or of every one."""
    return "\n".join(["| flag | default | |", "|---|---|---|", *map(_option_row, shown(load())[name])])


def _option_row(setting: Setting) -> str:
    default = f"`{setting.shown()}`" if setting.shown() else "required" if setting.required else ""
    return f"| `{setting.flag}` | {default} | {_told(setting)} |"


def _told(setting: Setting) -> str:
    kind = type_name(setting.type)
    choices = f" {kind}." if kind.startswith("`") else " A list." if is_list(setting.type) else ""
    secret = f" A secret: the variable is `{setting.env}`." if setting.secret else ""
    return f"{setting.help}{choices}{secret}"


def _setting_row(setting: Setting) -> str:
    default = f"`{setting.shown()}`" if setting.shown() else ""
    key = "" if setting.name == "config" else f"`{setting.name}`"
    return f"| `{setting.flag}` | `{setting.env}` | {key} | {default} | {_told(setting)} |"


def example(name: str) -> str:
    """An example as it stands."""
    return f"```python\n{(ROOT / 'examples' / name).read_text().strip()}\n```"


def dialects_table() -> str:
    """Every dialect of StatsD that is written."""
    calls: tuple[Type, ...] = ("count", "gauge", "timing", "set", "histogram", "distribution")
    rows = [f"| dialect | {' | '.join(calls)} | tags | signed gauges change |", "|---|" + "---|" * (len(calls) + 2)]
    for dialect in DIALECTS.values():
        letters = [f"`{dialect.types[call]}`" if call in dialect.types else "not sent" for call in calls]
        head, tail = series(dialect, "name", {"k": "v"})
        tagged = f"{head}:...{tail}".replace("|", r"\|")
        changes = "yes" if dialect.relative else "no"
        rows.append(f"| `{dialect.name}` | {' | '.join(letters)} | `{tagged}` | {changes} |")
    return "\n".join(rows)


def metrics_table() -> str:
    """Every metric, by the catalogue."""
    rows = ["| field | unit | kind | in Prometheus: `statspout_container_...` | |", "|---|---|---|---|---|"]
    rows += [f"| `{e.field}` | {e.unit} | {e.kind} | `{e.prometheus}` | {e.help} |" for e in ENTRIES]
    return "\n".join(rows)


def schema_table(name: str) -> str:
    """Every metric of a schema of the Prometheus page, and the field it comes from."""
    rows = ["| metric | kind | field | more labels |", "|---|---|---|---|"]
    for table in SCHEMAS[name].tables:
        for metric in table.metrics:
            field = metric.field.rpartition(".")[2]
            rows.append(f"| `{metric.name}` | {metric.kind} | `{field}` | {table.extra} |")
    return "\n".join(rows)


def influxdb_own_table() -> str:
    """Every field of the point of a sample, and its type."""
    rows = ["| field | type | unit | |", "|---|---|---|---|"]
    types = {entry.field: "integer" if is_integer(entry) else "float" for entry in ENTRIES}
    rows += [f"| `{e.field}` | {types[e.field]} | {e.unit} | {e.help} |" for e in ENTRIES]
    meanings = (
        "The container's state.",
        "The result of its health check.",
        "The container whose network this one joined.",
    )
    rows += [f"| `{name}` | string | | {meaning} |" for name, meaning in zip(TEXTS, meanings, strict=True)]
    return "\n".join([*rows, "| `seen` | integer | | Always 1: the container was sampled. |"])


def influxdb_telegraf_table() -> str:
    """Every field that Telegraf has and a sample can fill."""
    rows = ["| measurement | field | type | from |", "|---|---|---|---|"]
    for table in TABLES:
        where = f"`{table.measurement}`" + (f", `{'='.join(table.tag)}`" if table.tag else "")
        rows += [f"| {where} | `{field.name}` | integer | {field.source} |" for field in table.integers]
        rows += [f"| {where} | `{field.name}` | float | {field.source} |" for field in table.floats]
    return "\n".join([*rows, f"| `{HEALTH}` | `health_status` | string | `health` |"])


def dashboards_table() -> str:
    """What each panel of a published dashboard for cAdvisor finds."""
    rows = ["| dashboard | panel | query | data |", "|---|---|---|---|"]
    for board in tomllib.loads((ROOT / "docs/cadvisor-dashboards.toml").read_text())["dashboard"]:
        for panel in board["panels"]:
            where = "yes, where the engine counts block I/O" if "needs" in panel else "yes"
            found = f"no: {panel['missing']}" if "missing" in panel else where
            query = panel["query"].replace("|", r"\|")
            rows.append(f"| {board['name']} | {panel['title']} | `{query}` | {found} |")
    return "\n".join(rows)


def mmap_fields_table() -> str:
    """Every field that a statistics file can have."""
    rows = ["| field | type | values | |", "|---|---|---|---|"]
    for name in (name for name in mmap.__all__ if name.endswith("Field")):
        cls = getattr(mmap, name)
        field = cls(value=1) if name.startswith("Static") else cls()
        told = (inspect.getdoc(cls) or "").splitlines()[0].replace("``", "`").replace("**", "^")
        rows.append(f"| `{name}` | `{field.code}` | {2 if field.buffered else 1} | {told} |")
    return "\n".join(rows)


def mmap_bytes() -> str:
    """A file with one counter after one increment, in hexadecimal."""
    data, (place,) = encode([Column("v", "Q", buffered=True)])
    written = bytearray(data)
    written[place : place + 9] = b"\1" + (1).to_bytes(8, "little")
    parts = (("version", 1), ("label size", 2), ("label", 1), ("type size", 2), ("type", 1), ("write buffer", 1))
    lines, at = [], 0
    for name, size in (*parts, ("buffer 0", 8), ("buffer 1", 8)):
        lines.append(f"    {written[at : at + size].hex(' '):<24}  {name}")
        at += size
    return "\n".join(lines)


def results(name: str) -> str:
    """What a benchmark measured, as it was kept by ``--save``."""
    kept = json.loads((ROOT / f"docs/performance/{name}.json").read_text())
    lines = [f"{kept['title']}.", "", _row(kept["columns"]), "|---|" + "---:|" * (len(kept["columns"]) - 1)]
    lines += [*map(_row, kept["rows"]), "", *kept["notes"], f"`{kept['command']}`, {kept['taken']}: {kept['machine']}."]
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


PARTS = {
    "README.md": {"repositories": repositories_table, "example": lambda: example("graphite.py")},
    "docs/app-stats.md": {"shop": lambda: example("shop.py"), "dialects": dialects_table},
    "docs/configuration.md": {"settings": settings_table},
    "docs/framework.md": {
        "custom_main": lambda: example("custom_main.py"),
        "embed": lambda: example("embed.py"),
    },
    "docs/influxdb.md": {"own": influxdb_own_table, "telegraf": influxdb_telegraf_table},
    "docs/metrics.md": {"metrics": metrics_table},
    "docs/mmap-stats.md": {
        "webstats": lambda: example("webstats.py"),
        "fields": mmap_fields_table,
        "bytes": mmap_bytes,
    },
    "docs/repositories.md": {
        "every": lambda: options_table(EVERY),
        **{name: partial(options_table, name) for name in sorted(load().classes)},
    },
    "docs/performance.md": {
        name: partial(results, name)
        for name in ("host", "still", "scale", "start", "client", "mmap", "mmap-reading", "mmap-readers", "statsd")
    },
    "docs/reliability.md": {"soak": partial(results, "soak")},
    "docs/prometheus.md": {
        "cadvisor": lambda: schema_table("cadvisor"),
        "legacy": lambda: schema_table("legacy"),
        "dashboards": dashboards_table,
    },
}


def written(path: Path) -> str:
    """The file's text with its generated parts made anew."""
    text = path.read_text()
    for name, make in PARTS[str(path.relative_to(ROOT))].items():
        pattern = rf"(<!-- {name}: generated by scripts/docs.py -->\n).*?(<!-- end -->)"
        made = make().replace("\\", r"\\")
        text, count = re.subn(pattern, rf"\1\n{made}\n\n\2", text, flags=re.DOTALL)
        if count != 1:
            raise SystemExit(f"{path}: {count} places for {name}, one is right")
    return text


def main() -> int:
    """Write, or with ``--check`` compare; 1 when something is not as it should be."""
    stale = [path for path in (ROOT / name for name in PARTS) if path.read_text() != written(path)]
    for path in stale:
        if "--check" in sys.argv:
            print(f"{path.relative_to(ROOT)} is not as scripts/docs.py writes it")
        else:
            path.write_text(written(path))
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
