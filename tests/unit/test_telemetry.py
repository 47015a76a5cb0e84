"""What is counted while collecting is what happened."""

from __future__ import annotations

import pytest

from statspout.telemetry import LATE, Lateness, Telemetry


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, 0), (-1e-9, 0), (0.001, 0), (0.0011, 1), (0.25, 7), (10.0, 12), (10.1, 13)]
)
def test_a_late_poll_is_counted_once_in_the_bucket_that_holds_it(seconds: float, bucket: int) -> None:
    lateness = Lateness()
    lateness.add(seconds)
    assert [i for i, count in enumerate(lateness.counts) if count] == [bucket]
    assert (sum(lateness.counts), lateness.total, lateness.most) == (1, max(0.0, seconds), max(0.0, seconds))


def test_a_sweep_is_as_late_for_each_of_its_containers() -> None:
    telemetry = Telemetry()
    telemetry.swept(100, 99, 0.3)
    telemetry.began(0.02)
    lateness = telemetry.lateness
    assert lateness.counts == [0, 0, 0, 0, 1, 0, 0, 0, 100, *[0] * (len(LATE) - 8)]
    assert lateness.total == pytest.approx(30.02)
    assert (lateness.most, telemetry.polls) == (0.3, 101)


def test_a_sweep_of_nobody_is_not_late() -> None:
    telemetry = Telemetry()
    telemetry.swept(0, 0, 5.0)
    assert (telemetry.lateness, telemetry.polls) == (Lateness(), 0)
