"""What a file says: who wrote it, and what of it are counts, levels and texts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from statspout.client.mmap import Entry
from statspout.client.mmap.layout import FOLDS, PUBLISHED

_ABOUT = ("sys.pid", "sys.tid", "sys.uid", "sys.gid", "sys.created", FOLDS, "org.python.version")
"""What stands in a file about its writer: behind the same prefix as the rest."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_NUMBERED = re.compile(r"(?:\.[0-9]{1,4})?\.mmstats")
_DEFAULT = re.compile(r"(.*)-([0-9]{1,10})-([0-9]{1,10})")
_LONGEST_COMMAND = 100
_LONGEST_NAME = 500

Number = int | float


class Reported(NamedTuple):
    """A file's contents. ``folds`` is None where no ended thread's counters were added to it.

    ``command``, ``pid`` and ``tid`` are as the writer sees them; ``tid`` is 0 in the file of the threads that have
    ended. ``unnamed`` is how many fields have labels that are too long for a name.
    """

    command: str
    pid: int | None
    tid: int | None
    created: float | None
    folds: int | None
    counters: dict[str, int]
    gauges: dict[str, Number]
    texts: dict[str, str]
    unnamed: int


def decode(path: str, entries: list[Entry], is_level: Callable[[str], bool]) -> Reported | None:
    """The contents of the file of this path; None for one of a repository of ours: it is no application's.

    ``is_level`` says of a label whose number could be a count, for the format does not tell, that it is a level.
    """
    prefix = prefix_of(entries)
    of_writer = _of_writer(prefix)
    about = {entry.label.removeprefix(prefix): entry.value for entry in entries if entry.label in of_writer}
    if PUBLISHED in about:
        return None
    counters: dict[str, int] = {}
    gauges: dict[str, Number] = {}
    texts: dict[str, str] = {}
    unnamed = 0
    for label, value, code, buffered in entries:
        if label in of_writer:
            continue
        name = name_of(label)
        if not name:
            unnamed += 1
        elif isinstance(value, str):
            if value:  # one that nobody has set yet is empty
                texts[name] = value
        elif code == "Q" and buffered and not is_level(name):
            counters[name] = counters.get(name, 0) + int(value)
        elif math.isfinite(value):
            gauges[name] = int(value) if isinstance(value, bool) else value
    pid, tid, folds = (_whole(about.get(label)) for label in ("sys.pid", "sys.tid", FOLDS))
    command, pid, tid = named(path, pid, tid)
    created = about.get("sys.created")
    made = created if isinstance(created, float) and math.isfinite(created) else None
    return Reported(command, pid, tid, made, folds, counters, gauges, texts, unnamed)


def prefix_of(entries: list[Entry]) -> str:
    """What stands before all labels, by those that are about the writer; an application may have one that ends so."""
    labels = {entry.label for entry in entries}
    ends = ("sys.pid", FOLDS, PUBLISHED)
    found = [label.removesuffix(end) for label in labels for end in ends if label.endswith(end)]
    return max(found, key=lambda prefix: (sum(prefix + label in labels for label in _ABOUT), prefix), default="")


def named(path: str, pid: int | None, tid: int | None) -> tuple[str, int | None, int | None]:
    """The command that the file's name begins with, and process and thread, by the name where the file has neither."""
    name = path.rpartition("/")[2]
    ending = _NUMBERED.search(name)
    stem = name[: ending.start()] if ending and ending.end() == len(name) else name
    if pid is None and (found := _DEFAULT.fullmatch(stem)):
        return _command(found[1]), int(found[2]), int(found[3])
    numbers = [str(number) for number in (tid, pid) if number is not None]
    for _ in range(len(numbers)):
        before, _, last = stem.rpartition("-")
        if last not in numbers:
            break
        numbers.remove(last)
        stem = before
    return _command(stem), pid, tid


@lru_cache(maxsize=65_536)
def name_of(label: str) -> str:
    """The label as a metric's name, on one line that steers no terminal; empty for one that is too long."""
    return _CONTROL.sub(" ", label) if len(label) <= _LONGEST_NAME else ""


@lru_cache(maxsize=1024)
def _of_writer(prefix: str) -> frozenset[str]:
    return frozenset(prefix + label for label in (*_ABOUT, PUBLISHED))


def _command(text: str) -> str:
    return _CONTROL.sub(" ", text)[:_LONGEST_COMMAND]


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
