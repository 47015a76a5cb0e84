"""The source that reads Redis, looked through by hand: a look at a time, over a real connection."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from statspout.client.redis.keys import Keyspace
from statspout.client.redis.reading import RAW
from statspout.sources.apps.redis.metrics import Metrics
from statspout.sources.apps.redis.reader import Entry, Reader


class Looker:
    """Looks at ``client``, and keeps what it was told."""

    def __init__(self, client: Any, namespace: str = "AKA-STATS", match: str = "*", **options: Any) -> None:
        self.client = client
        self.entries: list[Entry] = []
        self.reader = Reader(Keyspace(namespace), match, self.entries.extend, **options)
        self.metrics = Metrics(namespace)
        self.trips = 0

    def look(self, now: float | None = None) -> list[Entry]:
        """What is new."""
        self.entries.clear()
        steps = self.reader.look(time.monotonic() if now is None else now)
        try:
            commands = next(steps)
            while True:
                commands = steps.send(self.ask(commands))
        except StopIteration:
            return list(self.entries)

    def ask(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The answers, in one round trip."""
        self.trips += 1
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command, **RAW)
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        return answers

    def values(self) -> list[tuple[str, float]]:
        """What is new, as label and value."""
        made, bad = self.metrics.of(self.look(), "here")
        assert not bad
        return [(metric.key.partition("/")[2].partition("/")[2], float(str(metric.value))) for metric in made]
