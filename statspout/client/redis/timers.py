"""How long the steps of something take."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import NamedTuple


class TimerStat(NamedTuple):
    """Seconds."""

    stat: float
    """Since the step before, or the beginning."""
    total: float
    """Of all steps."""


def timer() -> Iterator[TimerStat]:
    """A clock that begins now; each ``next`` ends a step."""
    return _steps(perf_counter())


def _steps(began: float) -> Iterator[TimerStat]:
    last = began
    while True:
        now = perf_counter()
        yield TimerStat(now - last, now - began)
        last = now
