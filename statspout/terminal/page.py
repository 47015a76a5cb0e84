"""From rows to the lines that are shown."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

from statspout.shapes import percent, printable
from statspout.terminal.columns import ALL, COLUMNS, GAP, Cell, layout
from statspout.terminal.rows import Row, Table, known
from statspout.terminal.text import UNKNOWN, cells, memory, shortened

Paint = Callable[[str, str], str]
"""Gives a text the look of a style."""


def plain(text: str, _: str) -> str:
    """The text as it is."""
    return text


def coloured(text: str, style: str) -> str:
    """The text with a terminal's codes around it."""
    code = {"dim": "2", "high": "1;31", "title": "1"}.get(style)
    return text if code is None else f"\x1b[{code}m{text}\x1b[0m"


def lines(table: Table, columns: int | None = None, height: int | None = None, paint: Paint = plain) -> list[str]:
    """The table as lines of at most ``columns``, at most ``height`` of them; without these, whole.

    The first says what all of them come to, the second has the titles; what has no room is counted in the last.
    """
    rows = table.rows()
    shown = rows if height is None or len(rows) + 2 <= height else rows[: max(0, height - 3)]
    names = [name for name in ALL.split() if name != "host" or len(_hosts(rows)) > 1]
    if columns is not None:
        names.append("usage")
    body = [{name: COLUMNS[name].cell(row) for name in names} for row in shown]
    widths = {name: _width(name, [cell[name].text + cell[name].tail for cell in body]) for name in names}
    fitted = {name: widths[name] for name in names} if columns is None else layout(widths, columns)
    found = [
        _fit_summary(_summary(rows, table), columns),
        _line({name: Cell(COLUMNS[name].title, "title") for name in fitted}, fitted, paint),
        *(_line(cell, fitted, paint) for cell in body),
    ]
    if len(shown) < len(rows):
        found.append(paint(f"+ {len(rows) - len(shown)} more", "dim"))
    return found[:height]


def _width(name: str, texts: Sequence[str]) -> int:
    column = COLUMNS[name]
    return max([column.least, len(column.title), *map(cells, texts)])


def _line(found: Mapping[str, Cell], widths: Mapping[str, int], paint: Paint) -> str:
    # A paused container is dim from end to end.
    dim = found["name"].style == "dim"
    parts = []
    for name, width in widths.items():
        text = found[name].fitted(width)
        space = " " * (width - cells(text))
        parts.append((text + space if COLUMNS[name].left else space + text, "dim" if dim else found[name].style))
    last, style = parts.pop()
    parts.append((last.rstrip(), style))
    return GAP.join(paint(text, style) for text, style in parts)


def _hosts(rows: Sequence[Row]) -> set[str]:
    return {row.sample.host for row in rows}


def _summary(rows: Sequence[Row], table: Table) -> list[tuple[int, str]]:
    """What all rows come to: (how soon it can be left out, text)."""
    every = "once" if math.isinf(table.interval) else f"every {table.interval:g} s"
    if not rows:
        return [(9, "no samples"), (1, every)]
    cpu = _total_of([known(row.sample.cpu_percent) for row in rows], percent)
    mem = _total_of([row.sample.mem_usage for row in rows], memory)
    return [
        (9, f"{len(rows)} container{'' if len(rows) == 1 else 's'}"),
        (2, _where(_hosts(rows))),
        (3, every),
        (7, f"CPU {cpu}"),
        (6, f"MEM {mem}"),
        (5, _time(max(row.sample.time_ns for row in rows))),
        (4, f"sorted by {_SPOKEN[table.sort]}"),
    ]


_SPOKEN = {"cpu": "CPU", "mem": "memory", "net": "network", "block": "block I/O", "pids": "PIDs", "name": "name"}


def _where(hosts: set[str]) -> str:
    return f"{len(hosts)} hosts" if len(hosts) > 1 else printable(*hosts)


def _total_of(values: Sequence[float | None], spoken: Callable[[float], str]) -> str:
    """The sum; of those that are known it is the least that the sum can be."""
    known = [value for value in values if value is not None]
    if not known:
        return UNKNOWN
    return f"{'' if len(known) == len(values) else '≥ '}{spoken(sum(known))}"


def _time(time_ns: int) -> str:
    return time.strftime("%H:%M:%S UTC", time.gmtime(time_ns // 1_000_000_000))


def _fit_summary(parts: Sequence[tuple[int, str]], room: int | None) -> str:
    left = [part for part in parts if part[1]]
    while room is not None and len(left) > 1 and cells(_joined(left)) > room:
        left.remove(min(left))
    return _joined(left) if room is None else shortened(_joined(left), room)


def _joined(parts: Sequence[tuple[int, str]]) -> str:
    return " · ".join(text for _, text in parts)
