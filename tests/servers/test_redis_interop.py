"""Side by side with Aka Stats in one keyspace: each reads what the other wrote, and goes on from there."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from typing import Any

import pytest
from support.akastats import AkaStats

from statspout.client.redis import Stats, available_stats, contexts, fetch_stats, push_stat, stat_history
from statspout.client.redis.keys import Keyspace

SPACE = Keyspace("AKA-STATS")


@pytest.fixture
def original(redis: Any) -> AkaStats:
    return AkaStats(redis)


def ours(values: Sequence[float], label: str = "x") -> None:
    with Stats() as stat:
        for value in values:
            stat(label, value)


def theirs(original: AkaStats, values: Sequence[float]) -> None:
    for value in values:
        original.stat("x", value)


def check(values: Sequence[float], rel: float = 1e-12) -> None:
    found = fetch_stats("x")
    assert (found.count, found.max, found.last) == (len(values), max(values), values[-1])
    assert found.min == pytest.approx(min(values), rel=1e-13)
    assert found.total == pytest.approx(sum(values), rel=1e-12)
    assert found.avg == pytest.approx(statistics.fmean(values), rel=1e-12)
    assert found.stdev == pytest.approx(statistics.stdev(values), rel=rel, abs=1e-12)


def test_the_equivalent_of_the_original_does_what_it_did(original: AkaStats, redis: Any) -> None:
    theirs(original, (1.2, 3.5, 1.5, 0.1, 40.351110649767, 7, 1e-07))
    assert original.fetch("x") == {
        "avg": 7.6644443928239, "count": 7, "total": 53.651110749767, "stdev": 14.617091455524, "max": 40.351110649767,
        "min": 1e-07, "last": 1e-07, "last_time": pytest.approx(stat_history("x")[0].timestamp),
    }  # fmt: skip
    assert redis.get(SPACE.key("TOTAL_SQ", "x")) == b"1693.16213066970001"


def test_its_reader_reads_what_we_wrote(original: AkaStats) -> None:
    ours([1.5, -2, 1e-7, 0.1])
    push_stat("x", 3.5, context="the cake is a lie")
    assert original.fetch("x") == fetch_stats("x")._asdict()
    assert original.labels("x*") == {"x"}
    assert original.history("x") == [(entry.timestamp, entry.value, entry.context_id) for entry in stat_history("x")]
    assert original.history("x")[0][1:] == (3.5, "06466bfef6e7e40e52d572902df6757d")


def test_we_read_what_it_wrote(original: AkaStats) -> None:
    original.stat("x", 3.5, "the cake is a lie", moment=1600000000.5)
    original.stat("x", 1, moment=1600000001.25)
    assert fetch_stats("x")._asdict() == original.fetch("x")
    assert list(available_stats()) == ["x"]
    name = "06466bfef6e7e40e52d572902df6757d"
    assert stat_history("x") == [(1600000001.25, "x", 1.0, ""), (1600000000.5, "x", 3.5, name)]
    assert contexts([name, "unknown"]) == {name: b"the cake is a lie"}


@pytest.mark.parametrize(
    "values",
    [[0.1] * 10, [1e9 + k for k in range(20)], [-3.0, -1.0, -2.0], [1e15, 1e15 + 1, 1e15 + 2], [1e-7, 1e-8, 3e-7]],
    ids=["constant", "far", "negative", "very far", "small"],
)
def test_we_go_on_from_what_it_wrote_and_put_it_right(original: AkaStats, values: list[float]) -> None:
    theirs(original, values)
    ours(values)
    check(values * 2)


def test_turn_by_turn_nothing_is_lost(original: AkaStats) -> None:
    chance, values = random.Random(8), list[float]()
    for turn in range(60):
        part = [chance.gauss(1e6, 1) for _ in range(chance.randrange(1, 40))]
        if turn % 2:
            theirs(original, part)
        else:
            ours(part)
        values += part
    ours([1e6])
    check([*values, 1e6])


def test_it_goes_on_from_what_we_wrote(original: AkaStats) -> None:
    ours([0.5, 12.25, -3])
    theirs(original, [7, 8.5])
    assert original.fetch("x") == {
        "count": 5, "total": 25.25, "avg": 5.05, "max": 12.25, "min": -3, "last": 8.5,
        "last_time": stat_history("x")[0].timestamp, "stdev": pytest.approx(statistics.stdev([0.5, 12.25, -3, 7, 8.5])),
    }  # fmt: skip


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_without_its_history_its_sums_are_gone_on_from(first: str, original: AkaStats, redis: Any) -> None:
    values = [3.25, 8.5, 1.75, 9.0]
    if first == "ours":
        ours([12.5, 0.125])
    theirs(original, values)
    redis.delete(SPACE.key("HISTORY", "x"))
    ours([2.5])
    check([*([12.5, 0.125] if first == "ours" else []), *values, 2.5], rel=1e-9)


def test_a_history_that_does_not_come_to_its_total_is_not_believed(original: AkaStats, redis: Any) -> None:
    theirs(original, [1, 2, 3])
    redis.lset(SPACE.key("HISTORY", "x"), 0, "1600000000.5;1000;")
    ours([4])
    check([1, 2, 3, 4], rel=1e-9)


def test_a_history_that_is_shorter_than_what_it_wrote_is_not_enough(redis: Any) -> None:
    ours([5.0, 6.0])
    theirs(AkaStats(redis, history=3), [1.0, 2.0, 3.0, 4.0])
    ours([9.0])
    check([5.0, 6.0, 1.0, 2.0, 3.0, 4.0, 9.0], rel=1e-9)


@pytest.mark.parametrize("count", ["1", "2", "3"])
def test_a_label_that_began_anew_has_nothing_of_what_was_before(count: str, original: AkaStats, redis: Any) -> None:
    ours([100.0, 200.0])
    redis.delete(*[key for key in SPACE.of("x") if "SUMS" not in key])
    theirs(original, [1.0, 2.0, 3.0][: int(count)])
    ours([4.0])
    check([*[1.0, 2.0, 3.0][: int(count)], 4.0])


def test_what_it_rounded_of_our_extremes_is_as_it_was(original: AkaStats) -> None:
    ours([0.12345678901234567, 98765.432109876543])
    theirs(original, [1.0])
    assert original.fetch("x")["min"] == 0.12345678901235
    ours([2.0])
    assert fetch_stats("x")[3:5] == (98765.432109876543, 0.12345678901234567)


def test_a_key_that_holds_no_number_begins_anew(redis: Any) -> None:
    redis.set(SPACE.key("COUNT", "x"), "many")
    ours([1, 2])
    check([1, 2])


def test_contexts_are_kept_once_whoever_wrote_them(original: AkaStats, redis: Any) -> None:
    original.stat("x", 1, "why")
    push_stat("x", 1, context=b"why")
    push_stat("x", 1, context="why")
    names = {entry.context_id for entry in stat_history("x")}
    assert len(names) == 1
    assert contexts(names) == {names.pop(): b"why"}
    assert len(redis.keys("*CONTEXTS*")) == 1
