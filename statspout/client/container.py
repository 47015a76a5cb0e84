"""Which container an application runs in, in the words of DogStatsD: what lets a server put its numbers next to it."""

from __future__ import annotations

import os
import re

_ID = re.compile(r"(?:^|[/:-])([0-9a-f]{64})(?:\.scope)?(?:/|$)")
_HOST_NAMESPACE = 0xEFFFFFFB
"""The number of the cgroup namespace that the machine itself has: PROC_CGROUP_INIT_INO of the kernel."""


def container_id(proc: str = "/proc/self", cgroup: str = "/sys/fs/cgroup") -> str:
    """What stands behind ``c:``: the container's id, else ``in-`` and the inode of its cgroup; empty in no container.

    Of containers in a container it is the outer one, which the machine's engine knows. On cgroup v2 a container sees no
    more of its own path than ``/``; but the folder that is mounted in it is the one that the machine knows by the same
    inode.
    """
    try:
        with open(f"{proc}/cgroup", encoding="utf-8", errors="replace") as file:
            paths = [line.rpartition(":")[2] for line in file.read().splitlines()]
        for path in paths:
            if found := _ID.search(path):
                return found[1]
        if os.stat(f"{proc}/ns/cgroup").st_ino == _HOST_NAMESPACE:
            return ""
        return f"in-{os.stat(cgroup).st_ino}"
    except OSError:
        return ""
