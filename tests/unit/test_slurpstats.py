"""slurpstats: all of a file on a terminal, and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.mmstats import EVERY, VALUES, Laid, laid

from statspout.cmd.slurpstats import main


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return put(tmp_path / "a.mmstats", EVERY)


def put(path: Path, fields: list[Laid]) -> Path:
    path.write_bytes(laid(fields))
    return path


def slurped(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    assert main([str(argument) for argument in arguments]) == code
    return capsys.readouterr().out


def test_a_file_is_its_path_a_line_for_each_label_and_an_empty_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = [Laid(b"hits", "Q", 1, (7, 0)), Laid(b"seconds", "d", 255, (0.5,)), Laid(b"t", "3s", 255, (b"hi",))]
    path = put(tmp_path / "a.mmstats", fields)
    assert slurped(capsys, path) == f"==> {path}\n  hits    7\n  seconds 0.5\n  t       hi\n\n"


def test_every_type_is_shown_as_python_writes_it(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = slurped(capsys, path).splitlines()[1:-1]
    assert [line.split()[-1] for line in lines] == [str(value).split()[-1] for _, value in VALUES]


def test_values_stand_below_each_other_whatever_room_the_labels_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = [Laid("測定".encode(), "I", 255, (1,)), Laid(b"hits", "I", 255, (2,)), Laid(b"x", "I", 255, (3,))]
    lines = slurped(capsys, put(tmp_path / "a.mmstats", fields)).splitlines()[1:]
    assert lines[:3] == ["  測定 1", "  hits 2", "  x    3"]


HOSTILE = ["\x1b[2J\x1b]0;owned\x07", "a\nb\r", "\u202egnp.exe", "\x9b31m", "<b>&\"'"]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_label_and_no_text_steers_the_terminal(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = [Laid(text.encode(), "99s", 255, (text.encode(),))]
    lines = slurped(capsys, put(tmp_path / f"{text.replace('/', '')}.mmstats", fields)).split("\n")
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)


def test_json_is_an_array_of_objects_on_one_line(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = slurped(capsys, "--json", path).splitlines()
    (told,) = json.loads(line, parse_constant=pytest.fail)
    expected: dict[str, Any] = dict(VALUES) | {"infinite": None}
    assert told == {"path": str(path), "stats": expected}
    assert list(told["stats"]) == [label for label, _ in VALUES]


def test_in_json_a_label_that_comes_twice_has_both_values_and_what_is_no_number_is_null(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = [Laid(b"a", "I", 255, (1,)), Laid(b"n", "d", 255, (float("nan"),)), Laid(b"a", "I", 255, (2,))]
    (told,) = json.loads(slurped(capsys, "--json", put(tmp_path / "a.mmstats", fields)))
    assert told["stats"] == {"a": [1, 2], "n": None}


def test_a_file_that_cannot_be_read_is_a_line_and_the_others_are_shown(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, none = path.with_name("bad.mmstats"), path.with_name("none.mmstats")
    bad.write_bytes(b"\x02")
    assert main([str(none), str(bad), str(path)]) == 1
    out, error = capsys.readouterr()
    assert out.startswith(f"==> {path}\n")
    assert error.splitlines() == [
        f"Error reading: {none}: No such file or directory",
        f"Error reading: {bad}: version 2, not 1",
    ]
    assert [list(told) for told in json.loads(slurped(capsys, "--json", bad, path, code=1))] == [
        ["path", "stats"],
        ["path", "error"],
    ]


def test_a_pattern_finds_files_and_leaves_folders_alone(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.with_name("folder.mmstats").mkdir()
    assert slurped(capsys, path.parent / "*.mmstats").count("==> ") == 1
    odd = put(path.with_name("[a].mmstats"), EVERY)
    assert slurped(capsys, odd).startswith(f"==> {odd}\n")


def test_the_files_by_default_are_those_of_the_environment(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMSTATS_PATH", str(path.parent))
    assert slurped(capsys).startswith(f"==> {path}\n")
    monkeypatch.setenv("MMSTATS_GLOB", f"{path.parent}/*.none")
    assert main([]) == 1
    assert capsys.readouterr() == ("", f"slurpstats: no file: {path.parent}/*.none\n")


@pytest.mark.parametrize("tool", ["slurpstats", "pollstats", "cleanstats", "mmash"])
@pytest.mark.parametrize("arguments", [["--none"], ["--watch=0", "a"], ["--watch=x", "a"], ["\x1b[31m\n", ""]])
def test_a_wrong_argument_is_one_line_and_code_2(
    tool: str, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MMASH_SETTINGS", raising=False)
    main = __import__(f"statspout.cmd.{tool}", fromlist=["main"]).main
    assert main(arguments) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n"), error.startswith(f"{tool}: ")) == ("", 1, True)
    assert error.strip().isprintable()


@pytest.mark.parametrize("tool", ["slurpstats", "pollstats", "cleanstats", "mmash"])
def test_help_and_version_are_told(tool: str, capsys: pytest.CaptureFixture[str]) -> None:
    main = __import__(f"statspout.cmd.{tool}", fromlist=["main"]).main
    assert main(["--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: {tool} ")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"{tool} 0.")
