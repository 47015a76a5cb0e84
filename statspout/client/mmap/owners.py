"""Who wrote a file, by what is in it, and whether that process lives.

A file that is held (:func:`statspout.client.mmap.held`) is somebody's who lives. Those of other libraries never are,
nor those on a file system without locks: then the process id tells, as far as it is of this pid namespace.
"""

from __future__ import annotations

import os
import time
from typing import Literal, NamedTuple

from statspout.client.mmap.reader import MmStatsReader

PID, CREATED = "sys.pid", "sys.created"
"""What the labels end with, behind a model's prefix, that tell a process and when its file was made."""

_SLACK = 60.0
"""Seconds by which a process has to be younger than a file not to be its writer: clocks are corrected."""

_STATE, _THREADS, _STARTED = 0, 17, 19
"""Where they are behind the name in ``/proc/PID/stat``."""

Fate = Literal["alive", "gone", "replaced"]


class Owner(NamedTuple):
    """A process by its id; ``created`` is when it made its file, in seconds since 1970, None where that is unknown."""

    pid: int
    created: float | None


def owners_of(reader: MmStatsReader) -> list[Owner]:
    """Who wrote the file: one process, unless somebody has put several models into one; none where it does not say."""
    values = dict(reader)
    found = []
    for label, value in reader:
        if label.endswith(PID) and isinstance(value, int) and not isinstance(value, bool) and value > 0:
            created = values.get(label.removesuffix(PID) + CREATED)
            found.append(Owner(value, created if isinstance(created, float) and created > 0 else None))
    return found


def fate(owner: Owner, proc: str = "/proc") -> Fate:
    """Whether the process lives, is gone, or another one has its id by now, which began after the file was made."""
    try:
        os.kill(owner.pid, 0)
    except (ProcessLookupError, OverflowError):  # an id that no process can have
        return "gone"
    except PermissionError:  # another user's
        pass
    try:
        with open(f"{proc}/{owner.pid}/stat", "rb") as file:
            # The name, in parentheses, may have anything in it.
            told = file.read().rpartition(b")")[2].split()
    except OSError:  # nobody says more
        return "alive"
    if told[_STATE] == b"Z" and int(told[_THREADS]) <= 1:
        return "gone"  # it has ended, and its parent has not asked how
    if owner.created is None or _began(int(told[_STARTED])) < owner.created + _SLACK:
        return "alive"
    return "replaced"


def _began(ticks: int) -> float:
    """When a process began, in seconds since 1970, of the clock's ticks since the machine did."""
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted + ticks / os.sysconf("SC_CLK_TCK")


def mapped(proc: str = "/proc") -> set[tuple[int, int]]:
    """Device and inode of every file that some process has mapped, as far as this user may see them.

    It tells of writers in other pid namespaces, whose ids are theirs: root of a host sees those of all containers.
    """
    found = set()
    for pid in filter(str.isdigit, os.listdir(proc)):
        try:
            with open(f"{proc}/{pid}/maps", "rb") as file:
                for line in file:
                    _, _, _, device, inode, *_ = line.split(maxsplit=5)
                    if inode != b"0":
                        major, _, minor = device.partition(b":")
                        found.add((os.makedev(int(major, 16), int(minor, 16)), int(inode)))
        except OSError:  # it has ended, or is not this user's to look at
            continue
    return found
