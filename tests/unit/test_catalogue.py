"""Metrics that follow from a sample are known when what they follow from is."""

from __future__ import annotations

from operator import attrgetter

import pytest

from statspout.testing import sample

SECOND = 10**9


@pytest.mark.parametrize(
    ("started", "uptime"),
    [(SECOND, 9.0), (10 * SECOND, 0.0), (9_999_999_999, 1e-9), (None, None), (11 * SECOND, None)],
)
def test_uptime_is_the_time_since_the_start_and_never_negative(started: int | None, uptime: float | None) -> None:
    one = sample(time_ns=10 * SECOND, started_at=started)
    assert attrgetter("uptime_seconds")(one) == uptime
    assert [point.value for point in one.points() if point.name == "uptime_seconds"] == [uptime] * (uptime is not None)


def test_what_a_sample_does_not_have_is_an_error() -> None:
    with pytest.raises(AttributeError, match="has no 'uptime'"):
        attrgetter("uptime")(sample())
