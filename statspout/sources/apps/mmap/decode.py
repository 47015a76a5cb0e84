"""What a file says: who wrote it, and what of it are counts, levels and texts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from statspout.client.mmap import Entry, MmStatsReader
from statspout.client.mmap.layout import FOLDS, PUBLISHED, Layout

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


class Plan(NamedTuple):
    """What the fields of a layout are: the name of each, by its place among the values.

    ``about`` are those about the writer. ``published``: it is a file of a repository of ours.
    """

    about: dict[str, int]
    counters: list[tuple[int, str]]
    gauges: list[tuple[int, str]]
    texts: list[tuple[int, str]]
    unnamed: int
    published: bool


class Decoder:
    """Makes what a file says of what is in it.

    ``is_level`` says of a label whose number could be a count, for the format does not tell, that it is a level.
    """

    def __init__(self, is_level: Callable[[str], bool]) -> None:
        self._is_level = is_level
        self._plans: WeakKeyDictionary[Layout, Plan] = WeakKeyDictionary()

    def decode(self, path: str, reader: MmStatsReader) -> Reported | None:
        """The contents of the file of this path; None for one of a repository of ours: it is no application's."""
        plan = self._plans.get(reader.layout)
        if plan is None:
            plan = self._plans[reader.layout] = planned(reader.entries, self._is_level)
        if plan.published:
            return None
        values: list[Any] = reader.values
        counters: dict[str, int] = {}
        for index, name in plan.counters:
            counters[name] = counters.get(name, 0) + values[index]
        # What is no number is none minus itself, either.
        gauges = {name: +value for index, name in plan.gauges if (value := values[index]) - value == 0}
        texts = {name: value for index, name in plan.texts if (value := values[index])}  # one never set is empty
        about = {label: values[index] for label, index in plan.about.items()}
        pid, tid, folds = (_whole(about.get(label)) for label in ("sys.pid", "sys.tid", FOLDS))
        command, pid, tid = named(path, pid, tid)
        created = about.get("sys.created")
        made = created if isinstance(created, float) and math.isfinite(created) else None
        return Reported(command, pid, tid, made, folds, counters, gauges, texts, plan.unnamed)


def planned(entries: list[Entry], is_level: Callable[[str], bool]) -> Plan:
    """What the fields of these entries' layout are, by their labels and types."""
    prefix = prefix_of(entries)
    of_writer = {prefix + label: label for label in (*_ABOUT, PUBLISHED)}
    about: dict[str, int] = {}
    counters: list[tuple[int, str]] = []
    gauges: list[tuple[int, str]] = []
    texts: list[tuple[int, str]] = []
    unnamed = 0
    for index, (label, value, code, buffered) in enumerate(entries):
        name = name_of(label)
        if label in of_writer:
            about[of_writer[label]] = index
        elif not name:
            unnamed += 1
        elif isinstance(value, str):
            texts.append((index, name))
        elif code == "Q" and buffered and not is_level(name):
            counters.append((index, name))
        else:
            gauges.append((index, name))
    return Plan(about, counters, gauges, texts, unnamed, PUBLISHED in about)


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
    if found := _DEFAULT.fullmatch(stem):
        process, thread = int(found[2]), int(found[3])
        if pid in (None, process) and tid in (None, thread):
            return _command(found[1]), process, thread
    numbers = [str(number) for number in (tid, pid) if number is not None]
    for _ in range(len(numbers)):
        before, _, last = stem.rpartition("-")
        if last not in numbers:
            break
        numbers.remove(last)
        stem = before
    return _command(stem), pid, tid


def name_of(label: str) -> str:
    """The label as a metric's name, on one line that steers no terminal; empty for one that is too long."""
    return _CONTROL.sub(" ", label) if len(label) <= _LONGEST_NAME else ""


def _command(text: str) -> str:
    return _CONTROL.sub(" ", text)[:_LONGEST_COMMAND]


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
