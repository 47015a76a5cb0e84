"""One StatsD line, read: every dialect that a server there is takes, and nothing that would be a guess.

::

    name:value|type[|@rate][|#tags][|c:container][|T time]...

The sections after the type come in any order. Tags stand behind (``|#k:v``, DogStatsD) or in the name: ``name,k=v``
(InfluxDB), ``name;k=v`` (Graphite), ``name#k=v`` (Librato), ``name[k=v]`` (SignalFX); both at once, or two styles in
one name, is a bad line. A line may have several values: ``name:1:2:3|ms`` (all types but sets, whose values may have
colons), or ``name:1|c:2|c``. Where servers differ, what only one of them takes is taken; what no two of them read
alike, such as a type that nobody knows, is bad. A bad line is bad as a whole: none of its values count.
"""

from __future__ import annotations

import math
import re

from statspout.sources.apps.statsd.events import event, service_check
from statspout.sources.apps.statsd.lines import (
    LONGEST_LINE,
    TYPES,
    BadLine,
    Event,
    Line,
    Reading,
    ServiceCheck,
    Type,
    shown,
)
from statspout.sources.apps.statsd.sections import OF_ALL, decoded, named, sender_of, take, time_of

LONGEST_SERIES = 2048
"""Bytes of a name with its tags: what is remembered of each series."""

_LONGEST_NUMBER = 350
"""Bytes: the longest number within the range of a float has 309 digits before its point."""

_LONGEST_EXACT = 18
"""Digits of an integer that is kept as one; it fits into 64 bits wherever it is stored."""

_NUMBER = re.compile(rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_SECTIONS = OF_ALL | {b"T": "time"}


def parse(line: bytes) -> Line | Event | ServiceCheck | None:
    """Read one line, without its newline; None when there is nothing in it. BadLine when it cannot be taken."""
    line = line.strip()
    if not line:
        return None
    if len(line) > LONGEST_LINE:
        raise BadLine("too_long", f"{len(line)} bytes: {LONGEST_LINE} or less are right")
    if line.startswith(b"_e{"):
        return event(line)
    if line.startswith(b"_sc|"):
        return service_check(line)
    return _values(line)


def number(text: bytes) -> int | float:
    """A decimal number, as JSON has them and a little more (``+1``, ``.5``, ``1.``); BadLine for anything else.

    What Python's own ``int`` and ``float`` would take beside that (``1_0``, ``nan``, ``inf``, blanks) is not one.
    """
    if text.isdigit() and len(text) <= _LONGEST_EXACT:
        return int(text)
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        raise BadLine("value", f"the value {shown(text)} is wrong: a decimal number is right")
    if len(text) <= _LONGEST_EXACT and text[1:].isdigit() and text[:1] in b"+-":
        return int(text)
    value = float(text)
    if not math.isfinite(value):
        raise BadLine("value", f"the value {shown(text)} is beyond the range of a float")
    return value


# name:value|type


def _values(line: bytes) -> Line:
    name, colon, rest = line.partition(b":")
    if not colon:
        raise BadLine("name", f"{shown(line)} has no colon: name:value|type is right")
    values, *sections = rest.split(b"|")
    sections.reverse()
    fields: dict[str, bytes] = {}
    readings: list[Reading] = []
    more = b":"
    while more:
        if not sections:
            raise BadLine("type", "there is no type: name:value|type is right")
        letters, more, following = sections.pop().partition(b":")
        rate: float | None = None
        while sections and not more:
            section = sections.pop()
            if not section.startswith(b"@"):
                take(section, fields, _SECTIONS, "section")
            elif rate is None:
                text, more, following = section[1:].partition(b":")
                rate = _rate(text)
            else:
                raise BadLine("section", "there are two rates: one is right")
        readings += _readings(letters, values, 1.0 if rate is None else rate)
        values = following
    return _line(name, readings, fields)


def _line(name: bytes, readings: list[Reading], fields: dict[str, bytes]) -> Line:
    own = fields.get("tags")
    if len(name) + len(own or b"") > LONGEST_SERIES:
        raise BadLine("too_long", f"a name with tags of more than {LONGEST_SERIES} bytes")
    plain, tags = named(decoded(name), own)
    time_s = time_of(fields, "timestamp")
    if time_s is not None:
        if any(reading.type not in ("c", "g") for reading in readings):
            raise BadLine("timestamp", "only counters (c) and gauges (g) can have a time of their own")
        # DogStatsD, which alone has times, knows no changes of gauges; and what would this one be a change of?
        readings = [reading._replace(relative=False) for reading in readings]
    return Line(plain, tuple(readings), tags, sender_of(fields), time_s)


def _readings(letters: bytes, values: bytes, rate: float) -> list[Reading]:
    kind = TYPES.get(letters)
    if kind is None:
        raise BadLine("type", f"the type {shown(letters)} is wrong: one of {', '.join(TYPES.values())} is right")
    if kind == "s":
        if not values:
            raise BadLine("value", "there is no value: a set's is any text")
        return [Reading(kind, values)]
    return [_reading(kind, text, rate) for text in values.split(b":")]


def _reading(kind: Type, text: bytes, rate: float) -> Reading:
    value = number(text)
    if kind == "g":
        return Reading(kind, value, relative=text[:1] in b"+-")
    if kind == "C":
        if value < 0:
            raise BadLine("value", f"the value {shown(text)} is wrong: an absolute counter (C) is never below 0")
        return Reading(kind, value)
    if kind == "c" and not math.isfinite(value / rate):
        raise BadLine("value", f"the value {shown(text)}, divided by its rate, is beyond the range of a float")
    return Reading(kind, value, rate)


def _rate(text: bytes) -> float:
    rate = float(text) if len(text) <= _LONGEST_NUMBER and _NUMBER.fullmatch(text) else 0.0
    if not (0 < rate <= 1 and math.isfinite(1 / rate)):
        raise BadLine("rate", f"the rate {shown(text)} is wrong: a number above 0, and 1 or less, is right")
    return rate
