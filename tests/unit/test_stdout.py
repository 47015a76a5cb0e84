"""Standard output: the line people know, and never half of one."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from statspout import Closed, Container, ContainerSample
from statspout.repositories.stdout import Stdout
from statspout.shapes import rest_object
from statspout.terminal.screen import is_interactive
from statspout.testing import sample, samples

BARE = ContainerSample(time_ns=1487073601 * 10**9, host="h", container=Container(id="a", name="web"))


class Flaky(io.RawIOBase):
    """Takes ``limits`` bytes in turn; an exception in their place is raised; afterwards it takes everything."""

    def __init__(self, *limits: int | Exception) -> None:
        self.limits = list(limits)
        self.taken = b""
        self.writes = 0

    def write(self, data: Any) -> int:
        self.writes += 1
        limit = self.limits.pop(0) if self.limits else len(data)
        if isinstance(limit, Exception):
            raise limit
        self.taken += bytes(data[:limit])
        return min(limit, len(data))


def written(batch: list[ContainerSample], **options: Any) -> str:
    stream = io.BytesIO()
    Stdout(stream=stream, **options).push(batch)
    return stream.getvalue().decode()


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (sample(), "[web] {14 Feb 17 12:00:01 UTC} CPU: 20.00%, MEM: 9.77% [104857600 B] Tx/Rx: 2020/1010"),
        (BARE, "[web] {14 Feb 17 12:00:01 UTC} CPU: --, MEM: -- [-- B] Tx/Rx: --/--"),
        (
            sample(cpu_percent=math.nan, mem_percent=math.inf, tx_bytes=2**64 - 1, rx_bytes=0, time_ns=0),
            "[web] {01 Jan 70 00:00:00 UTC} CPU: --, MEM: -- [104857600 B] Tx/Rx: 18446744073709551615/0",
        ),
        (
            sample(cpu_percent=0.0, mem_percent=0.0, mem_usage=0, tx_bytes=0, rx_bytes=0),
            "[web] {14 Feb 17 12:00:01 UTC} CPU: 0.00%, MEM: 0.00% [0 B] Tx/Rx: 0/0",
        ),
    ],
)
def test_a_line_is_the_one_people_know(one: ContainerSample, line: str) -> None:
    assert written([one]) == line + "\n"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("two\nlines\r", r"two\nlines\r"),
        ("\x1b[2Jclear", r"\x1b[2Jclear"),
        ("line\u2028end", r"line\u2028end"),
        ("half\udc80", r"half\udc80"),
        ("é漢🐳", "é漢🐳"),
    ],
)
def test_a_name_cannot_break_its_line(name: str, shown: str) -> None:
    assert written([sample(name)]).startswith(f"[{shown}] {{14 Feb")


def test_json_is_one_rest_object_a_line() -> None:
    batch = [sample("two\nlines"), BARE]
    lines = written(batch, format="json").splitlines()
    assert [json.loads(line) for line in lines] == [rest_object(one) for one in batch]


def test_a_batch_is_one_write_and_is_there_at_once() -> None:
    stream = Flaky()
    Stdout(stream=stream).push(samples(100))
    assert (stream.writes, stream.taken.count(b"\n")) == (1, 100)


def test_standard_output_is_where_lines_go(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    sys.stdout.write("before ")
    Stdout().push([sample()])
    assert capfdbinary.readouterr().out.startswith(b"before [web] {14 Feb")


def test_a_closed_pipe_ends_the_repository() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as stream, pytest.raises(Closed, match="closed by its reader"):
        Stdout(stream=stream).push([sample()])
    with pytest.raises(Closed, match="no standard output"):
        Stdout(stream=stream).push([sample()])


def test_two_that_write_to_one_full_pipe_leave_each_others_lines_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    batch = samples(1000)
    with os.fdopen(writing, "w") as out, os.fdopen(reading) as lines:
        monkeypatch.setattr(sys, "stdout", out)
        pushing = [threading.Thread(target=Stdout(format="json").push, args=(batch,), daemon=True) for _ in range(2)]
        for each in pushing:
            each.start()
        times = [json.loads(lines.readline())["@timestamp"] for _ in range(2 * len(batch))]
        for each in pushing:
            each.join()
    assert times == [rest_object(one)["@timestamp"] for one in batch] * 2


def test_no_standard_output_at_all_ends_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(Closed):
        Stdout().push([sample()])


def test_a_full_non_blocking_pipe_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.extend(iter(lambda: os.read(reading, 65536), b"")))
    with os.fdopen(writing, "wb") as stream:
        threading.Timer(0.05, reader.start).start()
        Stdout(stream=stream).push(samples(3000))
    reader.join(5)
    os.close(reading)
    assert b"".join(got).decode() == written(samples(3000))


@pytest.mark.parametrize("limits", [(10,), (10, 10), (0,), (90,), (10, 1, OSError(errno.ENOSPC, "full"), 5)])
def test_after_an_error_every_line_is_whole_and_none_is_missing(limits: tuple[Any, ...]) -> None:
    stream = Flaky(*[limit for limit in limits if limit != 0], OSError(errno.ENOSPC, "full"))
    repository = Stdout(stream=stream)
    for _ in range(3):
        try:
            repository.push([sample("a"), sample("b")])
        except OSError:
            repository.close()
            repository.open()
    lines = stream.taken.decode().splitlines(keepends=True)
    assert set(lines) == {written([sample("a")]), written([sample("b")])}


def test_an_error_of_a_real_file_is_raised() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("wb", buffering=0) as stream, pytest.raises(OSError, match="No space"):
        Stdout(stream=stream).push([sample()])


# The table, where there is no terminal


class Clock:
    """Monotonic seconds that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("statspout.repositories.stdout.time.monotonic", clock)
    return clock


