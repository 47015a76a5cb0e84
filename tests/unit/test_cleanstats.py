"""cleanstats: files of processes that are no more go, and no others."""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import subprocess
import time
from pathlib import Path

import pytest
from support.mmstats import Laid, laid

from statspout.client.mmap import MmStats
from statspout.cmd.cleanstats import main


@pytest.fixture(scope="module")
def gone() -> int:
    """The id of a process that is no more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def file_of(path: Path, pid: int, created: float | None = None) -> Path:
    """A file as other libraries leave it: nobody has it locked."""
    fields = [Laid(b"web.sys.pid", "I", 255, (pid,)), Laid(b"hits", "Q", 1, (5, 0))]
    fields += [] if created is None else [Laid(b"web.sys.created", "d", 255, (created,))]
    path.write_bytes(laid(fields))
    return path


def cleaned(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> list[str]:
    assert main([str(argument) for argument in arguments]) == code
    out, error = capsys.readouterr()
    assert error == ""
    return out.splitlines()


def test_a_file_whose_process_is_gone_goes(tmp_path: Path, gone: int, capsys: pytest.CaptureFixture[str]) -> None:
    path = file_of(tmp_path / "a.mmstats", gone)
    assert cleaned(capsys, path) == [f"PID {gone} not found. Deleting {path}", "Removed 1  -  0 alive"]
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_so_and_removes_nothing(tmp_path: Path, gone: int, capsys: pytest.CaptureFixture[str]) -> None:
    path = file_of(tmp_path / "a.mmstats", gone)
    told = [f"PID {gone} not found. Would delete {path}", "Would remove 1  -  0 alive"]
    assert cleaned(capsys, "--dry-run", path) == cleaned(capsys, "-n", path) == told
    assert path.exists()


def test_a_file_whose_process_id_is_anothers_by_now_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file_of(tmp_path / "a.mmstats", os.getpid(), created=time.time() - 10 * 365 * 86_400)
    told = [f"PID {os.getpid()} is another process by now. Deleting {path}", "Removed 1  -  0 alive"]
    assert cleaned(capsys, path) == told


@pytest.mark.parametrize("created", [None, "now"])
def test_a_file_whose_process_lives_stays(
    created: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(tmp_path / "a.mmstats", os.getpid(), created=time.time() if created else None)
    assert cleaned(capsys, path) == ["Removed 0  -  1 alive"]
    assert path.exists()


def test_of_several_processes_in_a_file_one_that_lives_is_enough(
    tmp_path: Path, gone: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.mmstats"
    path.write_bytes(
        laid([Laid(label, "I", 255, (pid,)) for label, pid in ((b"sys.pid", gone), (b"b.sys.pid", os.getpid()))])
    )
    assert cleaned(capsys, path) == ["Removed 0  -  1 alive"]


def test_a_file_that_somebody_has_locked_stays_whatever_its_process_id_says(
    tmp_path: Path, gone: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(tmp_path / "a.mmstats", gone)
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert cleaned(capsys, path) == ["Removed 0  -  1 alive"]
        fcntl.flock(file, fcntl.LOCK_SH)  # a reader that looks whether it is anybody's
        assert cleaned(capsys, path) == ["Removed 0  -  1 alive"]
    assert cleaned(capsys, path)[-1] == "Removed 1  -  0 alive"


def test_a_file_that_somebody_has_mapped_stays_whatever_its_process_id_says(
    tmp_path: Path, gone: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(tmp_path / "a.mmstats", gone)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0):
        assert cleaned(capsys, path) == ["Removed 0  -  1 alive"]
    assert path.exists()


def test_a_file_of_ours_stays_while_it_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stats = MmStats(path=str(tmp_path))
    assert cleaned(capsys, f"{tmp_path}/*") == ["Removed 0  -  1 alive"]
    stats.remove()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Invalid file: {} (empty: no version)"),
        (b"\0" * 4096, "Invalid file: {} (version 0, not 1)"),
        (
            b"\1\1",
            "Invalid file: {} (cut off behind 0 fields: the length of a label at byte 1 takes 2 bytes, 1 are left)",
        ),
        (laid([]), "File has no sys.pid entry: {}"),
        (laid([Laid(b"sys.pid", "4s", 255, (b"none",))]), "File has no sys.pid entry: {}"),
        (laid([Laid(b"sys.pid", "i", 255, (-1,))]), "File has no sys.pid entry: {}"),
    ],
)
def test_a_file_that_does_not_say_whose_it_is_stays_and_is_code_1(
    content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.mmstats"
    path.write_bytes(content)
    assert cleaned(capsys, path, code=1) == [said.format(path), "Removed 0  -  0 alive"]
    assert path.exists()


def test_folders_are_passed_over_and_links_and_pipes_left_alone(
    tmp_path: Path, gone: int, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = file_of(tmp_path / "stale", gone)
    (tmp_path / "folder.mmstats").mkdir()
    (tmp_path / "link.mmstats").symlink_to(stale)
    os.mkfifo(tmp_path / "pipe.mmstats")
    told = cleaned(capsys, f"{tmp_path}/*.mmstats", code=1)
    assert told[:-1] == [f"Not a regular file: {tmp_path}/{name}.mmstats" for name in ("link", "pipe")]
    assert stale.exists()


def test_a_file_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cleaned(capsys, tmp_path / "none", code=1)[0] == f"No such file: {tmp_path}/none"


def test_a_file_that_was_never_finished_goes_once_that_is_for_sure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMSTATS_PATH", str(tmp_path))
    path = tmp_path / ".web-7-7.mmstats.0123abcd.new"
    path.write_bytes(b"\1")
    assert cleaned(capsys) == ["Removed 0  -  1 alive"]
    os.utime(path, (0, 0))
    assert cleaned(capsys) == [f"It was never finished. Deleting {path}", "Removed 1  -  0 alive"]


@pytest.mark.parametrize("name", ["notes.new", ".notes.new", ".a.mmstats.0123ABCD.new", ".a.mmstats.0123abcd.new"])
def test_no_other_file_passes_for_one_that_was_never_finished(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(b"my notes")
    os.utime(path, (0, 0))
    cleaned(capsys, path, code=1)
    assert path.exists()


def test_json_says_what_became_of_each_file(tmp_path: Path, gone: int, capsys: pytest.CaptureFixture[str]) -> None:
    stale = file_of(tmp_path / "stale", gone)
    alive = file_of(tmp_path / "alive", os.getpid())
    bad = tmp_path / "bad"
    bad.write_bytes(b"\2")
    (line,) = cleaned(capsys, "--json", f"{tmp_path}/*", code=1)
    assert json.loads(line) == {
        "removed": [str(stale)], "alive": [str(alive)], "kept": {str(bad): "version 2, not 1"}, "dry_run": False,
    }  # fmt: skip


def test_what_is_said_of_a_file_steers_no_terminal(
    tmp_path: Path, gone: int, capsys: pytest.CaptureFixture[str]
) -> None:
    file_of(tmp_path / "\x1b[2Ja\n.mmstats", gone)
    told = cleaned(capsys, f"{tmp_path}/*")
    assert len(told) == 2
    assert all(line.isprintable() for line in told)
