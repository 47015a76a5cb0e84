"""Where a repository's methods run: plain functions in one daemon thread of its own, coroutines on the loop."""

from __future__ import annotations

import asyncio
import inspect
import queue
import threading
from collections.abc import Callable
from typing import Any

_Job = tuple[Callable[..., Any], tuple[Any, ...], "asyncio.Future[Any]"]


class Worker:
    """Calls one repository's methods, one at a time. The thread starts at the first call that needs it.

    It is a daemon thread: a call that never returns cannot keep the program from ending.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """What ``method`` returns or raises."""
        if inspect.iscoroutinefunction(method):
            return await method(*arguments)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"statspout-{self._name}", daemon=True)
            self._thread.start()
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._jobs.put((method, arguments, result))
        return await result

    def stop(self) -> None:
        """End the thread after the call it is in."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            method, arguments, result = job
            loop = result.get_loop()
            try:
                outcome, error = method(*arguments), None
            except BaseException as raised:  # noqa: BLE001 - foreign code: whatever it is belongs to the caller
                outcome, error = None, raised
            if loop.is_closed():
                return
            loop.call_soon_threadsafe(_settle, result, outcome, error)


def _settle(result: asyncio.Future[Any], outcome: Any, error: BaseException | None) -> None:
    if result.done():
        return
    if error is None:
        result.set_result(outcome)
    elif isinstance(error, Exception):
        result.set_exception(error)
    else:
        # SystemExit and the like end a thread's work, not the daemon.
        result.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))
