"""Where a repository's methods run: plain functions in one daemon thread of its own, coroutines on the loop."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import math
import queue
import threading
from collections.abc import Callable
from typing import Any

from statspout.errors import RepositoryError
from statspout.loglines import concerning

_Job = tuple[Callable[..., Any], tuple[Any, ...], "asyncio.Future[Any]"]

_GRACE = 1.0
"""Seconds for a coroutine to end after it was cancelled."""


class Overdue(RepositoryError):
    """A call did not return within its deadline; ``call`` is it: who waits for it learns when it does."""

    def __init__(self, name: str, deadline: float, call: asyncio.Task[Any]) -> None:
        super().__init__(f"{name} did not return within {deadline:g} s")
        self.call = call


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
        self.under_way: set[asyncio.Task[Any]] = set()
        """Calls that have not ended on the loop, be they cancelled; what is left in the thread is not among them."""

    async def call(self, method: Callable[..., Any], *arguments: Any, deadline: float = math.inf) -> Any:
        """What ``method`` returns, or raises; Overdue after ``deadline`` seconds, and then this worker is of no use."""
        with concerning(repository=self._name):
            call = asyncio.create_task(self._called(method, arguments))
        self.under_way.add(call)
        call.add_done_callback(self.under_way.discard)
        is_coroutine = inspect.iscoroutinefunction(method)
        try:
            await asyncio.wait({call}, timeout=None if deadline == math.inf else deadline)
        except asyncio.CancelledError:
            call.cancel()
            raise
        if not call.done() and is_coroutine:
            call.cancel()
            await asyncio.wait({call}, timeout=_GRACE)
            if call.cancelled():
                raise Overdue(method.__name__, deadline, call)
        if not call.done():
            raise Overdue(method.__name__, deadline, call)
        return call.result()

    def stop(self) -> None:
        """End the thread after the call it is in."""
        self._jobs.put(None)

    async def _called(self, method: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        try:
            if inspect.iscoroutinefunction(method):
                return await method(*arguments)
            outcome = await self._in_thread(method, arguments)
            if inspect.isawaitable(outcome):
                # A decorated coroutine does not look like one until it is called.
                return await outcome
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise tamed(error) from error
        except (Exception, GeneratorExit):
            raise
        except BaseException as error:
            raise tamed(error) from error
        if inspect.isgenerator(outcome):
            raise TypeError(f"{method.__name__} is a generator: nothing in it has run")
        return outcome

    async def _in_thread(self, method: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if self._thread is None:
            thread = threading.Thread(target=self._work, name=f"statspout-{self._name}", daemon=True)
            thread.start()  # fails where there are as many as may be
            self._thread = thread
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # What it logs there is about this repository, as on the loop.
        self._jobs.put((functools.partial(contextvars.copy_context().run, method), arguments, result))
        return await result

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
            # What a long wait for the next job would keep alive.
            del job, method, arguments, result, outcome, error


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
