"""The account of one repository: what became of every sample it was to get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

REASONS = ("overflow", "rejected", "gone", "closed", "error", "expired", "damaged", "shutdown")
"""Why a sample can be dropped."""


@dataclass(slots=True)
class Books:
    """Samples since the start: collected + restored = filtered + delivered + queued + dropped, at any moment.

    ``queued`` includes the batch in flight, and what waits on disk. ``restored`` were found there at the start.
    ``dropped`` is by reason: ``overflow`` (the queue, or the spool, was full), ``rejected`` (the destination will never
    take it), ``gone`` (of a container that was cleared), ``closed`` (it is closed), ``error`` (a live repository
    failed), ``expired`` (too long on disk), ``damaged`` (what was on disk cannot be read), ``shutdown`` (undelivered
    when the program had to end).
    """

    waiting: Callable[[], int] = lambda: 0
    """Says how many samples are queued, by looking: what the counters say can be held against it."""
    collected: int = 0
    restored: int = 0
    filtered: int = 0
    delivered: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    failures: int = 0
    """Pushes, opens, clears, idles and last closes that failed; the samples of a failed push are retried, not lost."""

    def drop(self, reason: str, count: int = 1) -> None:
        """``count`` samples are lost for ``reason``."""
        if count:
            self.dropped[reason] += count

    @property
    def queued(self) -> int:
        """Samples queued or in flight, in memory and on disk."""
        return self.waiting()

    @property
    def balanced(self) -> bool:
        """Whether nothing is unaccounted for."""
        done = self.filtered + self.delivered + self.queued + self.dropped.total()
        return self.collected + self.restored == done
