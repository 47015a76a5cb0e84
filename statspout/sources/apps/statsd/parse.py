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

LONGEST_SERIES = 2048
"""Bytes of a name with its tags: what is remembered of each series."""

_LONGEST_NUMBER = 350
"""Bytes: the longest number within the range of a float has 309 digits before its point."""

_LONGEST_EXACT = 18
"""Digits of an integer that is kept as one; it fits into 64 bits wherever it is stored."""

LATEST = 9_223_372_036
"""The last second since the epoch whose nanoseconds fit into 64 bits."""

FLAG = "true"
"""The value of a tag that has none, ``|#urgent``; Telegraf's, too."""

_NUMBER = re.compile(rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_SECONDS = re.compile(rb"[0-9]{1,10}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_EVENT = re.compile(rb"_e\{([0-9]{1,5}),([0-9]{1,5})\}:")
_STYLES = re.compile("[,;#[]")
_SEPARATORS = {",": ",", ";": ";", "#": ",", "[": ","}

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


def parse(line: bytes) -> Line | Event | ServiceCheck | None:
    """Read one line, without its newline; None when there is nothing in it. BadLine when it cannot be taken."""
    line = line.strip()
    if not line:
        return None
    if len(line) > LONGEST_LINE:
        raise BadLine("too_long", f"{len(line)} bytes: {LONGEST_LINE} or less are right")
    if line.startswith(b"_e{"):
        return _event(line)
    if line.startswith(b"_sc|"):
        return _service_check(line)
    return _values(line)


def number(text: bytes) -> int | float:
    """A decimal number, as JSON has them and a little more (``+1``, ``.5``, ``1.``); BadLine for anything else.

    What Python's own ``int`` and ``float`` would take beside that (``1_0``, ``nan``, ``inf``, blanks) is not one.
    """
    if text.isdigit() and len(text) <= _LONGEST_EXACT:
        return int(text)
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        raise BadLine("value", f"the value {_shown(text)} is wrong: a decimal number is right")
    if len(text) <= _LONGEST_EXACT and text[1:].isdigit() and text[:1] in b"+-":
        return int(text)
    value = float(text)
    if not math.isfinite(value):
        raise BadLine("value", f"the value {_shown(text)} is beyond the range of a float")
    return value


# name:value|type


def _values(line: bytes) -> Line:
    name, colon, rest = line.partition(b":")
    if not colon:
        raise BadLine("name", f"{_shown(line)} has no colon: name:value|type is right")
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
                _take(section, fields, _SECTIONS, "section")
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
    plain, tags = _named(_text(name), own)
    time_s = _time(fields, "timestamp")
    if time_s is not None:
        if any(reading.type not in ("c", "g") for reading in readings):
            raise BadLine("timestamp", "only counters (c) and gauges (g) can have a time of their own")
        # DogStatsD, which alone has times, knows no changes of gauges; and what would this one be a change of?
        readings = [reading._replace(relative=False) for reading in readings]
    return Line(plain, tuple(readings), tags, _sender(fields), time_s)


def _readings(letters: bytes, values: bytes, rate: float) -> list[Reading]:
    kind = TYPES.get(letters)
    if kind is None:
        raise BadLine("type", f"the type {_shown(letters)} is wrong: one of {', '.join(TYPES.values())} is right")
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
            raise BadLine("value", f"the value {_shown(text)} is wrong: an absolute counter (C) is never below 0")
        return Reading(kind, value)
    if kind == "c" and not math.isfinite(value / rate):
        raise BadLine("value", f"the value {_shown(text)}, divided by its rate, is beyond the range of a float")
    return Reading(kind, value, rate)


def _rate(text: bytes) -> float:
    rate = float(text) if len(text) <= _LONGEST_NUMBER and _NUMBER.fullmatch(text) else 0.0
    if not (0 < rate <= 1 and math.isfinite(1 / rate)):
        raise BadLine("rate", f"the rate {_shown(text)} is wrong: a number above 0, and 1 or less, is right")
    return rate


# what stands behind the type

_ALWAYS = {b"#": "tags", b"c:": "container", b"e:": "external", b"card:": "cardinality"}
_SECTIONS = _ALWAYS | {b"T": "time"}
_OF_CHECKS = _ALWAYS | {b"d:": "time", b"h:": "host", b"m:": "message"}
_OF_EVENTS = _ALWAYS | {b"d:": "time", b"h:": "host", b"k:": "key", b"p:": "priority", b"s:": "source", b"t:": "alert"}


def _take(section: bytes, fields: dict[str, bytes], known: dict[bytes, str], kind: str) -> None:
    """Put a section into ``fields`` by what its prefix means; BadLine of ``kind`` when it is unknown or there twice."""
    for prefix, name in known.items():
        if section.startswith(prefix):
            if name in fields:
                raise BadLine(kind, f"the section {prefix.decode()} is there twice: once is right")
            fields[name] = section[len(prefix) :]
            return
    starts = ", ".join(prefix.decode() for prefix in known)
    raise BadLine(kind, f"the section {_shown(section)} is unknown: one that begins with {starts} is right")


def _time(fields: dict[str, bytes], kind: str) -> int | None:
    text = fields.get("time")
    if text is None:
        return None
    if not _SECONDS.fullmatch(text) or not 0 < int(text) <= LATEST:
        raise BadLine(kind, f"the time {_shown(text)} is wrong: whole seconds since 1970 are right")
    return int(text)


def _sender(fields: dict[str, bytes]) -> Sender:
    if "container" in fields or "external" in fields or "cardinality" in fields:
        return Sender(*(_text(fields.get(name, b"")) for name in Sender._fields))
    return NOBODY


# names and tags


def _named(name: str, behind: bytes | None) -> tuple[str, Tags]:
    """The name without the tags that are in it, and all tags, of which ``behind`` are those of a ``|#`` section."""
    whole, found = name, _STYLES.search(name)
    tags: Tags = ()
    if found is not None:
        if behind is not None:
            raise BadLine("mixed_tags", f"tags in the name ({found[0]}) and behind it (|#): one of both is right")
        name, tags = _tags_in(name, found[0])
    elif behind is not None:
        tags = _pairs(_text(behind).split(","), ":")
    if not name or _CONTROL.search(name) or "|" in whole:
        raise BadLine("name", f"the name {name[:80]!r} is wrong: one without control characters and | is right")
    return name, tags


def _tags_in(name: str, style: str) -> tuple[str, Tags]:
    plain, _, tags = name.partition(style)
    if style == "[":
        # SignalFX lets the name go on behind its tags.
        tags, closed, rest = tags.partition("]")
        if not closed:
            raise BadLine("tags", "the tags begin with [ and have no end: ] is right")
        plain += rest
    if any(other in f"{plain}{tags}" for other in ",;#[" if other not in (style, _SEPARATORS[style])):
        raise BadLine("mixed_tags", "tags of more than one style in the name: one is right")
    return plain, _pairs(tags.split(_SEPARATORS[style]), "=")


def _pairs(texts: list[str], between: str) -> Tags:
    """Tags by key: those without a value have :data:`FLAG`, those with an empty one are as good as not there."""
    found: dict[str, str] = {}
    for text in texts:
        key, separator, value = text.partition(between)
        if not separator:
            value = FLAG
        if not key and (separator or text):
            raise BadLine("tags", f"the tag {text[:80]!r} has no key: key{between}value is right")
        if _CONTROL.search(text):
            raise BadLine("tags", f"the tag {text[:80]!r} is wrong: one without control characters is right")
        if key and value:
            before = found.get(key, value)
            found[key] = before if value in before.split(",") else f"{before},{value}"
    return tuple(sorted(found.items()))


def _text(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise BadLine("encoding", f"{_shown(text)} is not UTF-8") from None


def _shown(text: bytes) -> str:
    """The beginning of what a stranger sent, as it is in a literal: it may be anything."""
    return repr(text[:80])[1:]


# events and service checks


def _event(line: bytes) -> Event:
    """``_e{bytes of the title,bytes of the text}:title|text``, then its sections."""
    found = _EVENT.match(line)
    if found is None:
        raise BadLine("event", f"{_shown(line)} is wrong: _e{{length,length}}:title|text is right")
    at, split = found.end(), found.end() + int(found[1])
    end = split + 1 + int(found[2])
    title, bar, text, rest = line[at:split], line[split : split + 1], line[split + 1 : end], line[end:]
    if bar != b"|" or len(line) < end or (rest and not rest.startswith(b"|")):
        raise BadLine("event", "the lengths of title and text are not those of the text: bytes of UTF-8 are right")
    if not title:
        raise BadLine("event", "there is no title")
    fields = _fields(rest.split(b"|")[1:], _OF_EVENTS, "event")
    return Event(
        title=_unescaped(title),
        text=_unescaped(text),
        tags=_own_tags(fields),
        sender=_sender(fields),
        time_s=_time(fields, "event"),
        host=_text(fields.get("host", b"")),
        aggregation_key=_text(fields.get("key", b"")),
        priority=_choice(fields, "priority", PRIORITIES),
        source_type=_text(fields.get("source", b"")),
        alert_type=_choice(fields, "alert", ALERTS),
    )


def _service_check(line: bytes) -> ServiceCheck:
    """``_sc|name|0..3``, then its sections."""
    _, name, *rest = line.split(b"|")
    if not rest or rest[0] not in (b"0", b"1", b"2", b"3"):
        raise BadLine("service_check", f"{_shown(line)} is wrong: _sc|name|status with a status of 0 to 3 is right")
    plain = _text(name)
    if not plain or _CONTROL.search(plain):
        raise BadLine("service_check", f"the name {_shown(name)} is wrong: one without control characters is right")
    fields = _fields(rest[1:], _OF_CHECKS, "service_check")
    message = _unescaped(fields.get("message", b"")).replace("m\\:", "m:")
    return ServiceCheck(
        name=plain,
        status=int(rest[0]),
        tags=_own_tags(fields),
        sender=_sender(fields),
        time_s=_time(fields, "service_check"),
        host=_text(fields.get("host", b"")),
        message=message,
    )


def _fields(sections: list[bytes], known: dict[bytes, str], kind: str) -> dict[str, bytes]:
    fields: dict[str, bytes] = {}
    for section in sections:
        _take(section, fields, known, kind)
    return fields


def _own_tags(fields: dict[str, bytes]) -> Tags:
    return _pairs(_text(fields["tags"]).split(","), ":") if "tags" in fields else ()


def _choice(fields: dict[str, bytes], name: str, choices: tuple[str, ...]) -> str:
    value = _text(fields.get(name, b""))
    if name in fields and value not in choices:
        raise BadLine("event", f"the {name} {value[:80]!r} is wrong: {' or '.join(choices)} is right")
    return value


def _unescaped(text: bytes) -> str:
    r"""The text with its lines: a newline is written ``\n`` in it."""
    return _text(text).replace("\\n", "\n")
