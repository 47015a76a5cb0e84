"""Whose a statistics file is, and whether that process lives."""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.mmstats import Laid, laid

from statspout.client.mmap import MmStatsReader
from statspout.client.mmap.owners import Owner, fate, mapped, owners_of


def reader(*fields: Laid) -> MmStatsReader:
    return MmStatsReader.from_bytes(laid(fields))


PID = Laid(b"web.sys.pid", "I", 255, (7,))
CREATED = Laid(b"web.sys.created", "d", 255, (5.5,))


@pytest.mark.parametrize(
    ("fields", "owners"),
    [
        ([PID, CREATED], [Owner(7, 5.5)]),
        ([CREATED, PID, Laid(b"sys.created", "d", 255, (1.0,))], [Owner(7, 5.5)]),
        ([PID], [Owner(7, None)]),
        ([PID, CREATED, Laid(b"sys.pid", "I", 255, (8,))], [Owner(7, 5.5), Owner(8, None)]),
        ([CREATED], []),
        ([Laid(b"sys.pid", "I", 255, (0,))], []),
        ([Laid(b"sys.pid", "i", 255, (-1,))], []),
        ([Laid(b"sys.pid", "?", 255, (True,))], []),
        ([Laid(b"sys.pid", "d", 255, (7.0,))], []),
        ([Laid(b"sys.pid", "2s", 255, (b"7",))], []),
        ([Laid(b"sys.pid.old", "I", 255, (7,))], []),
        ([PID, Laid(b"web.sys.created", "d", 255, (float("nan"),))], [Owner(7, None)]),
    ],
)
def test_the_owner_is_who_the_labels_name(fields: list[Laid], owners: list[Owner]) -> None:
    assert owners_of(reader(*fields)) == owners


def test_a_process_lives_that_made_the_file_after_it_began() -> None:
    assert fate(Owner(os.getpid(), time.time())) == "alive"
    assert fate(Owner(os.getpid(), None)) == "alive"


ANOTHER = """
import os
from statspout.client.mmap.owners import Owner, fate
if not os.getuid(): os.setuid(65534)
print(fate(Owner(1, None)))
"""


def test_another_users_process_lives() -> None:
    done = subprocess.run([sys.executable, "-c", ANOTHER], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("alive\n", "")


def test_a_process_that_began_long_after_the_file_was_made_is_another_one() -> None:
    assert fate(Owner(os.getpid(), time.time() - 10 * 365 * 86_400)) == "replaced"


def test_a_process_that_began_within_a_minute_of_it_may_be_the_same_as_clocks_are_corrected() -> None:
    began = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    began += ticks / os.sysconf("SC_CLK_TCK")
    assert fate(Owner(os.getpid(), began - 50)) == "alive"
    assert fate(Owner(os.getpid(), began - 70)) == "replaced"


@pytest.mark.parametrize("pid", [2**22 + 1, 2**32 - 1])
def test_an_id_that_no_process_has_is_gone(pid: int) -> None:
    assert fate(Owner(pid, None)) == "gone"


def test_a_process_that_has_ended_is_gone_though_nobody_has_asked_how() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert fate(Owner(process.pid, None)) == "gone"
    process.wait()


def test_a_process_of_which_proc_says_nothing_lives(tmp_path: Path) -> None:
    assert fate(Owner(os.getpid(), 1.0), proc=str(tmp_path)) == "alive"


def test_a_file_that_somebody_has_mapped_is_found_by_device_and_inode(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(struct.pack("4096x"))
    found = path.stat()
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0):
        assert (found.st_dev, found.st_ino) in mapped()
    assert (found.st_dev, found.st_ino) not in mapped()
