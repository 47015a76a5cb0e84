"""StatsD as the servers that there are take it: what a line of each dialect looks like.

A line is ``name:value|type``, then ``|@rate``, then the tags. What differs is a row of :data:`DIALECTS`. Here lines are
written only; who reads them is :mod:`statspout.sources.apps.statsd`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

Type = Literal["count", "gauge", "timing", "set", "histogram", "distribution"]
"""What a client reports: the name of the call."""

Style = Literal["", "dogstatsd", "influx", "graphite", "librato", "signalfx"]
"""Where the tags are: nowhere, ``|#k:v``, ``name,k=v``, ``name;k=v``, ``name#k=v``, ``name[k=v]``."""


class Dialect(NamedTuple):
    """How one kind of server is written to.

    ``types`` has the letter of each type; one that is not in it cannot be sent. ``tags`` is where tags go; without a
    place for them they are part of the name, ``name.key.value``, so that what is two series stays two. ``relative``:
    a gauge's ``+3`` and ``-3`` change it; where they do not, a sender has to know the gauge's value. ``absolute``: a
    count is the sum of all there ever was. ``packed``: a line may have several values of a timer, a histogram or a
    distribution, ``name:1:2:3|ms``. ``origin``: a line says which container it comes from, ``|c:id``.
    """

    name: str
    types: Mapping[Type, str]
    tags: Style = ""
    relative: bool = True
    absolute: bool = False
    packed: bool = False
    origin: bool = False


_COMMON: dict[Type, str] = {"count": "c", "gauge": "g", "timing": "ms"}
_SETS: dict[Type, str] = {**_COMMON, "set": "s"}
_ALL: dict[Type, str] = {**_SETS, "histogram": "h", "distribution": "d"}
# Where there is no type for sizes, timers have the same statistics.
_AS_TIMERS: dict[Type, str] = {"histogram": "ms", "distribution": "ms"}

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect("statspout", _ALL, "dogstatsd", packed=True, origin=True),
        Dialect("etsy", {**_SETS, **_AS_TIMERS}, "graphite"),
        Dialect("brubeck", {**_COMMON, "histogram": "h", "distribution": "h"}),
        Dialect("flux", {**_COMMON, "count": "C", "histogram": "h", "distribution": "h"}, absolute=True),
        Dialect("gostatsd", {**_SETS, "histogram": "h", "distribution": "h"}, "dogstatsd", relative=False),
        Dialect("statsd_exporter", {**_COMMON, "histogram": "h", "distribution": "d"}, "dogstatsd"),
        Dialect("telegraf", _ALL, "influx"),
        Dialect("dogstatsd", _ALL, "dogstatsd", relative=False, packed=True, origin=True),
        Dialect("librato", {**_COMMON, "histogram": "h", "distribution": "d"}, "librato"),
        Dialect("signalfx", {**_COMMON, "histogram": "h", "distribution": "d"}, "signalfx"),
    )
}
"""By name. ``statspout`` is what our own listener reads: all of it. ``flux`` is ``brubeck`` with counters as flux's own
stats API writes them. ``librato`` and ``signalfx`` are statsd_exporter with tags of those styles."""

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9_.-]+")
# Who writes tags behind the value may have what stands in front of it in them.
_NOT_IN_VALUES = re.compile(r"[\s|,#\x00-\x1f\x7f]+")
_NOT_IN_VALUES_OF_NAMES = re.compile(r"[\s|,#:;=@\[\]\x00-\x1f\x7f]+")
_SHAPES: dict[Style, tuple[str, str, str, str]] = {
    "influx": (",", "=", ",", ""),
    "graphite": (";", "=", ";", ""),
    "librato": ("#", "=", ",", ""),
    "signalfx": ("[", "=", ",", "]"),
}


def clean(name: str) -> str:
    """The name with ``_`` for what is not ``[A-Za-z0-9_.-]``: every server takes that as it is."""
    return _NOT_IN_NAMES.sub("_", name)


def series(dialect: Dialect, name: str, tags: Mapping[str, str]) -> tuple[str, str]:
    """What stands before a value's colon, and what behind its type and rate: ``("hits", "|#env:prod")``.

    Tags are in order of their keys, so that equal ones are one series; those without a value are left out where the
    dialect has only pairs, and those without a key everywhere.
    """
    name = clean(name)
    if dialect.tags == "dogstatsd":
        pairs = (_dogstatsd(key, str(tags[key])) for key in sorted(tags))
        joined = ",".join(filter(None, pairs))
        return name, f"|#{joined}" if joined else ""
    shape = _SHAPES.get(dialect.tags)
    cleaned = ((_NOT_IN_KEYS.sub("_", key), _NOT_IN_VALUES_OF_NAMES.sub("_", str(tags[key]))) for key in sorted(tags))
    known = [(key, value) for key, value in cleaned if key and value]
    if not known:
        return name, ""
    if shape is None:
        return clean(".".join([name, *(f"{key}.{value.replace('.', '_')}" for key, value in known)])), ""
    begin, between, separator, end = shape
    return f"{name}{begin}{separator.join(f'{key}{between}{value}' for key, value in known)}{end}", ""


def _dogstatsd(key: str, value: str) -> str:
    key, value = _NOT_IN_KEYS.sub("_", key), _NOT_IN_VALUES.sub("_", value)
    return f"{key}:{value}" if key and value else key


def number(value: float) -> str:
    """The value in digits, exactly, and never with an exponent, which not every server reads.

    ValueError when it is not finite.
    """
    if isinstance(value, int):
        return str(int(value))
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a number that can be sent")
    text = repr(float(value) + 0.0)  # -0.0 would be a change of a gauge; a subclass may call itself what it likes
    if "e" in text:
        from decimal import Decimal  # rarely needed, and costs more to import than all else here

        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def set_gauge(dialect: Dialect, head: str, tail: str, value: float) -> str:
    """The line, or the two that belong in one packet, that set a gauge.

    A negative value would be a change of it; it is set to 0 first, which all servers that there are understand alike.
    """
    line = f"{head}:{number(value)}|g{tail}"
    return f"{head}:0|g{tail}\n{line}" if value < 0 and dialect.relative else line


def change_gauge(head: str, tail: str, change: float) -> str:
    """The line that changes a gauge where the dialect is ``relative``; no change is ``+0``, for ``0`` would set it."""
    text = number(change)
    return f"{head}:{text if text.startswith('-') else '+' + text}|g{tail}"
