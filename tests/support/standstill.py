"""Time in which this process ran: what a busy machine takes from a test is in nothing that is measured by this clock.

A thread wants to run a hundred times a second. By how much it is late is time in which nobody here could do anything.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from time import monotonic, sleep  # now: a test may put a clock of its own in their place
from typing import ParamSpec

P = ParamSpec("P")

PATIENCE = 60.0
"""Seconds for which something is waited for that has to come, and whose time is nobody's promise."""

_BEAT = 0.01
_USUAL = 0.03
"""Seconds by which the thread may be late, as threads are that others keep from the interpreter."""


class _Clock:
    def __init__(self) -> None:
        self.lost = 0.0
        self._lock = threading.Lock()
        self._due = monotonic() + _BEAT
        threading.Thread(target=self._beat, name="standstill", daemon=True).start()

    def now(self) -> float:
        return monotonic() - self.lost_until_now()

    def lost_until_now(self) -> float:
        with self._lock:
            return self.lost + self._late(monotonic())

    def _late(self, now: float) -> float:
        return late if (late := now - self._due) > _USUAL else 0.0

    def _beat(self) -> None:
        while True:
            sleep(max(0.0, self._due - monotonic()))
            with self._lock:
                now = monotonic()
                self.lost += self._late(now)
                self._due = now + _BEAT


@functools.cache
def _clock() -> _Clock:
    return _Clock()


def running_time() -> float:
    """Seconds since some moment, but for those in which this process stood still."""
    return _clock().now()


def stood_still() -> float:
    """Seconds in which this process stood still so far."""
    return _clock().lost_until_now()


async def pass_time(seconds: float) -> None:
    """Wait until this process ran for so long."""
    due = running_time() + seconds
    while (left := due - running_time()) > 0:  # noqa: ASYNC110 - time has no event
        await asyncio.sleep(left)


def undisturbed(longest: float, attempts: int = 10) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Of a test that cannot hold in a process that stands still: what it says counts when that was for no longer.

    Where it fails, and the process stood still for more than ``longest`` seconds meanwhile, it is done again.
    """

    def decorate(test: Callable[P, None]) -> Callable[P, None]:
        @functools.wraps(test)
        def done(*arguments: P.args, **named: P.kwargs) -> None:
            for _ in range(attempts - 1):
                before = stood_still()
                try:
                    return test(*arguments, **named)
                except Exception:
                    if stood_still() - before <= longest:
                        raise
            return test(*arguments, **named)

        return done

    return decorate
