"""Who wrote a file, by what is in it, and whether that process lives.

A file that is held (:func:`statspout.client.mmap.held`) is somebody's who lives. Those of other libraries never are,
nor those on a file system without locks: then the process id tells, as far as it is of this pid namespace.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Literal, NamedTuple

from statspout.client.mmap.layout import PID
from statspout.client.mmap.processes import FileId, mapped_by, process_of
from statspout.client.mmap.reader import MmStatsReader

CREATED = "sys.created"
"""What the label ends with, behind a model's prefix, that tells when the process made its file."""

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
        process = process_of(owner.pid, proc)
    except OSError:  # nobody says more
        return "alive"
    if process.ended:
        return "gone"
    return "alive" if process.can_have_made(owner.created) else "replaced"


def mapped(proc: str = "/proc") -> set[FileId]:
    """Every file that some process has mapped, as far as this user may see them.

    It tells of writers in other pid namespaces, whose ids are theirs: root of a host sees those of all containers.
    """
    found: set[FileId] = set()
    for pid in filter(str.isdigit, os.listdir(proc)):
        with suppress(OSError):  # it has ended, or is not this user's to look at
            found |= mapped_by(int(pid), proc)
    return found
