"""Batches of samples as entries of a stream, each once: one script, which the server runs at once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from statspout import Container, ContainerSample, Rejected, Sample
from statspout.shapes import sample_object, to_json

_BACK = 2000
"""Entries of the stream, beyond a batch, among which a batch is looked for that may be there already."""

# Key: the stream. Arguments: about how many entries it keeps, among how many of the newest ours are looked for; then of
# each entry its time in milliseconds, its type, its name, and its JSON. An id never goes back: a sample that is older
# than the newest entry is numbered behind it.
SOURCE = """
local key, most, back = KEYS[1], ARGV[1], tonumber(ARGV[2])
local ms, seq, there, max = 0, 0, {}, math.max
if redis.call('EXISTS', key) == 1 then
  local about = redis.call('XINFO', 'STREAM', key)
  for i = 1, #about, 2 do
    if about[i] == 'last-generated-id' then
      local a, b = string.match(about[i + 1], '^(%d+)-(%d+)$')
      ms, seq = tonumber(a), tonumber(b)
    end
  end
  if back > 0 then
    for _, entry in ipairs(redis.call('XREVRANGE', key, '+', '-', 'COUNT', back)) do
      local json = entry[2][6]
      if json then there[json] = (there[json] or 0) + 1 end
    end
  end
end
local added = 0
for i = 3, #ARGV, 4 do
  local json = ARGV[i + 3]
  if (there[json] or 0) > 0 then
    there[json] = there[json] - 1
  else
    local at = tonumber(ARGV[i])
    if at > ms then
      ms, seq = at, 0
    else
      seq = seq + 1
    end
    -- What a double cannot count Redis can.
    local id = max(ms, seq) < 2 ^ 53 and string.format('%.0f-%.0f', ms, seq) or '*'
    redis.call('XADD', key, 'MAXLEN', '~', most, id, 'type', ARGV[i + 1], 'name', ARGV[i + 2], 'json', json)
    added = added + 1
  end
end
return added
"""
SHA = hashlib.sha1(SOURCE.encode(), usedforsecurity=False).hexdigest()


class Stream:
    """The stream ``key``, of about ``most`` entries."""

    def __init__(self, key: str, most: int) -> None:
        self._key = key
        self._most = most

    def push(self, client: Any, batch: Sequence[Sample], *, again: bool) -> None:
        """Append the samples; with ``again``, those that are not among the newest entries."""
        arguments: list[bytes | str | int] = [self._most, len(batch) + _BACK if again else 0]
        rejected: dict[int, str] = {}
        for index, sample in enumerate(batch):
            try:
                arguments += _entry(sample)
            except (ValueError, TypeError, OverflowError) as error:
                rejected[index] = str(error)
        if len(rejected) < len(batch):
            self._run(client, arguments)
        if rejected:
            raise Rejected(next(iter(rejected.values())), rejected.keys(), "stored")

    def clear(self, container: Container) -> None:
        """Nothing is remembered of a container."""

    def _run(self, client: Any, arguments: Sequence[bytes | str | int]) -> None:
        from redis.exceptions import NoScriptError

        try:
            client.execute_command("EVALSHA", SHA, 1, self._key, *arguments)
        except NoScriptError:
            client.execute_command("EVAL", SOURCE, 1, self._key, *arguments)


def _entry(sample: Sample) -> tuple[int, str, bytes, bytes]:
    """The arguments of one entry."""
    if isinstance(sample, ContainerSample):
        type_, name = "container", sample.container.name
    else:
        type_, name = "metric", sample.name
    encoded = name.encode("utf-8", "backslashreplace")
    return max(0, sample.time_ns // 1_000_000), type_, encoded, to_json(sample_object(sample))
