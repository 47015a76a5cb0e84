"""pollstats: by how much statistics changed, line by line."""

from __future__ import annotations

import fcntl
import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.mmstats import Laid, laid

from statspout.cmd.pollstats import Page, Poll, main


def process(path: Path, pid: int, *fields: Laid, created: float = 1.0) -> Path:
    """The file of a process; in the place of one that was there, as a writer of ours puts it."""
    own = [Laid(b"sys.pid", "I", 255, (pid,)), Laid(b"sys.created", "d", 255, (created,))]
    new = path.with_suffix(".new")
    new.write_bytes(laid([*own, *fields]))
    return new.rename(path)


def count(value: int, label: bytes = b"hits") -> Laid:
    return Laid(label, "Q", 1, (value, 0))


def gauge(value: float, label: bytes = b"load") -> Laid:
    return Laid(label, "d", 1, (value, 0.0))


def write(path: Path, *fields: Laid) -> None:
    """Change the values of a process's file, in place."""
    old = path.read_bytes()
    own = [Laid(b"sys.pid", "I", 255, (1,)), Laid(b"sys.created", "d", 255, (1.0,))]
    new = laid([*own, *fields])
    assert len(new) == len(old)
    path.write_bytes(new)


def poll(tmp_path: Path, *fields: str, filters: tuple[str, ...] = ()) -> Poll:
    return Poll(fields or ("hits",), [f"{tmp_path}/*.mmstats"], filters)


def test_the_first_line_is_all_there_is_and_the_others_what_came_since(tmp_path: Path) -> None:
    polled = poll(tmp_path)
    one = process(tmp_path / "1.mmstats", 1, count(5))
    process(tmp_path / "2.mmstats", 2, count(7))
    assert polled.changes() == [12]
    assert polled.changes() == [0]
    write(one, count(2**64 - 1))
    assert polled.changes() == [2**64 - 6]


def test_a_change_is_told_with_all_the_time_in_which_it_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 101.0, 103.0])
    monkeypatch.setattr("statspout.cmd.pollstats.time.monotonic", lambda: next(clock))
    polled = poll(tmp_path)
    path = tmp_path / "1.mmstats"
    told = []
    for hits, folds in ((5, 0), (6, 1), (9, 2)):  # odd: a thread ends at this moment
        process(path, 1, count(hits), Laid(b"sys.folds", "Q", 255, (folds,)))
        with path.open("rb") as writer:
            fcntl.flock(writer, fcntl.LOCK_EX)
            told.append((polled.changes(), polled.interval))
    assert told == [([5], None), ([None], 1.0), ([4], 3.0)]


def test_a_process_that_has_gone_takes_nothing_with_it_and_one_that_came_has_all_it_counted(tmp_path: Path) -> None:
    polled = poll(tmp_path)
    one = process(tmp_path / "1.mmstats", 1, count(500))
    polled.changes()
    one.unlink()
    assert polled.changes() == [None]
    process(tmp_path / "2.mmstats", 2, count(3))
    assert polled.changes() == [3]


@pytest.mark.parametrize("place", ["1.mmstats", "other.mmstats"])
def test_a_process_that_began_anew_with_the_same_id_goes_on_from_zero(place: str, tmp_path: Path) -> None:
    polled = poll(tmp_path)
    one = process(tmp_path / "1.mmstats", 1, count(500))
    polled.changes()
    one.unlink()
    process(tmp_path / place, 1, count(3), created=2.0)
    assert polled.changes() == [3]


def test_what_a_thread_left_to_its_process_is_counted_once(tmp_path: Path) -> None:
    polled = poll(tmp_path)
    thread = process(tmp_path / "1-7.mmstats", 1, count(500))
    polled.changes()
    thread.unlink()
    process(tmp_path / "1-0.mmstats", 1, count(501), count(2, b"sys.folds"), created=2.0)
    assert polled.changes() == [1]


def test_what_went_with_one_of_the_files_of_a_process_is_not_taken_off(tmp_path: Path) -> None:
    polled = poll(tmp_path)
    one = process(tmp_path / "1.mmstats", 1, count(500))
    process(tmp_path / "2.mmstats", 1, count(5))
    polled.changes()
    one.unlink()
    assert polled.changes() == [0]


def test_a_file_that_could_not_be_read_for_a_moment_does_not_begin_again_from_zero(tmp_path: Path) -> None:
    polled = poll(tmp_path)
    one = process(tmp_path / "1.mmstats", 1, count(500))
    polled.changes()
    good = one.read_bytes()
    one.write_bytes(good[:30])
    assert polled.changes() == [None]
    one.write_bytes(good)
    assert polled.changes() == [0]
    assert polled.trouble() == 1


