"""The live table in a real terminal, and plain tables where there is none."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from functools import partial

import pytest
from support.terminal import Terminal

from statspout.terminal.text import cells
from statspout.testing import FakeEngine
from statspout.testing.engine_fleet import FaultKind

CPU = {"cache": 0.1, "db": 0.4, "web": 0.8}


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with FakeEngine() as engine:
        for name, cpu in CPU.items():
            engine.add(name, cpu=cpu)
        yield engine


def show(terminal: Terminal, engine: FakeEngine, *arguments: str, before: str = "", after: str = "") -> None:
    common = (f"--socket.path={engine.socket_path}", "--stdout.format=table", "--interval=1")
    terminal.run(*common, *arguments, before=before, after=after)


def table_on(screen: Sequence[str]) -> list[list[str]]:
    """The words of each row of the one table on the screen, which is whole."""
    firsts = [number for number, line in enumerate(screen) if re.match(r"\d+ containers? · |no samples", line)]
    assert len(firsts) == 1, f"{len(firsts)} tables"
    assert screen[firsts[0] + 1].startswith("NAME  ")
    rows = []
    for line in screen[firsts[0] + 2 :]:
        if not line or line.startswith(("+ ", "prompt>")):
            break
        rows.append(line.split())
    return rows


def names_on(terminal: Terminal) -> list[str]:
    return [row[0] for row in table_on(terminal.screen)]


def with_cpu(terminal: Terminal, names: Sequence[str]) -> bool:
    """Whether these are the rows, in this order, each with a CPU figure."""
    rows = table_on(terminal.screen)
    return [row[0] for row in rows] == list(names) and all(row[1].endswith("%") for row in rows)


ALL_TITLES = "NAME CPU % TREND MEM USAGE / LIMIT MEM % NET RX/s NET TX/s BLOCK R/s BLOCK W/s PIDS"
SIXTY = "NAME CPU % TREND MEM USAGE / LIMIT MEM %"

BY_CPU = ["web", "db", "cache"]


def test_rows_are_sorted_and_who_stops_vanishes_and_who_starts_comes(engine: FakeEngine) -> None:
    with Terminal() as terminal:
        show(terminal, engine)
        terminal.until(lambda: with_cpu(terminal, BY_CPU))
        engine.stop_container("db")
        terminal.until(lambda: with_cpu(terminal, ["web", "cache"]))
        for _ in range(5):
            terminal.press("Enter")
        engine.add("api", cpu=2.0)
        terminal.until(lambda: with_cpu(terminal, ["api", "web", "cache"]))
        terminal.until(lambda: terminal.codes.count("\x1b[1m") > 5)


def test_the_silent_vanish_though_nothing_comes_any_more(engine: FakeEngine) -> None:
    with Terminal() as terminal:
        show(terminal, engine)
        terminal.until(lambda: with_cpu(terminal, BY_CPU))
        engine.down()
        terminal.until(lambda: any(line.startswith("no samples · every 1 s") for line in terminal.screen))
        terminal.until(lambda: not names_on(terminal))


def test_a_narrower_terminal_has_fewer_columns_and_no_line_becomes_two(engine: FakeEngine) -> None:
    with Terminal() as terminal:
        show(terminal, engine)
        terminal.until(lambda: with_cpu(terminal, BY_CPU) and ALL_TITLES in words(terminal.screen))
        for columns, titles in ((60, SIXTY), (40, "NAME CPU % TREND MEM USAGE")):
            terminal.resize(columns, 12)
            terminal.until(lambda: with_cpu(terminal, BY_CPU))
            terminal.until(partial(fits, terminal, titles, columns))
        terminal.resize(150, 30)
        terminal.until(partial(fits, terminal, ALL_TITLES, 150))


def words(screen: Sequence[str]) -> list[str]:
    """The lines with one space for several."""
    return [" ".join(line.split()) for line in screen]


def fits(terminal: Terminal, titles: str, columns: int) -> bool:
    """Whether the screen has these titles in its second line, three containers, and nothing else."""
    screen = terminal.screen
    return words(screen)[1] == titles and not any(screen[5:]) and max(map(cells, screen)) <= columns


def test_more_containers_than_lines_are_counted(engine: FakeEngine) -> None:
    for number in range(40):
        engine.add(f"load-{number}", cpu=0.01)
    with Terminal(100, 12) as terminal:
        show(terminal, engine)
        terminal.until(lambda: terminal.screen[10] == "+ 35 more" and names_on(terminal)[:3] == BY_CPU)
        head = "43 containers · fake-engine · every 1 s · CPU "
        terminal.until(lambda: (now := terminal.screen)[0].startswith(head) and now[11] == "")


def test_log_lines_stand_above_a_whole_table(engine: FakeEngine) -> None:
    with Terminal() as terminal:
        show(terminal, engine, "--log.level=debug")
        terminal.until(lambda: with_cpu(terminal, BY_CPU))
        kinds: tuple[FaultKind, ...] = ("error", "garbage", "cut")
        for kind in kinds:
            engine.add(f"ill-{kind}")
            engine.fault(f"ill-{kind}", kind)
        terminal.until(lambda: logged_above(terminal.screen))


def logged_above(screen: Sequence[str]) -> bool:
    """Whether three warnings, and whatever else was logged, stand above a whole table."""
    logged = [number for number, line in enumerate(screen) if re.match(r"\d{4}-\d\d-\d\d ", line)]
    warnings = [line for line in screen if " WARNING container ill-" in line]
    first = min(number for number, line in enumerate(screen) if " · sorted by " in line)
    return len(warnings) >= 3 and max(logged) < first and [row[0] for row in table_on(screen)] == BY_CPU


@pytest.mark.parametrize("way", ["C-c", signal.SIGTERM])
def test_the_terminal_is_left_as_it_was_with_the_last_table_on_it(
    way: str | signal.Signals, engine: FakeEngine
) -> None:
    with Terminal(80, 24) as terminal:
        show(terminal, engine)
        terminal.until(lambda: with_cpu(terminal, BY_CPU))
        assert not terminal.as_found
        terminal.signal(way) if isinstance(way, signal.Signals) else terminal.press(way)
        terminal.until(lambda: terminal.ended)
        assert terminal.as_found
        assert sorted(names_on(terminal)) == sorted(CPU)
        terminal.type("clear; echo $((6 * 7))")
        terminal.until(lambda: "42" in terminal.screen)


@pytest.mark.parametrize(("before", "after"), [("", "| cat"), ("TERM=dumb", "")])
def test_where_lines_cannot_be_redrawn_there_is_a_plain_table_each_interval(
    before: str, after: str, engine: FakeEngine
) -> None:
    with Terminal(150, 50) as terminal:
        show(terminal, engine, "--log.level=error", before=before, after=after)
        terminal.until(lambda: words(terminal.screen).count(ALL_TITLES) >= 3)
        assert terminal.as_found
        tables = "\n".join(terminal.screen).strip().split("\n\n")
        first, second = ([line.split()[0] for line in text.split("\n")[2:]] for text in tables[:2])
        assert (sorted(first), second) == (sorted(CPU), BY_CPU)
        assert "\x1b" not in terminal.codes.replace("\x1b[39m", "").replace("\x1b[49m", "")


def test_no_color_is_honoured(engine: FakeEngine) -> None:
    engine.add("full", memory=900, memory_limit=1000, cache=0)
    with Terminal() as terminal:
        show(terminal, engine, "--log.level=error", before="NO_COLOR=1")
        terminal.until(lambda: with_cpu(terminal, [*BY_CPU, "full"]))
        assert "\x1b[" not in terminal.codes


def test_names_of_every_width_leave_the_columns_where_they_are(engine: FakeEngine) -> None:
    names = ["漢字かな-web", "e\u0301-cafe\u0301", "n" * 300, "\x1b[2J\x1b[31mred", "two\nlines"]
    for name in names:
        engine.add(name, cpu=0.5)
    with Terminal(100, 30) as terminal:
        show(terminal, engine, "--log.level=error")
        terminal.until(lambda: len(table_on(terminal.screen)) == 8 and aligned(terminal.screen))


def aligned(screen: Sequence[str]) -> bool:
    """Whether eight rows and their titles fill a terminal of 100 columns to the last, in columns, and nothing else."""
    ends = {cells(line) for line in screen[1:10]}
    percents = {cells(line[: line.rindex("%")]) for line in screen[1:10]}
    return (ends, len(percents), any(screen[10:])) == ({100}, 1, False)


def test_once_is_one_table_with_every_cpu_figure(engine: FakeEngine) -> None:
    with Terminal() as terminal:
        show(terminal, engine, "--once", "--log.level=error", after="| cat")
        terminal.until(lambda: terminal.ended)
        assert with_cpu(terminal, BY_CPU)
        assert terminal.screen[0].startswith("3 containers · fake-engine · once · CPU 1")


@pytest.mark.parametrize("where", ["> /dev/full", "> >(exit)"])
def test_once_says_by_its_exit_code_that_nobody_got_the_table_as_with_text(where: str, engine: FakeEngine) -> None:
    with Terminal() as terminal:
        # The reader of the pipe is gone long before the table comes.
        for form in ("text", "table"):
            source = f"--socket.path={engine.socket_path}"
            terminal.run(source, "--once", f"--stdout.format={form}", after=f"{where}; echo {form} $?")
            terminal.until(partial(shows, terminal, f"{form} 1"))


def shows(terminal: Terminal, line: str) -> bool:
    """Whether this line is on the screen."""
    return line in terminal.screen
