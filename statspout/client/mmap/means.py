"""The fields of one thread that are means: of all, of the last, and of how long something took."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import fsum
from typing import Self

from statspout.client.mmap.cells import INFINITY, Cell, Opener
from statspout.client.mmap.layout import Column


class Average(Cell):
    """The mean of all that was added."""

    __slots__ = ("_count", "_total")

    def unbind(self) -> None:
        """Begin anew."""
        self._total = 0.0
        self._count = 0
        super().unbind()

    def add(self, value: float) -> None:
        """Add a number; TypeError for what is none, ValueError for NaN, and for what makes the sum infinite."""
        try:
            total = self._total + value
            if not -INFINITY < total < INFINITY:
                raise ValueError
            self._total = total
            self._count += 1
            buffer = self.next
            self.values[buffer] = total / self._count
            self.flag[0] = self.next = buffer ^ 1
        except (TypeError, ValueError, OverflowError) as error:
            raise self.refused(value, error) from None

    @property
    def value(self) -> float:
        """The mean, 0 before there is one."""
        return float(self.values[self.next ^ 1])


class MovingAverage(Cell):
    """The mean of the last ``size`` numbers, or of all while they are fewer."""

    __slots__ = ("_last", "_size")

    def __init__(self, column: Column, opener: Opener, size: int) -> None:
        self._size = size
        super().__init__(column, opener)

    def unbind(self) -> None:
        """Begin anew."""
        self._last: deque[float] = deque(maxlen=self._size)
        super().unbind()

    def add(self, value: float) -> None:
        """Add a number; TypeError for what is none, ValueError for NaN and infinity."""
        try:
            if not -INFINITY < value < INFINITY:
                raise ValueError
            last = self._last
            last.append(value)
            mean = fsum(last) / len(last)
        except OverflowError:
            mean = fsum(one / len(last) for one in last)
        except (TypeError, ValueError) as error:
            raise self.refused(value, error) from None
        buffer = self.next
        self.values[buffer] = mean
        self.flag[0] = self.next = buffer ^ 1

    @property
    def value(self) -> float:
        """The mean, 0 before there is one."""
        return float(self.values[self.next ^ 1])


class Timer(MovingAverage):
    """The mean of the last durations, in seconds; ``clock`` gives the seconds of a moment."""

    __slots__ = ("clock", "latest", "started")

    def __init__(self, column: Column, opener: Opener, size: int, clock: Callable[[], float]) -> None:
        self.clock = clock
        super().__init__(column, opener, size)

    def unbind(self) -> None:
        """Begin anew; what is timed now goes on."""
        self.latest: Timing | None = None
        self.started: Timing | None = None
        super().unbind()


class Timing:
    """One measurement of a timer, and the timer: ``with stats.timer as timing:``, or ``stats.timer.start()``.

    Each ``stats.timer`` is one of its own, so measurements may be nested, and run in any number of tasks at once.
    """

    __slots__ = ("_began", "_elapsed", "_timer")

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._began: float | None = None
        self._elapsed: float | None = None

    def __enter__(self) -> Self:
        timer = self._timer
        self._elapsed = None
        timer.latest = self
        self._began = timer.clock()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def start(self) -> None:
        """Begin a measurement that the next ``stop`` of this timer ends."""
        self._timer.started = self
        self.__enter__()

    def stop(self) -> None:
        """End the measurement; RuntimeError where none was started."""
        running = self if self._began is not None and self._elapsed is None else self._timer.started
        if running is None or running.done:
            raise RuntimeError(f"{self._timer.label}: stop without a start")
        running._end()

    def _end(self) -> None:
        timer = self._timer
        assert self._began is not None
        self._elapsed = elapsed = timer.clock() - self._began
        timer.add(elapsed)

    @property
    def elapsed(self) -> float:
        """Seconds since it began, until it ended if it has; 0 before."""
        if self._elapsed is not None:
            return self._elapsed
        return 0.0 if self._began is None else self._timer.clock() - self._began

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._elapsed is not None

    @property
    def value(self) -> float:
        """The timer's mean in seconds, 0 before there is one."""
        return self._timer.value

    @property
    def last(self) -> float:
        """The seconds of the timer's latest measurement, which may be running; 0 before there is one."""
        latest = self._timer.latest
        return 0.0 if latest is None else latest.elapsed
