"""How large the next batch is: bisection down to poison, and what fits a destination."""

from __future__ import annotations

_STEADY = 100
"""Batches that a destination took, after which a larger one is tried."""


class Sizing:
    """Says how many samples, of ``most``, the next batch may have.

    When a destination rejects a batch and does not say which sample it means, the batch is the ``suspects``: one of
    them at least is poison. The first half is tried; when that is taken, the poison is known to be in the other half,
    which need not be tried whole. So one poison sample among n costs about log2(n) requests, and one more that is its
    own.
    """

    def __init__(self, most: int) -> None:
        self._most = self._fits = most
        self._taken = 0
        self.suspects = 0

    @property
    def next(self) -> int:
        """The most samples of the next batch."""
        return min(max(1, self.suspects // 2) if self.suspects else self._most, self._fits)

    def stored(self, count: int) -> None:
        """A batch of ``count`` was taken."""
        self.suspects = max(0, self.suspects - count)
        self._taken += 1
        if self._fits < self._most and self._taken >= _STEADY:
            self._taken = 0
            self._fits = min(self._most, self._fits * 2)

    def rejected(self, count: int) -> None:
        """At least one of a batch of ``count`` is poison."""
        self.suspects = count

    def found(self) -> None:
        """The poison is known, and gone."""
        self.suspects = 0

    def too_large(self, count: int) -> None:
        """A batch of ``count`` was too large for the destination."""
        self._taken = 0
        self._fits = max(1, min(self._fits, count) // 2)
