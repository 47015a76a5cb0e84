"""A terminal that is closed: what runs in its foreground ends; what was started to outlive it reads its file again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.terminal import Terminal


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """Where the program writes its log; it is ended."""
    file, pid = tmp_path / "log", tmp_path / "pid"
    yield file
    number = int(pid.read_text())
    if Path(f"/proc/{number}/stat").exists():
        os.kill(number, signal.SIGKILL)


def run_and_close(log: Path, before: str = "") -> int:
    """Run statspout in a terminal until it samples, and close the terminal; the process."""
    with Terminal() as terminal:
        pid = log.with_name("pid")
        # Somebody has to have the terminal open, which nohup has not, or it is closed at once.
        terminal.run("--demo", before=f"echo $$ > {pid}; exec {before}", after=f">/dev/null 2>{log} 3</dev/tty")
        terminal.until(lambda: "to sample" in log.read_text() if log.exists() else None)
        return int(pid.read_text())


def running(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and ") Z " not in stat.read_text()


def eventually(look: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not look() and time.monotonic() < deadline:
        time.sleep(0.05)
    return look()


def test_what_runs_in_the_foreground_of_a_terminal_ends_with_it(log: Path) -> None:
    process = run_and_close(log)
    assert eventually(lambda: not running(process)), log.read_text()
    assert "stopping: what is queued is delivered first" in log.read_text()


def test_what_was_started_to_outlive_its_terminal_does(log: Path) -> None:
    process = run_and_close(log, before="nohup")
    assert eventually(lambda: "reloaded: nothing is other than before" in log.read_text()), log.read_text()
    assert running(process)
