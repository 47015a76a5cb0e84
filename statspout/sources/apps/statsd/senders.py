"""Which container a line comes from: by what it says of itself, or by the process that the kernel says sent it."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from pathlib import Path

from statspout.errors import Unreadable
from statspout.sample import Container
from statspout.source import Target
from statspout.sources.apps.statsd.aggregate import Origin
from statspout.sources.apps.statsd.parse import Sender
from statspout.sources.cgroup.container import Roots
from statspout.sources.cgroup.places import ids_in, place_of
from statspout.sources.roster import Roster

_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_INODE = re.compile(r"in-([0-9]{1,20})")

_TRUSTED = 1.0
"""Seconds for which a process is taken for the one that had its number: numbers come round, but not so soon."""

_MOST_PROCESSES = 10_000

_FOR_INODES = "memory"
"""The controller whose folder clients look at on cgroup v1; on v2 there is one folder for all."""


class Senders:
    """Knows containers by the marks that lines and datagrams bear. ``roots`` are those of the engine's host."""

    def __init__(self, roster: Roster, roots: Roots | None, proc: str = "/proc") -> None:
        self._roster = roster
        self._roots = roots
        self._proc = proc
        self._inodes: dict[int, str] = {}
        self._looked_at: dict[str, int | None] = {}
        self._origins: dict[str, Origin] = {"": Origin()}
        self._processes: dict[int, tuple[Origin, float]] = {}

    @property
    def unknown(self) -> Origin:
        """Where lines come from that bear no mark."""
        return self._origins[""]

    def look_up(self, container_id: str) -> Container | None:
        """The running container of this id."""
        target = self._roster.targets.get(container_id)
        return target.container if target is not None else None

    def named(self, sender: Sender) -> str:
        """The id of the container that a line's ``c:`` field names, which need not run here; empty when none is known.

        ``<id>``, ``ci-<id>``, or ``in-<inode>`` of its cgroup, which is known on the engine's host only.
        """
        for mark in sender.container.split(",") if sender.container else ():
            if found := _INODE.fullmatch(mark):
                if known := self._of_inode(int(found[1])):
                    return known
            elif _ID.fullmatch(plain := mark.removeprefix("ci-")):
                return plain
        return ""

    def of_process(self, pid: int) -> Origin:
        """The origin of a process, which is that of its container; ``unknown`` when it is in none, or gone already."""
        now = time.monotonic()
        known = self._processes.get(pid)
        if known is not None and now < known[1]:
            return known[0]
        if len(self._processes) >= _MOST_PROCESSES:
            self._processes.clear()
        origin = self._origin(self._container_of(pid)) if pid > 0 else self.unknown
        self._processes[pid] = origin, now + _TRUSTED
        return origin

    def tidy(self) -> None:
        """Forget the containers of which nothing is known any more. To be called now and then."""
        self._processes.clear()
        running = self._roster.targets
        for container_id in [i for i, o in self._origins.items() if i and not o.cache and i not in running]:
            del self._origins[container_id]

    def _origin(self, container_id: str) -> Origin:
        return self._origins.setdefault(container_id, Origin(container_id))

    def _container_of(self, pid: int) -> str:
        try:
            ids = ids_in(Path(self._proc, str(pid), "cgroup").read_text(errors="replace"))
        except OSError:
            return ""
        # An engine within a container has paths with both ids: the one that is sampled is the one that is meant.
        return next((one for one in ids if one in self._roster.targets), ids[-1] if ids else "")

    def _of_inode(self, inode: int) -> str:
        known = self._inodes.get(inode, "")
        if known not in self._roster.targets and self._roots is not None:
            self._look_at_new(self._roots)
            known = self._inodes.get(inode, "")
        return known if known in self._roster.targets else ""

    def _look_at_new(self, roots: Roots) -> None:
        targets = self._roster.targets
        if self._looked_at.keys() - targets.keys():
            self._looked_at = {i: pid for i, pid in self._looked_at.items() if i in targets}
            self._inodes = {inode: i for inode, i in self._inodes.items() if i in targets}
        for container_id, target in targets.items():
            if self._looked_at.get(container_id, 0) != target.pid:
                self._looked_at[container_id] = target.pid
                with suppress(OSError, Unreadable):
                    self._inodes[_inode(target, roots)] = container_id


def _inode(target: Target, roots: Roots) -> int:
    text = Path(roots.proc, str(target.pid), "cgroup").read_text(errors="replace")
    return Path(place_of(text, target.container.id, roots.cgroup).folders[_FOR_INODES]).stat().st_ino
