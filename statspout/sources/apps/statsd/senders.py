"""Which container a line comes from: by what it says of itself, or by the process that the kernel says sent it."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from statspout.errors import Unreadable
from statspout.sample import Container
from statspout.source import Target
from statspout.sources.apps.statsd.aggregate import Origin
from statspout.sources.apps.statsd.lines import Sender
from statspout.sources.cgroup.container import Roots
from statspout.sources.cgroup.places import ids_in, place_of
from statspout.sources.roster import Roster, roster_of

_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_INODE = re.compile(r"in-([0-9]{1,20})")

_TRUSTED = 1.0
"""Seconds for which a process is taken for the one that had its number: numbers come round, but not so soon."""

_MOST_PROCESSES = 10_000

_FOR_INODES = "memory"
"""The controller whose folder clients look at on cgroup v1; on v2 there is one folder for all."""


class Senders:
    """Knows containers by the marks that lines and datagrams bear. ``rosters`` are the engines', as they are now."""

    def __init__(self, rosters: Sequence[Roster], proc: str = "/proc") -> None:
        self._rosters = rosters
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
        target = self._target(container_id)
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
        for container_id in [i for i, o in self._origins.items() if i and not o.cache and not self._target(i)]:
            del self._origins[container_id]

    def _target(self, container_id: str) -> Target | None:
        roster = roster_of(container_id, self._rosters)
        return roster.targets[container_id] if roster is not None else None

    def _origin(self, container_id: str) -> Origin:
        return self._origins.setdefault(container_id, Origin(container_id))

    def _container_of(self, pid: int) -> str:
        try:
            ids = ids_in(Path(self._proc, str(pid), "cgroup").read_text(errors="replace"))
        except OSError:
            return ""
        # An engine within a container has paths with both ids: the one that is sampled is the one that is meant.
        return next((one for one in ids if self._target(one)), ids[-1] if ids else "")

    def _of_inode(self, inode: int) -> str:
        known = self._inodes.get(inode, "")
        if not self._target(known):
            self._look_at_new()
            known = self._inodes.get(inode, "")
        return known if self._target(known) else ""

    def _look_at_new(self) -> None:
        """Look at the folders of those on this machine that were not looked at yet."""
        here = [
            (roster.roots, target) for roster in self._rosters if roster.roots for target in roster.targets.values()
        ]
        running = {target.container.id for _, target in here}
        if self._looked_at.keys() - running:
            self._looked_at = {i: pid for i, pid in self._looked_at.items() if i in running}
            self._inodes = {inode: i for inode, i in self._inodes.items() if i in running}
        for roots, target in here:
            container_id = target.container.id
            if self._looked_at.get(container_id, 0) != target.pid:
                self._looked_at[container_id] = target.pid
                with suppress(OSError, Unreadable):
                    self._inodes[_inode(target, roots)] = container_id


def _inode(target: Target, roots: Roots) -> int:
    text = Path(roots.proc, str(target.pid), "cgroup").read_text(errors="replace")
    return Path(place_of(text, target.container.id, roots.cgroup).folders[_FOR_INODES]).stat().st_ino
