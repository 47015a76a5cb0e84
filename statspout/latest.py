"""The latest sample of each container, for repositories that serve current values."""

from __future__ import annotations

import time
from collections.abc import Callable

from statspout.sample import Container, ContainerSample

STALE_AFTER = 3
"""Intervals after which a value that was not renewed is no longer current."""


class Latest:
    """Keeps one sample per container id and forgets those that were not renewed for three intervals.

    ``clock`` gives monotonic seconds: age is the time since a sample came, so a remote engine's clock does not matter.
    """

    def __init__(self, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._max_age = STALE_AFTER * interval
        self._values: dict[str, tuple[float, ContainerSample]] = {}

    def put(self, sample: ContainerSample) -> None:
        """Make ``sample`` the current one of its container."""
        self._values[sample.container.id] = (self._clock(), sample)

    def drop(self, container: Container) -> None:
        """Forget a container that is gone, unless another run of it has taken its place."""
        kept = self._values.get(container.id)
        if kept is not None and kept[1].container.same_run(container):
            del self._values[container.id]

    def samples(self) -> list[ContainerSample]:
        """The current samples, one of each container, by container name."""
        self._expire()
        return sorted((sample for _, sample in self._values.values()), key=lambda s: (s.container.name, s.time_ns))

    def find(self, name: str) -> ContainerSample | None:
        """The current sample of the container with this name, id, or short id; of two with one name, the newer."""
        found = [s for s in self.samples() if name in (s.container.name, s.container.id, s.container.short_id)]
        return found[-1] if found else None

    def _expire(self) -> None:
        oldest = self._clock() - self._max_age
        for key in [key for key, (came, _) in self._values.items() if came < oldest]:
            del self._values[key]
