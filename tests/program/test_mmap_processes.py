"""Statistics files of programs that end, are killed, fork, and start others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.standstill import PATIENCE, running_time
from support.tools import run_tool, until_free

from statspout.client.mmap import MmStatsReader, held, read_all

BEGIN = """
import os, signal, sys, threading, time
from statspout.client.mmap import MmStats, CounterField, UIntField, StringField
class Web(MmStats):
    hits = CounterField()
    level = UIntField()
"""


def started(folder: Path, code: str, begin: str = BEGIN + "stats = Web()\n") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", begin + code],
        env={**os.environ, "MMSTATS_PATH": str(folder)}, cwd=folder, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run(folder: Path, code: str, expect: int = 0, begin: str = BEGIN + "stats = Web()\n") -> list[str]:
    """Run the code with ``stats``, whose files are in the folder; what it said on stdout. On stderr it says nothing."""
    with started(folder, code, begin) as process:
        out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (expect, ""), error
    return out.splitlines()


def files(folder: Path) -> list[dict[str, Any]]:
    """What every file has."""
    found = read_all(f"{folder}/*.mmstats")
    assert not found.errors
    return [dict(reader) for reader in found.readers.values()]


def hits(folder: Path) -> list[int]:
    return sorted(values["hits"] for values in files(folder))


# the end


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "os.kill(os.getpid(), signal.SIGTERM)"])
def test_the_files_go_at_the_end_of_the_program(tmp_path: Path, end: str) -> None:
    threads = "t = [threading.Thread(target=lambda: stats.hits.incr()) for _ in range(3)]\n[x.start() for x in t]\n"
    handler = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\n"
    run(tmp_path, f"stats.hits.incr()\n{handler}{threads}[x.join() for x in t]\n{end}", expect=3 if end else 0)
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_to_be_kept_stay_for_who_reads_them_later(tmp_path: Path) -> None:
    code = "t = threading.Thread(target=lambda: stats.hits.incr(4)); t.start(); t.join(); stats.hits.incr(3)"
    run(tmp_path, code, begin=BEGIN + "stats = Web(keep=True)\n")
    assert hits(tmp_path) == [3, 4]
    assert not any(held(path) for path in tmp_path.iterdir())


def test_threads_that_go_on_at_the_end_of_the_program_harm_nobody_and_leave_nothing(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
def work():
    while True: stats.hits.incr(); stats.level = 5
def begin():
    while True:
        stats.hits.incr(); thread = threading.Thread(target=stats.flush, daemon=True)
        try: thread.start()
        except RuntimeError: return
for target in (work, work, begin): threading.Thread(target=target, daemon=True).start()
while stats.hits.value < 1000: stats.hits.incr()
""",
    )
    assert list(tmp_path.glob("*.mmstats")) == []


def test_a_program_that_is_killed_leaves_files_that_nobody_holds_for_who_comes_after_it(tmp_path: Path) -> None:
    name = "stats = Web(filename='a.mmstats')\n"
    with started(tmp_path, "stats.hits.incr(5); print(flush=True); time.sleep(600)", BEGIN + name) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert held(tmp_path / "a.mmstats")
        process.kill()
    until_free(tmp_path)
    assert hits(tmp_path) == [5]
    run(tmp_path, "print(stats.filename)", begin=BEGIN + name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_whole_is_an_error_at_the_start_and_leaves_nothing(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
import resource, signal
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))     # a disk that is full after 100 bytes
try: Web()
except OSError as error: assert error.errno == 27, error
else: sys.exit("no error")
""",
        begin=BEGIN,
    )
    assert list(tmp_path.iterdir()) == []


# forks


def test_a_child_begins_at_zero_in_its_own_file_and_its_parent_goes_on(tmp_path: Path) -> None:
    run(
        tmp_path,
        f"""
from statspout.client.mmap import MmStatsReader
stats.hits.incr(5); stats.level = 7; counter = stats.hits; before = stats.filename
assert dict(MmStatsReader.from_file(before))["hits"] == 5
if os.fork() == 0:
    assert len(os.listdir({str(tmp_path)!r})) == 1       # who uses nothing has no file
    counter.incr(100)                                    # also by what it has from its parent
    assert (stats.hits.value, stats.level, stats.pid) == (100, 0, os.getpid())
    stats.hits.incr()
    assert stats.filename != before
    assert dict(MmStatsReader.from_file(before))["hits"] == 5
    values = dict(MmStatsReader.from_file(stats.filename))
    assert (values["hits"], values["sys.pid"], values["sys.tid"]) == (101, os.getpid(), threading.get_native_id())
    sys.exit()
