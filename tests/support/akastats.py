"""A writer and a reader of the keyspace as Aka Stats lays it out, made from the description of what it does.

One EVAL for each value, with the whole text of the script each time. What it gets wrong is wrong here, too: sums of
rounded squares, a greatest value that begins at 0, texts of 14 digits, keys that never expire.
"""

from __future__ import annotations

import hashlib
import math
import time
from typing import Any

SCRIPT = """
local value, label, ns, moment, context = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local v, size = tonumber(value), tonumber(ARGV[1])
local function key(kind) return ns .. '::' .. kind .. '::' .. label end
local function short(x) return string.format('%.14g', x) end

redis.call('LPUSH', key('HISTORY'), moment .. ';' .. value .. ';' .. context)
redis.call('LTRIM', key('HISTORY'), 0, size - 1)
redis.call('SET', key('LAST'), value)
redis.call('SET', key('LAST_TIME'), moment)

local n = redis.call('INCR', key('COUNT'))
local total = tonumber(redis.call('INCRBYFLOAT', key('TOTAL'), value))
local mean = total / n
redis.call('SET', key('AVG'), short(mean))
local squares = tonumber(redis.call('INCRBYFLOAT', key('TOTAL_SQ'), short(v * v)))
local deviation = n > 1 and math.sqrt(squares / (n - 1) - n / (n - 1) * mean * mean) or 0
redis.call('SET', key('STDEV'), short(deviation))

local most = math.max(tonumber(redis.call('GET', key('MAX')) or '0'), v)
redis.call('SET', key('MAX'), short(most))
local least = redis.call('GET', key('MIN'))
if least then
  redis.call('SET', key('MIN'), short(math.min(tonumber(least), v)))
else
  redis.call('SET', key('MIN'), string.format('%.17g', v))
end
for _, kind in ipairs({'MIN', 'MAX', 'AVG', 'STDEV', 'COUNT', 'TOTAL', 'TOTAL_SQ', 'HISTORY'}) do
  redis.call('EXPIRE', key(kind), 1209600)
end
redis.call('ZADD', ns .. '::INDEX', 1, label)
return label .. ':' .. short(mean) .. ':' .. short(deviation) .. ':' .. short(most) .. ':' .. total
"""
NAMES = ("count", "avg", "stdev", "max", "min", "total", "last", "last_time")


class AkaStats:
    """Records and reads in a namespace, over a client of redis-py."""

    def __init__(self, client: Any, namespace: str = "AKA-STATS", history: int = 1000) -> None:
        self._client, self._namespace, self._history = client, namespace, history

    def stat(self, label: str, value: float, context: str = "", moment: float | None = None) -> None:
        """Record one value."""
        at = time.time() if moment is None else moment
        name = hashlib.md5(context.encode()).hexdigest() if context else ""
        self._client.eval(SCRIPT, 5, value, label, self._namespace, at, name, self._history)
        if context:
            self._client.set(f"{self._namespace}::CONTEXTS::{name}", context, nx=True)
            self._client.expire(f"{self._namespace}::CONTEXTS::{name}", 1209600)

    def fetch(self, label: str) -> dict[str, float | None]:
        """What its reader makes of a label."""
        return {name: _float(self._client.get(self._key(name.upper(), label))) for name in NAMES}

    def history(self, label: str) -> list[tuple[float | None, float | None, str]]:
        """The entries, the newest first: time, value, id of the context."""
        found = []
        for entry in self._client.lrange(self._key("HISTORY", label), 0, self._history):
            moment, value, context = [*entry.decode().split(";"), ""][:3]
            found.append((_float(moment), _float(value), context))
        return found

    def labels(self, matcher: str = "*") -> set[str]:
        """The labels that match."""
        found = self._client.zscan_iter(f"{self._namespace}::INDEX", match=matcher)
        return {label.decode() for label, _ in found}

    def _key(self, kind: str, label: str) -> str:
        return f"{self._namespace}::{kind}::{label}"


def _float(text: Any) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
