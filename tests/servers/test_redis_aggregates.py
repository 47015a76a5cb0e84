"""What Redis keeps of what was recorded: exact, to the last digit, whatever comes and in whatever parts."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from statspout.client.redis import Stats, contexts, fetch_stats, push_stat, stat_history
from statspout.client.redis.keys import KINDS, TTL, Keyspace
from statspout.client.redis.lua import SHA
from statspout.client.redis.script import calls, write

SPACE = Keyspace("AKA-STATS")
EXAMPLE = (1.2, 3.5, 1.5, 0.1, 40.351110649767, 7, 1e-07)
"""Seven values, of which Aka Stats makes the aggregates that :func:`test_the_example_comes_to_what_it_did` has."""


def record(redis: Any, label: str, values: Sequence[float], batch: int = 1000, history: int = 1000) -> None:
    records = [(float(at), label, value, None) for at, value in enumerate(values)]
    assert set(write(redis, calls(records, SPACE, history, batch))) <= {None}


def kept(redis: Any, label: str) -> dict[str, Any]:
    return {
        kind: redis.lrange(SPACE.key(kind, label), 0, -1) if kind == "HISTORY" else redis.get(SPACE.key(kind, label))
        for kind in KINDS
    }


def square_root(square: Fraction) -> float:
    """To the last digit, of whatever size."""
    shift = max(0, 200 - square.numerator.bit_length() + square.denominator.bit_length()) // 2
    return float(Fraction(math.isqrt((square.numerator << 2 * shift) // square.denominator), 1 << shift))


def truth(values: Sequence[float]) -> dict[str, float]:
    """What is exactly right, by rational numbers, rounded once."""
    exact = [Fraction(value) for value in values]
    mean = sum(exact, Fraction()) / len(exact)
    square = sum(((value - mean) ** 2 for value in exact), Fraction()) / max(1, len(exact) - 1)
    return {"total": float(mean * len(exact)), "avg": float(mean), "stdev": square_root(square)}


def check(label: str, given: Sequence[float]) -> None:
    values, found = [float(value) for value in given], fetch_stats(label)  # whatever it was, it is kept as a double
    assert (found.count, found.min, found.max, found.last) == (len(values), min(values), max(values), values[-1])
    for name, right in truth(values).items():
        # A sum that cancels is as good as its parts allow: some 30 digits of the largest.
        most = max(map(abs, values)) * len(values)
        assert getattr(found, name) == pytest.approx(right, rel=1e-12, abs=max(1e-25 * most, 1e-322)), name


def test_the_example_comes_to_what_it_did(redis: Any) -> None:
    record(redis, "x", EXAMPLE)
    found = fetch_stats("x")
    assert (found.count, found.min, found.max, found.total) == (7, 1e-07, 40.351110649767, 53.651110749767)
    assert found.avg == pytest.approx(7.6644443928239, rel=1e-13)
    assert found.stdev == pytest.approx(14.617091455524, rel=1e-13)
    assert float(redis.get(SPACE.key("TOTAL_SQ", "x"))) == pytest.approx(1693.16213066970001, rel=1e-12)


def test_what_is_kept_is_written_as_it_always_was(redis: Any) -> None:
    record(redis, "x", [3.5, 7])
    found = kept(redis, "x")
    assert found.pop("SUMS").startswith(b"2 3.5 1 3.5 ")
    assert found == {
        "COUNT": b"2", "TOTAL": b"10.5", "TOTAL_SQ": b"61.25", "MIN": b"3.5", "MAX": b"7", "AVG": b"5.25",
        "STDEV": b"2.4748737341529163", "HISTORY": [b"1.0;7;", b"0.0;3.5;"], "LAST": b"7", "LAST_TIME": b"1.0",
    }  # fmt: skip
    assert redis.zrange(SPACE.index, 0, -1, withscores=True) == [(b"x", 1.0)]


def test_every_key_expires_two_weeks_after_the_last_report(redis: Any) -> None:
    push_stat("x", 1, context="why")
    keys = redis.keys()
    for key in keys:
        redis.expire(key, 1000)
    push_stat("x", 1, context="why")
    assert len(keys) == len(KINDS) + 2
    assert [key for key in keys if not TTL - 60 < redis.ttl(key) <= TTL] == []


def test_what_was_never_to_expire_does_when_it_is_written_again(redis: Any) -> None:
    redis.set(SPACE.key("LAST", "x"), "1")
    redis.set(SPACE.key("LAST_TIME", "x"), "1")
    push_stat("x", 2)
    assert redis.ttl(SPACE.key("LAST", "x")) > 0
    assert redis.ttl(SPACE.key("LAST_TIME", "x")) > 0


@pytest.mark.parametrize(
    "values",
    [
        [0.1] * 10, [1e300] * 50, [5e-324] * 7, [-0.5] * 3, [-3.0, -1.0, -2.0], [1e9 + k for k in range(100)],
        [1e15, 1e15 + 0.125, 1e15 + 0.25], [1e15, *(k / 7 for k in range(500))], [1e10 / (k + 1) for k in range(999)],
        [(-1) ** k * 1e10 / (k + 1) for k in range(999)],
        [5e-324 * k for k in range(300)], [1.5e308, -1.5e308, 1e308], [1e-200, 3e-200, 1e-200], [1e200, 1e-200, -1e190],
        [2.0**-399, 2.0**-401, 2.0**-402, 2.0**399, 2.0**401, 2.0**402], [0.0, -0.0], [10**300, 1, 2**70 + 1],
    ],
    ids=lambda values: f"{values[0]:.6g} and on",
)  # fmt: skip
@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_hostile_series_are_exact(redis: Any, values: list[float], batch: int) -> None:
    record(redis, "x", values, batch)
    check("x", values)


FINITE = st.floats(allow_nan=False, allow_infinity=False)
SERIES = st.one_of(
    st.lists(FINITE.filter(lambda x: abs(x) < 1e305), min_size=1, max_size=60),
    st.builds(lambda x, n: [x] * n, FINITE.filter(lambda x: abs(x) < 1e305), st.integers(1, 40)),
    st.builds(lambda far, xs: [far + x for x in xs], st.floats(-1e16, 1e16), st.lists(st.floats(-1, 1), min_size=1)),
    st.lists(st.floats(-1e-300, 1e-300), min_size=1, max_size=60),
    st.builds(lambda xs: [x * (-1) ** n for n, x in enumerate(xs)], st.lists(st.floats(0, 1e12), min_size=1)),
    st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=60),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=SERIES, batch=st.integers(1, 70))
def test_any_series_is_exact_and_as_numpy_has_it(redis: Any, values: list[float], batch: int) -> None:
    redis.flushall()
    record(redis, "x", values, batch)
    check("x", values)
    # From the first value on, with 64 bits of mantissa: numpy's doubles are further off where all are far from 0, and
    # its sum is no better than its parts where they cancel.
    given = numpy.array([float(value) for value in values], dtype=numpy.longdouble)
    apart, found = given - given[0], fetch_stats("x")
    assert found.avg == pytest.approx(float(apart.mean() + given[0]), rel=1e-9, abs=1e-15 * float(abs(given).max()))
    if len(values) > 1 and apart.std(ddof=1) < 1e308:
        assert found.stdev == pytest.approx(float(apart.std(ddof=1)), rel=1e-9, abs=1e-300)


def test_what_no_double_can_hold_is_unknown_and_comes_back(redis: Any) -> None:
    record(redis, "x", [1.7e308, 1.7e308])
    assert fetch_stats("x")[:6] == (2, 1.7e308, 0, 1.7e308, 1.7e308, None)
    record(redis, "x", [-1.7e308, -1.7e308])
    assert fetch_stats("x").total == 0
    assert fetch_stats("x").stdev is None


@pytest.mark.parametrize("history", [0, 1, 5, 1000])
def test_a_history_is_as_long_as_it_is_to_be(redis: Any, history: int) -> None:
    for _ in range(3):
        record(redis, "x", range(2500), history=history)
    entries = stat_history("x")
    assert [entry.value for entry in entries] == [float(2499 - k) for k in range(history)]
    assert fetch_stats("x").count == 7500


def test_a_call_has_as_many_stats_and_labels_as_one_likes(redis: Any) -> None:
    records = [(1.0, f"label-{n % 3000}", n, f"context {n % 1500}") for n in range(12_000)]
    assert write(redis, calls(records, SPACE, 1000, batch=12_000)) == [None] * 15
    assert write(redis, calls([(1.0, "x", n, None) for n in range(12_000)], SPACE, 11_000, batch=12_000)) == [None]
    assert [entry.value for entry in stat_history("x")] == [*range(11_999, 999, -1)]
    redis.zrem(SPACE.index, "x")
    assert redis.zcard(SPACE.index) == 3000
    assert fetch_stats("label-7")[:2] == (4, 4507)
    assert len(contexts(entry.context_id for n in range(3000) for entry in stat_history(f"label-{n}"))) == 1500


def test_a_server_that_does_not_know_the_script_is_told(redis: Any) -> None:
    redis.script_flush()
    push_stat("x", 1)
    redis.script_flush()
    with Stats() as stat:
        for n in range(2500):
            stat("x", n)
    assert fetch_stats("x").count == 2501
    assert redis.script_exists(SHA) == [True]


def test_a_flush_is_one_round_trip(redis: Any) -> None:
    push_stat("x", 1)
    before = redis.info("stats")["total_reads_processed"]
    with Stats() as stat:
        for n in range(30):  # which go into one packet
            stat(f"label-{n % 3}", n, context="c")
    reads = redis.info("stats")["total_reads_processed"] - before - 1
    assert reads == 1


@pytest.mark.parametrize("wrong", ["HISTORY", "INDEX"])
def test_an_update_that_cannot_be_done_does_nothing(redis: Any, wrong: str) -> None:
    record(redis, "x", [1])
    redis.delete(SPACE.index)
    redis.set(SPACE.index if wrong == "INDEX" else SPACE.key(wrong, "y"), "not what it should be")
    before = kept(redis, "x")
    records = [(1.0, "x", 5, None), (1.0, "y", 5, "why")]
    (error,) = write(redis, calls(records, SPACE, 1000))
    assert "WRONGTYPE" in str(error)
    assert kept(redis, "x") == before
    assert len(redis.keys("*COUNT*")) == 1


@pytest.mark.parametrize("wrong", ["HISTORY", "INDEX"])
def test_nor_does_one_of_labels_that_are_known(redis: Any, wrong: str) -> None:
    record(redis, "x", [1])
    record(redis, "y", [1])
    key = SPACE.index if wrong == "INDEX" else SPACE.key(wrong, "y")
    redis.delete(key)
    redis.set(key, "not what it should be")
    before = kept(redis, "x")
    (error,) = write(redis, calls([(1.0, "x", 5, None), (1.0, "y", 5, "why")], SPACE, 1000))
    assert "WRONGTYPE" in str(error)
    assert kept(redis, "x") == before
    assert redis.get(SPACE.key("COUNT", "y")) == b"1"


def test_what_is_written_at_once_goes_in_parts_and_what_was_answered_is_not_lost(redis: Any) -> None:
    record(redis, "the script is known", [1])
    records = [(1.0, f"label {n}", n, None) for n in range(5000)]
    todo, sent = list(calls(records, SPACE, 1000)), list[int]()

    class Breaking:
        """A client that loses its connection behind the first part."""

        execute_command = redis.execute_command

        def pipeline(self, transaction: bool = True) -> Any:
            if sent:
                raise ConnectionResetError("gone")
            sent.append(1)
            return redis.pipeline(transaction=transaction)

    answers = write(Breaking(), todo)
    stored = sum(call.records for call, error in zip(todo, answers, strict=True) if error is None)
    assert 0 < stored < 5000
    assert redis.zcard(SPACE.index) == stored + 1


def test_eight_processes_on_one_label_lose_nothing(redis: Any, redis_server: Any) -> None:
    code = (
        "import sys; from statspout.client.redis import Stats, config, lost\n"
        f"config.redis_url = {redis_server.url!r}\n"
        "with Stats() as stat:\n"
        "    for n in range(20_000):\n"
        "        stat('x', int(sys.argv[1]) * 1e6 + n * 0.37)\n"
        "        if n % 1777 == 0: stat.save_stats()\n"
        "assert not lost(), lost()"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, str(number)]) for number in range(8)]
    assert [worker.wait(60) for worker in workers] == [0] * 8
    values = numpy.array([number * 1e6 + n * 0.37 for number in range(8) for n in range(20_000)])
    found = fetch_stats("x")
    assert (found.count, found.min, found.max) == (160_000, values.min(), values.max())
    assert found.total == math.fsum(values)
    assert found.avg == pytest.approx(values.mean(), rel=1e-9)
    assert found.stdev == pytest.approx(values.std(ddof=1), rel=1e-9)
    assert len(stat_history("x")) == 1000
