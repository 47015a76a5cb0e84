"""What the kernel says of processes: which files they have mapped, when they began, and whether they have ended.

``proc`` is where the ``/proc`` is mounted in which they have their ids.
"""

from __future__ import annotations

import os
import re
import time
from typing import NamedTuple

FileId = tuple[int, int]
"""What tells a file from every other, whatever it is called: its device and its inode."""

_MAP = re.compile(rb"^\S+ (\S+) \S+ ([0-9a-f]+):([0-9a-f]+) ([1-9]\d*)\b", re.MULTILINE)

_WRITTEN = re.compile(rb".w.s")
"""What is mapped to be written so that others see it."""

_SLACK = 60.0
"""Seconds by which a process has to be younger than a file not to be its writer: clocks are corrected."""

_STATE, _THREADS, _STARTED = 0, 17, 19
"""Where they are behind the name in ``/proc/PID/stat``."""


class Process(NamedTuple):
    """``ended``: it only waits for its parent to ask how. ``began`` is in seconds since 1970, by the clock as it is."""

    ended: bool
    began: float

    def can_have_made(self, created: float | None) -> bool:
        """Whether a file that was made then, in seconds since 1970, may be its own; None is unknown."""
        return created is None or self.began < created + _SLACK


def process_of(pid: int, proc: str = "/proc") -> Process:
    """The process with this id; OSError where there is none, or nobody may know of it."""
    with open(f"{proc}/{pid}/stat", "rb") as file:
        # The name, in parentheses, may have anything in it.
        told = file.read().rpartition(b")")[2].split()
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    began = booted + int(told[_STARTED]) / os.sysconf("SC_CLK_TCK")
    return Process(told[_STATE] == b"Z" and int(told[_THREADS]) <= 1, began)


def mapped_by(pid: int, proc: str = "/proc", *, written: bool = False) -> frozenset[FileId]:
    """The files that it has mapped, or only those that it has ``written`` for others to see. OSError as above."""
    with open(f"{proc}/{pid}/maps", "rb") as file:
        text = file.read()
    return frozenset(
        file_id(major, minor, inode)
        for how, major, minor, inode in _MAP.findall(text)
        if not written or _WRITTEN.fullmatch(how)
    )


def file_id(major: bytes, minor: bytes, inode: bytes) -> FileId:
    """A file as the kernel's lists have it: the numbers of its device are hexadecimal."""
    return os.makedev(int(major, 16), int(minor, 16)), int(inode)