assert os.wait()[1] == 0
stats.hits.incr()
values = dict(MmStatsReader.from_file(before))
assert (values["hits"], values["level"], values["sys.pid"]) == (6, 7, os.getpid())
assert os.listdir({str(tmp_path)!r}) == [os.path.basename(before)]
""",
    )


@pytest.mark.parametrize(
    "use",
    ["stats.level = 3", "stats.level", "with stats.took: pass", "stats.name = 'x'", "stats.pid", "stats.mean.add(2)"],
)
def test_the_first_use_of_any_field_makes_the_file_of_a_child(tmp_path: Path, use: str) -> None:
    begin = (
        "from statspout.client.mmap import *\n" + BEGIN + "    took = TimerField()\n    mean = AverageField()\n"
        "    name = StringField()\nstats = Web()\nstats.name = 'parent'\nstats.level = 1\nstats.mean.add(9)\n"
    )
    run(
        tmp_path,
        f"""
if os.fork() == 0:
    {use}
    values = dict(MmStatsReader.from_file(stats.filename))
    assert (values["sys.pid"], values["hits"]) == (os.getpid(), 0)
    assert values["mean"] in (0, 2) and values["name"] in ("", "x") and values["level"] in (0, 3), values
    os._exit(0)
assert os.wait()[1] == 0
""",
        begin=begin,
    )


def test_a_child_of_a_thread_has_what_it_has_of_the_main_thread_for_itself(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
counter = stats.hits; counter.incr(5); codes = []
def work():
    stats.hits.incr(1)
    if os.fork() == 0:
        counter.incr(2); stats.hits.incr(3)      # both are of this process now
        found = [dict(r)["hits"] for r in map(MmStatsReader.from_file, [counter._opener.path, stats.filename])]
        os._exit(0 if sorted(found) == [2, 3] and counter.value == 2 else 1)
    codes.append(os.wait()[1])
thread = threading.Thread(target=work); thread.start(); thread.join()
assert codes == [0] and counter.value == 5, (codes, counter.value)
""",
        begin="from statspout.client.mmap import MmStatsReader\n" + BEGIN + "stats = Web()\n",
    )


