"""From samples to rows: rates, trends, and an order. Nothing in here writes or waits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from statspout.latest import Latest
from statspout.sample import Container, ContainerSample
from statspout.terminal.text import TREND

Sort = Literal["cpu", "mem", "net", "block", "pids", "name"]


class Rates(NamedTuple):
    """Bytes a second since the sample before; None where that is unknown."""

    rx: float | None = None
    tx: float | None = None
    read: float | None = None
    write: float | None = None


_COUNTERS = ("rx_bytes", "tx_bytes", "blkio_read_bytes", "blkio_write_bytes")


def rates(before: ContainerSample | None, sample: ContainerSample) -> Rates:
    """How fast the counters grew between two samples of one run, by the samples' own times.

    Unknown without a sample of the same run before it, when no time passed, or when a counter went back.
    """
    if before is None or before.container.identity != sample.container.identity or sample.time_ns <= before.time_ns:
        return Rates()
    seconds = (sample.time_ns - before.time_ns) / 1e9
    return Rates(*(_rate(getattr(before, field), getattr(sample, field), seconds) for field in _COUNTERS))


def _rate(before: int | None, now: int | None, seconds: float) -> float | None:
    return None if before is None or now is None or now < before else (now - before) / seconds


@dataclass(frozen=True, slots=True)
class Row:
    """One container: its latest sample, its rates, and (time_ns, CPU percent) of its last samples, oldest first."""

    sample: ContainerSample
    rates: Rates
    history: tuple[tuple[int, float | None], ...]

    @property
    def trend(self) -> tuple[float | None, ...]:
        """The CPU percentages of its last samples."""
        return tuple(cpu for _, cpu in self.history)


class Table:
    """The current rows: a container that is cleared, or silent for three intervals, is none of them.

    ``interval`` is in seconds, infinite when each container is sampled once; ``clock`` gives monotonic seconds.
    """

    def __init__(self, interval: float, sort: Sort = "cpu", clock: Callable[[], float] = time.monotonic) -> None:
        self.interval = interval
        self.sort = sort
        self._latest = Latest(interval, clock)
        self._rows: dict[str, Row] = {}

    def put(self, sample: ContainerSample) -> None:
        """Make ``sample`` its container's row. One that came before, as after a failed push, changes nothing."""
        row = self._rows.get(sample.container.id)
        history: tuple[tuple[int, float | None], ...] = ()
        if row is not None and row.sample.container.identity == sample.container.identity:
            history = row.history
            if any(sample.time_ns == time_ns for time_ns, _ in history):
                return
        history = (*history, (sample.time_ns, known(sample.cpu_percent)))[-TREND:]
        self._rows[sample.container.id] = Row(sample, rates(row.sample if row else None, sample), history)
        self._latest.put(sample)

    def drop(self, container: Container) -> None:
        """Forget a container that is gone."""
        self._latest.drop(container)

    def rows(self) -> list[Row]:
        """The current rows in their order: the most first, unknown last, equal ones by name."""
        self._rows = {sample.container.id: self._rows[sample.container.id] for sample in self._latest.samples()}
        return in_order(self._rows.values(), self.sort)


def in_order(rows: Iterable[Row], sort: Sort) -> list[Row]:
    """The rows by what ``sort`` names, the most first and unknown last, equal ones by name; or all by name."""
    by_name = sorted(rows, key=lambda row: (row.sample.container.name, row.sample.host, row.sample.container.id))
    if sort == "name":
        return by_name
    measure = _MEASURES[sort]
    return sorted(by_name, key=lambda row: -math.inf if (value := measure(row)) is None else value, reverse=True)


_MEASURES: Mapping[str, Callable[[Row], float | None]] = {
    "cpu": lambda row: known(row.sample.cpu_percent),
    "mem": lambda row: row.sample.mem_usage,
    "net": lambda row: _sum(row.rates.rx, row.rates.tx),
    "block": lambda row: _sum(row.rates.read, row.rates.write),
    "pids": lambda row: row.sample.pids,
}


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def known(value: float | None) -> float | None:
    """The value, or None for what is no number."""
    return None if value is None or not math.isfinite(value) else value
