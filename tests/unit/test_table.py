"""The table: rates that are right or absent, an order, units, and lines that fit."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from statspout import ContainerSample
from statspout.terminal.columns import COLUMNS, LAYOUTS, layout
from statspout.terminal.page import coloured, lines
from statspout.terminal.rows import Rates, Row, Sort, Table, in_order, rates
from statspout.terminal.text import cells, memory, shortened, size, sparkline
from statspout.testing import sample

SECOND = 1_000_000_000
START = 1_795_341_605 * SECOND


class Clock:
    """Monotonic seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def one(name: str = "web", seconds: float = 0.0, **fields: Any) -> ContainerSample:
    return sample(name, time_ns=START + int(seconds * SECOND), **fields)


def table_of(*samples: ContainerSample, sort: Sort = "cpu", interval: float = 5.0) -> Table:
    found = Table(interval, sort, Clock())
    for each in samples:
        found.put(each)
    return found


COUNTERS: dict[str, Any] = {"rx_bytes": 100, "tx_bytes": 200, "blkio_read_bytes": 300, "blkio_write_bytes": 400}
AFTER: dict[str, Any] = {"rx_bytes": 200, "tx_bytes": 400, "blkio_read_bytes": 600, "blkio_write_bytes": 400}


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (one(**COUNTERS), one(seconds=2, **AFTER), Rates(50, 100, 150, 0)),
        (one(**COUNTERS), one(seconds=0.5, **AFTER), Rates(200, 400, 600, 0)),
        (None, one(**AFTER), Rates()),
        (one(**COUNTERS), one(seconds=0, **AFTER), Rates()),
        (one(**COUNTERS), one(seconds=-3600, **AFTER), Rates()),
        (one(**COUNTERS), one(seconds=2, started_at=7, **AFTER), Rates()),
        (one(**COUNTERS, started_at=None), one(seconds=2, **AFTER), Rates()),
        (one(**COUNTERS), one("db", seconds=2, **AFTER), Rates()),
        (one(**COUNTERS), one(seconds=2, **(AFTER | {"rx_bytes": 99})), Rates(None, 100, 150, 0)),
        (one(**COUNTERS), one(seconds=2, **(AFTER | {"tx_bytes": None})), Rates(50, None, 150, 0)),
        (one(**(COUNTERS | {"blkio_read_bytes": None})), one(seconds=2, **AFTER), Rates(50, 100, None, 0)),
        (one(rx_bytes=0), one(seconds=1, rx_bytes=2**64 - 1), Rates(float(2**64), 0, 0, 0)),
    ],
)
def test_a_rate_is_what_the_counter_grew_by_or_unknown(
    before: ContainerSample | None, now: ContainerSample, expected: Rates
) -> None:
    assert rates(before, now) == expected


def test_a_sample_that_comes_again_changes_nothing() -> None:
    batch = [one(seconds=second, rx_bytes=second * 100, cpu_percent=float(second)) for second in (0, 1, 2)]
    (row,) = table_of(*batch, *batch).rows()
    assert (row.rates.rx, row.trend) == (100.0, (0.0, 1.0, 2.0))


def test_a_restart_begins_a_new_trend_and_a_rename_does_not() -> None:
    first, renamed = one(cpu_percent=1.0), one("api", seconds=1, id=one().container.id, cpu_percent=2.0)
    assert [row.trend for row in table_of(first, renamed).rows()] == [(1.0, 2.0)]
    assert [row.trend for row in table_of(first, one(seconds=1, started_at=7, cpu_percent=3.0)).rows()] == [(3.0,)]


def test_the_gone_and_the_silent_are_not_in_the_table() -> None:
    clock = Clock()
    found = Table(5.0, "cpu", clock)
    for name in ("gone", "silent", "web"):
        found.put(one(name))
    found.drop(one("gone").container)
    found.drop(one("web", started_at=7).container)
    clock.now = 15.1
    found.put(one("web", seconds=15))
    assert [row.sample.container.name for row in found.rows()] == ["web"]


