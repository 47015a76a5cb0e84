"""Events and service checks, read from their lines."""

from __future__ import annotations

import re

from statspout.sources.apps.statsd.lines import ALERTS, PRIORITIES, BadLine, Event, ServiceCheck, Tags, shown
from statspout.sources.apps.statsd.sections import CONTROL, OF_ALL, decoded, pairs, sender_of, take, time_of

_EVENT = re.compile(rb"_e\{([0-9]{1,5}),([0-9]{1,5})\}:")
_OF_CHECKS = OF_ALL | {b"d:": "time", b"h:": "host", b"m:": "message"}
_OF_EVENTS = OF_ALL | {b"d:": "time", b"h:": "host", b"k:": "key", b"p:": "priority", b"s:": "source", b"t:": "alert"}


def event(line: bytes) -> Event:
    """``_e{bytes of the title,bytes of the text}:title|text``, then its sections."""
    found = _EVENT.match(line)
    if found is None:
        raise BadLine("event", f"{shown(line)} is wrong: _e{{length,length}}:title|text is right")
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
        sender=sender_of(fields),
        time_s=time_of(fields, "event"),
        host=decoded(fields.get("host", b"")),
        aggregation_key=decoded(fields.get("key", b"")),
        priority=_choice(fields, "priority", PRIORITIES),
        source_type=decoded(fields.get("source", b"")),
        alert_type=_choice(fields, "alert", ALERTS),
    )


def service_check(line: bytes) -> ServiceCheck:
    """``_sc|name|0..3``, then its sections."""
    _, name, *rest = line.split(b"|")
    if not rest or rest[0] not in (b"0", b"1", b"2", b"3"):
        raise BadLine("service_check", f"{shown(line)} is wrong: _sc|name|status with a status of 0 to 3 is right")
    plain = decoded(name)
    if not plain or CONTROL.search(plain):
        raise BadLine("service_check", f"the name {shown(name)} is wrong: one without control characters is right")
    fields = _fields(rest[1:], _OF_CHECKS, "service_check")
    message = _unescaped(fields.get("message", b"")).replace("m\\:", "m:")
    return ServiceCheck(
        name=plain,
        status=int(rest[0]),
        tags=_own_tags(fields),
        sender=sender_of(fields),
        time_s=time_of(fields, "service_check"),
        host=decoded(fields.get("host", b"")),
        message=message,
    )


def _fields(sections: list[bytes], known: dict[bytes, str], kind: str) -> dict[str, bytes]:
    fields: dict[str, bytes] = {}
    for section in sections:
        take(section, fields, known, kind)
    return fields


def _own_tags(fields: dict[str, bytes]) -> Tags:
    return pairs(decoded(fields["tags"]).split(","), ":") if "tags" in fields else ()


def _choice(fields: dict[str, bytes], name: str, choices: tuple[str, ...]) -> str:
    value = decoded(fields.get(name, b""))
    if name in fields and value not in choices:
        raise BadLine("event", f"the {name} {value[:80]!r} is wrong: {' or '.join(choices)} is right")
    return value


def _unescaped(text: bytes) -> str:
    r"""The text with its lines: a newline is written ``\n`` in it."""
    return decoded(text).replace("\\n", "\n")
