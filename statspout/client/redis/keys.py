"""The keys that Aka Stats keeps a label's statistics under, and ours beside them."""

from __future__ import annotations

import os
from dataclasses import dataclass

TTL = 14 * 86_400
"""Seconds after the last report to a label when all that is kept of it expires."""

KINDS = ("COUNT", "TOTAL", "TOTAL_SQ", "SUMS", "MIN", "MAX", "HISTORY", "AVG", "STDEV", "LAST", "LAST_TIME")
"""What is kept of a label, in the order in which the script takes the keys. ``SUMS`` is ours alone."""

STATS = ("count", "avg", "stdev", "max", "min", "total", "last", "last_time")
"""What is read of a label."""


PROCESS = os.urandom(16).hex()
"""What tells this process from every other that writes to a namespace."""


@dataclass(frozen=True, slots=True)
class Keyspace:
    """The keys of a namespace: ``NS::KIND::label``, the label as it is.

    In a Redis Cluster an update needs its keys on one node: ``tagged`` keys begin with ``{NS}``, by which they are.
    """

    namespace: str
    tagged: bool = False

    @property
    def prefix(self) -> str:
        """What all keys begin with, up to the colons."""
        return f"{{{self.namespace}}}" if self.tagged else self.namespace

    @property
    def index(self) -> str:
        """The sorted set of all labels, each with the score 1."""
        return f"{self.prefix}::INDEX"

    def key(self, kind: str, label: str) -> str:
        """One key of a label."""
        return f"{self.prefix}::{kind}::{label}"

    def context(self, context_id: str) -> str:
        """The key of a context."""
        return f"{self.prefix}::CONTEXTS::{context_id}"

    def writer(self, process: str) -> str:
        """The key by which a daemon sees that it is itself that writes here."""
        return f"{self.prefix}::WRITERS::{process}"

    def of(self, label: str) -> list[str]:
        """The keys of a label, one of each kind."""
        prefix = self.prefix
        return [f"{prefix}::{kind}::{label}" for kind in KINDS]

    def read(self, label: str) -> list[str]:
        """The keys of what is read of a label."""
        return [self.key(name.upper(), label) for name in STATS]
