"""Where the kernel keeps a container's files, by /proc/PID/cgroup of its first process.

The path must name the container's whole id: that proves that the process is of this container, and not of another
machine's, another namespace's, or a later one that got the same number.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from statspout.errors import Unreadable

CONTROLLERS = ("cpuacct", "cpu", "memory", "blkio", "pids")
"""Those of cgroup v1 that have figures for us. On v2 all are in one folder."""

_SHORTEST_ID = 32

_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")

_PARENTS = ("docker", "system.slice")
"""Where engines keep their containers by default, for a path of which only the end is known."""


class Place(NamedTuple):
    """The version of the interface, and the container's folder by controller; on v2 it is the same for all."""

    version: int
    folders: dict[str, str]


def place_of(text: str, container_id: str, root: str) -> Place:
    """The place of the container whose process has ``text`` as its /proc/PID/cgroup; ``root`` is /sys/fs/cgroup.

    Unreadable when the process is not this container's, or its folders are not under ``root``.
    """
    rows = [line.split(":", 2) for line in text.splitlines() if line.count(":") >= 2]
    legacy = {name: (names, path) for _, names, path in rows for name in names.split(",") if name in CONTROLLERS}
    if legacy:
        folders = {
            name: _folder(_mounts(root, names, name), path, container_id) for name, (names, path) in legacy.items()
        }
        return Place(1, folders)
    unified = [path for number, names, path in rows if number == "0" and not names]
    if not unified:
        raise Unreadable("its process is in no cgroup")
    return Place(2, dict.fromkeys(CONTROLLERS, _folder([root], unified[0], container_id)))


def ids_in(text: str) -> list[str]:
    """The ids of containers, as engines make them, in a /proc/PID/cgroup, each once, the outermost first."""
    return list(dict.fromkeys(_ID.findall(text)))


def looks_like_root(root: str) -> bool:
    """Whether ``root`` is where cgroups are mounted, of either version."""
    unified = os.path.exists(f"{root}/cgroup.controllers")
    return unified or any(os.path.isdir(f"{root}/{name}") for name in ("cpuacct", "cpu,cpuacct", "memory"))


def _mounts(root: str, names: str, name: str) -> list[str]:
    """Where a hierarchy may be mounted: under all of its controllers' names, or a link with one of them."""
    return [f"{root}/{names}", f"{root}/{name}"]


def _folder(mounts: list[str], path: str, container_id: str) -> str:
    parts = _up_to(path, container_id)
    for mount in mounts:
        for candidate in _candidates(parts, path.startswith("/../")):
            folder = f"{mount}/{candidate}"
            if os.path.isdir(folder):
                return folder
    raise Unreadable(f"its cgroup is not under {mounts[-1]}")


def _up_to(path: str, container_id: str) -> list[str]:
    """The parts of the path down to the container's own: what is below is made inside of it, as by its systemd."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for depth, part in enumerate(parts, 1):
        if len(container_id) >= _SHORTEST_ID and container_id in part:
            return parts[:depth]
    raise Unreadable("its process here is not the container's: the engine is elsewhere, or has process ids of its own")


def _candidates(parts: list[str], relative: bool) -> Iterator[str]:
    """The path, then without its first parts: in a container, what is mounted may begin further down.

    ``relative``: the path began above our own cgroup namespace, so how it begins is not known.
    """
    for skipped in range(len(parts)):
        yield "/".join(parts[skipped:])
    if relative:
        for parent in _PARENTS:
            yield f"{parent}/{parts[-1]}"
