"""How the contract suite calls a repository, and the texts that it tries."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from statspout.repository import Repository
from statspout.sample import Container, Sample

AWKWARD = ("é-Ж-漢字-🐳", "say \"hi\" 'there'", "two\nlines\r\n", "tab\tnul\0bell\a", "back\\slash", "a=b,c{d}", " ")
"""Texts that a container's name, image or labels may hold."""


@dataclass(slots=True)
class Driver:
    """Calls a repository as the framework does, whether its methods are coroutines or not."""

    repository: Repository
    runner: asyncio.Runner
    thread: ThreadPoolExecutor

    def open(self) -> None:
        """Call its method, as do the others."""
        self._call(self.repository.open)

    def push(self, batch: Sequence[Sample]) -> None:
        """With a batch that is not empty."""
        assert batch, "the contract promises batches that are not empty"
        self._call(self.repository.push, batch)

    def clear(self, container: Container) -> None:
        """With a container."""
        self._call(self.repository.clear, container)

    def idle(self) -> None:
        """Without anything."""
        self._call(self.repository.idle)

    def close(self) -> None:
        """Without anything."""
        self._call(self.repository.close)

    def _call(self, method: Callable[..., Any], *arguments: Any) -> None:
        if inspect.iscoroutinefunction(method) or self.repository.live:
            result = method(*arguments)
        else:
            result = self.thread.submit(method, *arguments).result()
        if inspect.iscoroutine(result):
            result = self.runner.run(result)
        assert result is None, f"{method.__name__} returned {result!r}"


@contextmanager
def driven(repository: Repository) -> Iterator[Driver]:
    """What calls ``repository``, not yet open, for as long as the block lasts."""
    with asyncio.Runner() as runner, ThreadPoolExecutor(1) as thread:
        yield Driver(repository, runner, thread)


@contextmanager
def opened(repository: Repository) -> Iterator[Driver]:
    """The same, open within the block and closed behind it."""
    with driven(repository) as driver:
        driver.open()
        try:
            yield driver
        finally:
            driver.close()
