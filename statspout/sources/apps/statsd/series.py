"""One series: what its values in an interval come to.

The texts of values wait in a list until there are many of them, for to read a hundred numbers at once costs a fraction
of what it costs one by one. Whoever asks what they come to has them read first.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import ClassVar

from statspout.sample import Container, Metric, MetricKind, Summary
from statspout.sources.apps.statsd.lines import BadLine, Tags
from statspout.sources.apps.statsd.parse import number
from statspout.sources.apps.statsd.summary import Distribution, Percentile, Room

MOST_DIFFERENT = 100_000
"""Values of one set and interval; a set with more has no number."""

MOST_RATES = 16
"""Of one series, for which values wait; a client has one, or two."""

_LARGEST = 2**63 - 1
"""An integer beyond it does not fit where numbers are stored."""

_AS_FLOATS = 15
"""Digits that a float has exactly."""

_EXACT = 18
_DIGITS_AND_POINT = b"0123456789."

_LONGEST_MEMBER = 32
"""Bytes of a set's value that is kept; of a longer one, its digest is."""

_MEMBER_BYTES = 130

Cache = dict[bytes, dict[bytes, Callable[[bytes], None]]]
"""By what stands behind the value in a line, then by what stands before it: where the value's text goes."""

Identity = tuple[str, str, Tags, str]
"""Class of types, name, tags, the id of the container."""


def key_of(container: str, kind: str, name: str, tags: Tags) -> str:
    """What tells a series from every other: neither names nor tags have ``|`` in them, nor have keys of tags ``:``."""
    return "|".join([f"statsd/{container or '-'}/{kind}/{name}", *(f"{key}:{value}" for key, value in tags)])


class Context:
    """What all series share: whom to tell of a bad value, or that something is left out; memory; what to work out."""

    __slots__ = ("bad", "leave_out", "percentiles", "room")

    def __init__(
        self,
        bad: Callable[[BadLine], None],
        leave_out: Callable[[str], None],
        room: Room,
        percentiles: Sequence[Percentile],
    ) -> None:
        self.bad, self.leave_out, self.room, self.percentiles = bad, leave_out, room, percentiles


class Series(ABC):
    """A series between its first value and its end.

    ``slots`` are where the texts of values wait, by what they weigh; ``keys`` is who knows those slots. ``container``
    is the sender as it was when it was last known.
    """

    __slots__ = ("asleep", "container", "context", "identity", "key", "keys", "slots", "touched", "touched_at")

    kind: ClassVar[MetricKind]
    unit: ClassVar[str] = ""
    least: ClassVar[float] = -math.inf
    """The least number that is one of its values."""
    lasting: ClassVar[bool] = False
    """Whether there is something to know when nothing came in an interval."""

    def __init__(self, identity: Identity, context: Context) -> None:
        type_, name, tags, container = self.identity = identity
        self.key = key_of(container, type_, name, tags)
        self.context = context
        self.slots: dict[float, list[bytes]] = {}
        self.keys: list[tuple[Cache, bytes, bytes]] = []
        self.container: Container | None = None
        self.touched = False
        """Whether something came since the last flush."""
        self.touched_at = 0.0
        """When it did last, in monotonic seconds, as flushes have it."""
        self.asleep = False
        """Whether that was so long ago that it is only remembered."""

    def put(self, text: bytes, rate: float) -> list[bytes] | None:
        """Let the text of a value wait; where, or None when there are too many rates to let it: it is read at once."""
        slot = self.slots.get(rate)
        if slot is None:
            if len(self.slots) >= MOST_RATES:
                self._settle([text], rate)
                return None
            slot = self.slots[rate] = []
        slot.append(text)
        return slot

    def settle(self) -> None:
        """Read what waits."""
        for rate, texts in self.slots.items():
            if texts:
                self._settle(texts, rate)
                texts.clear()

    @abstractmethod
    def _settle(self, texts: list[bytes], rate: float) -> None:
        """Take values in; set ``touched`` when one of them is one."""

    @abstractmethod
    def take(self) -> int | float | Summary | None:
        """What the interval came to, None when that is nothing; the next begins. Nothing may wait."""

    def metric(self, time_ns: int, value: int | float | Summary, interval: float | None, host: str) -> Metric:
        """The record of what it came to in ``interval`` seconds that ended at ``time_ns``."""
        return Metric(
            time_ns=time_ns,
            host=host,
            key=self.key,
            name=self.identity[1],
            kind=self.kind,
            value=value,
            container=self.container,
            tags=dict(self.identity[2]),
            interval_s=interval,
            unit=self.unit,
        )

    def _numbers(self, texts: list[bytes]) -> list[int | float]:
        """Strictly what is a number, in order; the rest is counted as bad."""
        joined = b"".join(texts)
        longest = len(joined) if len(joined) <= _AS_FLOATS else max(map(len, texts))
        try:
            if joined.isdigit() and longest <= _EXACT:
                return list(map(int, texts))
            if longest <= _AS_FLOATS and not joined.translate(None, _DIGITS_AND_POINT):
                return list(map(float, texts))
        except ValueError:
            pass  # An empty one, or one with two points: they are read one by one.
        return [value for text in texts for value in self._line(text)]

    def _line(self, text: bytes) -> list[int | float]:
        """The values of one line, of which there are several with colons between; none when one of them is bad."""
        try:
            values = [number(one) for one in text.split(b":")] if b":" in text else [number(text)]
            if min(values) < self.least:
                raise BadLine("value", f"the value {min(values)} is wrong: {self.least} or more is right")
        except BadLine as error:
            self.context.bad(error)
            return []
        return values

    def finite(self, value: int | float) -> int | float | None:
        """The value, or None, counted, when it is beyond what can be told."""
        if not math.isfinite(value):
            self.context.leave_out("range")
            return None
        return float(value) if isinstance(value, int) and abs(value) > _LARGEST else value


