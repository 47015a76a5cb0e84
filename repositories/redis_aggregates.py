"""Batches of samples as updates of statistics: all in one round trip, each number once."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from statspout import Container, Rejected, RepositoryError, Sample
from statspout.client.redis.keys import PROCESS, Keyspace
from statspout.client.redis.records import Record
from statspout.client.redis.script import calls, write
from statspout.repositories.redis_numbers import Numbers

_SLACK = 100
"""Entries of a history, beyond those that are looked for, among which they are looked for."""

_PAGE = 1000

_MARKED = 600.0
"""Seconds after which our mark is renewed; it expires after ten times as many."""


class Owned(NamedTuple):
    """A record, and the position of its sample in the batch."""

    record: Record
    at: int


class Aggregates:
    """Statistics in ``namespace``, each with so many values of ``history``."""

    def __init__(self, namespace: str, history: int, numbers: Numbers) -> None:
        self._space = Keyspace(namespace)
        self._history = history
        self._numbers = numbers
        self._marked = -math.inf

    def push(self, client: Any, batch: Sequence[Sample], *, again: bool) -> None:
        """Store the numbers of ``batch``; with ``again``, those that are not there yet."""
        self._numbers.undo()
        self._mark(client, again)
        rejected: dict[int, str] = {}
        owned = list(self._made(batch, rejected))
        if again:
            owned = self._missing(client, owned)
        rejected |= self._written(client, owned)
        self._numbers.keep()
        if rejected:
            raise Rejected(next(iter(rejected.values())), rejected.keys(), "stored")

    def clear(self, container: Container) -> None:
        """Forget a container that is gone."""
        self._numbers.clear(container)

    def _mark(self, client: Any, again: bool) -> None:
        """Leave word that it is this program that writes here: it is not to read it."""
        now = time.monotonic()
        if again or now - self._marked >= _MARKED:
            client.set(self._space.writer(PROCESS), "", ex=round(10 * _MARKED))
            self._marked = now

    def _made(self, batch: Sequence[Sample], rejected: dict[int, str]) -> Iterator[Owned]:
        """What there is to record; adds to ``rejected`` the samples of which nothing can be, and why."""
        for index, sample in enumerate(batch):
            try:
                records = self._numbers.of(sample)
            except ValueError as error:
                rejected[index] = str(error)
            else:
                yield from (Owned(record, index) for record in records)

    # once

    def _missing(self, client: Any, owned: Sequence[Owned]) -> list[Owned]:
        """Those that Redis does not have: a record is told by its label and its time."""
        wanted: dict[str, list[Owned]] = {}
        for one in owned:
            wanted.setdefault(one.record.label, []).append(one)
        found: set[int] = set()
        labels = iter(wanted)
        while page := list(islice(labels, _PAGE)):
            pipeline = client.pipeline(transaction=False)
            for label in page:
                pipeline.lrange(self._space.key("HISTORY", label), 0, len(wanted[label]) + _SLACK - 1)
            for label, entries in zip(page, pipeline.execute(raise_on_error=False), strict=True):
                if not isinstance(entries, Exception):  # of another kind: the update will say so
                    found |= self._found(wanted[label], entries)
        return [one for one in owned if id(one) not in found]

    def _found(self, wanted: Sequence[Owned], entries: Sequence[bytes]) -> set[int]:
        times = [entry.partition(b";")[0].decode("latin-1") for entry in entries]
        there = set(times)
        found = [one for one in wanted if repr(one.record.timestamp) in there]
        if found and len(entries) >= self._history:
            # What came before the oldest that is still there was stored before it.
            oldest = wanted.index(found[0])
            if repr(found[0].record.timestamp) == times[-1]:
                found += wanted[:oldest]
        return set(map(id, found))

    # all

    def _written(self, client: Any, owned: Sequence[Owned]) -> dict[int, str]:
        """Send them; the samples with a number that Redis will never take, by their position. Else its first error."""
        # As they are written: those of a label together.
        owned = [one for some in _by_label(owned).values() for one in some]
        todo = list(calls((one.record for one in owned), self._space, self._history))
        bad: list[Owned] = []
        begin, trouble = 0, None
        for one, error in zip(todo, write(client, todo), strict=True):
            if error is not None and not _is_of_another_kind(error):
                trouble = trouble or error
            elif error is not None:
                bad += owned[begin : begin + one.records]
            begin += one.records
        if trouble is not None:
            raise trouble
        return self._one_by_one(client, bad) if bad else {}

    def _one_by_one(self, client: Any, owned: Sequence[Owned]) -> dict[int, str]:
        """The same, a call for each label: a key of another kind keeps back its own label only."""
        index, kind = self._space.index, client.type(self._space.index)
        if kind not in (b"zset", b"none", "zset", "none"):
            told = kind.decode() if isinstance(kind, bytes) else kind
            raise RepositoryError(f"{index} is a {told}, no sorted set: another --redis.namespace is right")
        rejected: dict[int, str] = {}
        for label, some in _by_label(owned).items():
            for error in write(client, calls((one.record for one in some), self._space, self._history)):
                if error is None:
                    continue
                if not _is_of_another_kind(error):
                    raise error
                rejected |= {one.at: f"a key of {label} in {self._space.prefix} is of another kind" for one in some}
        return rejected


def _by_label(owned: Iterable[Owned]) -> dict[str, list[Owned]]:
    found: dict[str, list[Owned]] = {}
    for one in owned:
        found.setdefault(one.record.label, []).append(one)
    return found


def _is_of_another_kind(error: Exception) -> bool:
    """Whether a key holds what is no statistic, which only its owner can change."""
    return "WRONGTYPE" in str(error)
