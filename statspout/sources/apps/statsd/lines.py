"""What a StatsD line can say, and what can be wrong with one."""

from __future__ import annotations

from typing import Literal, NamedTuple

from statspout.telemetry import BAD_LINES

Type = Literal["c", "g", "ms", "s", "h", "d", "C"]
"""Counter, gauge, timer, set, histogram, distribution, and brubeck's absolute counter."""

TYPES: dict[bytes, Type] = {b"c": "c", b"g": "g", b"ms": "ms", b"s": "s", b"h": "h", b"d": "d", b"C": "C"}

KINDS = tuple(kind for kind in BAD_LINES if kind != "cut")
"""What can be wrong with a line. ``name``: there is none, or no colon after it; ``type``: none that is known;
``section``: one after the type that is unknown, empty or there twice."""

LONGEST_LINE = 8192
"""Bytes: what the clients with the longest packets put into one."""

LATEST = 9_223_372_036
"""The last second since the epoch whose nanoseconds fit into 64 bits."""

PRIORITIES = ("normal", "low")
ALERTS = ("error", "warning", "info", "success")


class BadLine(ValueError):
    """A line that is not taken. ``kind`` is one of :data:`KINDS`; the text says what is wrong, and what is right."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Reading(NamedTuple):
    """One value. A set's is bytes, all others finite numbers; ``relative``: a change of the gauge, not its value."""

    type: Type
    value: int | float | bytes
    rate: float = 1.0
    """The part of the events that the sender told of: above 0 and at most 1. Gauges and sets go without."""
    relative: bool = False


Tags = tuple[tuple[str, str], ...]
"""Sorted by key, each key once: two values of one key are one, with a comma between."""


class Sender(NamedTuple):
    """What a line says about who sent it, as it says it: DogStatsD's fields ``c:``, ``e:`` and ``card:``."""

    container: str = ""
    """``<id>``, ``ci-<id>``, ``in-<inode of its cgroup>``, or several of the last two with commas."""
    external: str = ""
    cardinality: str = ""


NOBODY = Sender()


class Line(NamedTuple):
    """A line with values, of which there is at least one."""

    name: str
    readings: tuple[Reading, ...]
    tags: Tags = ()
    sender: Sender = NOBODY
    time_s: int | None = None
    """When the values were measured, in seconds since the epoch; only counters and gauges can say so."""


class Event(NamedTuple):
    """Something happened: DogStatsD's ``_e``. Empty is what was not said."""

    title: str
    text: str
    tags: Tags = ()
    sender: Sender = NOBODY
    time_s: int | None = None
    host: str = ""
    aggregation_key: str = ""
    priority: str = ""
    source_type: str = ""
    alert_type: str = ""


class ServiceCheck(NamedTuple):
    """How something is: DogStatsD's ``_sc``. ``status``: 0 is good, 1 a warning, 2 critical, 3 unknown."""

    name: str
    status: int
    tags: Tags = ()
    sender: Sender = NOBODY
    time_s: int | None = None
    host: str = ""
    message: str = ""


def shown(text: bytes) -> str:
    """The beginning of what a stranger sent, as it is in a literal: it may be anything."""
    return repr(text[:80])[1:]
