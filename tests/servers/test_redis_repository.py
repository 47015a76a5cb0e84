"""The repository at a real Redis: statistics of every number, or all samples in a stream, and each of them once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
import pytest
import redis as library
from support.certificates import Authority
from support.influxdb import free_port
from support.redis import RedisServer

from statspout import Container, ContainerSample, Metric, Rejected, Repository, RepositoryError, Sample, Summary
from statspout.client.redis import fetch_stats, stat_history
from statspout.client.redis.records import hash_context
from statspout.delivery.backoff import Backoff
from statspout.delivery.delivery import Delivery
from statspout.handling import Handling, Selection
from statspout.repositories.redis import Redis
from statspout.repositories.redis_aggregates import Aggregates
from statspout.repositories.redis_numbers import DEFAULT
from statspout.shapes import sample_object
from statspout.testing import RepositoryContract, metrics, sample, samples

SECOND = 10**9


@pytest.fixture(scope="module")
def lasting() -> Iterator[RedisServer]:
    """A Redis that has after a restart what it had before."""
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


class TestRedis(RepositoryContract):
    rejects = frozenset({"text"})
    mode: Literal["aggregates", "stream"] = "aggregates"

    @pytest.fixture(autouse=True)
    def _server(self, lasting: RedisServer) -> None:
        self.server = lasting
        with lasting.client() as client:
            client.flushall()

    def make(self) -> Repository:
        repository = Redis(url=self.server.url, mode=self.mode, history=5000)
        if isinstance(repository._store, Aggregates):
            # Of a total that comes for the first time there is nothing to tell: these were there before.
            for one in metrics():
                if one.kind == "counter_total":
                    repository._store._numbers.of(msgspec.structs.replace(one, time_ns=0))
            repository._store._numbers.keep()
        return repository

    def stored(self, repository: Repository) -> Sequence[object]:
        with self.server.client() as client:
            keys = client.keys("STATSPOUT::HISTORY::*")
            return [entry for key in keys for entry in client.lrange(key, 0, -1)]

    def unreachable(self) -> Repository:
        return Redis(url="redis://me:pa55word@127.0.0.1:1", mode=self.mode)

    def restart(self) -> bool:
        self.server.stop()
        self.server.start()
        return True


class TestRedisStream(TestRedis):
    rejects = frozenset()
    mode: Literal["aggregates", "stream"] = "stream"

    def stored(self, repository: Repository) -> Sequence[object]:
        with self.server.client() as client:
            return list(client.xrange("statspout"))


def opened(server: RedisServer, **settings: Any) -> Redis:
    repository = Redis(url=server.url, **settings)
    repository.open()
    return repository


def reading(at: float, name: str = "web", **fields: Any) -> ContainerSample:
    container = Container(id=f"id of {name}", name=name, started_at=1)
    return ContainerSample(time_ns=round(at * SECOND), host="node-1", container=container, **fields)


def label(name: str, container: str = "web") -> str:
    return f"{name};host=node-1,container={container}"


def values(label: str) -> list[float | None]:
    return [entry.value for entry in reversed(stat_history(label, "STATSPOUT"))]


def test_a_sample_is_a_value_of_each_label_and_counters_are_rates(redis: Any, redis_server: RedisServer) -> None:
    repository = opened(redis_server)
    repository.push([sample(time_ns=SECOND, cpu_percent=20, rx_bytes=500, mem_usage=7)])
    repository.push([sample(time_ns=6 * SECOND, cpu_percent=40, rx_bytes=1500, mem_usage=7)])
    found = fetch_stats("statspout.cpu_percent;host=node-1,container=web", "STATSPOUT")
    assert (found.count, found.avg, found.min, found.max, found.last_time) == (2, 30, 20, 40, 6)
    assert fetch_stats("statspout.rx_bytes.rate;host=node-1,container=web", "STATSPOUT")[:2] == (1, 200)
    names = {member.decode().partition(";")[0] for member in redis.zrange("STATSPOUT::INDEX", 0, -1)}
    assert {name.removesuffix(".rate") for name in names} == {f"statspout.{field}" for field in DEFAULT}
    repository.close()


def test_which_fields_how_and_under_which_names_can_be_said(redis: Any, redis_server: RedisServer) -> None:
    chosen = Handling(fields=("rx_bytes", "restarts"))
    repository = opened(redis_server, counters="delta", prefix="", namespace="N", history=1, handling=chosen)
    repository.push(Selection(chosen, "redis").narrow([reading(at, rx_bytes=10 * at, restarts=2) for at in (1, 3, 4)]))
    assert {key.decode() for key in redis.keys("N::COUNT*")} == {
        f"N::COUNT::{label('rx_bytes')}", f"N::COUNT::{label('restarts')}",
    }  # fmt: skip
    found = fetch_stats(label("rx_bytes"), "N")
    assert (found.count, found.avg, found.max, found.min, found.total) == (2, 15, 20, 10, 30)
    assert redis.lrange(f"N::HISTORY::{label('rx_bytes')}", 0, -1) == [b"4.0;10;"]
    repository.close()


def test_a_counter_that_begins_anew_has_no_rate_and_a_shared_network_is_counted_once(
    redis: Any, redis_server: RedisServer
) -> None:
    repository = opened(redis_server)
    repository.push([reading(1, rx_bytes=500), reading(2, rx_bytes=3), reading(3, rx_bytes=5)])
    assert values(label("statspout.rx_bytes.rate")) == [2]
    repository.push([reading(at, "side", rx_bytes=at, network_shared_with="web") for at in (1, 2)])
    assert values(label("statspout.rx_bytes.rate", "side")) == []
    repository.close()


def test_what_comes_late_moves_no_counter(redis: Any, redis_server: RedisServer) -> None:
    repository = opened(redis_server)
    repository.push([reading(1, rx_bytes=0), reading(10, rx_bytes=90)])
    repository.push([reading(5, rx_bytes=40, pids=3), reading(20, rx_bytes=190)])
    assert values(label("statspout.rx_bytes.rate")) == [10, 10]
    assert values(label("statspout.pids")) == [3]
    repository.close()


def test_what_applications_report_has_its_tags_its_parts_and_its_context(redis: Any, redis_server: RedisServer) -> None:
    summary = Summary(count=4, sum=10.0, min=1.0, max=4.0, mean=2.5, stdev=1.25, percentiles={"99.9": 4.0})
    common: dict[str, Any] = {"time_ns": SECOND, "host": "node-1", "container": sample().container}
    repository = opened(redis_server)
    orders: dict[str, Any] = {"key": "a", "name": "orders", "interval_s": 4, "tags": {"b": "2", "a": "1 2"}}
    repository.push([
        Metric(**common, **orders, kind="counter_delta", value=12),
        Metric(**common, key="b", name="took", kind="timer", value=summary),
        Metric(**common, key="c", name="queue;x", kind="gauge", value=-3, context="why"),
        Metric(**common, key="d", name="all", kind="counter_total", value=5),
        Metric(**common | {"time_ns": 3 * SECOND}, key="d", name="all", kind="counter_total", value=9),
    ])  # fmt: skip
    whose, keys = "host=node-1,container=web", redis.keys("STATSPOUT::AVG::*")
    assert {key.decode().removeprefix("STATSPOUT::AVG::"): float(redis.get(key)) for key in keys} == {
        f"orders;{whose},a=1_2,b=2": 12, f"orders.rate;{whose},a=1_2,b=2": 3, f"queue_x;{whose}": -3,
        f"all;{whose}": 4, f"all.rate;{whose}": 2, f"took.p99.9;{whose}": 4.0,
        **{f"took.{part};{whose}": getattr(summary, part) for part in Summary.PARTS},
    }  # fmt: skip
    assert redis.get(f"STATSPOUT::CONTEXTS::{hash_context('why')}") == b"why"
    repository.close()


def without_answer(repository: Redis, batch: Sequence[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis does it all, and breaks off before the answer: nothing real does that at a moment of one's choice."""
    receive = library.connection.Connection.read_response
    with monkeypatch.context() as patch:

        def broken(connection: Any, *arguments: Any, **options: Any) -> Any:
            receive(connection, *arguments, **options)
            raise library.ConnectionError("Connection reset by peer")

        patch.setattr(library.connection.Connection, "read_response", broken)
        with pytest.raises(RepositoryError, match="reset by peer"):
            repository.push(batch)
    repository.close()
    repository.open()


