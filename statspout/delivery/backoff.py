"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST = 0.5
CAP = 30.0


class Backoff:
    """Exponential back-off with full jitter: a random time up to 0.5, 1, 2, ... 30 s; many do not come at once."""

    def __init__(self, first: float = FIRST, cap: float = CAP, draw: Callable[[float, float], float] = random.uniform):
        self._first, self._cap, self._draw = first, cap, draw
        self.failures = 0

    def failed(self) -> float:
        """Count a failure; the seconds to wait now."""
        ceiling = min(self._cap, self._first * 2 ** min(self.failures, 16))
        self.failures += 1
        return self._draw(0.0, ceiling)

    def succeeded(self) -> None:
        """Begin anew."""
        self.failures = 0
