"""One metric of one set of tags: what was reported since it was last told, and the lines that tell it.

Reporting is one ``append``, which is atomic, so that neither threads nor signal handlers can lose a value, and no lock
is taken. What is worked out from the values is worked out by one thread at a time: the client sees to that.
"""

from __future__ import annotations

import operator
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from math import fsum, isfinite
from typing import Any

from statspout.client.dialects import Dialect, Type, number, set_gauge
from statspout.client.losses import Losses
from statspout.client.packets import encoded, packed

LIMIT = 1000
"""Values of one series that are kept as they are; with more they are summed up, or sent before the period is over."""

Number = int | float


def finite(value: Any) -> Number:
    """The number as an int or a float, whatever class of number it is.

    TypeError for what is no number, ValueError or OverflowError for what is none that can be sent: no server reads
    what is beyond a float, and Python writes no integer of more than 4,300 digits.
    """
    if type(value) is not float:
        try:
            whole = int(operator.index(value))
        except TypeError:
            if not hasattr(value, "__float__"):  # a text has none
                raise
        else:
            float(whole)
            return whole
    real = float(value)
    if not isfinite(real):
        raise ValueError(f"{value} is not a number that can be sent")
    return real


def digits(value: Number) -> str:
    """What :func:`dialects.number` makes of a finite int or float, at less cost for the usual ones."""
    if type(value) is int:
        return str(value)
    text = repr(value)
    return number(value) if "e" in text or text.endswith(".0") else text


def total(values: Iterable[Number]) -> Number:
    """Their sum: an int of ints, else without the errors that adding floats one by one makes."""
    result = sum(values)
    return finite(result if type(result) is int else fsum(values))


class Series(ABC):
    """``values`` is what was reported since it was last told; ``listed``: someone is to look at it.

    ``stateful``: what is sent follows from all there ever was, so the client can never forget it. ``one`` is what tells
    a 1 alone, once that was needed.
    """

    __slots__ = ("head", "kind", "listed", "losses", "name", "one", "stateful", "tail", "values")

    def __init__(self, dialect: Dialect, kind: Type, name: str, places: tuple[str, str], rate: float, losses: Losses):
        head, tags = (encoded(place).decode() for place in places)  # now, so that a line never has half a character
        self.name = name
        self.kind = kind
        self.head = f"{head}:"
        self.tail = f"|{dialect.types[kind]}{f'|@{number(rate)}' if rate != 1 else ''}{tags}"
        self.stateful = False
        self.listed = False
        self.values: list[Any] = []
        self.one = b""
        self.losses = losses

    def line(self, value: Any) -> str:
        """What tells this value alone; of a series that is not ``stateful`` only."""
        text = repr(value)  # as digits() has it, without a call
        if type(value) is not int and ("e" in text or text.endswith(".0")):
            text = number(value)
        return f"{self.head}{text}{self.tail}"

    def taken(self) -> list[Any]:
        """The values, which are nobody's now."""
        count = len(self.values)
        values = self.values[:count]
        del self.values[:count]
        return values

    def compact(self) -> bool:
        """Keep less for the same; False where nothing can be left out."""
        return False

    @abstractmethod
    def lines(self, size: int) -> Iterator[str]:
        """What tells all that was reported, in lines of at most ``size`` bytes where that is a choice."""

    def forget(self) -> None:
        """Nothing was reported: in a child, where what was is another process's to tell."""
        self.values = []
        self.listed = False


class Count(Series):
    """What happened how often: the sum of the values, or where counts are absolute, of all there ever were."""

    __slots__ = ("ever",)

    def __init__(self, dialect: Dialect, *rest: Any) -> None:
        super().__init__(dialect, *rest)
        self.stateful = dialect.absolute
        self.ever: Number = 0

    def compact(self) -> bool:
        """One number for all."""
        count = len(self.values)
        self.values[:count] = [self._sum(self.values[:count])]
        return True

    def lines(self, size: int) -> Iterator[str]:  # noqa: ARG002 - there is one line
        """One, or none when there is nothing to add."""
        change = self._sum(self.taken())
        if change and self.stateful:
            self.ever = finite(self.ever + change)
        if change:
            yield self.line(self.ever if self.stateful else change)

    def _sum(self, values: list[Number]) -> Number:
        # A total that falls means a new beginning to who reads it.
        falls = [value for value in values if value < 0] if self.stateful else []
        if falls:
            self.losses.add("bad_value", len(falls), f"{self.name}: a total cannot fall, as by {falls[0]}")
            values = [value for value in values if value >= 0]
        return total(values)


