"""What is read of a label: its statistics, its history, its contexts; and which labels there are.

What Redis answers is made sense of here for the readers of :mod:`statspout.client.redis.async_stats`, too. A reader
raises what the client raises: who asks must know that there was no answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from statspout.client.redis.keys import STATS, Keyspace
from statspout.client.redis.redis import sync_redis
from statspout.client.redis.settings import config

T = TypeVar("T")

PAGE = 500
"""Labels, or contexts, that one command asks for."""

SEEN = 200_000
"""Labels that are remembered, so that none comes twice; those behind may, if Redis changes its index meanwhile."""

# A label may have got statistics since the look that found none.
FORGET = """
local gone = 0
for i, label in ipairs(ARGV) do
  local first = 2 + (i - 1) * 11
  if redis.call('EXISTS', KEYS[first]) == 0 then
    redis.call('DEL', unpack(KEYS, first, first + 10))
    gone = gone + redis.call('ZREM', KEYS[1], label)
  end
end
return gone
"""
"""Takes labels without statistics out of the index, with what is left of them: INDEX, then each one's eleven keys."""


class StatsData(NamedTuple):
    """The statistics of a label; None is unknown. ``stdev`` is the sample's, ``last_time`` in seconds of the epoch."""

    count: float | None = None  # type: ignore[assignment]  # Aka Stats' name, which hides a method of tuples
    avg: float | None = None
    stdev: float | None = None
    max: float | None = None
    min: float | None = None
    total: float | None = None
    last: float | None = None
    last_time: float | None = None


class Stat(NamedTuple):
    """An entry of a history. ``context_id`` is empty where there was no context."""

    timestamp: float | None
    label: str
    value: float | None
    context_id: str


def fetch_stats(label: str, prefix: str | None = None) -> StatsData:
    """The statistics of a label; all None if there are none."""
    return fetch_many([label], prefix).get(label, StatsData())


def fetch_many(labels: Iterable[str], prefix: str | None = None) -> dict[str, StatsData]:
    """The statistics of many labels, those that have some; unknown ones leave the index."""
    space, found = config.space(prefix), {}
    with sync_redis.kept() as (reader, writer):
        for page in pages(labels):
            values = reader.execute_command(*mget(key for label in page for key in space.read(label)), **RAW)
            found.update(stats_of(page, values))
            if gone := [label for label in page if label not in found]:
                writer.execute_command(*forget(space, gone))
    return found


def stat_history(label: str, prefix: str | None = None, limit: int | None = None) -> list[Stat]:
    """The newest entries of a label's history, the newest first; all there are without a ``limit``."""
    with sync_redis.kept() as (reader, _):
        return entries_of(label, reader.execute_command(*history(config.space(prefix), label, limit), **RAW))


def available_stats(matcher: str = "*", prefix: str | None = None) -> Iterator[str]:
    r"""The labels that match a glob of Redis (``*``, ``?``, ``[ab]``, ``\``) and have statistics, in no order."""
    space, pages_of, cursor = config.space(prefix), Pages(), 0
    with sync_redis.kept() as (reader, writer):
        while True:
            cursor, members = reader.execute_command(*scan(space, cursor, matcher), **RAW)
            for page in pages(pages_of.fresh(members)):
                counts = reader.execute_command(*mget(space.key("COUNT", label) for label in page), **RAW)
                if gone := [label for label, count in zip(page, counts, strict=True) if count is None]:
                    writer.execute_command(*forget(space, gone))
                yield from (label for label, count in zip(page, counts, strict=True) if count is not None)
            if not cursor:
                return


def contexts(ids: Iterable[str], prefix: str | None = None) -> dict[str, bytes]:
    """The contexts with these ids; those that are not there are left out."""
    space, found = config.space(prefix), {}
    with sync_redis.kept() as (reader, _):
        for page in pages(ids):
            found.update(contexts_of(page, reader.execute_command(*mget(map(space.context, page)), **RAW)))
    return found


# what is asked

RAW = {"NEVER_DECODE": True}
"""An option of redis-py's commands: a context may be no text, whatever the client is told to make of answers."""


def mget(keys: Iterable[str]) -> tuple[Any, ...]:
    """The values of these keys."""
    return ("MGET", *keys)


def history(space: Keyspace, label: str, limit: int | None) -> tuple[Any, ...]:
    """So many of the newest entries."""
    return ("LRANGE", space.key("HISTORY", label), 0, -1 if limit is None else max(limit, 1) - 1)


def scan(space: Keyspace, cursor: int, matcher: str) -> tuple[Any, ...]:
    """The next part of the index."""
    return ("ZSCAN", space.index, cursor, "MATCH", matcher, "COUNT", 2 * PAGE)


def forget(space: Keyspace, labels: Sequence[str]) -> tuple[Any, ...]:
    """Take those of the labels out of the index that have no statistics; the answer is how many."""
    keys = [space.index, *(key for label in labels for key in space.of(label))]
    return ("EVAL", FORGET, len(keys), *keys, *labels)


# what is answered


class Pages:
    """The labels of an index, each once, as far as they can be remembered."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def fresh(self, members: Iterable[tuple[bytes, float]]) -> Iterator[str]:
        """Those that have not been there before; what is not UTF-8 is no label that can be asked for."""
        for member, _ in members:
            try:
                label = member.decode()
            except UnicodeDecodeError:
                continue
            if label not in self._seen:
                if len(self._seen) < SEEN:
                    self._seen.add(label)
                yield label


def pages(things: Iterable[T]) -> Iterator[list[T]]:
    """As many as one command takes, again and again."""
    rest = iter(things)
    while page := list(islice(rest, PAGE)):
        yield page


def stats_of(labels: Sequence[str], values: Sequence[bytes | None]) -> dict[str, StatsData]:
    """The labels that have statistics, from the values of the keys of all of them."""
    width = len(STATS)
    rows = (values[at : at + width] for at in range(0, len(values), width))
    return {
        label: StatsData(*map(value_to_float, row))
        for label, row in zip(labels, rows, strict=True)
        if row[0] is not None
    }


def entries_of(label: str, entries: Iterable[bytes]) -> list[Stat]:
    """A history."""
    return [_entry(label, entry) for entry in entries]


def contexts_of(ids: Sequence[str], values: Sequence[bytes | None]) -> dict[str, bytes]:
    """Those that are there."""
    return {name: value for name, value in zip(ids, values, strict=True) if value is not None}


def value_to_float(text: object) -> float | None:
    """The number that it is or says, or None for what is none, or not finite."""
    if text is None or isinstance(text, bool):
        return None
    try:
        value = float(text)  # type: ignore[arg-type]  # what it raises for is None
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def _entry(label: str, entry: bytes) -> Stat:
    moment, _, rest = entry.partition(b";")
    value, _, context = rest.partition(b";")
    return Stat(value_to_float(moment), label, value_to_float(value), context.decode(errors="replace"))
