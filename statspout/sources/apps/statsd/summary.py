"""What the values of a timer come to: exact for the first thousands of an interval, then a sketch of them.

Count, sum, least, most, mean and standard deviation (of the population) are of all values, always. Percentiles are by
nearest rank: the least value that at least so many percent of the values do not exceed, so one that was really
measured. They are exact up to :data:`EXACT` values; from there on values are kept as counts in bins whose width is a
part of what is in them, as DDSketch does it, and a percentile is within :data:`ERROR` of the exact one.

A value with a sample rate of 0.1 stands for ten: it has weight 10 everywhere but in the least and the most.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from statspout.sample import Summary

EXACT = 10_000
"""Values of one series and interval that are kept as they are."""

ERROR = 0.01
"""By what part of itself a percentile of the sketch may be wrong."""

MOST_BINS = 4096
"""Bins of one sketch: values over 35 powers of ten. What has more has no percentiles."""

_GAMMA = (1 + ERROR) / (1 - ERROR)
_LOG_GAMMA = math.log(_GAMMA)
_VALUE_BYTES, _ARRAY_BYTES, _BIN_BYTES = 8, 200, 100

_GATHERED = 256
"""Values that wait for company on their way into the sketch."""

_WHOLE = 1e-9
"""By what part of itself a rank may miss a whole number and still be it: weights such as 1/0.1 are not exact."""


class Room:
    """Memory, in bytes, that values may take until the interval's end, of all series together."""

    __slots__ = ("left",)

    def __init__(self, size: int) -> None:
        self.left = size

    def take(self, size: int) -> bool:
        """Take so many bytes, unless there are not so many."""
        if size > self.left:
            return False
        self.left -= size
        return True

    def give(self, size: int) -> None:
        """Give back so many bytes of what was taken."""
        self.left += size


class Moments:
    """Weight, mean and the sum of squared differences from it, of values that come in chunks (Chan et al., 1979)."""

    __slots__ = ("least", "mean", "most", "squares", "total", "weight")

    def __init__(self) -> None:
        self.weight = self.mean = self.squares = self.total = 0.0
        self.least, self.most = math.inf, -math.inf

    def add(self, values: Sequence[float], weight: float) -> None:
        """Add values, of which there is one at least, that weigh ``weight`` each; beyond a float, all is infinite."""
        count = len(values)
        try:
            total = math.fsum(values)
        except OverflowError:
            total = math.inf
        mean = total / count
        spread = math.dist(values, [mean] * count)
        added = count * weight
        both = self.weight + added
        apart = mean - self.mean
        self.squares += spread * spread * weight + apart * apart * self.weight * (added / both)
        self.mean += apart * (added / both)
        self.weight = both
        self.total += total * weight
        self.least, self.most = min(self.least, min(values)), max(self.most, max(values))

    @property
    def stdev(self) -> float:
        """The standard deviation of the population."""
        return math.sqrt(self.squares / self.weight)


class Sketch:
    """Weights by bin. Bin ``i`` has what is above ``gamma ** (i - 1)`` and not above ``gamma ** i``."""

    __slots__ = ("above", "below", "zero")

    def __init__(self) -> None:
        self.above: dict[int, float] = {}
        self.below: dict[int, float] = {}
        self.zero = 0.0

    def __len__(self) -> int:
        return len(self.above) + len(self.below)

    def add(self, ordered: Sequence[float], weight: float) -> None:
        """Add values in ascending order, which each weigh ``weight``."""
        negative, positive = bisect_left(ordered, 0.0), bisect_right(ordered, 0.0)
        self.zero += (positive - negative) * weight
        _fill(self.above, ordered[positive:], weight)
        _fill(self.below, [-value for value in reversed(ordered[:negative])], weight)

    def ordered(self) -> Iterator[tuple[float, float]]:
        """Value and weight of each bin that there is, in ascending order of the values."""
        for index in sorted(self.below, reverse=True):
            yield -_middle(index), self.below[index]
        if self.zero:
            yield 0.0, self.zero
        for index in sorted(self.above):
            yield _middle(index), self.above[index]


def _fill(bins: dict[int, float], ordered: Sequence[float], weight: float) -> None:
    """Count positive values in ascending order: a search for the end of each bin, not a logarithm of each value."""
    at = 0
    while at < len(ordered):
        index = math.ceil(math.log(ordered[at]) / _LOG_GAMMA)
        end = max(at + 1, bisect_right(ordered, _power(index), at))
        bins[index] = bins.get(index, 0.0) + (end - at) * weight
        at = end


def _power(index: float) -> float:
    exponent = index * _LOG_GAMMA
    return math.exp(exponent) if exponent < 709 else math.inf


