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

    It is a daemon thread: a call that never returns cannot keep the program from ending. Whatever a method raises
    comes out as an Exception: what would end a task or a program (a CancelledError of its own, SystemExit) comes as
    RuntimeError.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def call(self, method: Callable[..., Any], *arguments: Any) -> None:
        """Return when ``method`` is done, or raise what it raises."""
        if inspect.iscoroutinefunction(method):
            await _awaited(method(*arguments))
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"statspout-{self._name}", daemon=True)
            self._thread.start()
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._jobs.put((method, arguments, result))
        outcome = await result
        if inspect.isawaitable(outcome):
            # A decorated coroutine does not look like one until it is called.
            await _awaited(outcome)
        elif inspect.isgenerator(outcome):
            raise TypeError(f"{method.__name__} is a generator: nothing in it has run")

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


async def _awaited(coroutine: Any) -> None:
    try:
        await coroutine
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise tamed(error) from error
    except (Exception, GeneratorExit):
        raise
    except BaseException as error:
        raise tamed(error) from error


def _settle(result: asyncio.Future[Any], outcome: Any, error: BaseException | None) -> None:
    if result.done():
        return
    if error is None:
        result.set_result(outcome)
    else:
        result.set_exception(tamed(error))


def tamed(error: BaseException) -> Exception:
    """``error`` as something that ends a call and nothing more. A future cannot carry a StopIteration."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}".rstrip(": "))
