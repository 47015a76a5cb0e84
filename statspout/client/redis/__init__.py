"""An application's statistics in Redis, after Aka Stats: ``from statspout.client.redis import Stats, timer``.

::

    with Stats() as stat:
        t = timer()
        ...
        stat("task_done", next(t).stat)

Of each label Redis keeps count, total, average, standard deviation, extremes, the last value and a history, for
anyone to read. Names are resolved when first used; redis-py is loaded where something is sent or read. The modules are
called as those of Aka Stats: ``stats``, ``async_stats``, ``redis``, ``settings``, ``testing``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from statspout.client.redis.reading import available_stats, contexts, fetch_many, fetch_stats, stat_history
    from statspout.client.redis.redis import async_redis, sync_redis
    from statspout.client.redis.saving import lost
    from statspout.client.redis.settings import config
    from statspout.client.redis.stats import Stats, push_stat, push_stat_async
    from statspout.client.redis.timers import timer

_HOMES = {
    "Stats": "stats", "async_redis": "redis", "available_stats": "reading", "config": "settings",
    "contexts": "reading", "fetch_many": "reading", "fetch_stats": "reading", "lost": "saving", "push_stat": "stats",
    "push_stat_async": "stats", "stat_history": "reading", "sync_redis": "redis", "timer": "timers",
}  # fmt: skip

__all__ = [
    "Stats", "async_redis", "available_stats", "config", "contexts", "fetch_many", "fetch_stats", "lost", "push_stat",
    "push_stat_async", "stat_history", "sync_redis", "timer",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'statspout.client.redis' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"statspout.client.redis.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
