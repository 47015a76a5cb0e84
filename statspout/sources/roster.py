"""Who runs now: what discovery found, for sources that have to tell one container from another."""

from __future__ import annotations

from collections.abc import Iterable

from statspout.sample import Container
from statspout.source import Target, Watcher
from statspout.sources.cgroup.container import Roots


class Roster:
    """One engine's running containers by id: a watcher that only remembers.

    ``host`` is the host of their samples, once it is known. ``roots`` are where the kernel's files of theirs are, None
    when they are elsewhere.
    """

    def __init__(self, roots: Roots | None = None) -> None:
        self.host = ""
        self.roots = roots
        self.targets: dict[str, Target] = {}

    def found(self, target: Target) -> None:
        """It runs, or something about it is another than before."""
        self.targets[target.container.id] = target

    def lost(self, container: Container) -> None:
        """It does not run any more."""
        self.targets.pop(container.id, None)


def roster_of(container_id: str, rosters: Iterable[Roster]) -> Roster | None:
    """The one that has this container."""
    return next((roster for roster in rosters if container_id in roster.targets), None)


def runs_in(container: Container, rosters: Iterable[Roster]) -> bool:
    """Whether one of them has this run of this container."""
    found = (roster.targets.get(container.id) for roster in rosters)
    return any(target is not None and target.container.same_run(container) for target in found)


class Watchers:
    """Several watchers as one, each told in turn."""

    def __init__(self, watchers: Iterable[Watcher]) -> None:
        self._watchers = tuple(watchers)

    def found(self, target: Target) -> None:
        """Tell all of them."""
        for watcher in self._watchers:
            watcher.found(target)

    def lost(self, container: Container) -> None:
        """Tell all of them."""
        for watcher in self._watchers:
            watcher.lost(container)
