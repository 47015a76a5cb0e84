"""The columns of the table, and which of them fit into how much room."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from statspout.shapes import percent, printable
from statspout.terminal.rows import Row
from statspout.terminal.text import TREND, UNKNOWN, memory, shortened, size, sparkline

_HIGH = 80.0
"""Percent of the CPUs, or of the memory limit, above which a number is coloured."""

GAP = "  "
_NAME_LEAST = 16
_HOST_MOST = 16
_TEXT_LEAST = 4


class Cell(NamedTuple):
    """A text, and what it is: ``plain``, ``dim`` or ``high``. The ``tail`` stays when the text is shortened."""

    text: str
    style: str = "plain"
    tail: str = ""

    def fitted(self, room: int) -> str:
        """The text, and the tail where there is room for both, in at most ``room`` columns."""
        if self.tail and room - len(self.tail) >= _TEXT_LEAST:
            return shortened(self.text, room - len(self.tail)) + self.tail
        return shortened(self.text + self.tail, room)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its title, the text of a row, and the least width, so that it does not jump as numbers change."""

    title: str
    cell: Callable[[Row], Cell]
    least: int = 0
    left: bool = False


def _name(row: Row) -> Cell:
    """The name, and behind it what else it is than running and healthy."""
    name = printable(row.sample.container.name)
    if row.sample.state == "paused":
        return Cell(name, "dim", " (paused)")
    return Cell(name, tail=" (unhealthy)" if row.sample.health == "unhealthy" else "")


def _cpu(row: Row) -> Cell:
    used, cpus = row.sample.cpu_percent, row.sample.online_cpus
    return Cell(percent(used), _style(None if used is None or not cpus else used / cpus))


def _style(share: float | None) -> str:
    return "high" if share is not None and math.isfinite(share) and share > _HIGH else "plain"


def _mem(row: Row) -> Cell:
    usage, limit = memory(row.sample.mem_usage), memory(row.sample.mem_limit)
    return Cell(f"{usage:>9} / {limit:<8}", _style(row.sample.mem_percent))


def _pids(row: Row) -> Cell:
    return Cell(UNKNOWN if row.sample.pids is None else str(row.sample.pids))


COLUMNS: Mapping[str, Column] = {
    "name": Column("NAME", _name, left=True),
    "host": Column("HOST", lambda row: Cell(printable(row.sample.host)), left=True),
    "cpu": Column("CPU %", _cpu, 7),
    "trend": Column("TREND", lambda row: Cell(sparkline(row.trend)), TREND, left=True),
    "mem": Column("MEM USAGE / LIMIT", _mem, 20, left=True),
    "usage": Column("MEM USAGE", lambda row: Cell(memory(row.sample.mem_usage), _style(row.sample.mem_percent)), 9),
    "share": Column("MEM %", lambda row: Cell(percent(row.sample.mem_percent), _style(row.sample.mem_percent)), 6),
    "rx": Column("NET RX/s", lambda row: Cell(size(row.rates.rx))),
    "tx": Column("NET TX/s", lambda row: Cell(size(row.rates.tx))),
    "read": Column("BLOCK R/s", lambda row: Cell(size(row.rates.read))),
    "write": Column("BLOCK W/s", lambda row: Cell(size(row.rates.write))),
    "pids": Column("PIDS", _pids, 5),
}

ALL = "name host cpu trend mem share rx tx read write pids"

LAYOUTS = (
    ALL,
    "name host cpu trend mem share rx tx read write",
    "name host cpu trend mem share rx tx",
    "name host cpu trend mem rx tx",
    "name host cpu trend mem share",
    "name host cpu trend mem",
    "name host cpu trend usage",
    "name host cpu usage",
    "name cpu usage",
)
"""Which columns to show, from the widest terminal to the narrowest."""


def layout(widths: Mapping[str, int], room: int) -> dict[str, int]:
    """The columns that fit into ``room``, with their widths; the name takes what the others leave of it.

    ``widths`` are those that the contents want; a column that is not among them is not shown.
    """
    wanted = {name: min(width, _HOST_MOST) if name == "host" else width for name, width in widths.items()}
    shown: list[str] = []
    for names in LAYOUTS:
        shown = [name for name in names.split() if name in widths]
        if _total(wanted | {"name": min(widths["name"], _NAME_LEAST)}, shown) <= room:
            break
    left = room - _total(wanted | {"name": 0}, shown)
    return {name: wanted[name] for name in shown} | {"name": max(1, min(widths["name"], left))}


def _total(widths: Mapping[str, int], names: Sequence[str]) -> int:
    return sum(widths[name] for name in names) + len(GAP) * (len(names) - 1)
