"""The bounded queue before one repository: samples, and the clears behind them, oldest first."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from statspout.sample import Container, Sample

Item = Sample | Container


class Queue:
    """Samples in order, at most ``limit`` of them; a :class:`Container` in it says that this container is gone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[Item] = deque()
        self.samples = 0

    def __bool__(self) -> bool:
        return bool(self._items)

    def put(self, sample: Sample) -> int:
        """Append a sample; returns how many of the oldest had to go."""
        self._items.append(sample)
        self.samples += 1
        return self._shrink()

    def put_clear(self, container: Container) -> bool:
        """Append the word that this container is gone; False when there are as many of these as samples may be."""
        if len(self._items) - self.samples >= self._limit:
            return False
        self._items.append(container)
        return True

    def put_back(self, batch: Sequence[Sample]) -> int:
        """Return a batch to the head, in its order; returns how many of the oldest had to go."""
        self._items.extendleft(reversed(batch))
        self.samples += len(batch)
        return self._shrink()

    def take(self, most: int) -> Container | list[Sample]:
        """The head: a container that is gone, or up to ``most`` samples."""
        head = self._items[0]
        if isinstance(head, Container):
            self._items.popleft()
            return head
        batch: list[Sample] = []
        while self._items and len(batch) < most and not isinstance(self._items[0], Container):
            batch.append(self._items.popleft())  # type: ignore[arg-type]  # a Container ended the loop above
        self.samples -= len(batch)
        return batch

    def _shrink(self) -> int:
        """Drop the oldest samples over the limit. Word of a gone container stays."""
        dropped, clears = 0, []
        while self.samples > self._limit:
            item = self._items.popleft()
            if isinstance(item, Container):
                clears.append(item)
            else:
                self.samples -= 1
                dropped += 1
        self._items.extendleft(reversed(clears))
        return dropped
