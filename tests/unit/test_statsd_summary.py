"""Summaries beside the plain formulas, on values of every shape."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence

import pytest

from statspout.sample import Summary
from statspout.sources.apps.statsd.summary import ERROR, EXACT, MOST_BINS, Distribution, Percentile, Room

PERCENTILES = [Percentile(name) for name in ("1", "25", "50", "75", "90", "95", "99", "99.9", "100")]
CHANCE = random.Random(8125)

SHAPES: dict[str, Callable[[], float]] = {
    "uniform": lambda: CHANCE.uniform(0, 1000),
    "whole": lambda: float(CHANCE.randrange(5)),
    "far from 0": lambda: 1e9 + CHANCE.random(),
    "long tail": lambda: CHANCE.lognormvariate(3, 2),
    "both signs": lambda: CHANCE.gauss(0, 50),
    "tiny": lambda: CHANCE.random() * 1e-9,
    "all the same": lambda: 0.1,
}


def summary(values: Sequence[float], weight: float = 1.0, at_once: int = 700) -> Summary:
    distribution = Distribution(Room(10**9))
    for at in range(0, len(values), at_once):
        distribution.add(values[at : at + at_once], weight)
    found = distribution.summary(PERCENTILES)
    assert found is not None
    return found


def nearest_rank(values: Sequence[float], percent: str) -> float:
    """By its definition: the least value that at least so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[-(-int(float(percent) * 10) * len(ordered) // 1000) - 1]


@pytest.mark.parametrize("count", [1, 2, 3, 20, 101, EXACT, 3 * EXACT + 17])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_summary_is_what_the_formulas_say(shape: str, count: int) -> None:
    values = [SHAPES[shape]() for _ in range(count)]
    found = summary(values)
    assert (found.count, found.min, found.max) == (count, min(values), max(values))
    assert found.sum == pytest.approx(math.fsum(values), rel=1e-12, abs=1e-12)
    assert found.mean == pytest.approx(statistics.fmean(values), rel=1e-12, abs=1e-12)
    assert found.stdev == pytest.approx(math.dist(values, [statistics.fmean(values)] * count) / count**0.5, rel=1e-6)
    allowed = 0.0 if count <= EXACT else ERROR * (1 + 1e-9)
    for name, value in found.percentiles.items():
        assert value == pytest.approx(nearest_rank(values, name), rel=allowed, abs=0)


@pytest.mark.parametrize("count", [5, EXACT + 1])
def test_a_weight_is_as_good_as_so_many_values(count: int) -> None:
    values = [CHANCE.uniform(0, 100) for _ in range(count)]
    weighted, repeated = summary(values, 4.0), summary([value for value in values for _ in range(4)])
    assert weighted.count == repeated.count == 4 * count
    assert weighted.stdev == pytest.approx(repeated.stdev)
    for name, value in weighted.percentiles.items():
        assert value == pytest.approx(nearest_rank(values, name), rel=0.0 if count < EXACT else 0.011)


def test_percentiles_of_values_with_different_weights_are_by_weight() -> None:
    distribution = Distribution(Room(10**9))
    distribution.add([1.0], 1 / 0.1)
    distribution.add([2.0, 3.0], 1.0)
    found = distribution.summary([Percentile("83"), Percentile("84"), Percentile("91"), Percentile("92")])
    assert found is not None
    assert list(found.percentiles.values()) == [1.0, 2.0, 2.0, 3.0]


def test_a_rate_that_is_no_part_of_one_makes_a_count_that_is_not_whole() -> None:
    assert summary([1.0], 1 / 0.3).count == pytest.approx(3.3333333)


@pytest.mark.parametrize("values", [[1e308, 1e308], [1e200, -1e200], [1e308, -1e308, 1e308]])
def test_what_is_beyond_a_float_is_absent(values: list[float]) -> None:
    distribution = Distribution(Room(10**9))
    distribution.add(values, 1.0)
    assert distribution.summary(PERCENTILES) is None


def test_too_many_magnitudes_for_a_sketch_leave_percentiles_out_and_nothing_else() -> None:
    values = [math.exp(CHANCE.uniform(-300, 300)) for _ in range(EXACT + MOST_BINS)]
    distribution = Distribution(Room(10**9))
    distribution.add(values, 1.0)
    found = distribution.summary(PERCENTILES)
    assert found is not None
    assert (found.percentiles, distribution.complete) == ({}, False)
    assert (found.count, found.max) == (len(values), max(values))


def test_too_little_room_leaves_percentiles_out_and_gives_back_what_it_took() -> None:
    room = Room(8 * 100 + 200)
    distribution = Distribution(room)
    distribution.add([float(value) for value in range(100)], 1.0)
    assert room.left == 0
    distribution.add([1.0], 1.0)
    found = distribution.summary(PERCENTILES)
    assert found is not None
    assert (found.count, found.percentiles, room.left) == (101, {}, 1000)


@pytest.mark.parametrize("wrong", ["0", "101", "-5"])
def test_a_percentile_is_above_0_and_at_most_100(wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        Percentile(wrong)
