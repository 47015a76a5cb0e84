"""Who runs now: what discovery found, for sources that have to tell one container from another."""

from __future__ import annotations

from collections.abc import Iterable

from statspout.sample import Container
from statspout.source import Target, Watcher


class Roster:
    """The running containers by id: a watcher that only remembers."""

    def __init__(self) -> None:
        self.targets: dict[str, Target] = {}

    def found(self, target: Target) -> None:
        """It runs, or something about it is another than before."""
        self.targets[target.container.id] = target

    def lost(self, container: Container) -> None:
        """It does not run any more."""
        self.targets.pop(container.id, None)


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
