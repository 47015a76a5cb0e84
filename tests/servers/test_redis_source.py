"""What applications record in a real Redis is told once each, whatever befalls that Redis."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from support.akastats import AkaStats
from support.redis import RedisServer, settings
from support.redis_source import Looker

from statspout.client.redis import Stats, config, push_stat
from statspout.client.redis.keys import PROCESS, Keyspace
from statspout.errors import SourceError
from statspout.repositories.redis import Redis
from statspout.router import Router
from statspout.settings import Settings
from statspout.sources.applications import Surroundings
from statspout.sources.apps.redis.source import RedisSource
from statspout.telemetry import Heard
from statspout.testing import sample


def record(label: str, *values: float) -> None:
    with Stats() as stat:
        for value in values:
            stat(label, value)


def begun(client: Any, **options: Any) -> Looker:
    """One that has looked already."""
    looker = Looker(client, **options)
    looker.look()
    return looker


def test_from_now_on_every_record_is_told_once(redis: Any) -> None:
    record("x", 1, 2)
    looker = begun(redis)
    assert looker.values() == []
    record("x", 3, 4)
    record("y", 5)
    assert sorted(looker.values()) == [("x", 3), ("x", 4), ("y", 5)]
    assert looker.values() == []
    record("x", 6)
    assert looker.values() == [("x", 6)]
    assert (looker.reader.counts.missed, looker.reader.counts.labels) == (0, 2)


def test_cancelled_at_whatever_step_of_a_look_it_ends(redis: Any, redis_server: RedisServer) -> None:
    record("x", 1)

    async def main() -> int:
        settings = Settings(listen_redis=redis_server.url, listen_redis_interval=0.1)
        ended = 0
        for steps in range(60):
            source = RedisSource(Surroundings(settings, [], lambda: "here", Heard()))
            running = asyncio.create_task(source.run(Router([])))
            for _ in range(steps):
                await asyncio.sleep(0)
            running.cancel()
            done, _ = await asyncio.wait({running}, timeout=1)
            ended += len(done)
            while not running.done():  # until it listens
                running.cancel()
                await asyncio.wait({running}, timeout=0.1)
        return ended

    assert asyncio.run(main()) == 60


def test_from_the_oldest_on_all_that_is_there_is_told_too(redis: Any) -> None:
    record("x", *range(5000))
    looker = Looker(redis, oldest=True)
    assert looker.values() == [("x", value) for value in range(4000, 5000)]
    assert looker.reader.counts.missed == 4000
    assert looker.values() == []


def test_what_left_its_history_before_it_was_read_is_counted(redis: Any) -> None:
    looker = begun(redis)
    record("x", 0)
    looker.look()
    record("x", *range(1, 2501))
    assert [value for _, value in looker.values()] == list(range(1501, 2501))
    assert looker.reader.counts.missed == 1500


def test_an_application_that_keeps_no_history_is_missed_wholly(redis: Any) -> None:
    looker = begun(redis)
    with settings(config.redis_url, history_size=0):
        record("x", 1, 2, 3)
    assert looker.values() == []
    assert looker.reader.counts.missed == 3


def test_a_history_is_read_in_slices(redis: Any) -> None:
    with settings(config.redis_url, history_size=100_000):
        looker = begun(redis)
        record("x", *range(25_000))
        assert [value for _, value in looker.values()] == list(range(25_000))
        record("x", 1)
    assert looker.values() == [("x", 1)]
    assert looker.reader.counts.missed == 0


def test_what_is_recorded_while_it_is_read_is_told_once_too(redis: Any) -> None:
    looker = begun(redis)
    record("x", 0)
    ask, rest = looker.ask, iter(range(1, 400))

    def busy(commands: Any) -> Any:
        record("x", *(value for _, value in zip(range(30), rest, strict=False)))
        return ask(commands)

    looker.ask = busy  # type: ignore[method-assign]
    told = [value for _ in range(20) for _, value in looker.values()]
    assert told == list(range(400))


def test_only_labels_that_match_and_not_more_than_are_let_in(redis: Any) -> None:
    looker = begun(redis, match="a*", most=10)
    for number in range(20):
        push_stat(f"a{number}", number)
        push_stat(f"b{number}", number)
    assert len(looker.values()) == 10
    assert (looker.reader.counts.labels, looker.reader.counts.left_out) == (10, 10)


def test_who_goes_on_for_another_begins_with_the_labels_that_are_new_to_it(redis: Any) -> None:
    before = begun(redis, match="a*")
    record("a", 1)
    record("b", 1)
    before.look()
    record("a", 2)
    after = Looker(redis, match="*")
    after.reader.follow(before.reader)
    assert after.values() == [("a", 2)]
    record("b", 2)
    assert after.values() == [("b", 2)]


def test_a_context_comes_with_its_record_as_long_as_it_is_there(redis: Any) -> None:
    looker = begun(redis)
    with Stats() as stat:
        stat("x", 1, context="why")
        stat("x", 2, context=b"\xff\xfe")
        stat("x", 3)
        for number in range(120):
            stat("y", number, context=f"context {number}")
    entries = looker.look()
    contexts = {entry.text.split(b";")[1]: entry.context for entry in entries if entry.label == "x"}
    assert contexts == {b"1": b"why", b"2": b"\xff\xfe", b"3": None}
    assert sum(entry.context is not None for entry in entries) == 122
    texts = [metric.context for metric in looker.metrics.of(entries, "h")[0] if metric.name == "x"]
    assert texts == ["why", "��", None]


def test_what_the_original_writes_is_read_likewise(redis: Any) -> None:
    original = AkaStats(redis, "AKA-STATS")
    looker = begun(redis)
    original.stat("old", 1.5)
    record("old", 2)
    original.stat("old", -3)
    assert looker.values() == [("old", 1.5), ("old", 2), ("old", -3)]


def test_a_label_that_began_anew_is_told_from_its_beginning(redis: Any) -> None:
    looker = begun(redis)
    record("x", 1, 2, 3)
    record("y", 1)
    looker.look()
    redis.flushall()
    record("x", 4, 5, 6, 7)
    record("y", 9)
    assert sorted(looker.values()) == [("x", 4), ("x", 5), ("x", 6), ("x", 7), ("y", 9)]
    assert looker.values() == []


def test_a_key_of_another_kind_is_its_own_labels_trouble(redis: Any) -> None:
    looker = begun(redis)
    record("x", 1)
    record("bad", 1)
    redis.delete("AKA-STATS::HISTORY::bad")
    redis.set("AKA-STATS::HISTORY::bad", "x")
    assert looker.values() == [("x", 1)]
    assert looker.values() == []
    assert looker.reader.counts.bad == 1


def test_an_entry_that_is_no_record_is_counted(redis: Any) -> None:
    looker = begun(redis)
    record("x", 1)
    redis.lset("AKA-STATS::HISTORY::x", 0, "yesterday;much")
    assert looker.metrics.of(looker.look(), "h") == ([], 1)


def test_a_large_index_is_read_in_parts(redis: Any) -> None:
    count = 20_000
    looker = begun(redis)
    with Stats() as stat:
        for number in range(count):
            stat(f"label {number}", number)
    assert sorted(value for _, value in looker.values()) == list(range(count))
    looker.trips = 0
    assert looker.values() == []
    assert looker.trips < 2 * count / 500 + 40


def test_what_a_repository_of_this_program_writes_is_not_read(redis: Any, redis_server: RedisServer) -> None:
    repository = Redis(url=redis_server.url.replace("127.0.0.1", "localhost"), namespace="AKA-STATS")
    looker = begun(redis)
    repository.open()
    repository.push([sample()])
    assert redis.exists(Keyspace("AKA-STATS").writer(PROCESS))
    with pytest.raises(SourceError, match="a repository of this program writes to AKA-STATS there"):
        looker.look()
    repository.close()


@pytest.fixture
def lasting() -> Iterator[RedisServer]:
    """A Redis that has after a crash what it had at its last snapshot."""
    with RedisServer("--save", "") as server, settings(server.url):
        yield server


def test_a_redis_that_comes_back_with_an_older_state_brings_nothing_twice(lasting: RedisServer) -> None:
    with lasting.client() as client:
        looker = begun(client)
        record("x", *range(100))
        looker.look()
        client.save()
        record("x", *range(100, 150))
        assert len(looker.look()) == 50
        lasting.stop()
        lasting.start()
        record("x", 150, 151)
        assert looker.values() == [("x", 150), ("x", 151)]
        record("x", *range(152, 300))
        assert len(looker.look()) == 148
        assert looker.reader.counts.missed == 0


def test_of_an_older_state_the_whole_history_of_which_was_told_nothing_is_missed(lasting: RedisServer) -> None:
    with lasting.client() as client:
        looker = begun(client)
        for begin in range(0, 3000, 500):
            record("x", *range(begin, begin + 500))
            looker.look()
        client.save()
        record("x", *range(3000, 3100))
        looker.look()
        lasting.stop()
        lasting.start()
        record("x", *range(3100, 3250))
        assert [value for _, value in looker.values()] == list(range(3100, 3250))
        assert looker.reader.counts.missed == 0


class Writers:
    """Applications that record numbers, each once, under a few labels, and know which ones Redis confirmed."""

    def __init__(self, client: Any) -> None:
        self.confirmed: Counter[tuple[str, float]] = Counter()
        self.unknown: Counter[tuple[str, float]] = Counter()
        self._client, self._stop, self._lock = client, threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(4)]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        value = number * 10_000_000
        while not self._stop.is_set():
            label, values = f"label {random.randrange(3)}", range(value, value + 20)
            value += 20
            numbers = [(label, float(one)) for one in values]
            try:
                with Stats(strict=True) as stat:
                    for one in values:
                        stat(label, one)
            except Exception:
                with self._lock:
                    self.unknown.update(numbers)
            else:
                with self._lock:
                    self.confirmed.update(numbers)
            time.sleep(0.005)


@pytest.mark.parametrize("arguments", [("--save", ""), ("--appendonly", "yes", "--appendfsync", "always")])
def test_killed_and_restarted_under_load_every_record_is_told_once(arguments: tuple[str, ...]) -> None:
    with RedisServer(*arguments) as server, settings(server.url, history_size=100_000), server.client() as client:
        told: Counter[tuple[str, float]] = Counter()
        looker = begun(client)
        with Writers(client) as writers:
            for _ in range(3):
                deadline = time.monotonic() + 1
                while time.monotonic() < deadline:
                    told.update(looker.values())
                    time.sleep(0.05)
                server.stop()
                server.start()
            time.sleep(0.2)
        told.update(looker.values())
        assert max(told.values()) == 1, "some came twice"
        assert not told - writers.confirmed - writers.unknown
        lost = writers.confirmed - told
        assert looker.reader.counts.missed == 0
        assert not (lost and "always" in arguments), "what Redis had confirmed and kept was not told"
        assert len(told) > 0.5 * len(writers.confirmed)
