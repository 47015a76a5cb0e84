"""The readers for tasks: as those of :mod:`statspout.client.redis.stats`, on connections of the running loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

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
from statspout.client.redis.redis import async_redis
from statspout.client.redis.settings import config

__all__ = ["Stat", "StatsData", "available_stats", "contexts", "fetch_many", "fetch_stats", "stat_history"]


async def fetch_stats(label: str, prefix: str | None = None) -> StatsData | None:
    """The statistics of a label; None if there are none."""
    return (await fetch_many([label], prefix)).get(label)


async def fetch_many(labels: Iterable[str], prefix: str | None = None) -> dict[str, StatsData]:
    """The statistics of many labels, those that have some; unknown ones leave the index."""
    space, found = config.space(prefix), {}
    async with async_redis.kept() as (reader, writer):
        for page in pages(labels):
            values = await reader.execute_command(*mget(key for label in page for key in space.read(label)), **RAW)
            found.update(stats_of(page, values))
            if gone := [label for label in page if label not in found]:
                await writer.execute_command(*forget(space, gone))
    return found


async def stat_history(label: str, prefix: str | None = None, limit: int | None = None) -> list[Stat]:
    """The newest entries of a label's history, the newest first; all there are without a ``limit``."""
    async with async_redis.kept() as (reader, _):
        entries = await reader.execute_command(*history(config.space(prefix), label, limit), **RAW)
    return entries_of(label, entries)


async def available_stats(matcher: str = "*", prefix: str | None = None) -> AsyncIterator[str]:
    r"""The labels that match a glob of Redis (``*``, ``?``, ``[ab]``, ``\``) and have statistics, in no order."""
    space, pages_of, cursor = config.space(prefix), Pages(), 0
    async with async_redis.kept() as (reader, writer):
        while True:
            cursor, members = await reader.execute_command(*scan(space, cursor, matcher), **RAW)
            for page in pages(pages_of.fresh(members)):
                counts = await reader.execute_command(*mget(space.key("COUNT", label) for label in page), **RAW)
                if gone := [label for label, count in zip(page, counts, strict=True) if count is None]:
                    await writer.execute_command(*forget(space, gone))
                for label, count in zip(page, counts, strict=True):
                    if count is not None:
                        yield label
            if not cursor:
                return


async def contexts(ids: Iterable[str], prefix: str | None = None) -> dict[str, bytes]:
    """The contexts with these ids; those that are not there are left out."""
    space, found = config.space(prefix), {}
    async with async_redis.kept() as (reader, _):
        for page in pages(ids):
            found.update(contexts_of(page, await reader.execute_command(*mget(map(space.context, page)), **RAW)))
    return found