class CounterSeries(Series):
    """What was counted: the sum, of which each value stands for 1/rate of its kind."""

    __slots__ = ("_sum",)
    kind = "counter_delta"

    def __init__(self, identity: Identity, context: Context) -> None:
        super().__init__(identity, context)
        self._sum: int | float = 0

    def _settle(self, texts: list[bytes], rate: float) -> None:
        # Most counters count one by one.
        if texts.count(b"1") == len(texts):
            total: int | float = len(texts)
        elif values := self._numbers(texts):
            total = sum(values)
        else:
            return
        self.touched = True
        self._sum += total if rate == 1 else total / rate

    def take(self) -> int | float | None:
        """The sum."""
        total, self._sum = self._sum, 0
        return self.finite(total) if self.touched else None


class AbsoluteSeries(Series):
    """brubeck's absolute counter: what it grew by. The first value is the baseline; after a decrease it began anew."""

    __slots__ = ("_grown", "_last")
    kind = "counter_delta"
    least = 0
    lasting = True

    def __init__(self, identity: Identity, context: Context) -> None:
        super().__init__(identity, context)
        self._last: int | float | None = None
        self._grown: int | float | None = None

    def _settle(self, texts: list[bytes], _rate: float) -> None:
        for value in self._numbers(texts):
            self.touched = True
            if self._last is not None:
                growth = value - self._last if value >= self._last else value
                self._grown = (self._grown or 0) + growth
            self._last = value

    def take(self) -> int | float | None:
        """The growth, None when only the baseline came."""
        grown, self._grown = self._grown, None
        return None if grown is None else self.finite(grown)


class GaugeSeries(Series):
    """What is so now: the last value with all changes since. A change of what is not known is one of 0."""

    __slots__ = ("_value",)
    kind = "gauge"
    lasting = True

    def __init__(self, identity: Identity, context: Context) -> None:
        super().__init__(identity, context)
        self._value: int | float = 0

    def _settle(self, texts: list[bytes], _rate: float) -> None:
        if b"".join(texts).isdigit() and max(map(len, texts)) <= _EXACT and b"" not in texts:
            # All of them set it, so the last one counts.
            self.touched, self._value = True, int(texts[-1])
            return
        for text in texts:
            values = self._line(text)
            for one, value in zip(text.split(b":"), values, strict=bool(values)):
                self.touched = True
                self._set(self._value + value if one[:1] in b"+-" else value)

    def _set(self, value: int | float) -> None:
        if (known := self.finite(value)) is not None:
            self._value = known

    def take(self) -> int | float | None:
        """The value as it is now, and stays."""
        return self._value


class SetSeries(Series):
    """How many different values there were."""

    __slots__ = ("_complete", "_members", "_taken")
    kind = "set"

    def __init__(self, identity: Identity, context: Context) -> None:
        super().__init__(identity, context)
        self._members: set[bytes] = set()
        self._taken = 0
        self._complete = True

    def _settle(self, texts: list[bytes], _rate: float) -> None:
        members = self._members
        before = len(members)
        members.update(texts if max(map(len, texts)) <= _LONGEST_MEMBER else map(_member, texts))
        if b"" in members:
            members.remove(b"")
            for _ in range(texts.count(b"")):
                self.context.bad(BadLine("value", "there is no value: a set's is any text"))
        self.touched = self.touched or bool(members) or not self._complete
        size = (len(members) - before) * _MEMBER_BYTES
        if len(members) > MOST_DIFFERENT or not self.context.room.take(size):
            self._complete = False
        else:
            self._taken += size
        if not self._complete:
            members.clear()
            self.context.room.give(self._taken)
            self._taken = 0

    def take(self) -> int | None:
        """Their number; None when there were too many to know it."""
        count, complete = len(self._members), self._complete
        self._members, self._complete, self._taken = set(), True, 0
        if not complete:
            self.context.leave_out("room")
            return None
        return count or None


class TimerSeries(Series):
    """How long something took, in milliseconds."""

    __slots__ = ("_values",)
    kind: ClassVar[MetricKind] = "timer"
    unit = "ms"

    def __init__(self, identity: Identity, context: Context) -> None:
        super().__init__(identity, context)
        self._values: Distribution | None = None

    def _settle(self, texts: list[bytes], rate: float) -> None:
        if values := self._numbers(texts):
            self.touched = True
            if self._values is None:
                self._values = Distribution(self.context.room)
            self._values.add(values, 1.0 if rate == 1 else 1 / rate)

    def take(self) -> Summary | None:
        """Their summary."""
        values, self._values = self._values, None
        if values is None:
            return None
        summary = values.summary(self.context.percentiles)
        if summary is None:
            self.context.leave_out("range")
        elif not values.complete:
            self.context.leave_out("room")
        return summary


class HistogramSeries(TimerSeries):
    """How large something was, in a unit that nobody says."""

    __slots__ = ()
    kind = "histogram"
    unit = ""


def _member(text: bytes) -> bytes:
    """A set's value, or, of a long one, what stands for it: longer than any that is kept as it is."""
    return text if len(text) <= _LONGEST_MEMBER else blake2b(text, digest_size=_LONGEST_MEMBER + 1).digest()


CLASSES: dict[str, type[Series]] = {
    "c": CounterSeries,
    "C": AbsoluteSeries,
    "g": GaugeSeries,
    "s": SetSeries,
    "ms": TimerSeries,
    "h": HistogramSeries,
}
"""By the class of types: a distribution is a histogram by another name."""

CLASS_OF = {**{letter: letter for letter in CLASSES}, "d": "h"}