class Gauge(Series):
    """A level: a number changes it, a tuple of a number sets it.

    Where a server takes no changes the value is kept here, for good: forgotten after an idle time, the next change
    would begin at 0. It is unknown until it is first set or changed, and a change is one of 0 then.
    """

    __slots__ = ("dialect", "places", "value")

    def __init__(self, dialect: Dialect, kind: Type, name: str, places: tuple[str, str], rate: float, losses: Losses):
        super().__init__(dialect, kind, name, places, rate, losses)
        self.dialect = dialect
        self.places = self.head[:-1], self.tail.removeprefix("|g")
        self.stateful = not dialect.relative
        self.value: Number = 0

    def line(self, value: Any) -> str:
        """What tells this event alone: two lines that belong together where a negative value would be a change."""
        if type(value) is tuple:
            level = digits(value[0])
            return (
                set_gauge(self.dialect, *self.places, value[0]) if level[0] == "-" else f"{self.head}{level}{self.tail}"
            )
        change = digits(value)
        return f"{self.head}{change}{self.tail}" if change[0] == "-" else f"{self.head}+{change}{self.tail}"

    def compact(self) -> bool:
        """One event for all: the value, if it was set, else the change."""
        count = len(self.values)
        self.values[:count] = [self._event(self.values[:count])]
        return True

    def lines(self, size: int) -> Iterator[str]:  # noqa: ARG002 - there is one line, or two that belong together
        """The value, if it is known here, else the change."""
        values = self.taken()
        if not values:
            return
        event = self._event(values)
        if self.stateful:
            self.value = event[0] if type(event) is tuple else finite(self.value + event)
            event = (self.value,)
        yield self.line(event)

    def _event(self, values: list[Any]) -> Any:
        for place in range(len(values) - 1, -1, -1):
            if type(values[place]) is tuple:
                return (total([values[place][0], *values[place + 1 :]]),)
        return total(values)


class Values(Series):
    """Timings, or other sizes: every one is told, for who reads them works out the statistics."""

    __slots__ = ("packed",)

    def __init__(self, dialect: Dialect, *rest: Any) -> None:
        super().__init__(dialect, *rest)
        self.packed = dialect.packed

    def lines(self, size: int) -> Iterator[str]:
        """A line of several values, or one for each."""
        values = self.taken()
        try:
            texts = list(map(digits, values))
        except ValueError:
            texts = self._some(values)
        if self.packed:
            return packed(self.head, self.tail, texts, size)
        return (f"{self.head}{text}{self.tail}" for text in texts)

    def _some(self, values: Iterable[Number]) -> list[str]:
        """Those that have digits: Python writes no integer with more than it could read."""
        texts = []
        for value in values:
            try:
                texts.append(digits(value))
            except ValueError as error:
                self.losses.add("bad_value", 1, error)
        return texts


_IN_SETS = re.compile(r"[\x00-,/:-@\[-^`{-\x7f\ud800-\udfff]")  # ASCII that is not in [A-Za-z0-9_.-], half characters


class Distinct(Series):
    """How many different values, which are texts here, there were: each is told once in a period."""

    __slots__ = ()

    def line(self, value: Any) -> str:
        """What tells this value."""
        # What is special in a line is written as %3A: two different values must not become one.
        return f"{self.head}{_IN_SETS.sub(_escaped, value)}{self.tail}"

    def compact(self) -> bool:
        """Each value once; False when most were different."""
        count = len(self.values)
        self.values[:count] = list(dict.fromkeys(self.values[:count]))
        return len(self.values) < LIMIT // 2

    def lines(self, size: int) -> Iterator[str]:  # noqa: ARG002 - a line has one value
        """One for each different value."""
        return map(self.line, dict.fromkeys(self.taken()))


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in encoded(found[0]))


_CLASSES: dict[Type, type[Series]] = {
    "count": Count,
    "gauge": Gauge,
    "timing": Values,
    "histogram": Values,
    "distribution": Values,
    "set": Distinct,
}


def make(dialect: Dialect, kind: Type, name: str, places: tuple[str, str], rate: float, losses: Losses) -> Series:
    """The series of a type that the dialect has; ``places`` is what :func:`dialects.series` makes of name and tags."""
    return _CLASSES[kind](dialect, kind, name, places, rate, losses)