@pytest.mark.parametrize("mode", ["aggregates", "stream"])
@pytest.mark.parametrize("between", [0, 1])
def test_what_was_stored_and_not_answered_is_stored_once(
    mode: Any, between: int, redis: Any, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = opened(redis_server, mode=mode)
    for _ in range(10):
        repository.push([reading(0, "other", pids=1, rx_bytes=1)])  # by now it is sure that nothing is unanswered
    batch = [reading(at, pids=at, rx_bytes=at * at) for at in (1, 2, 3)]
    redis.delete("statspout", *redis.keys("STATSPOUT*"))
    without_answer(repository, batch, monkeypatch)
    for _ in range(between):  # as when another batch waits on disk
        repository.push([reading(0, "third", pids=1)])
    repository.push(batch)
    if mode == "stream":
        assert [json.loads(entry[b"json"])["pids"] for _, entry in redis.xrange("statspout")] == [
            1,
            2,
            3,
            *[1] * between,
        ]
    else:
        assert values(label("statspout.pids")) == [1, 2, 3]
        assert values(label("statspout.rx_bytes.rate")) == [3, 5]
    repository.close()


@pytest.mark.parametrize("mode", ["aggregates", "stream"])
def test_another_program_that_begins_with_the_same_batch_stores_nothing_twice(
    mode: Any, redis: Any, redis_server: RedisServer
) -> None:
    for _ in range(2):
        repository = opened(redis_server, mode=mode)
        repository.push(samples(5))
        repository.close()
    assert redis.xlen("statspout") == (5 if mode == "stream" else 0)
    counts = [int(redis.get(key)) for key in redis.keys("STATSPOUT::COUNT*")]
    assert set(counts) == (set() if mode == "stream" else {1})


def test_a_history_that_is_shorter_than_a_batch_tells_too(redis: Any, redis_server: RedisServer) -> None:
    batch = [reading(at, pids=at) for at in range(50)]
    for _ in range(2):
        repository = opened(redis_server, history=3)
        repository.push(batch)
        repository.close()
    assert fetch_stats(label("statspout.pids"), "STATSPOUT").count == 50


def test_a_part_that_is_there_already_does_not_come_again_with_the_rest(redis: Any, redis_server: RedisServer) -> None:
    repository = opened(redis_server)
    batch = [reading(5, f"c{n:03}", pids=n) for n in range(300)]
    repository.push(batch[:200])
    repository.close()
    repository.open()
    repository.push(batch)
    assert [int(redis.get(key)) for key in redis.keys("STATSPOUT::COUNT*")] == [1] * 300
    repository.close()


def test_a_key_of_another_kind_costs_its_own_sample_only(redis: Any, redis_server: RedisServer) -> None:
    redis.set(f"STATSPOUT::HISTORY::{label('statspout.pids', 'c7')}", "not a list")
    repository = opened(redis_server)
    with pytest.raises(Rejected, match=r"a key of statspout\.pids;host=node-1,container=c7 in") as caught:
        repository.push([reading(5, f"c{n}", pids=n, mem_usage=1) for n in range(20)])
    assert caught.value.indices == frozenset({7})
    assert caught.value.rest == "stored"
    assert len(redis.keys("STATSPOUT::COUNT::statspout.pids*")) == 19
    assert len(redis.keys("STATSPOUT::COUNT::statspout.mem_usage*")) == 20
    repository.close()


@pytest.mark.parametrize(("value", "told"), [(float("nan"), "no finite number"), ("up", "a text is no number")])
def test_what_is_no_number_is_rejected_and_its_neighbours_are_stored(
    value: Any, told: str, redis: Any, redis_server: RedisServer
) -> None:
    repository = opened(redis_server)
    odd = Metric(time_ns=1, host="n", key="k", name="odd", kind="gauge", value=value)
    with pytest.raises(Rejected, match=told) as caught:
        repository.push([reading(1, pids=1), odd, reading(2, pids=2)])
    assert caught.value.indices == frozenset({1})
    assert caught.value.rest == "stored"
    assert values(label("statspout.pids")) == [1, 2]
    repository.close()


def crash(server: RedisServer) -> None:
    server.stop()
    time.sleep(0.3)
    server.start()


@pytest.mark.parametrize("mode", ["aggregates", "stream"])
def test_killed_and_restarted_under_load_it_has_every_sample_once_and_the_books_balance(mode: Any) -> None:
    async def main(server: RedisServer) -> Delivery:
        repository = Redis(url=server.url, mode=mode, history=1_000_000, handling=Handling(flush_interval=0))
        delivery = Delivery(repository, backoff=Backoff(0.01, 0.1))
        delivery.start()
        for at in range(300):
            delivery.put([reading(at, f"c{number}", pids=at) for number in range(20)])
            await asyncio.sleep(0.01)
            if at in (100, 200):
                outage = asyncio.create_task(asyncio.to_thread(crash, server))
        await outage
        await delivery.stop(60)
        return delivery

    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server, server.client() as client:
        books = asyncio.run(main(server)).books
        assert (books.collected, books.delivered, dict(books.dropped), books.balanced) == (6000, 6000, {}, True)
        assert books.failures > 0, "it was not noticed at all"
        if mode == "stream":
            assert client.xlen("statspout") == 6000
        else:
            assert {int(client.get(key)) for key in client.keys("STATSPOUT::COUNT*")} == {300}


TROUBLE = [
    ("full", {}, "maxmemory"),
    ("replica", {}, "it is a replica: --redis.url has to be where the primary is"),
    ("index", {}, "STATSPOUT::INDEX is a string, no sorted set: another --redis.namespace is right"),
    ("index", {"mode": "stream"}, "--redis.stream is there already and is no stream"),
]


@pytest.mark.parametrize(("what", "settings", "told"), TROUBLE)
def test_trouble_of_redis_is_told_in_a_line_and_the_batch_is_kept(
    what: str, settings: Any, told: str, redis: Any, redis_server: RedisServer
) -> None:
    repository = opened(redis_server, **settings)
    begin = {
        "full": lambda: redis.config_set("maxmemory", 1),
        "replica": lambda: redis.execute_command("REPLICAOF", "127.0.0.1", 1),
        "index": lambda: redis.mset({"STATSPOUT::INDEX": "x", "statspout": "x"}),
    }
    end = {
        "full": lambda: redis.config_set("maxmemory", 0),
        "replica": lambda: redis.execute_command("REPLICAOF", "NO", "ONE"),
        "index": redis.flushall,
    }
    begin[what]()
    try:
        with pytest.raises(RepositoryError, match=told) as caught:
            repository.push([sample()])
    finally:
        end[what]()
    assert not isinstance(caught.value, Rejected)
    assert "\n" not in str(caught.value)
    assert "user_script" not in str(caught.value)
    repository.close()
    repository.open()
    repository.push([sample()])
    repository.close()


@pytest.fixture(scope="module")
def guarded() -> Iterator[RedisServer]:
    """A Redis that asks who one is."""
    with RedisServer("--save", "") as server:
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "me", "on", ">s3cret-word", "~STATSPOUT*", "~statspout", "+@all")
        yield server


