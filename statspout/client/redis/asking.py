"""The reader for tasks: of one keyspace, by the connections that it is given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from statspout.client.redis.keys import Keyspace
from statspout.client.redis.reading import (
    RAW,
    Pages,
    Stat,
    StatsData,
    contexts_of,
    entries_of,
    forget,
    history,
    mget,
    pages,
    scan,
    stats_of,
)
from statspout.client.redis.redis import Pair


class AsyncReader:
    """Reads ``space``. ``connections`` gives, for as long as it is entered, a client to read by and one to write by."""

    def __init__(self, space: Keyspace, connections: Callable[[], AbstractAsyncContextManager[Pair]]) -> None:
        self.space = space
        self._connections = connections

    async def available(self, matcher: str = "*") -> AsyncIterator[str]:
        r"""The labels that match a glob of Redis (``*``, ``?``, ``[ab]``, ``\``) and have statistics, in no order."""
        pages_of, cursor = Pages(), 0
        async with self._connections() as (reader, writer):
            while True:
                cursor, members = await reader.execute_command(*scan(self.space, cursor, matcher), **RAW)
                for page in pages(pages_of.fresh(members)):
                    keys = (self.space.key("COUNT", label) for label in page)
                    counts = await reader.execute_command(*mget(keys), **RAW)
                    if gone := [label for label, count in zip(page, counts, strict=True) if count is None]:
                        await _forget(writer, self.space, gone)
                    for label, count in zip(page, counts, strict=True):
                        if count is not None:
                            yield label
                if not cursor:
                    return

    async def many(self, labels: Iterable[str], *, tidy: bool = True) -> dict[str, StatsData]:
        """The statistics of those that have some; with ``tidy`` the others leave the index."""
        found: dict[str, StatsData] = {}
        async with self._connections() as (reader, writer):
            for page in pages(labels):
                keys = (key for label in page for key in self.space.read(label))
                found.update(stats_of(page, await reader.execute_command(*mget(keys), **RAW)))
                if tidy and (gone := [label for label in page if label not in found]):
                    await _forget(writer, self.space, gone)
        return found

    async def history(self, label: str, limit: int | None = None) -> list[Stat]:
        """The newest entries of a label's history, the newest first; all there are without a ``limit``."""
        async with self._connections() as (reader, _):
            entries = await reader.execute_command(*history(self.space, label, limit), **RAW)
        return entries_of(label, entries)

    async def contexts(self, ids: Iterable[str]) -> dict[str, bytes]:
        """The contexts with these ids; those that are not there are left out."""
        found: dict[str, bytes] = {}
        async with self._connections() as (reader, _):
            for page in pages(ids):
                values = await reader.execute_command(*mget(map(self.space.context, page)), **RAW)
                found.update(contexts_of(page, values))
        return found


async def _forget(writer: Any, space: Keyspace, labels: Sequence[str]) -> None:
    """Take them out of the index, where that can be: a replica lets itself be read, and that is what was asked for."""
    from redis import ResponseError

    try:
        await writer.execute_command(*forget(space, labels))
    except ResponseError:
        return
