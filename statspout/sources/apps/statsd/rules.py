"""What each kind of StatsD server takes of the union that :mod:`parse` reads, and why it would not take a line.

A line is right for a server when the server takes it for what it means: one that counts the values of a histogram as
if they were a counter's does not take a histogram.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Literal, NamedTuple

from statspout.sources.apps.statsd.lines import BadLine, Event, Line, ServiceCheck
from statspout.sources.apps.statsd.parse import parse

_STYLES = {b",": "influx", b";": "graphite", b"#": "librato", b"[": "signalfx"}
_STYLE = re.compile(rb"[,;#\[]")
_FIELDS = {b"c:": "c", b"e:": "e", b"card:": "card", b"T": "T"}
_EXPONENT = re.compile(rb"\|@[^|]*[eE]")


class Rules(NamedTuple):
    """What one kind of server takes; each field is a difference between those that there are.

    ``types``: letters that mean there what they should. ``tags``: styles of tags that it reads. ``several``: values
    with types of their own, ``a:1|c:2|c``. ``packed``: types that can have several values, ``a:1:2|ms``. ``fields``:
    DogStatsD's sections, taken or passed over. ``strip``: a carriage return at the end of a line is no part of it.
    ``blank``: an empty line is none. ``names``: names that it takes; ``order``: what has to stand where.
    """

    types: str = "c g ms s h d"
    tags: str = "dogstatsd"
    several: Literal["", "untagged", "always"] = ""
    """Not at all, without DogStatsD's tags only, or always."""
    packed: str = ""
    fields: str = ""
    strip: bool = False
    blank: bool = True
    below_zero: bool = True
    """A timer's value may be negative."""
    whole: bool = False
    """A counter's value loses what is behind its point."""
    exponents: bool = True
    """A rate may be written ``1e-1``."""
    tags_last: bool = False
    colons: bool = True
    """A set's value may have colons in it."""
    events: bool = False
    checks: bool = False
    names: str = r".*"
    """What a name, without its tags, has to match."""


_EXPORTER = Rules("c g ms h d", "dogstatsd influx librato signalfx", several="untagged", packed="ms h d", fields="c T")
_BRUBECK = Rules("c g ms h C", "", blank=False, names=r"\S*[^\s.]")

RULES: dict[str, Rules | None] = {
    "statspout": None,
    "etsy": Rules(
        "c g ms s",
        "graphite dogstatsd",
        several="always",
        strip=True,
        below_zero=False,
        exponents=False,
        tags_last=True,
        colons=False,
    ),
    "brubeck": _BRUBECK,
    "flux": _BRUBECK,
    "gostatsd": Rules("c g ms s h", packed="c g ms h", fields="c e card T", blank=False, events=True, names=r"[^_].*"),
    "statsd_exporter": _EXPORTER,
    "telegraf": Rules(
        tags="influx dogstatsd", several="always", fields="c T", strip=True, below_zero=False, whole=True, events=True
    ),
    "dogstatsd": Rules(packed="c g ms h d", fields="c e card T", events=True, checks=True),
    "librato": _EXPORTER,
    "signalfx": _EXPORTER,
}
"""By the names of the client's dialects. Our own listener takes all that can be read."""


def problem(line: bytes, dialect: str) -> str | None:
    """Why the server of ``dialect`` would not take ``line`` (without its newline), in one line; None when it would."""
    rules = RULES[dialect]
    try:
        read = parse(line)
    except BadLine as error:
        return str(error)
    if rules is None:
        return None
    if read is None:
        return None if rules.blank else "an empty line: none is right"
    if isinstance(read, Event):
        return None if rules.events else "events are not taken"
    if isinstance(read, ServiceCheck):
        return None if rules.checks else "service checks are not taken"
    checks = (
        _ends(line, rules),
        _name(read, rules),
        _types(read, rules),
        _tags(line, rules),
        _values(line, read, rules),
        _numbers(line, read, rules),
        _fields(line, rules),
    )
    return next(chain(*checks), None)


def _ends(line: bytes, rules: Rules) -> Iterator[str]:
    if line != line.strip() and not (rules.strip and line.strip() == line.rstrip(b"\r")):
        yield "white space around the line, such as a carriage return: none is right"


def _name(read: Line, rules: Rules) -> Iterator[str]:
    if not re.fullmatch(rules.names, read.name):
        yield f"the name {read.name[:80]!r} is wrong: letters, digits, _ and - with dots between are right"


def _types(read: Line, rules: Rules) -> Iterator[str]:
    known = rules.types.split()
    for reading in read.readings:
        if reading.type not in known:
            yield f"the type {reading.type!r} is not taken for what it is: one of {', '.join(known)} is right"


def _tags(line: bytes, rules: Rules) -> Iterator[str]:
    style = _style_of(line)
    if style and style not in rules.tags.split():
        known = rules.tags.replace(" ", " or ")
        yield f"tags in the style of {style} are not read: {f'that of {known}' if known else 'none'} is right"
    elif rules.tags_last and b"|#" in line and b"|" in line.partition(b"|#")[2]:
        yield "there is a section behind the tags: tags at the end are right"


def _values(line: bytes, read: Line, rules: Rules) -> Iterator[str]:
    first, *sections = line.partition(b":")[2].split(b"|")
    # A value can follow a type or a rate; in all other sections a colon is their own.
    several = any(b":" in section for section in sections[:1] + [one for one in sections if one.startswith(b"@")])
    kind = read.readings[0].type
    if several and not (rules.several == "always" or (rules.several == "untagged" and _style_of(line) != "dogstatsd")):
        yield "several values with a type each: a line for each is right"
    elif kind == "s" and b":" in first and not rules.colons:
        yield "a colon in the value of a set: none is right"
    elif kind != "s" and b":" in first and kind not in rules.packed.split():
        yield f"several values before the type {kind!r}: a line for each is right"


def _numbers(line: bytes, read: Line, rules: Rules) -> Iterator[str]:
    for reading in read.readings:
        value = reading.value
        if isinstance(value, bytes):
            continue
        if reading.type == "ms" and value < 0 and not rules.below_zero:
            yield f"the value '{value}' of a timer is negative: 0 or more is right"
        if reading.type == "c" and value != int(value) and rules.whole:
            yield f"the value '{value}' of a counter would be cut to {int(value)}: a whole number is right"
    if not rules.exponents and _EXPONENT.search(line):
        yield "the rate has an exponent: digits and a point are right"


def _fields(line: bytes, rules: Rules) -> Iterator[str]:
    for section in line.split(b"|")[2:]:
        name = _field(section)
        if name and name not in rules.fields.split():
            yield f"the section {section[:80].decode(errors='backslashreplace')!r} is not taken"


def _style_of(line: bytes) -> str:
    """The style of the line's tags; empty where there are none."""
    name, _, rest = line.partition(b":")
    found = _STYLE.search(name)
    return _STYLES[found[0]] if found else "dogstatsd" if b"|#" in rest else ""


def _field(section: bytes) -> str:
    return next((name for prefix, name in _FIELDS.items() if section.startswith(prefix)), "")