def opened_and_pushed(repository: Redis) -> None:
    repository.open()
    repository.push([sample()])


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"password": "wr0ng-word"}, "the user or the password is wrong"),
        ({"namespace": "OTHER", "password": "s3cret-word"}, "that user may not do what is needed"),
    ],
)
def test_who_may_not_is_told_so_without_the_password(settings: Any, told: str, guarded: RedisServer) -> None:
    repository = Redis(url=f"redis://me@127.0.0.1:{guarded.port}", **settings)
    with pytest.raises(RepositoryError, match=told) as caught:
        opened_and_pushed(repository)
    assert "word" not in str(caught.value).replace("password", "")
    repository.close()


def test_a_user_with_a_password_from_a_file_is_let_in(guarded: RedisServer) -> None:
    for mode in ("aggregates", "stream"):
        repository = Redis(url=f"redis://me@127.0.0.1:{guarded.port}", password="s3cret-word", mode=mode)
        opened_and_pushed(repository)
        repository.close()


def test_entries_of_a_stream_are_in_order_typed_and_named(redis: Any, redis_server: RedisServer) -> None:
    repository = opened(redis_server, mode="stream")
    batch: list[Sample] = [reading(5, pids=1), reading(4, pids=2), *metrics()[:1], reading(9, pids=3)]
    repository.push(batch)
    entries = redis.xrange("statspout")
    assert [json.loads(entry[b"json"]) for _, entry in entries] == [sample_object(one) for one in batch]
    assert [entry[b"name"] for _, entry in entries[:2]] == [b"web"] * 2
    assert {entry[b"type"] for _, entry in entries} == {b"container", b"metric"}
    ids = [tuple(map(int, name.split(b"-"))) for name, _ in entries]
    assert ids == sorted(set(ids))
    assert ids[:2] == [(5000, 0), (5000, 1)]
    repository.close()


