"""What statspout counts about itself while it collects."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

KINDS = ("timeout", "refused", "bad_answer", "down", "not_running", "stale", "unreadable", "internal")
"""Why a poll can be without a sample."""


@dataclass(slots=True)
class Telemetry:
    """Counts since the start. Times are monotonic seconds."""

    started: float = field(default_factory=time.monotonic)
    samples: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """Polls without a sample, by kind."""
    skipped_ticks: int = 0
    """Due times that passed while the container's last poll was not finished."""
    late_seconds: float = 0.0
    """The sum of the seconds by which polls began after their due time."""
    late_max: float = 0.0
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
        self.late_seconds += late
        self.late_max = max(self.late_max, late)

    def swept(self, polls: int, samples: int, late: float) -> None:
        """A sweep over ``polls`` containers, begun ``late`` seconds after its due time, gave so many samples."""
        self.polls += polls
        self.samples += samples
        self.late_seconds += late * polls
        if polls:
            self.late_max = max(self.late_max, late)
        if samples:
            self.last_sample = time.monotonic()

    def sampled(self) -> None:
        """A poll ended with a sample."""
        self.samples += 1
        self.last_sample = time.monotonic()
