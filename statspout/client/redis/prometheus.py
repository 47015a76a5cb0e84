"""Statistics as Prometheus scrapes them: formatters, which make lines of a label's statistics, and the page of all.

::

    @stat_formatter("timer:")
    def times(key, stat):
        return generate_metrics({"host": key.partition(":")[2]}, stat, "host_times", ["count", "avg"])

A formatter is for the labels that begin so; of several the longest is asked, and where there is none, the default one.
It gives lines of the text format, in whatever order. The page has them by families, each with HELP and TYPE, every
series once; what is no such line is left out.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any, TypeAlias, TypeVar

from statspout.client.losses import say_once
from statspout.client.redis.asking import AsyncReader
from statspout.client.redis.keys import STATS
from statspout.client.redis.reading import pages
from statspout.client.redis.settings import config

Formatter: TypeAlias = Callable[[str, dict[str, Any]], Iterable[str]]
"""Takes a label and its statistics by name, each a float or None; gives lines."""

F = TypeVar("F", bound=Formatter)

prometheus_stat_formatters: dict[str | None, Formatter] = {}
"""The formatters by what labels begin with; None has the default one."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_AT_ONCE = 50
"""Labels whose lines are made before others have their turn: some milliseconds."""

_HELP = {
    "COUNT": "The number of the values",
    "AVG": "The average of the values",
    "STDEV": "The standard deviation of the values",
    "MAX": "The greatest value",
    "MIN": "The least value",
    "TOTAL": "The sum of the values",
    "LAST": "The value that was reported last",
}

_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
_LABELS = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
_LINE = re.compile(
    rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{((?:{_LABEL}(?:,{_LABEL})*,?)?)\}})?[ \t]+([-+.0-9eE]+)(?:[ \t]+-?[0-9]+)?\s*"
)
"""A series of the text format: its name, its labels, and its value, before a time that may be there."""

_told: set[tuple[str, str]] = set()
_IN_LABEL = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def _registered(prefix: str | None, formatter: F) -> F:
    prometheus_stat_formatters[prefix] = formatter
    return formatter


def stat_formatter(stat_prefix: str) -> Callable[[F], F]:
    """A decorator: the function is the formatter of the labels that begin so."""
    return partial(_registered, stat_prefix)


def default_stat_formatter(formatter: F) -> F:
    """A decorator: the function is the formatter of all labels that have no other."""
    return _registered(None, formatter)


def generate_metrics(
    labels: Mapping[str, object],
    stat: Mapping[str, Any],
    prefix: str | None = None,
    fields: Collection[str] | None = None,
) -> Iterator[str]:
    """A line for each of the statistics that is known, or of those named by ``fields``: ``PREFIX_COUNT{k="v"} 3.0``.

    ``prefix`` is the namespace if none is given. Names are made what Prometheus takes, an empty label is as none, and
    ``last_time`` is never told.
    """
    prefix = config.namespace if prefix is None else prefix
    told = _label_string(labels)
    for field in STATS:
        value = stat.get(field)
        if field != "last_time" and value is not None and (fields is None or field in fields):
            yield f"{metric_name(f'{prefix}_{field.upper()}')}{told} {value}"


def metric_name(text: str) -> str:
    """The text as the name of a metric: what may not be in one is ``_``, as is a colon, which is for recorded rules."""
    return _name(text)


def parse_line_protocol_stat_key(key: str) -> tuple[str, dict[str, str]]:
    """``label;k=v,k2=v2`` as the label and a dictionary; the whole and none where that is not its form."""
    prefix, _, rest = key.partition(";")
    labels = _pairs(rest.split(","), "=")
    return (key, {}) if labels is None else (prefix, labels)


@default_stat_formatter
def line_protocol_label_formatter(key: str, stat: dict[str, Any]) -> Iterator[str]:
    """``label_AVG{k="v"}`` and so on. A label that is no name of a metric is in the label ``label``, too, as it is.

    By that two labels that come to one name stay two series.
    """
    prefix, labels = parse_line_protocol_stat_key(key)
    name = metric_name(prefix)
    return generate_metrics(labels if name == prefix else {"label": prefix, **labels}, stat, name)