def test_a_number_that_goes_up_and_down_does_so(tmp_path: Path) -> None:
    polled = poll(tmp_path, "load")
    one = process(tmp_path / "1.mmstats", 1, gauge(2.5))
    assert polled.changes() == [2.5]
    write(one, gauge(1.0))
    assert polled.changes() == [-1.5]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_unknown_and_no_reason_to_fail(value: float, tmp_path: Path) -> None:
    polled = poll(tmp_path, "load")
    process(tmp_path / "1.mmstats", 1, gauge(value))
    assert polled.changes() == [None]
    assert polled.changes() == [None]
    assert polled.trouble() == 0


def test_a_label_that_no_file_has_or_that_is_a_text_is_unknown_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process(tmp_path / "1.mmstats", 1, count(1), Laid(b"hitsy", "3s", 255, (b"abc",)))
    polled = poll(tmp_path, "hits", "hit", "hitsy")
    assert polled.changes() == [1, None, None]
    assert polled.trouble() == 1
    assert capsys.readouterr().err.splitlines() == [
        "pollstats: hit is in no file",
        "pollstats: hitsy is a text: a number is right",
    ]


@pytest.mark.parametrize(
    ("filters", "hits"),
    [
        ((), 11),
        (("only",), 1),
        (("onl", "sys."), 1),
        (("only", "none"), None),
        (("sys.pid=2",), 10),
        (("sys.pid=2.0",), 10),
        (("name=web",), 1),
        (("name=web", "sys.pid=2"), None),
        (("name=we",), None),
        (("up=True",), 10),
        (("up=1",), 10),
        (("=",), None),
    ],
)
def test_filters_leave_files_out(filters: tuple[str, ...], hits: int | None, tmp_path: Path) -> None:
    process(tmp_path / "1.mmstats", 1, count(1), count(0, b"only.here"), Laid(b"name", "3s", 255, (b"web",)))
    process(tmp_path / "2.mmstats", 2, count(10), Laid(b"up", "?", 255, (True,)))
    assert poll(tmp_path, filters=filters).changes() == [hits]


def test_the_columns_are_twenty_wide_with_bars_between() -> None:
    page = Page(["hits", "a label that is longer than that", "\x1b[31m"], 20, coloured=False)
    header, body = page.line([123456, -1.5, None]).split("\n")
    assert header == "        hits        |a label that is lon…|      \\x1b[31m      "
    assert body == "             123456 |               -1.5 |                 -- "
    assert page.line([0, 0, 0]) == "                  0 |                  0 |                  0 "


def test_colours_are_bold_headers_and_yellow_values() -> None:
    header, body = Page(["x"], 20, coloured=True).line([1]).split("\n")
    assert re.fullmatch(r"\x1b\[1m +x +\x1b\[0;0m", header)
    assert re.fullmatch(r"\x1b\[1;33m +1\x1b\[0;0m ", body)


@pytest.mark.parametrize(("headers", "lines"), [(0, [0]), (1, [0, 2, 4, 6, 8]), (2, [0, 3, 6])])
def test_the_header_comes_again_every_so_many_lines(headers: int, lines: list[int]) -> None:
    page = Page(["x"], headers, coloured=False)
    every = "\n".join(page.line([n]) for n in range(5)).split("\n")
    assert [n for n, line in enumerate(every) if "x" in line] == lines


def polled(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> list[str]:
    assert main(["--delay=0.01", *map(str, arguments)]) == code
    return capsys.readouterr().out.splitlines()


def test_the_prefix_stands_before_all_fields_and_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = process(tmp_path / "1.mmstats", 1, count(5, b"web.hits"), count(6, b"web.misses"))
    header, first, second = polled(capsys, "--count=2", "-p", "web.", "hits,misses", path)
    assert header.split() == ["hits", "|", "misses"]
    assert [first.split(), second.split()] == [["5", "|", "6"], ["0", "|", "0"]]


def test_the_arguments_may_stand_as_the_original_takes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = process(tmp_path / "1.mmstats", 1, count(5))
    lines = polled(capsys, "-c", 1, "-n", 5, "-v", "hits", path, path, "-f", "sys.pid=1", "sys.created")
    assert lines[1].split() == ["5"]


def test_json_is_an_object_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = process(tmp_path / "1.mmstats", 1, count(2**64 - 1), gauge(float("nan")))
    told: list[dict[str, Any]] = [json.loads(line) for line in polled(capsys, "--json", "-c", 2, "hits,load", path)]
    assert [one["fields"] for one in told] == [{"hits": 2**64 - 1, "load": None}, {"hits": 0, "load": None}]
    assert told[0]["interval_s"] is None
    assert 0.01 <= told[1]["interval_s"] <= told[1]["time"] - told[0]["time"] + 1


def test_a_field_that_is_missing_everywhere_is_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = polled(capsys, "-c", 1, "hits", f"{tmp_path}/*", code=1)
    assert lines[1].split() == ["--"]


@pytest.mark.parametrize(
    "arguments", [["-c", "0", "a"], ["-d", "0", "a"], ["-n", "-1", "a"], ["a,"], ["--color=x", "a"]]
)
def test_a_number_out_of_range_is_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    polled(capsys, *arguments, code=2)
