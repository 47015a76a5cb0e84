"""The table of the running containers: rates, rows, order, and lines that fit. Nothing in here writes or waits."""

from __future__ import annotations

import math
import time
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from statspout.latest import Latest
from statspout.sample import Container, ContainerSample
from statspout.shapes import percent, printable

Sort = Literal["cpu", "mem", "net", "block", "pids", "name"]

UNKNOWN = "--"

TREND = 10
"""Samples that a trend shows."""

_HIGH = 80.0
"""Percent of the CPUs, or of the memory limit, above which a number is coloured."""

_TREND_FLOOR = 10.0
"""CPU percent that a full mark stands for at least: the noise of an idle container is no trend."""

_GAP = "  "
_NAME_LEAST = 16
_HOST_MOST = 16
_TEXT_LEAST = 4


# From samples to rows


class Rates(NamedTuple):
    """Bytes a second since the sample before; None where that is unknown."""

    rx: float | None = None
    tx: float | None = None
    read: float | None = None
    write: float | None = None


_COUNTERS = ("rx_bytes", "tx_bytes", "blkio_read_bytes", "blkio_write_bytes")


def rates(before: ContainerSample | None, sample: ContainerSample) -> Rates:
    """How fast the counters grew between two samples of one run, by the samples' own times.

    Unknown without a sample of the same run before it, when no time passed, or when a counter went back.
    """
    if before is None or before.container.identity != sample.container.identity or sample.time_ns <= before.time_ns:
        return Rates()
    seconds = (sample.time_ns - before.time_ns) / 1e9
    return Rates(*(_rate(getattr(before, field), getattr(sample, field), seconds) for field in _COUNTERS))


def _rate(before: int | None, now: int | None, seconds: float) -> float | None:
    return None if before is None or now is None or now < before else (now - before) / seconds


@dataclass(frozen=True, slots=True)
class Row:
    """One container: its latest sample, its rates, and (time_ns, CPU percent) of its last samples, oldest first."""

    sample: ContainerSample
    rates: Rates
    history: tuple[tuple[int, float | None], ...]

    @property
    def trend(self) -> tuple[float | None, ...]:
        """The CPU percentages of its last samples."""
        return tuple(cpu for _, cpu in self.history)


class Table:
    """The current rows: a container that is cleared, or silent for three intervals, is none of them.

    ``interval`` is in seconds, infinite when each container is sampled once; ``clock`` gives monotonic seconds.
    """

    def __init__(self, interval: float, sort: Sort = "cpu", clock: Callable[[], float] = time.monotonic) -> None:
        self.interval = interval
        self.sort = sort
        self._latest = Latest(interval, clock)
        self._rows: dict[str, Row] = {}

    def put(self, sample: ContainerSample) -> None:
        """Make ``sample`` its container's row. One that came before, as after a failed push, changes nothing."""
        row = self._rows.get(sample.container.id)
        history: tuple[tuple[int, float | None], ...] = ()
        if row is not None and row.sample.container.identity == sample.container.identity:
            history = row.history
            if any(sample.time_ns == time_ns for time_ns, _ in history):
                return
        history = (*history, (sample.time_ns, _known(sample.cpu_percent)))[-TREND:]
        self._rows[sample.container.id] = Row(sample, rates(row.sample if row else None, sample), history)
        self._latest.put(sample)

    def drop(self, container: Container) -> None:
        """Forget a container that is gone."""
        self._latest.drop(container)

    def rows(self) -> list[Row]:
        """The current rows in their order: the most first, unknown last, equal ones by name."""
        self._rows = {sample.container.id: self._rows[sample.container.id] for sample in self._latest.samples()}
        return in_order(self._rows.values(), self.sort)


def in_order(rows: Iterable[Row], sort: Sort) -> list[Row]:
    """The rows by what ``sort`` names, the most first and unknown last, equal ones by name; or all by name."""
    by_name = sorted(rows, key=lambda row: (row.sample.container.name, row.sample.host, row.sample.container.id))
    if sort == "name":
        return by_name
    measure = _MEASURES[sort]
    return sorted(by_name, key=lambda row: -math.inf if (value := measure(row)) is None else value, reverse=True)


_MEASURES: Mapping[str, Callable[[Row], float | None]] = {
    "cpu": lambda row: _known(row.sample.cpu_percent),
    "mem": lambda row: row.sample.mem_usage,
    "net": lambda row: _sum(row.rates.rx, row.rates.tx),
    "block": lambda row: _sum(row.rates.read, row.rates.write),
    "pids": lambda row: row.sample.pids,
}


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def _known(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


# From numbers to text


def size(value: float | None, base: int = 1000, digits: int = 3) -> str:
    """Bytes in the largest unit of which there is one, as ``docker stats`` writes them: ``1.46kB``, ``97.7MiB``.

    Memory is in powers of 1024 with four digits, traffic in powers of 1000 with three.
    """
    if value is None:
        return UNKNOWN
    infix = "i" if base == 1024 else ""
    units = ("B", *(f"{prefix}{infix}B" for prefix in ("k" if base == 1000 else "K", *"MGTPE")))
    amount = float(value)
    for unit in units:
        # What is rounded up to the next unit is written in it.
        if float(f"{amount:.{digits}g}") < base or unit == units[-1]:
            return f"{float(f'{amount:.{digits}g}'):g}{unit}"
        amount /= base
    raise AssertionError("the last unit takes everything")


def memory(value: float | None) -> str:
    """Bytes of memory: ``97.66MiB``."""
    return size(value, 1024, 4)


def sparkline(values: Sequence[float | None]) -> str:
    """One mark a value, the newest at the right end; unknown is a gap. A full mark is the largest of them."""
    most = max([_TREND_FLOOR, *(value for value in values if value is not None)])
    marks = [" " if value is None else _MARKS[min(7, int(value / most * 8))] for value in values]
    return "".join(marks).rjust(TREND)


_MARKS = "▁▂▃▄▅▆▇█"


def cells(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shortened(text: str, room: int) -> str:
    """The text in at most ``room`` columns; ``…`` stands for what is missing."""
    if cells(text) <= room:
        return text
    kept, left = [], room - 1
    for character in text:
        left -= _cells(character)
        if left < 0:
            break
        kept.append(character)
    return "".join(kept) + "…" if room > 0 else ""


# From rows to lines


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
    return sum(widths[name] for name in names) + len(_GAP) * (len(names) - 1)


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
    return _GAP.join(paint(text, style) for text, style in parts)


# The first line


def _hosts(rows: Sequence[Row]) -> set[str]:
    return {row.sample.host for row in rows}


def _summary(rows: Sequence[Row], table: Table) -> list[tuple[int, str]]:
    """What all rows come to: (how soon it can be left out, text)."""
    every = "once" if math.isinf(table.interval) else f"every {table.interval:g} s"
    if not rows:
        return [(9, "no samples"), (1, every)]
    cpu = _total_of([_known(row.sample.cpu_percent) for row in rows], percent)
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