@stat_formatter("errors__")
def error_stat(key: str, stat: dict[str, Any], namespace: str | None = None) -> Iterator[str]:
    """``NS_ERROR_COUNT{EXC="ValueError"}`` of ``errors__EXC:ValueError``, ``{error="all"}`` of ``errors__all``."""
    what = key.partition("__")[2]
    labels = _pairs(what.split("__"), ":") or {"error": what}
    return generate_metrics(labels, stat, f"{(namespace or config.namespace).upper()}_ERROR", ["count"])


async def exposition(reader: AsyncReader, matcher: str = "*") -> str:
    """The page of all labels of a reader that match the glob."""
    page = Page(reader.space.namespace)
    for labels in pages(sorted({label async for label in reader.available(matcher)})):
        found = await reader.many(labels, tidy=False)
        for number, label in enumerate(labels):
            if label in found:
                page.add(label, found[label]._asdict())
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
    return page.text()


class Page:
    """What formatters gave, by families; ``namespace`` is that of errors."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._families: dict[str, dict[frozenset[tuple[str, str]], str]] = {}

    def add(self, label: str, stat: dict[str, Any]) -> None:
        """Let its formatter make lines of it."""
        formatter = _formatter_of(label)
        who = getattr(formatter, "__qualname__", "a formatter")
        if formatter is error_stat:
            formatter = partial(error_stat, namespace=self._namespace)
        try:
            for line in filter(None, formatter(label, stat)):
                if why := self._refused(line):
                    _say(who, why, f"{who} made of {label[:80]!r} what is left out: {line[:200]!r} {why}")
        except Exception as error:  # noqa: BLE001 - it is somebody's code: the labels of others are told all the same
            _say(who, type(error).__name__, f"{who} failed with {label[:80]!r}: {type(error).__name__}: {error}")

    def text(self) -> str:
        """The page."""
        return "".join(f"{_head(name)}{''.join(self._families[name].values())}" for name in sorted(self._families))

    def _refused(self, line: str) -> str:
        """Put it where it belongs, or say why not."""
        found = _LINE.fullmatch(line)
        if found is None or not _is_number(found[3]):
            return "is no series of a number"
        labels = _LABELS.findall(found[2] or "")
        if len(dict(labels)) < len(labels):
            return "has a label twice"
        family = self._families.setdefault(found[1], {})
        series = frozenset(label for label in labels if label[1])
        if series in family:
            return "is there already"
        family[series] = f"{line.rstrip()}\n"
        return ""


def _formatter_of(label: str) -> Formatter:
    """The one of the longest beginning that it has."""
    fitting = [prefix for prefix in prometheus_stat_formatters if prefix is not None and label.startswith(prefix)]
    return prometheus_stat_formatters[max(fitting, key=len) if fitting else None]


def _head(name: str) -> str:
    """The lines before a family. All are gauges: a counter's name has to end in ``_total``."""
    base, _, field = name.rpartition("_")
    told = f"{_HELP[field]} of {base}." if field in _HELP else f"What a formatter makes of statistics as {name}."
    return f"# HELP {name} {told}\n# TYPE {name} gauge\n"


def _label_string(labels: Mapping[str, object]) -> str:
    """``{a="x",b="y"}``; of two names that come to one the second gets a number."""
    told: dict[str, str] = {}
    for name, value in labels.items():
        if text := "" if value is None else str(value):
            told[_free(_label_name(name), told)] = text.translate(_IN_LABEL)
    pairs = ",".join(f'{name}="{text}"' for name, text in told.items())
    return f"{{{pairs}}}" if pairs else ""


def _label_name(text: str) -> str:
    name = _name(text)
    return f"_{name.lstrip('_')}" if name.startswith("__") else name  # two are for Prometheus itself


def _free(name: str, taken: Collection[str]) -> str:
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


@lru_cache(maxsize=4096)
def _name(text: str) -> str:
    name = re.sub(r"[^a-zA-Z0-9_]", "_", text)
    return f"_{name}" if not name or name[0].isdigit() else name


def _pairs(texts: Iterable[str], sign: str) -> dict[str, str] | None:
    """What is before and behind the sign in each, or None where one has none, or two have the same before it."""
    found: dict[str, str] = {}
    for text in texts:
        name, there, value = text.partition(sign)
        if not there or name in found:
            return None
        found[name] = value
    return found


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _say(who: str, why: str, message: str) -> None:
    """In the log, the first time for a formatter and a reason: labels are many."""
    if (who, why) not in _told:
        _told.add((who, why))
        say_once(f"stats-prometheus: {message}")
