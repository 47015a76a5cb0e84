"""The current metrics of applications: how long one is current, what adds up, and how many there are."""

from __future__ import annotations

import math
from typing import Any

import pytest

from statspout import LatestMetrics, Metric, Rejected, Summary
from statspout.sample import MetricKind
from statspout.testing import metric, sample


class Clock:
    """Monotonic seconds that pass when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def kept(interval: float = 5.0, keep: float = 0.0, most: int = 10) -> tuple[LatestMetrics, Clock]:
    clock = Clock()
    return LatestMetrics(interval, keep=keep, most=most, clock=clock), clock


def names(metrics: LatestMetrics) -> list[str]:
    return [series.metric.name for series in metrics.series()]


def test_the_latest_metric_of_a_series_is_kept_and_series_are_in_order_of_name() -> None:
    metrics, _ = kept()
    for one in (metric("b", value=1), metric("a", tags={"x": "2"}), metric("a", tags={"x": "1"}), metric("b", value=2)):
        metrics.put(one)
    assert names(metrics) == ["a", "a", "b"]
    assert [series.metric.tags["x"] for series in metrics.find("a")] == ["1", "2"]
    assert metrics.find("b")[0].metric.value == 2
    assert metrics.find("c") == []


@pytest.mark.parametrize(
    ("own", "ours", "age"), [(None, 5.0, 15.0), (1.0, 5.0, 15.0), (10.0, 5.0, 30.0), (10.0, math.inf, math.inf)]
)
def test_a_metric_is_current_for_three_of_its_own_intervals_or_of_ours(
    own: float | None, ours: float, age: float
) -> None:
    metrics, clock = kept(ours)
    metrics.put(metric("a", "gauge", interval_s=own))
    clock.now = 100 + min(age, 1e6) - 0.1
    assert names(metrics) == ["a"]
    clock.now = 100 + age
    assert names(metrics) == []


@pytest.mark.parametrize(
    ("kind", "stays"),
    [
        ("counter_delta", True),
        ("counter_total", True),
        ("timer", True),
        ("histogram", True),
        ("gauge", False),
        ("set", False),
        ("text", False),
    ],
)
def test_what_adds_up_is_kept_in_silence_and_what_is_current_only_is_not(kind: MetricKind, stays: bool) -> None:
    metrics, clock = kept(keep=3600.0)
    metrics.put(metric("a", kind))
    clock.now += 3599
    assert names(metrics) == ["a"] * stays
    assert not any(map(metrics.is_fresh, metrics.series()))
    clock.now += 1
    assert names(metrics) == []


def test_counts_add_up_and_so_do_the_values_of_a_timer() -> None:
    metrics, _ = kept()
    for one in (metric("c", value=2), metric("t", "timer")) * 3:
        metrics.put(one)
    assert [(series.total, series.count) for series in metrics.series()] == [(6, 0), (300.0, 12)]


def test_a_sum_that_may_fall_is_unknown_from_then_on() -> None:
    below = Summary(count=1, sum=-1.0, min=-1.0, max=-1.0, mean=-1.0, stdev=0.0)
    metrics, _ = kept()
    for one in (metric("h", "histogram"), metric("h", "histogram", value=below), metric("h", "histogram")):
        metrics.put(one)
    (series,) = metrics.series()
    assert math.isnan(series.total)
    assert series.count == 9


@pytest.mark.parametrize("change", [{"host": "node-2"}, {"container": sample("renamed").container}, {"unit": "s"}])
def test_a_series_that_changes_what_it_is_begins_anew(change: dict[str, Any]) -> None:
    metrics, _ = kept()
    metrics.put(metric("c", value=2))
    metrics.put(metric("c", value=3, key=metric("c").key, **change))
    (series,) = metrics.series()
    assert (series.total, series.metric.value) == (3, 3)


def test_the_last_counts_of_a_container_that_is_gone_are_added_and_then_it_is_over() -> None:
    metrics, clock = kept(keep=3600.0)
    one = metric("c", value=2)
    metrics.put(one)
    assert one.container is not None
    metrics.drop(one.container)
    metrics.put(one)
    assert [series.total for series in metrics.series()] == [4]
    clock.now += 15
    assert names(metrics) == []


def test_what_goes_on_elsewhere_is_over_there_when_its_container_is_gone() -> None:
    metrics, clock = kept(keep=3600.0)
    metrics.put(one := metric("c", value=2))
    assert one.container is not None
    metrics.drop(one.container)
    others = LatestMetrics(5.0, keep=3600.0, clock=clock)
    others.follow(metrics)
    assert [series.total for series in others.series()] == [2]
    clock.now += 15
    assert names(others) == []


def test_what_another_run_of_the_container_reports_stays() -> None:
    metrics, clock = kept(keep=3600.0)
    metrics.put(metric("c", container=sample("web", started_at=2).container))
    metrics.drop(sample("web", started_at=1).container)
    clock.now += 3000
    assert names(metrics) == ["c"]


def test_there_is_room_for_so_many_series_and_again_when_some_are_over() -> None:
    metrics, clock = kept(most=2)
    metrics.put(metric("a"))
    clock.now += 10
    metrics.put(metric("b"))
    with pytest.raises(Rejected, match="there are 2 series of applications, the most that are kept"):
        metrics.put(metric("c"))
    metrics.put(metric("b"))
    clock.now += 10
    metrics.put(metric("c"))
    assert names(metrics) == ["b", "c"]


class Picky(LatestMetrics):
    def entered(self, metric: Metric) -> None:
        if metric.name == "odd":
            raise Rejected("too odd")


def test_a_series_that_is_not_let_in_leaves_no_trace() -> None:
    metrics = Picky(5.0)
    with pytest.raises(Rejected, match="too odd"):
        metrics.put(metric("odd"))
    assert metrics.series() == []