def _middle(index: int) -> float:
    """The value that is as far, in proportion, from both ends of a bin."""
    return 2 / (_GAMMA + 1) * _power(index)


class Percentile:
    """One percentile to be told, by its name: ``95``, ``99.9``. ValueError unless it is above 0 and at most 100."""

    __slots__ = ("name", "part")

    def __init__(self, name: str) -> None:
        self.name = name
        self.part = Fraction(name) / 100
        if not 0 < self.part <= 1:
            raise ValueError(name)

    def rank(self, weight: float) -> float:
        """How much weight the value that is sought has at and below it at least."""
        if weight == int(weight):
            return -(-self.part.numerator * int(weight) // self.part.denominator)
        return float(self.part) * weight


class Distribution:
    """The values of one series in one interval. ``room`` is shared with all others."""

    __slots__ = ("_exact", "_held", "_moments", "_room", "_sketch", "_taken", "_values")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._values: dict[float, array[float]] = {}
        """By weight."""
        self._held = self._taken = 0
        self._moments: Moments | None = None
        """Of what is in the sketch."""
        self._sketch: Sketch | None = None
        self._exact = True
        """Whether all values are held as they are."""

    def add(self, values: Iterable[float], weight: float) -> None:
        """Add finite values that weigh ``weight`` each."""
        held, size = self._values.get(weight), 0
        if held is None:
            held = self._values[weight] = array("d")
            size = _ARRAY_BYTES
        before = len(held)
        held.extend(values)
        added = len(held) - before
        size += added * _VALUE_BYTES
        self._held += added
        if not self._exact:
            most = _GATHERED
        elif self._room.take(size):
            self._taken += size
            most = EXACT
        else:
            most = 0
        if self._held > most:
            self._fold()

    def summary(self, percentiles: Sequence[Percentile]) -> Summary | None:
        """What the values come to; None when that is beyond a float. With too little room, without percentiles."""
        moments = self._moments or Moments()
        for weight, values in self._values.items():
            if values:
                moments.add(values, weight)
        if not all(map(math.isfinite, (moments.weight, moments.total, moments.mean, moments.squares))):
            return None
        found = self._percentiles(percentiles, moments)
        count = moments.weight
        return Summary(
            count=int(count) if count == int(count) else count,
            sum=moments.total,
            min=moments.least,
            max=moments.most,
            mean=min(max(moments.mean, moments.least), moments.most),
            stdev=moments.stdev,
            percentiles=found,
        )

    @property
    def complete(self) -> bool:
        """Whether there are percentiles."""
        return self._exact or self._sketch is not None

    def _fold(self) -> None:
        """Move what is held as it is into the sketch, or, when that would be too large, forget all but the moments."""
        if self._moments is None:
            self._moments, self._sketch = Moments(), Sketch()
        self._exact = False
        bins = len(self._sketch or ())
        for weight, values in self._values.items():
            if values:
                self._moments.add(values, weight)
                if self._sketch is not None:
                    self._sketch.add(sorted(values), weight)
        self._room.give(self._taken)
        self._values, self._held, self._taken = {}, 0, 0
        if self._sketch is not None:
            more = len(self._sketch) - bins
            if len(self._sketch) > MOST_BINS or not self._room.take(more * _BIN_BYTES):
                self._room.give(bins * _BIN_BYTES)
                self._sketch = None

    def _percentiles(self, percentiles: Sequence[Percentile], moments: Moments) -> dict[str, float]:
        if not self.complete:
            return {}
        if self._exact and len(self._values) == 1:
            ordered = sorted(*self._values.values())
            return {p.name: ordered[int(p.rank(len(ordered))) - 1] for p in percentiles}
        if self._sketch is None:
            steps: Iterable[tuple[float, float]] = sorted((v, w) for w, some in self._values.items() for v in some)
        else:
            for weight, values in self._values.items():
                self._sketch.add(sorted(values), weight)
            steps = self._sketch.ordered()
        found = _at_ranks(steps, {p.name: p.rank(moments.weight) for p in percentiles})
        return {name: min(max(value, moments.least), moments.most) for name, value in found.items()}


def _at_ranks(steps: Iterable[tuple[float, float]], ranks: dict[str, float]) -> dict[str, float]:
    """The value at which the weights, added up in ascending order of the values, reach each rank."""
    todo = sorted(ranks.items(), key=lambda item: item[1])
    found: dict[str, float] = {}
    reached, value = 0.0, 0.0
    for value, weight in steps:
        reached += weight
        while todo and reached * (1 + _WHOLE) >= todo[0][1]:
            found[todo.pop(0)[0]] = value
    # What rounding left of the last ranks is the largest value.
    found.update((name, value) for name, _ in todo)
    return {name: found[name] for name in ranks}
