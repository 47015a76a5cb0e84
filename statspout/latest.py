"""The latest sample of each container, and metric of each series, for repositories that serve current values."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter

from statspout.errors import Rejected
from statspout.sample import Container, ContainerSample, Metric, Summary

STALE_AFTER = 3
"""Intervals after which a value that was not renewed is no longer current."""

MOST_SERIES = 10_000
"""Series of applications that are kept at once. An application can make up any number of names."""

_REMEMBERED = 1_000
"""Runs that are over; what their containers reported at last comes within seconds."""

_EXPIRY_PAUSE = 1.0
"""Seconds between two looks, of all there are, for series that are over, while there is no room for new ones."""


class Latest:
    """Keeps one sample per container id and forgets those that were not renewed for three intervals.

    ``clock`` gives monotonic seconds: age is the time since a sample came, so a remote engine's clock does not matter.
    """

    def __init__(self, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._max_age = STALE_AFTER * interval
        self._values: dict[str, tuple[float, ContainerSample]] = {}

    def put(self, sample: ContainerSample) -> None:
        """Make ``sample`` the current one of its container."""
        self._values[sample.container.id] = (self._clock(), sample)

    def drop(self, container: Container) -> None:
        """Forget a container that is gone, unless another run of it has taken its place."""
        kept = self._values.get(container.id)
        if kept is not None and kept[1].container.same_run(container):
            del self._values[container.id]

    def age_as(self, other: Latest) -> None:
        """What is here and there is as old as it is there."""
        for container_id, (came, _) in other._values.items():
            if container_id in self._values:
                self._values[container_id] = (came, self._values[container_id][1])

    def samples(self) -> list[ContainerSample]:
        """The current samples, one of each container, by container name."""
        self._expire()
        return sorted((sample for _, sample in self._values.values()), key=lambda s: (s.container.name, s.time_ns))

    def find(self, name: str) -> ContainerSample | None:
        """The current sample of the container with this name, id, or short id; of two with one name, the newer."""
        found = [s for s in self.samples() if name in (s.container.name, s.container.id, s.container.short_id)]
        return found[-1] if found else None

    def _expire(self) -> None:
        oldest = self._clock() - self._max_age
        for key in [key for key, (came, _) in self._values.items() if came < oldest]:
            del self._values[key]


_ACCUMULATING = frozenset({"counter_delta", "counter_total", "timer", "histogram"})
"""Kinds of which something stays true in silence: what there was in all."""

_about = attrgetter("name", "kind", "unit", "host", "tags", "container")
"""What makes a series another one when it changes; compared as a tuple, the same object is not looked into."""


@dataclass(slots=True)
class Reported:
    """One series of an application: the latest metric, and what all of them came to.

    ``total`` is the sum of all counts, or of all values of a timer or histogram, in their unit; NaN once one of those
    was negative, for a sum that may fall says nothing. ``count`` is how many values those were. ``fresh_until`` and
    ``until`` are monotonic seconds: when the latest metric is no longer current, and when the series is over.
    """

    metric: Metric
    total: float = 0
    count: float = 0
    fresh_until: float = 0.0
    until: float = 0.0

    def add(self, metric: Metric) -> None:
        """Make ``metric`` the latest."""
        self.metric = metric
        value = metric.value
        if isinstance(value, Summary):
            self.count += value.count
            self.total = math.nan if value.min < 0 else self.total + value.sum
        elif metric.kind == "counter_delta" and not isinstance(value, str):
            self.total += value


class LatestMetrics:
    """Keeps the latest metric of each series, by its key, and forgets those that fall silent.

    One is current for three of its own intervals, or of ``interval``, whichever is longer. What adds up, a counter or
    the count of a timer, is kept for ``keep`` seconds of silence, for it is still true; when its container is gone,
    only as long as it is current: its last counts come behind its end. There are ``most`` series at once. ``clock``
    gives monotonic seconds.
    """

    def __init__(
        self,
        interval: float,
        *,
        keep: float = 0.0,
        most: int = MOST_SERIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval, self._keep, self._most, self._clock = interval, keep, most, clock
        self._series: dict[str, Reported] = {}
        self._gone: OrderedDict[tuple[str, int | None], None] = OrderedDict()
        self._looked = -math.inf

    def put(self, metric: Metric) -> None:
        """Make ``metric`` the current one of its series. Rejected where there is no room for another series."""
        now = self._clock()
        series = self._series.get(metric.key)
        if series is not None and _about(series.metric) != _about(metric):
            self.remove(metric.key)
            series = None
        if series is None:
            self._make_room(now)
            self.entered(metric)
            series = self._series[metric.key] = Reported(metric)
        series.add(metric)
        series.fresh_until = now + STALE_AFTER * max(self._interval, metric.interval_s or 0.0)
        keep = self._keep if metric.kind in _ACCUMULATING else 0.0
        series.until = max(series.fresh_until, now + keep)

    def drop(self, container: Container) -> None:
        """Take note that a container is gone: its series are over when their last metrics are no longer current."""
        if container.started_at is not None:
            # Without a start time a later run of the same container would be taken for this one.
            self._gone[container.identity] = None
            if len(self._gone) > _REMEMBERED:
                self._gone.popitem(last=False)

    def follow(self, other: LatestMetrics) -> None:
        """Go on with the series of another, with what all of their metrics came to, and with who is gone."""
        self._gone.update(other._gone)
        for series in other.series():
            with suppress(Rejected):
                self.put(series.metric)
                ours = self.of(series.metric.key)
                ours.total, ours.count = series.total, series.count
                ours.fresh_until, ours.until = series.fresh_until, series.until

    def series(self) -> list[Reported]:
        """All series that are not over, by name."""
        self.expire()
        return sorted(self._series.values(), key=lambda series: (series.metric.name, series.metric.key))

    def find(self, name: str) -> list[Reported]:
        """The series of this name."""
        return [series for series in self.series() if series.metric.name == name]

    def of(self, key: str) -> Reported:
        """The series of this key. KeyError where there is none."""
        return self._series[key]

    def is_fresh(self, series: Reported) -> bool:
        """Whether its latest metric is current."""
        return self._clock() < series.fresh_until

    def expire(self) -> None:
        """Forget the series that are over."""
        now = self._clock()
        for key in [key for key, series in self._series.items() if self._is_over(series, now)]:
            self.remove(key)

    def entered(self, metric: Metric) -> None:
        """For subclasses: a series begins. Rejected keeps it out."""

    def left(self, metric: Metric) -> None:
        """For subclasses: a series that had begun is over."""

    def is_gone(self, series: Reported) -> bool:
        """Whether the container is gone that it was of."""
        container = series.metric.container
        return container is not None and container.identity in self._gone

    def remove(self, key: str) -> None:
        """Forget the series of this key. KeyError where there is none."""
        self.left(self._series.pop(key).metric)

    def _is_over(self, series: Reported, now: float) -> bool:
        return now >= (series.fresh_until if self.is_gone(series) else series.until)

    def _make_room(self, now: float) -> None:
        if len(self._series) >= self._most and now - self._looked >= _EXPIRY_PAUSE:
            self._looked = now
            self.expire()
        if len(self._series) >= self._most:
            raise Rejected(f"there are {self._most} series of applications, the most that are kept: no new ones")
