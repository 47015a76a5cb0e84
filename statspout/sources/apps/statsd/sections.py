"""What a line has beside its values: the sections behind its type, names and tags."""

from __future__ import annotations

import re

from statspout.sources.apps.statsd.lines import LATEST, NOBODY, BadLine, Sender, Tags, shown

FLAG = "true"
"""The value of a tag that has none, ``|#urgent``; Telegraf's, too."""

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
"""Characters that no name and no tag may have."""

_SECONDS = re.compile(rb"[0-9]{1,10}")
_STYLES = re.compile("[,;#[]")
_SEPARATORS = {",": ",", ";": ";", "#": ",", "[": ","}


def decoded(text: bytes) -> str:
    """The text of UTF-8; BadLine for anything else."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise BadLine("encoding", f"{shown(text)} is not UTF-8") from None


# what stands behind the type

# By how a section begins, what it is.
OF_ALL = {b"#": "tags", b"c:": "container", b"e:": "external", b"card:": "cardinality"}


def take(section: bytes, fields: dict[str, bytes], known: dict[bytes, str], kind: str) -> None:
    """Put a section into ``fields`` by what its prefix means; BadLine of ``kind`` when it is unknown or there twice."""
    for prefix, name in known.items():
        if section.startswith(prefix):
            if name in fields:
                raise BadLine(kind, f"the section {prefix.decode()} is there twice: once is right")
            fields[name] = section[len(prefix) :]
            return
    starts = ", ".join(prefix.decode() for prefix in known)
    raise BadLine(kind, f"the section {shown(section)} is unknown: one that begins with {starts} is right")


def time_of(fields: dict[str, bytes], kind: str) -> int | None:
    """Seconds since the epoch, where the line says them; BadLine of ``kind`` when they are none."""
    text = fields.get("time")
    if text is None:
        return None
    if not _SECONDS.fullmatch(text) or not 0 < int(text) <= LATEST:
        raise BadLine(kind, f"the time {shown(text)} is wrong: whole seconds since 1970 are right")
    return int(text)


def sender_of(fields: dict[str, bytes]) -> Sender:
    """Who sent it, as far as the line says."""
    if "container" in fields or "external" in fields or "cardinality" in fields:
        return Sender(*(decoded(fields.get(name, b"")) for name in Sender._fields))
    return NOBODY


# names and tags


def named(name: str, behind: bytes | None) -> tuple[str, Tags]:
    """The name without the tags that are in it, and all tags, of which ``behind`` are those of a ``|#`` section."""
    whole, found = name, _STYLES.search(name)
    tags: Tags = ()
    if found is not None:
        if behind is not None:
            raise BadLine("mixed_tags", f"tags in the name ({found[0]}) and behind it (|#): one of both is right")
        name, tags = _tags_in(name, found[0])
    elif behind is not None:
        tags = pairs(decoded(behind).split(","), ":")
    if not name or CONTROL.search(name) or "|" in whole:
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
    return plain, pairs(tags.split(_SEPARATORS[style]), "=")


def pairs(texts: list[str], between: str) -> Tags:
    """Tags by key: those without a value have :data:`FLAG`, those with an empty one are as good as not there."""
    found: dict[str, str] = {}
    for text in texts:
        key, separator, value = text.partition(between)
        if not separator:
            value = FLAG
        if not key and (separator or text):
            raise BadLine("tags", f"the tag {text[:80]!r} has no key: key{between}value is right")
        if CONTROL.search(text):
            raise BadLine("tags", f"the tag {text[:80]!r} is wrong: one without control characters is right")
        if key and value:
            before = found.get(key, value)
            found[key] = before if value in before.split(",") else f"{before},{value}"
    return tuple(sorted(found.items()))