@pytest.mark.parametrize(
    ("value", "traffic", "held"),
    [
        (None, "--", "--"),
        (0, "0B", "0B"),
        (0.25, "0.25B", "0.25B"),
        (999, "999B", "999B"),
        (999.6, "1kB", "999.6B"),
        (1010, "1.01kB", "1010B"),
        (1023.99, "1.02kB", "1KiB"),
        (123_456, "123kB", "120.6KiB"),
        (999_999, "1MB", "976.6KiB"),
        (104_857_600, "105MB", "100MiB"),
        (8 * 1024**3, "8.59GB", "8GiB"),
        (2**64 - 1, "18.4EB", "16EiB"),
    ],
)
def test_bytes_are_written_as_docker_stats_writes_them(value: float | None, traffic: str, held: str) -> None:
    assert (size(value), memory(value)) == (traffic, held)


@pytest.mark.parametrize(
    ("values", "marks"),
    [
        ([], "          "),
        ([0.0, 50.0, 100.0], "       ▁▅█"),
        ([None, 0.5, None, 10.0], "       ▁ █"),
        ([5.0, 5.0], "        ▅▅"),
        ([float(n) for n in range(0, 100, 10)], "▁▁▂▃▄▅▆▇██"),
    ],
)
def test_a_trend_has_a_mark_a_sample_and_a_gap_where_unknown(values: list[float | None], marks: str) -> None:
    assert sparkline(values) == marks


def row(name: str, **fields: Any) -> Row:
    speeds = {field: fields.pop(field, None) for field in Rates._fields}
    return Row(one(name, **fields), Rates(**speeds), ())


@pytest.mark.parametrize(
    ("sort", "rows", "expected"),
    [
        ("cpu", [row("a", cpu_percent=1.0), row("b", cpu_percent=None), row("c", cpu_percent=0.0)], "a c b"),
        ("cpu", [row("a", cpu_percent=math.nan), row("c", cpu_percent=2.0), row("b", cpu_percent=2.0)], "b c a"),
        ("mem", [row("a", mem_usage=1), row("b", mem_usage=3), row("c", mem_usage=None)], "b a c"),
        ("net", [row("a", rx=9.0), row("b", rx=1.0, tx=0.0), row("c", rx=0.0, tx=5.0)], "c b a"),
        ("block", [row("a", read=0.0, write=0.0), row("b"), row("c", read=1.0, write=0.0)], "c a b"),
        ("pids", [row("a", pids=2), row("b", pids=None), row("c", pids=20)], "c a b"),
        ("name", [row("c"), row("a"), row("b")], "a b c"),
    ],
)
def test_the_most_come_first_the_unknown_last_and_equals_by_name(sort: Sort, rows: list[Row], expected: str) -> None:
    for order in (rows, rows[::-1]):
        assert [found.sample.container.name for found in in_order(order, sort)] == expected.split()


BARE = ContainerSample(time_ns=START, host="h", container=one("bare").container)


def test_unknown_is_never_zero() -> None:
    assert lines(table_of(BARE))[2].split() == ["bare", "--", "--", "/", *["--"] * 7]
    assert "CPU -- · MEM -- ·" in lines(table_of(BARE))[0]
    assert "CPU ≥ 20.00% · MEM ≥ 100MiB ·" in lines(table_of(BARE, one()))[0]


def test_the_first_line_says_what_all_come_to() -> None:
    both = table_of(one("a", host="n1"), one("b", host="n2", seconds=7), sort="mem", interval=2.5)
    assert lines(both)[0] == (
        "2 containers · 2 hosts · every 2.5 s · CPU 40.00% · MEM 200MiB · 10:00:12 UTC · sorted by memory"
    )
    assert lines(table_of(one(), interval=math.inf))[0].startswith("1 container · node-1 · once · CPU 20.00%")
    assert lines(table_of()) == ["no samples · every 5 s", lines(table_of(one()))[1].rstrip()]


def test_the_host_has_a_column_when_there_is_more_than_one() -> None:
    assert "HOST" not in lines(table_of(one("a"), one("b")))[1]
    assert lines(table_of(one("a"), one("b", host="n2")))[1].split()[:2] == ["NAME", "HOST"]


