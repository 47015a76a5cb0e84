"""A daemon that reads statistics files of programs that end, fork and are killed; and one that publishes some."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Daemon, run_program

from statspout.client.mmap import MmStatsReader, held

BEGIN = """
import os, signal, sys, threading, time
from statspout.client.mmap import MmStats, CounterField, DoubleField
class WebStats(MmStats):
    hits = CounterField()
    level = DoubleField()
stats = WebStats(filename="web-{PID}-{TID}.mmstats")
def tell(line):
    print(line, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


@pytest.fixture
def daemon(folder: Path) -> Iterator[Daemon]:
    with Daemon(
        "--demo", "--interval=1", f"--listen.mmap={folder}/*.mmstats", "--listen.mmap-interval=0.2",
        "--repository=rest,prometheus", "--rest.address=127.0.0.1:0",
        "--prometheus.address=127.0.0.1:0", "--health.address=127.0.0.1:0",
    ) as daemon:  # fmt: skip
        daemon.wait_for_line("listen.mmap: ")
        yield daemon


@contextlib.contextmanager
def program(folder: Path, code: str) -> Iterator[subprocess.Popen[str]]:
    """A program that goes on, whenever it has told something, as soon as it is told to."""
    with subprocess.Popen(
        [sys.executable, "-c", BEGIN + code], env={**os.environ, "MMSTATS_PATH": str(folder)}, cwd=folder.parent,
        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def told(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def shown(daemon: Daemon) -> dict[str, list[dict[str, Any]]]:
    """What REST has of applications, by name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for metric in daemon.get("/app-stats").json():
        found.setdefault(metric["metric"], []).append(metric)
    return found


def hits(daemon: Daemon) -> int | None:
    values = [metric["value"] for metric in shown(daemon).get("hits", [])]
    assert len(values) <= 1
    return values[0] if values else None


def counted_up_to(daemon: Daemon, total: int) -> int:
    """What was counted, once it is so much."""
    found = hits(daemon) or 0
    return found if found >= total else 0


def test_what_a_program_has_in_its_file_is_told_until_it_ends(folder: Path, daemon: Daemon) -> None:
    with program(folder, "stats.hits.incr(5); stats.level = 2.5; tell('ready'); sys.exit()") as process:
        told(process)
        assert daemon.eventually(lambda: hits(daemon)) == 5
        (level,) = daemon.eventually(lambda: shown(daemon).get("level"))
        assert (level["value"], level["tags"]) == (2.5, {"command": "web", "pid": str(process.pid)})
        line = b'hits_total{host="demo",command="web"} 5'
        daemon.eventually(lambda: line in daemon.get("/metrics", "prometheus.address").body)
        go_on(process)
        process.wait(60)
    daemon.eventually(lambda: not shown(daemon))


def test_counts_go_on_over_restarts_and_kills(folder: Path, daemon: Daemon) -> None:
    total = 0
    for times in (1, 2, 3):
        with program(folder, f"stats.hits.incr({times}); tell('ready')") as process:
            told(process)
            total += times
            assert daemon.eventually(lambda: counted_up_to(daemon, total)) == total  # noqa: B023 - called at once
            process.kill()
            process.wait(60)
            daemon.eventually(lambda: not shown(daemon))  # what it left is nobody's level any more
    assert len(list(folder.iterdir())) == 3
    for path in folder.iterdir():  # as cleanstats does
        path.unlink()
    with program(folder, "stats.hits.incr(4); tell('ready')") as process:
        told(process)
        assert daemon.eventually(lambda: counted_up_to(daemon, total + 1)) == total + 4


def test_threads_that_end_and_children_that_are_forked_are_counted_once(folder: Path, daemon: Daemon) -> None:
    code = """
stats.hits.incr(1)
children = []
for _ in range(3):
    if not (child := os.fork()):
        stats.hits.incr(10)
        time.sleep(600)
        os._exit(0)
    children.append(child)
def work():
    for _ in range(5):
        stats.hits.incr(20)
        time.sleep(0.01)
for _ in range(40):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
tell(' '.join(map(str, children)))
"""
    seen: list[int] = []
    with program(folder, code) as process:
        daemon.eventually(lambda: hits(daemon))
        while (seen or [0])[-1] < 4031:
            seen.append(daemon.eventually(lambda: hits(daemon)))
        children = told(process).split()
        assert seen == sorted(seen)
        assert daemon.eventually(lambda: hits(daemon)) == 4031
        levels = daemon.eventually(lambda: shown(daemon).get("level"))
        assert {metric["tags"]["pid"] for metric in levels} == {str(process.pid), *children}
        for child in children:
            os.kill(int(child), signal.SIGKILL)
    daemon.eventually(lambda: not shown(daemon))


def test_a_bad_file_is_told_once_and_counted(folder: Path, daemon: Daemon) -> None:
    (folder / "bad.mmstats").write_text("nothing of that kind")
    line = daemon.wait_for_line("bad.mmstats: version 110, not 1")
    bad = "statspout_mmap_bad_files_total "
    daemon.eventually(lambda: float(health(daemon).partition(f"\n{bad}")[2].partition("\n")[0]) >= 3)
    assert daemon.log.count(line.partition("WARNING ")[2]) == 1


def health(daemon: Daemon) -> str:
    return daemon.get("/metrics", "health.address").body.decode()


# the repository


def publishing(folder: Path, *more: str) -> Daemon:
    return Daemon("--demo", "--interval=1", "--repository=mmap", f"--mmap.directory={folder}", *more)


def published(folder: Path) -> dict[str, dict[str, Any]]:
    """What there is of each container of the demo, by its name."""
    found: dict[str, dict[str, Any]] = {}
    for path in folder.glob("*.mmstats"):
        with contextlib.suppress(FileNotFoundError):
            values = {label.rpartition(".")[2]: value for label, value in MmStatsReader.from_file(path)}
            if "mem_usage" in values:
                found[str(values["name"])] = values
    return found


def test_each_container_is_in_a_file_for_as_long_as_the_daemon_runs(folder: Path) -> None:
    with publishing(folder) as daemon:
        before = daemon.eventually(lambda: known(folder))
        daemon.eventually(
            lambda: (now := known(folder)) and all(now[name]["time"] > before[name]["time"] for name in before)
        )
        assert all(held(path) for path in folder.glob("*.mmstats"))
        assert daemon.terminate() == 0
    assert list(folder.iterdir()) == []


def known(folder: Path) -> dict[str, dict[str, Any]]:
    """The same, once all five are there with their CPU."""
    found = published(folder)
    return found if len(found) == 5 and all("cpu_percent" in values for values in found.values()) else {}


def test_what_a_killed_daemon_left_goes_when_the_next_one_starts(folder: Path) -> None:
    with publishing(folder) as daemon, program(folder, "stats.hits.incr(); tell('ready')") as process:
        told(process)
        daemon.eventually(lambda: len(published_files(folder)) == 5)
        daemon.signal(signal.SIGKILL)
        daemon.wait()
        left = published_files(folder)
        assert len(left) == 5
        with publishing(folder, "--ignore=" + ",".join(sorted(published(folder))[1:])) as next_one:
            next_one.eventually(lambda: len(published_files(folder)) == 1)
            assert len(list(folder.glob("web-*-*.mmstats"))) >= 1  # the program's file
            next_one.terminate()
        assert [path.name for path in folder.iterdir()] == [f"web-{process.pid}-{process.pid}.mmstats"]


def published_files(folder: Path) -> set[Path]:
    return {
        path for path in folder.glob("*.mmstats") if any(label.endswith(".mem_usage") for label, _ in values_of(path))
    }


def values_of(path: Path) -> list[tuple[str, Any]]:
    try:
        return list(MmStatsReader.from_file(path))
    except FileNotFoundError:
        return []


def test_a_daemon_does_not_read_what_it_publishes(folder: Path) -> None:
    with (
        publishing(
            folder, f"--listen.mmap={folder}/*.mmstats", "--repository=stdout", "--stdout.format=json"
        ) as daemon,
        program(folder, "stats.hits.incr(7); tell('ready')") as process,
    ):
        told(process)
        daemon.eventually(lambda: metrics(daemon) >= {"hits", "level"})
        assert metrics(daemon) == {"hits", "level"}


def metrics(daemon: Daemon) -> set[str]:
    """The names of what applications said, on its standard output."""
    return set(re.findall(r'"metric":"([^"]*)"', daemon.out))


def test_what_is_sampled_once_can_be_read_when_the_program_has_ended(folder: Path) -> None:
    done = run_program("--once", "--demo", "--repository=mmap", f"--mmap.directory={folder}")
    assert done.code == 0, done.err
    assert len(published(folder)) == 5


def test_a_folder_that_cannot_be_is_a_wrong_setting(folder: Path) -> None:
    (folder / "file").touch()
    done = run_program("--demo", "--repository=mmap", f"--mmap.directory={folder}/file")
    assert done.code == 2
    assert done.err.splitlines() == [f"statspout: --mmap.directory: {folder}/file is a file: a directory is right"]
