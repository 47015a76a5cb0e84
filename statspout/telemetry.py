"""What statspout counts about itself while it collects."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

KINDS = ("timeout", "refused", "bad_answer", "down", "not_running", "stale", "unreadable", "internal")
"""Why a poll can be without a sample."""

LATE = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: how late is late, from a timer's own inaccuracy to more than most intervals."""


@dataclass(slots=True)
class Lateness:
    """How late polls began.

    ``counts`` are of the polls up to each of :data:`LATE` and beyond the one before, and at last of those beyond all.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATE) + 1))
    total: float = 0.0
    """The sum in seconds."""
    most: float = 0.0

    def add(self, seconds: float, polls: int = 1) -> None:
        """So many polls began so late. A timer may be a nanosecond early: that is not late."""
        seconds = max(0.0, seconds)
        self.counts[bisect_left(LATE, seconds)] += polls
        self.total += seconds * polls
        self.most = max(self.most, seconds)


BAD_LINES = (
    "too_long",
    "encoding",
    "name",
    "value",
    "type",
    "rate",
    "tags",
    "mixed_tags",
    "timestamp",
    "section",
    "event",
    "service_check",
    "cut",
)
"""Why a StatsD line is not taken: what the parser finds wrong with it, and ``cut``: its connection broke within it."""

LEFT_OUT = ("series", "events", "range", "room")
"""Why something that a StatsD listener understood is not in what it passes on: a value of a series, or an event, beyond
the most that are kept; an aggregate beyond the range of a float; a set, or percentiles, beyond the memory for them."""


HTTP_REFUSED = ("credentials", "too_large", "crowded", "not_http", "slow", "handshake")
"""Why who asks by HTTP is not answered: without the right credentials; a head or a body beyond what is taken; among too
many connections, or idle when another needed the place; in no HTTP; without a request, or without reading the answer,
for too long; without TLS that is good, where it is asked for."""


@dataclass(slots=True)
class Heard:
    """Counts of the StatsD listener since the start."""

    packets: int = 0
    """Datagrams; what comes over a connection is not in packets."""
    lines: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    """Lines that were not taken, by kind."""
    left_out: Counter[str] = field(default_factory=Counter)
    """By one of :data:`LEFT_OUT`."""
    socket_drops: int = 0
    """Packets that the kernel dropped because the socket's buffer was full."""
    refused: int = 0
    """Connections beyond the most that are held."""
    series: int = 0
    """Known at the moment."""


@dataclass(slots=True)
class Telemetry:
    """Counts of one engine since the start. Times are monotonic seconds. ``name`` tells it from others."""

    name: str = ""
    samples: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """Polls without a sample, by kind."""
    skipped_ticks: int = 0
    """Due times that passed while the container's last poll was not finished."""
    lateness: Lateness = field(default_factory=Lateness)
    """By how much polls began after their due time."""
    polls: int = 0
    last_sample: float | None = None
    containers: int = 0
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a running container is not sampled, by container id: the filter's reason."""
    engine_up: bool = False
    listed: float | None = None
    """When the engine last listed its containers."""

    @property
    def left_out(self) -> Counter[str]:
        """How many running containers are not sampled, by the filter's reason."""
        return Counter(self.reasons.values())

    def began(self, late: float) -> None:
        """A poll began ``late`` seconds after its due time."""
        self.polls += 1
        self.lateness.add(late)

    def swept(self, polls: int, samples: int, late: float) -> None:
        """A sweep over ``polls`` containers, begun ``late`` seconds after its due time, gave so many samples."""
        self.polls += polls
        self.samples += samples
        if polls:
            self.lateness.add(late, polls)
        if samples:
            self.last_sample = time.monotonic()

    def sampled(self) -> None:
        """A poll ended with a sample."""
        self.samples += 1
        self.last_sample = time.monotonic()
