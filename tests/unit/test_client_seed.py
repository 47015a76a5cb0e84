"""The mistakes of flux's own client, each by what it did, and the story that it got wrong."""

from __future__ import annotations

import locale
from collections.abc import Iterator

import pytest
from support.lines import Levels, Sink

from statspout.client import StatsD


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


@pytest.fixture(params=[0, 60], ids=["immediate", "aggregated"])
def client(sink: Sink, request: pytest.FixtureRequest) -> Iterator[StatsD]:
    with StatsD(sink.address, rank=3, period=request.param) as client:
        yield client


def periods_pass(client: StatsD) -> None:
    """What an idle time is: periods that end with nothing in them."""
    for _ in range(3):
        client.flush()


@pytest.mark.parametrize("dialect", ["statspout", "dogstatsd"])
def test_a_level_is_not_forgotten_while_nothing_changes(sink: Sink, dialect: str) -> None:
    with StatsD(sink.address, period=60, dialect=dialect) as client:
        levels = Levels()
        for change in (10, 0, 1):
            client.gauge_inc("run", change)
            periods_pass(client)
            for packet in sink.packets():
                levels.take(packet)
    assert levels.gauges == {"run": 11}


def test_minus_one_is_a_value_like_any_other(client: StatsD, sink: Sink) -> None:
    client.gauge_set("g", -1)
    client.timing("t", -1.0)
    client.count("c", -1)
    assert sink.sent_by(client) == ["flux.3.g:0|g", "flux.3.g:-1|g", "flux.3.t:-1|ms", "flux.3.c:-1|c"]


def test_a_line_of_more_than_128_bytes_is_sent(client: StatsD, sink: Sink) -> None:
    client.count("n" * 300)
    assert sink.sent_by(client) == [f"flux.3.{'n' * 300}:1|c"]


def test_a_change_of_the_period_leaves_nothing_behind_in_a_packet(sink: Sink) -> None:
    with StatsD(sink.address, rank=3, period=0, dialect="flux") as client:
        client.count("a", 5)
        client.set_period(60)
        client.count("b", 6)
        client.flush()
        assert sink.packets() == ["flux.3.a:5|C", "flux.3.b:6|C"]


def test_one_name_may_have_several_types(client: StatsD, sink: Sink) -> None:
    client.timing("x", 7)
    client.count("x")
    client.gauge_inc("x", 2)
    assert sink.sent_by(client) == ["flux.3.x:7|ms", "flux.3.x:1|c", "flux.3.x:+2|g"]


def test_numbers_have_a_point_whatever_the_locale(client: StatsD, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    comma = next((name for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "C.UTF-8") if _settable(name)), "C")
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, comma)
        client.timing("t", 1234.5)
        assert sink.sent_by(client) == ["flux.3.t:1234.5|ms"]
    finally:
        locale.setlocale(locale.LC_ALL, before)


def _settable(name: str) -> bool:
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, name)
    except locale.Error:
        return False
    locale.setlocale(locale.LC_ALL, before)
    return True


def test_every_timing_of_a_period_is_told(sink: Sink) -> None:
    with StatsD(sink.address, rank=3, period=60) as client:
        for value in (5, 1, 9):
            client.timing("t", value)
        assert sink.sent_by(client) == ["flux.3.t:5:1:9|ms"]


def test_counts_are_what_all_servers_add_up_unless_they_want_totals(sink: Sink) -> None:
    with StatsD(sink.address, rank=3, period=60) as client:
        for value in (5, 6):
            client.count("c", value)
            client.flush()
    assert sink.lines() == ["flux.3.c:5|c", "flux.3.c:6|c"]


def test_no_change_of_a_level_does_not_set_it(client: StatsD, sink: Sink) -> None:
    client.gauge_inc("g", 5)
    client.flush()
    client.gauge_inc("g", 0)
    levels = Levels()
    client.flush()
    for packet in sink.packets():
        levels.take(packet)
    assert levels.gauges == {"flux.3.g": 5}


STATES = ("depend", "priority", "sched", "run", "cleanup", "inactive")
JOBS = 20_000


@pytest.mark.parametrize(("period", "dialect"), [(0, "statspout"), (60, "statspout"), (60, "dogstatsd")])
def test_the_states_of_20000_jobs_are_exact_at_every_rest(period: float, dialect: str) -> None:
    levels = Levels()
    with Sink() as sink, StatsD(sink.address, rank=0, period=period, dialect=dialect) as client:
        for batch in (range(JOBS // 2), range(JOBS // 2, JOBS)):
            for job in batch:
                for before, after in zip((None, *STATES), STATES, strict=False):
                    client.gauge_inc(f"job.state.{after}")
                    if before:
                        client.gauge_dec(f"job.state.{before}")
                if job % 10 == 0:  # at the reader's pace: what nobody reads, UDP drops in silence
                    take(sink, levels)
            periods_pass(client)
            take(sink, levels)
            done = float(batch.stop)
            assert levels.gauges == {f"flux.0.job.state.{state}": done * (state == STATES[-1]) for state in STATES}
        assert client.lost == {}
    assert levels.lines == (JOBS * (2 * len(STATES) - 1) if period == 0 else 2 * len(STATES))


def take(sink: Sink, levels: Levels) -> None:
    for packet in sink.packets():
        levels.take(packet)
