"""The readers for tasks: as those of :mod:`statspout.client.redis.stats`, on connections of the running loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from statspout.client.redis.asking import AsyncReader
from statspout.client.redis.reading import Stat, StatsData
from statspout.client.redis.redis import async_redis
from statspout.client.redis.settings import config

__all__ = ["Stat", "StatsData", "available_stats", "contexts", "fetch_many", "fetch_stats", "stat_history"]


def reader_of(prefix: str | None = None) -> AsyncReader:
    """The reader of a namespace: of the one that the settings say if none is given."""
    return AsyncReader(config.space(prefix), async_redis.kept)


async def fetch_stats(label: str, prefix: str | None = None) -> StatsData | None:
    """The statistics of a label; None if there are none."""
    return (await fetch_many([label], prefix)).get(label)


async def fetch_many(labels: Iterable[str], prefix: str | None = None) -> dict[str, StatsData]:
    """The statistics of many labels, those that have some; unknown ones leave the index."""
    return await reader_of(prefix).many(labels)


async def stat_history(label: str, prefix: str | None = None, limit: int | None = None) -> list[Stat]:
    """The newest entries of a label's history, the newest first; all there are without a ``limit``."""
    return await reader_of(prefix).history(label, limit)


def available_stats(matcher: str = "*", prefix: str | None = None) -> AsyncIterator[str]:
    r"""The labels that match a glob of Redis (``*``, ``?``, ``[ab]``, ``\``) and have statistics, in no order."""
    return reader_of(prefix).available(matcher)


async def contexts(ids: Iterable[str], prefix: str | None = None) -> dict[str, bytes]:
    """The contexts with these ids; those that are not there are left out."""
    return await reader_of(prefix).contexts(ids)