WIDTHS = {name: max(column.least, len(column.title)) for name, column in COLUMNS.items()} | {"name": 30, "host": 40}


@pytest.mark.parametrize(
    ("room", "names", "name_width"),
    [
        (200, LAYOUTS[0], 30),
        (134, LAYOUTS[0], 16),
        (133, LAYOUTS[1], 22),
        (100, LAYOUTS[3], 19),
        (77, LAYOUTS[5], 16),
        (60, LAYOUTS[7], 22),
        (40, LAYOUTS[8], 20),
        (10, LAYOUTS[8], 1),
    ],
)
def test_the_least_important_columns_vanish_first(room: int, names: str, name_width: int) -> None:
    found = layout(WIDTHS, room)
    assert (list(found), found["name"]) == (names.split(), name_width)


@pytest.mark.parametrize("columns", range(40, 140))
def test_no_line_is_longer_than_the_terminal_is_wide(columns: int) -> None:
    names = ["n" * 300, "漢字" * 30, "\x1b[2J\x1b[H", "e\u0301" * 40, "two\nlines", "web"]
    found = table_of(*[one(name, host=f"{name}.example", state="paused", health="unhealthy") for name in names])
    for line in lines(found, columns, 30):
        assert cells(line) <= columns
        assert "\x1b" not in line
        assert "\n" not in line


@pytest.mark.parametrize(
    ("text", "room", "shown"),
    [
        ("web", 3, "web"),
        ("webs", 3, "we…"),
        ("漢字", 4, "漢字"),
        ("漢字", 3, "漢…"),
        ("漢字", 2, "…"),
        ("e\u0301e\u0301e\u0301", 2, "e\u0301…"),
        ("web", 0, ""),
    ],
)
def test_what_is_too_long_ends_in_three_dots(text: str, room: int, shown: str) -> None:
    assert shortened(text, room) == shown


@pytest.mark.parametrize(
    ("fields", "columns", "name"),
    [
        ({"state": "paused"}, 100, "a-rather-long-name (paused)"),
        ({"state": "paused"}, 40, "a-rather-l… (paused)"),
        ({"health": "unhealthy"}, 40, "a-rathe… (unhealthy)"),
        ({"health": "unhealthy"}, 30, "a-rather-…"),
        ({"health": "starting"}, 100, "a-rather-long-name"),
    ],
)
def test_the_paused_and_the_unhealthy_say_so(fields: dict[str, Any], columns: int, name: str) -> None:
    line = lines(table_of(one("a-rather-long-name", cpu_percent=1.0, **fields)), columns)[2]
    assert line.partition("  ")[0] == name


@pytest.mark.parametrize(
    ("height", "names", "last"),
    [(30, 6, None), (8, 6, None), (7, 4, "+ 2 more"), (4, 1, "+ 5 more"), (3, 0, "+ 6 more"), (2, 0, None)],
)
def test_what_has_no_line_is_counted(height: int, names: int, last: str | None) -> None:
    found = lines(table_of(*[one(f"web-{i}") for i in range(6)]), 80, height)
    assert len(found) <= height
    assert sum(line.startswith("web-") for line in found) == names
    assert (found[-1] if found[-1].startswith("+") else None) == last


@pytest.mark.parametrize(
    ("fields", "high"),
    [
        ({"cpu_percent": 321.0}, "321.00%"),
        ({"cpu_percent": 319.0}, None),
        ({"cpu_percent": 321.0, "online_cpus": None}, None),
        ({"mem_percent": 80.5}, "80.50%"),
        ({"mem_percent": None}, None),
    ],
)
def test_only_what_is_nearly_used_up_is_coloured(fields: dict[str, Any], high: str | None) -> None:
    line = lines(table_of(one(**fields)), 120, 30, coloured)[2]
    assert ("\x1b[1;31m" in line) == bool(high)
    assert f"{high}\x1b[0m" in line or high is None


def test_the_paused_are_dim_from_end_to_end() -> None:
    line = lines(table_of(one(state="paused", mem_percent=99.0)), 120, 30, coloured)[2]
    assert set(re.findall(r"\x1b\[([\d;]+)m", line)) == {"2", "0"}
