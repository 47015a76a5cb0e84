"""Sources that run: each in a task of its own, for ever, whatever befalls it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from statspout.delivery.backoff import Backoff
from statspout.logs import Limited
from statspout.source import Sink, Source

log = logging.getLogger("statspout")

_PAUSE = 5.0
"""Seconds before a source that failed runs again; twice as long each time, up to a minute."""


class RunningSources:
    """Runs sources into one sink."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._tasks: dict[Source, asyncio.Task[None]] = {}

    def __contains__(self, source: Source) -> bool:
        return source in self._tasks

    def begin(self, source: Source) -> None:
        """Run it from now on."""
        self._tasks[source] = asyncio.create_task(self._run(source))

    async def end(self, sources: Sequence[Source]) -> None:
        """Run them no more, and let them give what they have."""
        tasks = [self._tasks.pop(source) for source in sources if source in self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for source in sources:
            source.finish(self._sink)

    async def end_all(self) -> None:
        """The same with all that run."""
        await self.end(list(self._tasks))

    async def _run(self, source: Source) -> None:
        """Should it fail in a way it does not know itself, say so and run it again."""
        backoff = Backoff(first=_PAUSE, cap=60.0, draw=lambda _, most: most)
        limited = Limited(log)
        while True:
            try:
                await source.run(self._sink)
            except Exception as error:
                first = limited.first(type(error).__name__)
                log.error("the source failed; it starts anew: %r", error, exc_info=error if first else None)
            await asyncio.sleep(backoff.failed())
