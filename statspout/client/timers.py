"""How long something takes: for a ``with``, an ``async with``, or before a function of either kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, cast

if TYPE_CHECKING:
    from statspout.client.statsd import StatsD

P = ParamSpec("P")
R = TypeVar("R")


class Timer:
    """Reports the milliseconds between the begin and the end of what it is put around, also when that fails.

    As a context manager it is one measurement at a time; a function that it is put before may run in any number of
    threads and tasks. Of a coroutine it is the time from its first step to its last, its waiting included.
    """

    __slots__ = ("_began", "_client", "_name", "_rate", "_tags", "ms")

    def __init__(self, client: StatsD, name: str, tags: Mapping[str, str] | None, rate: float) -> None:
        self._client = client
        self._name = name
        self._tags = tags
        self._rate = rate
        self._began = 0
        self.ms: float | None = None
        """Milliseconds of the last measurement as a context manager; None before the end of the first."""

    def __enter__(self) -> Self:
        self._began = perf_counter_ns()
        return self

    def __exit__(self, *_: object) -> None:
        self.ms = self._told(self._began)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function, whose every call is timed."""
        from inspect import iscoroutinefunction  # loads much, and decorating is rare

        if iscoroutinefunction(function):

            @wraps(function)
            async def timed_task(*args: Any, **named: Any) -> Any:
                began = perf_counter_ns()
                try:
                    return await function(*args, **named)
                finally:
                    self._told(began)

            return cast("Callable[P, R]", timed_task)

        @wraps(function)
        def timed(*args: P.args, **named: P.kwargs) -> R:
            began = perf_counter_ns()
            try:
                return function(*args, **named)
            finally:
                self._told(began)

        return timed

    def _told(self, began: int) -> float:
        milliseconds = (perf_counter_ns() - began) / 1e6
        self._client.timing(self._name, milliseconds, tags=self._tags, rate=self._rate)
        return milliseconds
