"""The client for Redis without one: what may be recorded, what is kept until it is written, and what is said of it."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy
import pytest
from support.influxdb import free_port
from support.redis import settings

from statspout.client import losses
from statspout.client.redis import Stats, async_redis, config, lost, push_stat, push_stat_async, sync_redis, timer
from statspout.client.redis.keys import KINDS, STATS, Keyspace
from statspout.client.redis.lua import SOURCE
from statspout.client.redis.records import Plain, context_of, hash_context, label_of, number
from statspout.client.redis.redis import Gate
from statspout.client.redis.script import LABELS, calls
from statspout.client.redis.settings import Settings, without_password

Written = list[Plain]


@pytest.fixture(autouse=True)
def nowhere() -> Iterator[None]:
    """Nobody listens there."""
    with settings(f"redis://127.0.0.1:{free_port()}"):
        yield


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(losses, "_said", set())
    return caplog


# what may be recorded


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (1, 1), (-2.5, -2.5), (0.0, 0.0), (10**300, 10**300), (2**70, 2**70), (5e-324, 5e-324),
        (numpy.float64(0.1), 0.1), (numpy.int64(7), 7.0),
        (Decimal("0.25"), 0.25), (Fraction(1, 4), 0.25), ("3.5", 3.5), (b"1e-7", 1e-7),
    ],
    ids=repr,
)  # fmt: skip
def test_a_number_is_what_it_is(given: Any, kept: float) -> None:
    assert number(given) == kept
    assert type(number(given)) is type(kept)


@pytest.mark.parametrize(
    "given",
    [float("nan"), float("inf"), -float("inf"), 10**400, "abc", "", "nan", None, True, False, [1], 1j, b"\xff",
     Decimal("NaN")],
    ids=lambda given: repr(given)[:20],
)  # fmt: skip
def test_what_is_no_finite_number_is_refused_and_counted(
    given: Any, mock_stats: Written, said: pytest.LogCaptureFixture
) -> None:
    with Stats() as stat:
        stat("x", given)
        stat("x", 1)
    push_stat("x", given)
    asyncio.run(push_stat_async("x", given))
    assert [(label, value) for _, label, value, _ in mock_stats] == [("x", 1)]
    assert lost() == {"bad_value": 3}
    assert len(said.records) == 1
    for call_it in (Stats(strict=True), lambda *given: push_stat(*given, strict=True)):
        with pytest.raises((TypeError, ValueError)):
            call_it("x", given)


class Odd:
    """A thing that cannot be made a number or a text."""

    def __float__(self) -> float:
        raise RuntimeError("no")

    __str__ = __float__  # type: ignore[assignment]  # that is the point


@pytest.mark.parametrize(
    "odd", [{"value": Odd()}, {"context": Odd()}, {"extra_labels": {"k": Odd()}}, {"extra_labels": 5}]
)
def test_whatever_a_foreign_object_raises_is_counted_and_not_raised(odd: Any, mock_stats: Written) -> None:
    given = {"label": "x", "value": 1, **odd}
    Stats()(**given)
    push_stat(**given)
    asyncio.run(push_stat_async(**given))
    assert lost() == {"bad_value": 3}
    assert not mock_stats


@pytest.mark.parametrize(
    "label", ["", None, 5, b"x", "\udcff", "x" * 8193, "ü" * 4097, ["x"]], ids=lambda x: repr(x)[:9]
)
def test_what_is_no_label_is_refused(label: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Stats(strict=True)(label, 1)
    push_stat(label, 1)
    assert lost() == {"bad_value": 1}


def test_more_labels_are_put_behind_the_label() -> None:
    extra = {"device id": "a,b;c=d", "back\\slash": 7}
    assert label_of("task", extra) == "task;device_id=a_b_c_d,backslash=7"
    assert label_of("task", {}) == "task"


@pytest.mark.parametrize(
    ("context", "name"),
    [
        (None, ""), ("", ""), (b"", ""), ("the cake is a lie", "06466bfef6e7e40e52d572902df6757d"),
        (b"the cake is a lie", "06466bfef6e7e40e52d572902df6757d"), (5, "e4da3b7fbbce2345d7772b0674a318d5"),
    ],
)  # fmt: skip
def test_a_context_is_called_by_its_md5(context: Any, name: str) -> None:
    assert hash_context(context) == name


def test_of_a_long_context_the_middle_is_left_out_and_no_character_is_cut() -> None:
    assert context_of("x" * 10, 10) == b"x" * 10
    assert context_of("a" * 7 + "b" * 9, 10) == b"aaaaa\n[... 6 bytes ...]\nbbbbb"
    assert context_of("üüüüüü", 10) == "üü\n[... 2 bytes ...]\nüü".encode()
    context_of("\udcff" * 5, 1000).decode()


# what is sent


def test_what_is_sent_of_numbers_is_what_python_writes() -> None:
    values = [1, 2.5, 1e-07, 2**70, 10**17, 1e16, numpy.float64(0.1)]
    (one,) = calls([(1600000000.5, "x", value, None) for value in values], Keyspace("NS"), 10)
    texts = ["1", "2.5", "1e-07", str(2**70), str(10**17), "1e+16", "0.1"]
    assert one.arguments == [
        "10", "1209600", "0", "x", "7", *texts, *(f"1600000000.5;{text};" for text in texts)
    ]  # fmt: skip


def test_all_keys_are_declared_and_each_context_is_sent_once() -> None:
    space = Keyspace("NS", tagged=True)
    records: list[Plain] = [(1.0, "x", 1, "why"), (2.0, "y", 1, b"why"), (3.0, "x", 2, None)]
    (one,) = calls(records, space, 10)
    name = hash_context("why")
    assert one.keys == [
        "{NS}::INDEX", f"{{NS}}::CONTEXTS::{name}", *(f"{{NS}}::{kind}::{label}" for label in "xy" for kind in KINDS)
    ]  # fmt: skip
    assert one.arguments[2:] == [
        "1", b"why", "x", "2", "1", "2", f"1.0;1;{name}", "3.0;2;", "y", "1", "1", f"2.0;1;{name}"
    ]  # fmt: skip
    assert one.records == 3


def test_a_call_has_so_many_records_and_labels_at_most() -> None:
    assert [one.records for one in calls([(1.0, "x", 1, None)] * 2500, Keyspace("NS"), 10)] == [1000, 1000, 500]
    many = [(1.0, f"x{n % 450}", 1, None) for n in range(900)]
    assert [one.records for one in calls(many, Keyspace("NS"), 10)] == [2 * LABELS, 2 * LABELS, 100]
    assert list(calls([], Keyspace("NS"), 10)) == []


def test_the_script_knows_how_many_keys_a_label_has() -> None:
    assert f"KINDS, SLICE, FAR, NEAR = {len(KINDS)}," in SOURCE
    assert {name.upper() for name in STATS} < set(KINDS)


# what waits, and what becomes of it


def test_stats_are_written_at_the_end_of_the_block_in_their_order(mock_stats: Written) -> None:
    with Stats() as stat:
        stat("a", 1)
        stat.stat("b", 2.5, "why", {"k": "v"})
        assert mock_stats == []
        stat.save_stats()
        stat("c", 3, context=b"")
    assert [record[1:] for record in mock_stats] == [("a", 1, None), ("b;k=v", 2.5, "why"), ("c", 3, None)]
    assert mock_stats == sorted(mock_stats)


def test_stats_of_tasks_are_written_at_the_end_of_the_block(mock_stats: Written) -> None:
    async def work() -> None:
        async with Stats() as stat:
            stat("a", 1)
            await stat.save_stats_async()
            assert len(mock_stats) == 1
            await asyncio.gather(*(one(stat, n) for n in range(100)))
        await push_stat_async("c", 3)

    async def one(stat: Stats, n: int) -> None:
        await asyncio.sleep(0)
        stat("b", n)

    asyncio.run(work())
    assert [label for _, label, _, _ in mock_stats] == ["a", *["b"] * 100, "c"]


def test_many_threads_lose_nothing(mock_stats: Written) -> None:
    def work() -> None:
        for n in range(5000):
            stat("x", n)
            if n % 100 == 0:
                stat.save_stats()

    with Stats() as stat:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(value for _, _, value, _ in mock_stats) == sorted([*range(5000)] * 4)


def test_when_too_many_wait_the_oldest_go_and_are_counted(mock_stats: Written) -> None:
    config.buffer_size = 100
    try:
        with Stats() as stat:
            for n in range(250):
                stat("x", n)
        assert [value for _, _, value, _ in mock_stats] == [*range(150, 250)]
        assert lost() == {"full": 150}
    finally:
        config.buffer_size = 100_000


def test_contexts_that_are_equal_wait_as_one_and_too_many_are_left_out(mock_stats: Written) -> None:
    with Stats() as stat:
        for n in range(1000):
            stat("x", 1, context="".join(["a" * 60_000, "b" * 5000, str(n % 2)]))
    assert len({id(context) for *_, context in mock_stats}) == 2
    with Stats() as stat:
        for n in range(300):
            stat("x", 1, context=f"{n:065000}")
    assert [context is None for *_, context in mock_stats[1000:]] == [False] * 258 + [True] * 42
    assert lost() == {"full": 42}


def test_what_nobody_writes_is_counted_as_lost() -> None:
    stat = Stats()
    stat("x", 1)
    stat("x", 1)
    del stat
    assert lost() == {"unsent": 2}


def test_a_redis_that_is_away_costs_one_line_and_no_exception(said: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        with Stats() as stat:
            stat("x", 1)
            stat("y", 2)
    push_stat("x", 1)
    asyncio.run(push_stat_async("x", 1))
    assert lost() == {"away": 8}
    (line,) = said.messages
    assert line.startswith("redis: lost from now on, counted as away: Redis could not be reached: ConnectionError: ")
    assert said.records[0].levelno == logging.WARNING


def test_who_asks_for_it_is_told_and_keeps_what_was_not_stored(said: pytest.LogCaptureFixture) -> None:
    stat = Stats(strict=True)
    stat("x", 1)
    for _ in range(2):  # also while nothing would be tried otherwise
        with pytest.raises(Exception, match="refused"):
            stat.save_stats()
    with pytest.raises(Exception, match="Error 111"):
        asyncio.run(stat.save_stats_async())
    with pytest.raises(Exception, match="refused"):
        push_stat("x", 1, strict=True)
    assert [label for _, label, _, _ in stat._records] == ["x"]
    assert (lost(), said.messages) == ({}, [])


def leave_with(error: BaseException, stats: Stats) -> None:
    with stats as stat:
        stat("x", 1)
        raise error


def test_an_exception_of_the_block_is_the_one_that_comes_out() -> None:
    async def work() -> None:
        async with Stats(strict=True) as stat:
            stat("x", 1)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        leave_with(KeyError("mine"), Stats(strict=True))
    with pytest.raises(KeyError, match="mine"):
        asyncio.run(work())
    assert lost() == {"away": 6}


def test_what_could_not_be_written_in_the_middle_waits_for_the_end() -> None:
    with Stats() as stat:
        stat("x", 1)
        stat.save_stats()
        stat.save_stats()
        assert lost() == {}
    assert lost() == {"away": 1}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1",
        "redis://127.0.0.1:port",
        "redis://127.0.0.1:1/x?socket_timeout=x",
        "",
        "redis://h?what=1",
        None,
    ],
)
def test_a_wrong_address_is_a_redis_that_is_away(url: Any) -> None:
    config.redis_url = url
    push_stat("x", 1)
    asyncio.run(push_stat_async("x", 1))
    assert lost() == {"away": 2}


def test_while_it_is_away_it_is_not_tried_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, tried = [1000.0], list[float]()

    def refuse(*_: object) -> None:
        tried.append(clock[0])
        raise ConnectionRefusedError

    monkeypatch.setattr("statspout.client.redis.redis.monotonic", lambda: clock[0])
    monkeypatch.setattr("statspout.client.redis.saving.monotonic", lambda: clock[0])
    monkeypatch.setattr("statspout.client.redis.saving.write", refuse)
    for _ in range(100):
        push_stat("x", 1)
        clock[0] += 0.1
    assert tried == pytest.approx([1000 + n for n in range(10)])
    assert lost() == {"away": 100}


def test_the_longer_it_keeps_one_waiting_the_longer_it_is_let_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, gate = [1000.0], Gate()
    monkeypatch.setattr("statspout.client.redis.redis.monotonic", lambda: clock[0])
    for took, pause in ((0.01, 1.0), (2.0, 20.0), (60.0, 30.0)):
        began = clock[0]
        clock[0] += took
        gate.failed(began, TimeoutError())
        clock[0] += pause - 0.01
        assert gate.shut()
        clock[0] += 0.02
        assert not gate.shut()


# exceptions


def labels(written: Written) -> list[str]:
    return [label for _, label, _, _ in written]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(1), asyncio.CancelledError(), GeneratorExit()], ids=repr
)
def test_what_ends_a_program_or_a_task_is_no_error(error: BaseException, mock_stats: Written) -> None:
    with pytest.raises(type(error)):
        leave_with(error, Stats())
    assert labels(mock_stats) == ["x"]


def test_an_exception_may_be_given_in_many_ways(mock_stats: Written) -> None:
    with Stats() as stat:
        stat.exception(ValueError("given"))
        stat.exception(ValueError, ValueError("given"))
        stat.exception(ValueError)
        try:
            raise KeyError("handled")
        except KeyError as error:
            stat.exception(KeyError, error, error.__traceback__, ["worker:7"])
            stat.exception(error, context="another")
    kinds = ["errors__EXC:ValueError", "errors__all"]
    found = ["errors__EXC:KeyError", "errors__worker:7", "errors__all", "errors__EXC:KeyError", "errors__all"]
    assert labels(mock_stats) == [*kinds * 3, *found]
    texts = [str(context) for *_, context in mock_stats]
    assert texts[:5] == ["ValueError: given\n"] * 4 + ["ValueError\n"]
    assert texts[6].endswith("KeyError: 'handled'\n")
    assert "Traceback" in texts[6]
    assert texts[-2:] == ["another"] * 2


@pytest.mark.parametrize("quiet", [False, True])
def test_no_exception_is_said_and_counted_among_all(quiet: bool, mock_stats: Written, said: Any) -> None:
    with Stats(log=logging.getLogger("shop"), disable_warnings=quiet) as stat:
        stat.exception()
        stat.error("timeout", "worker:7", context="why")
    assert [(label, context) for _, label, _, context in mock_stats] == [
        ("errors__all", None), ("errors__timeout", "why"), ("errors__worker:7", "why"), ("errors__all", "why")
    ]  # fmt: skip
    assert [(r.name, r.message) for r in said.records] == [("shop", "Got an empty call to exception.")] * (not quiet)


def test_a_timer_has_the_time_of_each_step_and_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1.0, 1.5, 3.5])
    monkeypatch.setattr("statspout.client.redis.timers.perf_counter", lambda: next(clock))
    steps = timer()
    assert [next(steps), next(steps)] == [(0.5, 0.5), (2.0, 2.5)]


# settings


def test_settings_are_those_of_the_variables() -> None:
    assert Settings.from_environ({}) == Settings(1000, "Europe/London", "AKA-STATS", "redis://127.0.0.1:6379")
    found = Settings.from_environ({
        "AKA_STATS_HISTORY_SIZE": "5", "AKA_STATS_TIMEZONE": "Europe/Amsterdam", "AKA_STATS_DEFAULT_PREFIX": "OLD",
        "AKA_STATS_REDIS_URL": "redis://db", "AKA_STATS_HASH_TAGS": "yes", "AKA_STATS_TIMEOUT": "0.5",
    })  # fmt: skip
    assert found == Settings(5, "Europe/Amsterdam", "OLD", "redis://db", True, 0.5)
    assert Settings.from_environ({"AKA_STATS_DEFAULT_PREFIX": "OLD", "AKA_STATS_NAMESPACE": "NEW"}).namespace == "NEW"
    with pytest.warns(DeprecationWarning, match="namespace"):
        assert found.default_prefix == "OLD"


@pytest.mark.parametrize(
    ("variable", "text"),
    [("HISTORY_SIZE", "many"), ("HISTORY_SIZE", "-1"), ("TIMEOUT", "0"), ("TIMEOUT", "x"), ("HASH_TAGS", "maybe")],
)
def test_a_mistake_in_a_variable_is_said_and_the_default_holds(
    variable: str, text: str, said: pytest.LogCaptureFixture
) -> None:
    assert Settings.from_environ({f"AKA_STATS_{variable}": text}) == Settings()
    assert len(said.messages) == 1
    assert said.messages[0].startswith(f"AKA_STATS_{variable}: ")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://db:6379/0", "redis://db:6379/0"), ("redis://me:secret@db:6379", "redis://me:***@db:6379"),
        ("redis://:se@cret:x@db", "redis://:***@db"), ("unix:///s?password=secret&db=1", "unix:///s?password=***&db=1"),
    ],
)  # fmt: skip
def test_a_password_is_not_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown
    assert f"AKA_STATS_REDIS_URL = {shown}\n" in f"{Settings(redis_url=url)}\n"
    assert "secret" not in repr(Settings(redis_url=url))


# what it loads, and what a child has of it


def run(code: str, **variables: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **variables}, capture_output=True, text=True, check=True
    ).stdout


def test_the_package_loads_redis_only_where_something_is_sent() -> None:
    code = "import sys; from statspout.client.redis import Stats, config, fetch_stats, sync_redis, timer\n"
    modules = run(code + "Stats()('x', 1); print(*sys.modules)").split()
    assert not {"redis", "asyncio", "socket", "pytest", "msgspec"} & set(modules)
    assert {name for name in modules if name.startswith("statspout.")} <= {
        "statspout.client", "statspout.client.losses", *(n for n in modules if n.startswith("statspout.client.redis"))
    }  # fmt: skip


def test_the_plugin_of_pytest_loads_next_to_nothing() -> None:
    code = "import sys, pytest; before = set(sys.modules); import statspout.client.redis.testing\n"
    assert set(run(code + "print(*set(sys.modules) - before)").split()) <= {
        "statspout", "statspout.client", "statspout.client.redis", "statspout.client.redis.testing"
    }  # fmt: skip


def test_without_redis_py_it_is_said_how_to_get_it() -> None:
    code = (
        "import sys; sys.modules['redis'] = None\n"
        "from statspout.client.redis import lost, push_stat, fetch_stats\n"
        "push_stat('x', 1); print(lost())\n"
        "try: fetch_stats('x')\n"
        "except ImportError as error: print(error)"
    )
    assert run(code) == "{'away': 1}\nredis is not installed: pip install 'statspout[redis]'\n"


def test_connections_are_counted_in_each_loop_and_attached_ones_kept() -> None:
    reader, writer = object(), object()

    async def work() -> None:
        assert async_redis.call_count == 0
        async with async_redis() as pair:
            assert pair == (reader, writer)
            assert async_redis.call_count == 1
        await async_redis.open_connection()
        await async_redis.close()

    async_redis.attach(reader, writer)
    asyncio.run(work())
    asyncio.run(work())
    sync_redis.attach(reader)
    sync_redis.open_connection()
    with sync_redis as one, sync_redis() as other:
        assert one == other == (reader, reader)
        assert sync_redis.call_count == 3
    assert sync_redis.call_count == 1
    sync_redis.close()
    assert sync_redis.call_count == 0
