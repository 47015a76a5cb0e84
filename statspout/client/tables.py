"""The series of one client, found by what a call was given, or made."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from statspout.client import environment
from statspout.client.dialects import Dialect, Type, clean, series
from statspout.client.outbox import Outbox
from statspout.client.series import Series, make

SERIES = 10_000
"""Series that one client keeps apart at most. One that is idle, and of which nothing has to be known, makes room."""

_NO_TAGS: Mapping[str, str] = {}


class Table(dict[Any, Series]):
    """The series of one type, by what a call was given: a name alone, or a name, a rate and tags."""

    __slots__ = ("kind",)

    def __init__(self, kind: Type) -> None:
        super().__init__()
        self.kind = kind


class Tables:
    """Every series there is, and a table for each type: what follows from what was given is worked out once."""

    _all: dict[Any, Series]
    _known: set[str]
    _full: int | None

    def __init__(self, dialect: Dialect, tags: Mapping[str, str], outbox: Outbox) -> None:
        self._dialect = dialect
        self._tags = tags
        self._outbox = outbox
        self.prefix = ""
        self._container: str | None = None
        self._random: Callable[[], float] | None = None
        self.forget()

    def forget(self) -> None:
        """Begin with no series; what is pending is still listed."""
        self._all = {}
        self._known = set()
        self._full = None
        self._clear()

    def _clear(self) -> None:
        self.counts = Table("count")
        self.gauges = Table("gauge")
        self.timings = Table("timing")
        self.sets = Table("set")
        self.histograms = Table("histogram")
        self.distributions = Table("distribution")

    def after_fork(self) -> None:
        """In a child: what was reported is the parent's to tell."""
        for known in self._all.values():
            known.forget()

    def has(self, name: str) -> bool:
        """Whether there is a series of the name."""
        return self._full_name(name) in self._known

    def rate(self, kind: Type, rate: float) -> float:
        """The rate at which calls are left out: none is where it saves nothing."""
        if not 0 < rate <= 1:
            raise ValueError(f"rate {rate}: above 0, and at most 1, is right")
        if kind == "count" and (self._outbox.period > 0 or self._dialect.absolute):
            return 1
        if self._random is None:
            try:
                from random import random  # loads much, and sampling is rare
            except (ImportError, KeyError):  # a signal came while it was being loaded: this call is sent as all are
                return 1
            self._random = random
        return rate

    def left_out(self, rate: float) -> bool:
        """Whether this call, of those at a rate below 1, is not sent."""
        return self._random is not None and self._random() >= rate

    def found(self, table: Table, name: str, tags: Mapping[str, str] | None, rate: float) -> Series | None:
        """The series, made if need be; None, and a loss, where there can be none."""
        kind = table.kind
        if not isinstance(name, str) or not clean(name).strip("."):
            raise TypeError(f"{name!r} is no name of a metric")
        if kind not in self._dialect.types:
            self._outbox.losses.tell_one("unsupported", f"{self._dialect.name} has no {kind}")
            return None
        head, tail = series(
            self._dialect, self._full_name(name), {**self._tags, **(tags or {})} if tags else self._tags
        )
        places = head, tail + self.from_container()
        key = (kind, places, rate)
        known: Series | None = self._all.get(key)
        if known is None:
            if len(self._all) >= SERIES and not self._made_room():
                self._outbox.losses.tell_one("too_many_series", name)
                return None
            made = make(self._dialect, kind, self._full_name(name), places, rate, self._outbox.losses)
            known = self._all.setdefault(key, made)  # of two threads that come here both get the first one's
            self._known.add(known.name)
        if len(table) >= SERIES:
            table.clear()
        if tags is None and rate == 1:
            table[name] = known
        elif all(type(text) is str for pair in (tags or _NO_TAGS).items() for text in pair):
            # Of others, 1 and True are equal and have different texts.
            table[name, rate, *(tags or _NO_TAGS).items()] = known
        return known

    def from_container(self) -> str:
        """The section of a line that says which container it comes from."""
        if self._container is None:
            found = environment.container(os.environ) if self._dialect.origin else ""
            self._container = f"|c:{found}" if found else ""
        return self._container

    def _full_name(self, name: str) -> str:
        name = clean(name).strip(".")
        return f"{self.prefix}.{name}" if self.prefix else name

    def _made_room(self) -> bool:
        """Forget the series that nothing depends on. Who is about to report to one lists it: nothing is lost."""
        turn = self._outbox.turns
        if self._full == turn:
            return False  # nothing was sent since there was none
        self._all = {key: known for key, known in list(self._all.items()) if known.stateful or known.listed}
        self._known = {known.name for known in self._all.values()}
        self._clear()
        self._full = turn if len(self._all) >= SERIES else None
        return self._full is None