def table(stream: Any, interval: float = 5.0) -> Stdout:
    repository = Stdout(format="table", stream=stream)
    repository.interval = interval
    repository.open()
    return repository


def tables(stream: io.BytesIO) -> list[list[str]]:
    """The names in each of the tables that are there; every table has its two first lines."""
    found = [text.splitlines() for text in stream.getvalue().decode().split("\n\n") if text]
    assert all(" · sorted by CPU" in lines[0] and lines[1].startswith("NAME  ") for lines in found)
    return [[line.split()[0] for line in lines[2:]] for lines in found]


def test_a_table_comes_an_interval_after_the_first_sample_and_then_each_interval(clock: Clock) -> None:
    stream = io.BytesIO()
    repository = table(stream)
    seen = []
    for moment in (0.0, 2.0, 4.9, 5.1, 7.0, 9.9, 10.0, 41.0, 41.1, 46.0):
        clock.now = 1000.0 + moment
        repository.push([sample("web", time_ns=int(clock.now * 10**9))])
        seen.append(len(tables(stream)))
    assert seen == [0, 0, 0, 1, 1, 1, 2, 3, 3, 4]
    assert "\x1b" not in stream.getvalue().decode()


def test_a_table_comes_without_another_sample_too_but_none_without_news(clock: Clock) -> None:
    stream = io.BytesIO()
    repository = table(stream)
    repository.push(samples(3))
    for moment in (4.0, 6.0, 12.0, 18.0):
        clock.now = 1000.0 + moment
        repository.idle()
    repository.close()
    assert tables(stream) == [["web-2", "web-1", "web-0"]]


def test_once_is_one_table_with_everybody(clock: Clock) -> None:
    stream = io.BytesIO()
    repository = table(stream, math.inf)
    for one in samples(50):
        clock.now += 60
        repository.push([one])
    repository.clear(samples(50)[7].container)
    assert tables(stream) == []
    repository.close()
    assert [len(names) for names in tables(stream)] == [49]


@pytest.mark.parametrize("limits", [(10,), (10, 10), (0,), (200,), (10, 1, OSError(errno.ENOSPC, "full"), 5)])
def test_after_an_error_every_table_is_whole(limits: tuple[Any, ...], clock: Clock) -> None:
    stream = Flaky(*[limit for limit in limits if limit != 0], OSError(errno.ENOSPC, "full"))
    repository = table(stream)
    for _ in range(5):
        clock.now += 5
        try:
            repository.push([sample("a"), sample("b", time_ns=int(clock.now * 10**9))])
        except OSError:
            repository.close()
            repository.open()
    assert set(map(tuple, tables(io.BytesIO(stream.taken)))) == {("a", "b")}


def test_a_table_for_nobody_ends_the_repository_though_it_is_the_last() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as stream:
        repository = table(stream)
        repository.push([sample()])
        with pytest.raises(Closed, match="closed by its reader"):
            repository.close()
        repository.close()


class Tty(io.BytesIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "term", "interactive"),
    [
        (Tty(), "xterm", True),
        (Tty(), "dumb", False),
        (Tty(), "", False),
        (Tty(), None, False),
        (io.BytesIO(), "xterm", False),
        (object(), "xterm", False),
    ],
)
def test_a_table_is_live_on_a_terminal_that_can(
    stream: Any, term: str | None, interactive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TERM") if term is None else monkeypatch.setenv("TERM", term)
    assert is_interactive(stream) == interactive
