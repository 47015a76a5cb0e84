"""What there is, however much of it; and what is there no more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
import redis as library
from support.influxdb import free_port
from support.redis import RedisServer, settings

from statspout.client.redis import (
    Stats,
    async_redis,
    available_stats,
    contexts,
    fetch_many,
    fetch_stats,
    push_stat,
    reading,
    stat_history,
    sync_redis,
)
from statspout.client.redis import async_stats as tasks
from statspout.client.redis.keys import Keyspace
from statspout.client.redis.reading import Pages, Stat, StatsData, forget

SPACE = Keyspace("AKA-STATS")


def record(labels: Iterable[str]) -> None:
    with Stats() as stat:
        for label in labels:
            stat(label, 1.5)


async def listed(matcher: str = "*") -> list[str]:
    return [label async for label in tasks.available_stats(matcher)]


@pytest.mark.parametrize(
    ("matcher", "labels"),
    [
        ("*", {"a:1", "a:2", "b[1]", "ü", "a b"}),
        ("a:*", {"a:1", "a:2"}),
        ("a:?", {"a:1", "a:2"}),
        ("[ab]*", {"a:1", "a:2", "b[1]", "a b"}),
        (r"b\[1\]", {"b[1]"}),
        ("none*", set()),
    ],
)
def test_labels_are_matched_as_redis_matches(matcher: str, labels: set[str], redis: Any) -> None:
    record(["a:1", "a:2", "b[1]", "ü", "a b"])
    assert sorted(available_stats(matcher)) == sorted(labels)
    assert sorted(asyncio.run(listed(matcher))) == sorted(labels)


def test_a_large_index_comes_a_piece_at_a_time_and_each_label_once(redis: Any) -> None:
    redis.zadd(SPACE.index, dict.fromkeys((f"n{n}" for n in range(30_000)), 1))
    redis.mset({SPACE.key("COUNT", f"n{n}"): 1 for n in range(30_000)})
    redis.config_resetstat()
    labels = available_stats()
    assert next(labels).startswith("n")
    assert redis.info("commandstats")["cmdstat_zscan"]["calls"] == 1
    for _ in zip(range(10_000), labels, strict=False):
        pass
    # Redis makes its table of the index anew, and may come to what it had already.
    redis.zremrangebyrank(SPACE.index, 0, 25_000)
    rest = list(labels)
    assert len(rest) == len(set(rest))


def test_a_label_comes_once_though_redis_has_it_twice() -> None:
    pages = Pages()
    assert list(pages.fresh([(b"a", 1), (b"b", 1), (b"a", 1), (b"\xff", 1)])) == ["a", "b"]
    assert list(pages.fresh([(b"b", 1), (b"c", 1)])) == ["c"]


def test_the_memory_of_a_reader_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SEEN", 2)
    pages = Pages()
    assert list(pages.fresh([(b"a", 1), (b"b", 1), (b"c", 1), (b"b", 1), (b"c", 1)])) == ["a", "b", "c", "c"]


def test_many_expired_labels_leave_the_index_together(redis: Any) -> None:
    redis.zadd(SPACE.index, dict.fromkeys((f"n{n}" for n in range(10_000)), 1))
    record(["here"])
    redis.config_resetstat()
    assert list(available_stats()) == ["here"]
    assert redis.zrange(SPACE.index, 0, -1) == [b"here"]
    assert redis.info("commandstats")["cmdstat_eval"]["calls"] < 60


def expire(redis: Any, label: str) -> None:
    """As two weeks leave it where an original writer wrote it: LAST and LAST_TIME stay."""
    kept = {SPACE.key("LAST", label), SPACE.key("LAST_TIME", label)}
    redis.delete(*(key for key in SPACE.of(label) if key not in kept))


@pytest.mark.parametrize("look", ["one", "many", "labels"])
@pytest.mark.parametrize("way", ["sync", "async"])
def test_an_expired_label_leaves_the_index_with_what_is_left_of_it(look: str, way: str, redis: Any) -> None:
    record(["gone", "here"])
    expire(redis, "gone")
    if way == "sync":
        found: Any = {"one": fetch_stats, "many": lambda x: fetch_many([x, "here"]), "labels": available_stats}[look]
        seen = found("gone" if look != "labels" else "*")
        seen = list(seen) if look == "labels" else seen
    else:
        asked: Any = {"one": tasks.fetch_stats, "many": lambda x: tasks.fetch_many([x, "here"]), "labels": listed}[look]
        seen = asyncio.run(asked("gone" if look != "labels" else "*"))
    here = StatsData(1, 1.5, 0, 1.5, 1.5, 1.5, 1.5, fetch_stats("here").last_time)
    nothing = StatsData() if way == "sync" else None
    assert seen == {"one": nothing, "many": {"here": here}, "labels": ["here"]}[look]
    assert redis.zrange(SPACE.index, 0, -1) == [b"here"]
    assert redis.keys("*::gone") == []


def test_a_label_that_is_written_while_it_is_found_gone_stays(redis: Any) -> None:
    record(["x"])
    assert redis.execute_command(*forget(SPACE, ["x", "gone"])) == 0
    assert list(available_stats()) == ["x"]


def test_unknown_labels_and_contexts_are_left_out(redis: Any) -> None:
    record(["x"])
    assert fetch_stats("unknown") == StatsData()
    assert asyncio.run(tasks.fetch_stats("unknown")) is None
    assert list(fetch_many(["x", "unknown"])) == ["x"]
    assert stat_history("unknown") == []
    assert contexts(["unknown"]) == {}
    assert list(available_stats(prefix="OTHER")) == []


def test_what_is_no_number_is_none(redis: Any) -> None:
    record(["x"])
    for kind, text in {"AVG": "-nan", "STDEV": "inf", "MIN": "True", "MAX": ""}.items():
        redis.set(SPACE.key(kind, "x"), text)
    assert fetch_stats("x")[:6] == (1, None, None, None, None, 1.5)


def test_old_and_broken_entries_of_a_history(redis: Any) -> None:
    redis.rpush(SPACE.key("HISTORY", "x"), "1.5;2", "1;nan;id", "what", b"1;2;\xff", "")
    assert stat_history("x") == [
        Stat(1.5, "x", 2.0, ""),
        Stat(1.0, "x", None, "id"),
        Stat(None, "x", None, ""),
        Stat(1.0, "x", 2.0, "\N{REPLACEMENT CHARACTER}"),
        Stat(None, "x", None, ""),
    ]
    assert stat_history("x", limit=2) == asyncio.run(tasks.stat_history("x", limit=2)) == stat_history("x")[:2]


def test_many_labels_and_contexts_at_once(redis: Any) -> None:
    with Stats() as stat:
        for n in range(1300):
            stat(f"n{n}", n, context=f"context {n}")
    assert {label: found.last for label, found in fetch_many(f"n{n}" for n in range(1300)).items()} == {
        f"n{n}": float(n) for n in range(1300)
    }
    names = {stat_history(f"n{n}")[0].context_id for n in range(0, 1300, 2)}
    assert set(contexts(names).values()) == {f"context {n}".encode() for n in range(0, 1300, 2)}
    assert asyncio.run(tasks.contexts(names)) == contexts(names)


@pytest.mark.parametrize("options", [{}, {"decode_responses": True}, {"protocol": 3}, {"protocol": 2}], ids=repr)
def test_any_client_of_ones_own_reads_and_writes(
    options: dict[str, Any], redis_server: RedisServer, redis: Any
) -> None:
    client = library.Redis(port=redis_server.port, **options)
    sync_redis.attach(client)
    push_stat("x", 1.5, context=b"\xff no text")
    (entry,) = stat_history("x")
    assert contexts([entry.context_id]) == {entry.context_id: b"\xff no text"}
    assert list(available_stats()) == ["x"]
    assert fetch_stats("x").total == 1.5
    client.close()


@pytest.mark.parametrize("options", [{}, {"decode_responses": True}, {"protocol": 3}], ids=repr)
def test_any_client_of_ones_own_does_for_tasks(options: dict[str, Any], redis_server: RedisServer, redis: Any) -> None:
    async def work() -> None:
        async with library.asyncio.Redis(port=redis_server.port, **options) as client:
            async_redis.attach(client)
            async with Stats() as stat:
                for n in range(1500):
                    stat("x", n, context=b"\xff no text")
            (entry,) = await tasks.stat_history("x", limit=1)
            assert await tasks.contexts([entry.context_id]) == {entry.context_id: b"\xff no text"}
            assert await listed() == ["x"]
            assert (await tasks.fetch_many(["x"]))["x"].count == 1500

    asyncio.run(work())


@pytest.fixture(scope="module")
def cluster() -> Any:
    with RedisServer("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--save", "") as server:
        with server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            server.wait_for(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
        yield server


@pytest.mark.parametrize("way", ["one node", "cluster", "cluster, tasks"])
def test_in_a_cluster_with_hash_tags(way: str, cluster: RedisServer) -> None:
    with settings(cluster.url, hash_tags=True), cluster.client() as client:
        client.flushall()
        if way == "cluster, tasks":
            asyncio.run(in_cluster(cluster))
            return
        if way == "cluster":
            sync_redis.attach(library.RedisCluster(host="127.0.0.1", port=cluster.port))
        with Stats() as stat:
            for n in range(2100):
                stat(f"{{n}}{n % 2}", n, context="why")
        assert fetch_stats("{n}1").count == 1050
        assert sorted(available_stats()) == ["{n}0", "{n}1"]
        assert list(contexts([stat_history("{n}1")[0].context_id]).values()) == [b"why"]
        assert {key[:11] for key in client.keys("*")} == {b"{AKA-STATS}"}


async def in_cluster(cluster: RedisServer) -> None:
    async with library.asyncio.RedisCluster(host="127.0.0.1", port=cluster.port) as client:
        async_redis.attach(client)
        async with Stats() as stat:
            for n in range(2100):
                stat(f"{{n}}{n % 2}", n, context="why")
        found = await tasks.fetch_many(["{n}0", "{n}1"])
        assert [one.count for one in found.values()] == [1050, 1050]
        assert sorted(await listed()) == ["{n}0", "{n}1"]


def test_in_a_cluster_without_hash_tags_nothing_is_half_written(cluster: RedisServer) -> None:
    with settings(cluster.url), cluster.client() as client:
        client.flushall()
        with pytest.raises(library.ResponseError, match="slot"):
            push_stat("x", 1, strict=True)
        assert client.keys() == []