def test_a_stream_keeps_about_as_many_as_it_is_told(redis: Any, redis_server: RedisServer) -> None:
    repository = opened(redis_server, mode="stream", max_length=1000)
    for _ in range(5):
        repository.push(samples(1000))
    assert 1000 <= redis.xlen("statspout") < 1300
    repository.close()


def test_an_entry_of_somebody_else_with_a_later_id_is_in_nobodys_way(redis: Any, redis_server: RedisServer) -> None:
    redis.xadd("statspout", {"x": "y"}, id=f"{2**62}-{2**62}")
    repository = opened(redis_server, mode="stream")
    repository.push(samples(3))
    repository.push(samples(3))
    assert redis.xlen("statspout") >= 4
    repository.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def encrypted(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """The port of a Redis with TLS; and its unix socket."""
    port, path = free_port(), str(tmp_path_factory.mktemp("socket") / "redis.sock")
    with RedisServer(
        "--save", "", "--tls-port", str(port), "--tls-auth-clients", "no", "--unixsocket", path,
        "--tls-cert-file", str(authority.cert("server")), "--tls-key-file", str(authority.key("server")),
        "--tls-ca-cert-file", str(authority.ca),
    ):  # fmt: skip
        yield port, path


def test_over_tls_with_an_authority_and_over_a_unix_socket(encrypted: tuple[int, str], authority: Authority) -> None:
    port, path = encrypted
    opened_and_pushed(repository := Redis(url=f"rediss://127.0.0.1:{port}", tls_ca=str(authority.ca)))
    repository.close()
    opened_and_pushed(repository := Redis(url=f"unix://{path}?db=3"))
    repository.close()


def test_a_certificate_of_nobody_we_know_is_refused(encrypted: tuple[int, str]) -> None:
    with pytest.raises(RepositoryError, match="certificate"):
        Redis(url=f"rediss://127.0.0.1:{encrypted[0]}").open()


def test_a_redis_cluster_is_told_from_a_redis() -> None:
    with RedisServer("--save", "", "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server:
        repository = Redis(url=server.url)
        with pytest.raises(RepositoryError, match="it is one node of a Redis Cluster, of which a single Redis is"):
            opened_and_pushed(repository)
        repository.close()
