r"""Texts in line protocol: measurements, tags and string fields, written so that every server reads them alike.

InfluxDB's 1.x and 3 parsers and VictoriaMetrics' disagree about a backslash before a comma, ``=``, a space, another
backslash or the end of a tag. Such a backslash is written as ``/``; every other one stays. Control characters (also a
newline) and halves of surrogate pairs are written as Python writes them in a string: ``\n``, ``\x00``, ``\udc80``.
A measurement's ``#`` at the beginning would make a comment of its line: it is ``_``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

LONGEST = 1024
"""Characters of a text that are written: 4096 bytes at most, more than which VictoriaMetrics drops a series for."""

LONGEST_KEY = 255
"""Bytes of a tag's key that are written: VictoriaMetrics cuts it after 256, also through the middle of a letter."""

RESERVED = frozenset({"time", "_time", "_measurement", "_field", "_value", "_start", "_stop", "__name__", "db"})
"""Names of tags that a server would refuse, or take for something else."""

_CONTROLS = {code: repr(chr(code))[1:-1] for code in (*range(0x20), *range(0x7F, 0xA0))}
_DISPUTED = re.compile(r"\\(?=[\\,= ]|\Z)")
_SPECIAL = re.compile(r"[,= ]")
_SPECIAL_IN_MEASUREMENT = re.compile(r"[, ]")


def measurement(name: str) -> str:
    """The name of a measurement."""
    plain = _plain(name)
    return _SPECIAL_IN_MEASUREMENT.sub(_escaped, _DISPUTED.sub("/", f"_{plain[1:]}" if plain[:1] == "#" else plain))


def key(text: str) -> str:
    """The key of a tag or of a field, or the value of a tag."""
    return _SPECIAL.sub(_escaped, _DISPUTED.sub("/", _plain(text)))


def string(text: str) -> str:
    """The value of a string field."""
    escaped = _plain(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def series(name: str, tags: Mapping[str, str]) -> bytes:
    """The beginning of a point, ``name,tag=value,...``: tags by key, as servers sort them.

    Without those whose value is empty; of those whose keys are written alike only the first.
    """
    written: dict[str, str] = {}
    for tag, value in tags.items():
        if tag and value:
            written.setdefault(key(_cut(tag)), key(value))
    return ",".join([measurement(name), *(f"{tag}={value}" for tag, value in sorted(written.items()))]).encode()


def _cut(tag: str) -> str:
    """At most :data:`LONGEST_KEY` bytes of whole letters; a letter has four at most."""
    if len(tag) * 4 <= LONGEST_KEY:
        return tag
    return _plain(tag).encode()[:LONGEST_KEY].decode(errors="ignore")


def _plain(text: str) -> str:
    text = text[:LONGEST]
    if text.isprintable():
        return text
    return text.translate(_CONTROLS).encode("utf-8", "backslashreplace").decode()


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found[0]}"