def test_a_child_neither_folds_nor_holds_what_is_its_parents(tmp_path: Path) -> None:
    with started(
        tmp_path,
        """
step = threading.Barrier(2)
def work(): stats.hits.incr(2); step.wait(); time.sleep(600)
threading.Thread(target=work, daemon=True).start(); step.wait(); stats.hits.incr(1)
if os.fork() == 0: print(os.getpid(), flush=True)    # the child is told of by itself, when it has come into its own
time.sleep(600)
""",
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            assert all(held(path) for path in tmp_path.iterdir())
            assert hits(tmp_path) == [1, 2]
            process.kill()
            process.wait()
            assert hits(tmp_path) == [1, 2]
            until_free(tmp_path)  # though the child lives
        finally:
            os.kill(child, signal.SIGKILL)


def test_threads_of_a_child_are_folded_into_a_file_of_its_own(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        f"""
from statspout.client.mmap import read_all
def threads(n):
    for _ in range(n):
        t = threading.Thread(target=lambda: stats.hits.incr()); t.start(); t.join()
threads(3)
if os.fork() == 0:
    threads(4)
    found = read_all({str(tmp_path)!r} + "/*.mmstats").readers.values()
    print(sorted((dict(r)["hits"], dict(r)["sys.tid"] == 0, dict(r)["sys.pid"] == os.getpid()) for r in found))
    sys.exit()
os.wait()
""",
    )
    assert out == ["[(0, False, False), (3, True, False), (4, True, True)]"]


def test_a_fork_in_the_middle_of_many_threads_leaves_the_child_able_to_count(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
over = False
def work():
    while not over:
        t = threading.Thread(target=lambda: stats.hits.incr()); t.start(); t.join()
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
for _ in range(40):
    if os.fork() == 0:
        signal.alarm(20)       # a lock that the parent's thread had would be for good
        stats.hits.incr()
        t = threading.Thread(target=lambda: stats.hits.incr()); t.start(); t.join()
        sys.exit(0 if stats.hits.value == 1 else 1)
    assert os.wait()[1] == 0
over = True
for thread in threads: thread.join()
""",
    )
    assert list(tmp_path.glob("*.mmstats")) == []


def test_signal_handlers_that_count_lose_nothing_nor_does_who_they_interrupt(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
def child():
    counted, over = [0, 0], []
    def handler(*_):
        if over: return
        stats.hits.incr(); counted[0] += 1
        signal.setitimer(signal.ITIMER_REAL, 2e-5)
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 2e-5)     # so soon that it comes in the midst of the making of the file, too
    while counted[1] < 300 or counted[0] < 5:
        stats.hits.incr(); counted[1] += 1
    over.append(True)
    assert dict(MmStatsReader.from_file(stats.filename))["hits"] == stats.hits.value == sum(counted), counted
    os._exit(0)
for _ in range(40):
    if os.fork() == 0: child()
    assert os.wait()[1] == 0
""",
        begin="from statspout.client.mmap import MmStatsReader\n" + BEGIN + "stats = Web()\n",
    )


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_of_multiprocessing_has_its_own_file_which_goes_at_its_end(tmp_path: Path, method: str) -> None:
    program, folder = tmp_path / "program.py", tmp_path / "files"
    folder.mkdir()
    program.write_text(
        f"import multiprocessing\n{BEGIN}stats = Web()\nstats.hits.incr(5)\n"
        "def work(): stats.hits.incr(2); print(stats.pid == os.getpid(), stats.hits.value % 5)\n"
        "if __name__ == '__main__':\n"
        f"    p = multiprocessing.get_context('{method}').Process(target=work)\n"
        "    p.start(); p.join(); sys.exit(p.exitcode)\n"
    )
    environ = {**os.environ, "MMSTATS_PATH": str(folder)}
    done = subprocess.run([sys.executable, program], env=environ, timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True 2\n", "")
    assert list(folder.iterdir()) == []


def test_a_program_that_was_started_has_no_part_in_the_files(tmp_path: Path) -> None:
    with started(
        tmp_path,
        """
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True); time.sleep(600)
""",
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            process.kill()
            process.wait()
            until_free(tmp_path)
            assert len(list(tmp_path.iterdir())) == 1
        finally:
            os.kill(child, signal.SIGKILL)


# as gunicorn does it


PREFORK = """
def serve(requests):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    threads = [threading.Thread(target=lambda: [stats.hits.incr() for _ in range(requests)]) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    os.write(ready, b".")
    while True: time.sleep(600)
def fork():
    pid = os.fork()
    if pid == 0:
        try: serve(1000)
        finally: sys.stdout = None; sys.exit()
    return pid
full, ready = os.pipe()
stats.hits.incr(7)
workers = [fork() for _ in range(3)]
def wait(n):
    while n: n -= len(os.read(full, n))
wait(3); print(flush=True); sys.stdin.readline()
os.kill(workers[0], signal.SIGTERM); os.waitpid(workers[0], 0)     # its time is over
os.kill(workers[1], signal.SIGKILL); os.waitpid(workers[1], 0)     # it did not answer
workers[:2] = [fork(), fork()]; wait(2); print(flush=True); sys.stdin.readline()
for pid in workers: os.kill(pid, signal.SIGTERM)
for pid in workers: os.waitpid(pid, 0)
"""


def test_workers_that_are_forked_ended_and_killed_are_each_counted_right(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", BEGIN + "stats = Web()\n" + PREFORK],
        env={**os.environ, "MMSTATS_PATH": str(tmp_path)}, cwd=tmp_path, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        assert hits(tmp_path) == [7, 4000, 4000, 4000]
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        assert hits(tmp_path) == [7, 4000, 4000, 4000, 4000]
        left = [values["hits"] for path in tmp_path.iterdir() if not held(path) for values in [dict(read(path))]]
        assert left == [4000]  # of the one that was killed
        process.stdin.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == ""
    assert hits(tmp_path) == [4000]


def read(path: Path) -> MmStatsReader:
    return MmStatsReader.from_file(path)


# storms


STORM = """
import random
random.seed(int(sys.argv[1]))
def child():
    stats.hits.incr()
    for _ in range(random.randrange(4)):
        t = threading.Thread(target=lambda: stats.hits.incr()); t.start(); t.join()
while True:
    if os.fork() == 0:
        child()
        if random.random() < 0.5: os.kill(os.getpid(), signal.SIGKILL)
        sys.exit()
    stats.hits.incr()
    child()
    if random.random() < 0.3: os.waitpid(-1, 0)
"""


def test_a_storm_of_forks_threads_and_kills_leaves_nothing_that_is_held_or_wrong(tmp_path: Path) -> None:
    environ = {**os.environ, "MMSTATS_PATH": str(tmp_path)}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", BEGIN + "stats = Web()\n" + STORM, str(seed)], env=environ, start_new_session=True
        )
        for seed in range(3)
    ]
    try:
        began, read = running_time(), 0
        while (passed := running_time() - began) < 4 or read <= 50:
            assert passed < PATIENCE, read
            found = read_all(f"{tmp_path}/*.mmstats")
            assert not found.errors
            read += len(found.readers)
            assert all(0 <= int(dict(reader)["hits"]) < 10**6 for reader in found.readers.values())
        assert all(writer.poll() is None for writer in writers)  # none had a signal of its memory
    finally:
        for writer in writers:
            os.killpg(writer.pid, signal.SIGKILL)
            writer.wait()
    until_free(tmp_path)
    for path in tmp_path.glob(".*.new"):
        os.utime(path, (0, 0))  # the minute for which it may still be in the making
    assert run_tool("cleanstats", environ=environ).code == 0
    assert not list(tmp_path.iterdir())
