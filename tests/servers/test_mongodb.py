"""MongoDB, as far as a server that speaks its protocol can stand for it."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from bson.int64 import Int64
from support.certificates import Authority
from support.daemon import Daemon, run_program
from support.mongodb import MongoServer
from support.ports import free_port
from support.standstill import PATIENCE, running_time, stood_still

from statspout import Rejected, Repository, RepositoryError
from statspout.repositories.mongodb import MongoDB
from statspout.testing import RepositoryContract, metric, metrics, sample, samples

TESTING = "--enable-test-commands"
_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[MongoServer]:
    with MongoServer(TESTING) as server:
        yield server


@pytest.fixture
def name() -> str:
    """A collection that nobody else uses."""
    return f"stats{next(_NUMBERS)}"


def make(server: MongoServer, collection: str = "stats", **settings: Any) -> MongoDB:
    given: dict[str, Any] = {"uri": server.uri, "collection": collection, "timeout": PATIENCE} | settings
    return MongoDB(**given)


def opened(server: MongoServer, collection: str = "stats", **settings: Any) -> MongoDB:
    repository = make(server, collection, **settings)
    repository.open()
    return repository


def documents(server: MongoServer, collection: str = "stats") -> list[dict[str, Any]]:
    return list(server.client.statspout[collection].find())


def indexes(server: MongoServer, collection: str) -> dict[str, Any]:
    return {
        key: index for key, index in server.client.statspout[collection].index_information().items() if key != "_id_"
    }


class TestMongoDB(RepositoryContract):
    settings: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _server(self, server: MongoServer, name: str) -> None:
        self.server, self.name = server, name

    def make(self) -> Repository:
        return make(self.server, self.name, **self.settings)

    def stored(self, repository: Repository) -> Sequence[object]:
        return documents(self.server, self.name)


class TestMongoDBLegacy(TestMongoDB):
    settings: ClassVar[dict[str, Any]] = {"schema": "legacy"}


class TestMongoDBTimeSeries(TestMongoDB):
    settings: ClassVar[dict[str, Any]] = {"timeseries": True, "ttl": "14d"}


def test_every_value_of_a_document_comes_back_in_its_own_type(server: MongoServer, name: str) -> None:
    one = sample(labels={"com.docker.compose.project": "shop"}, rx_bytes=2**63 - 1, tx_bytes=2**63, cpu_percent=20)
    opened(server, name).push([one])
    (found,) = documents(server, name)
    assert found["time"] == datetime(2017, 2, 14, 12, 0, 1, 123000)
    assert found["time_ns"] == one.time_ns
    assert (found["rx_bytes"], found.get("tx_bytes")) == (2**63 - 1, None)
    assert (found["cpu_percent"], type(found["cpu_percent"])) == (20.0, float)
    assert {type(found[key]) for key in ("time_ns", "pids", "restarts", "mem_usage")} == {Int64}
    assert found["container"]["labels"] == {"com%2Edocker%2Ecompose%2Eproject": "shop"}
    assert found["container"]["started_at"] == datetime(2017, 2, 14, 11, 0, 1, 123000)
    assert found["networks"]["eth0"]["tx_dropped"] == 2


def test_the_legacy_document_is_that_of_the_go_program(server: MongoServer, name: str) -> None:
    opened(server, name, schema="legacy").push([sample(labels={"a.b": "c"})])
    (found,) = documents(server, name)
    assert found == {
        "_id": found["_id"], "timestamp": datetime(2017, 2, 14, 12, 0, 1, 123000), "name": "web",
        "cpupercent": 20.0, "memorypercent": 9.765625, "memoryusage": 104857600, "txbytestotal": 2020,
        "rxbytestotal": 1010, "labels": {"a%2Eb": "c"},
    }  # fmt: skip


@pytest.mark.parametrize("settings", [{}, {"schema": "legacy"}, {"timeseries": True}])
def test_what_applications_report_comes_back_beside_the_containers(
    server: MongoServer, name: str, settings: dict[str, Any]
) -> None:
    repository = opened(server, name, **settings)
    repository.push([sample(), *metrics(), metric("shop.gauge", "gauge", container=None, value=7)])
    found = {one["kind"]: one for one in documents(server, name) if "metric" in one and "container" in one}
    assert {kind: one.get("value") for kind, one in found.items()} == {
        "counter_delta": 12.0, "counter_total": 120.0, "gauge": 2.5, "set": 3.0, "timer": None, "histogram": None,
        "text": None,
    }  # fmt: skip
    assert (found["counter_delta"]["rate"], found["text"]["text"]) == (2.4, "version 7 is out")
    assert found["timer"]["percentiles"] == {"50": 20.0, "95": 40.0, "99%2E9": 40.0}
    (nobody,) = server.client.statspout[name].find({"metric": "shop.gauge", "container": None})
    assert (nobody["value"], nobody["tags"]) == (7.0, {"env": "prod"})
    assert len(documents(server, name)) == 9


@pytest.mark.parametrize(("settings", "time"), [({}, "time"), ({"schema": "legacy"}, "timestamp")])
def test_the_index_on_metrics_is_made_with_the_first_of_them(
    server: MongoServer, name: str, settings: dict[str, Any], time: str
) -> None:
    repository = opened(server, name, **settings)
    repository.push([sample()])
    assert f"metric_1_{time}_1" not in indexes(server, name)
    repository.push([metric()])
    assert indexes(server, name)[f"metric_1_{time}_1"]["partialFilterExpression"] == {"metric": {"$exists": True}}


@pytest.mark.parametrize("settings", [{}, {"schema": "legacy"}])
def test_the_same_batch_again_stores_nothing_twice(server: MongoServer, name: str, settings: dict[str, Any]) -> None:
    repository = opened(server, name, **settings)
    for _ in range(2):
        repository.push(samples(5))
    repository.close()
    opened(server, name, **settings).push(samples(5))
    assert len(documents(server, name)) == 5


def test_what_is_new_beside_what_is_there_is_stored(server: MongoServer, name: str) -> None:
    repository, batch = opened(server, name), samples(6)
    repository.push(batch[1:5:2])
    repository.push(batch)
    assert sorted(one["container"]["name"] for one in documents(server, name)) == [f"web-{i}" for i in range(6)]


def test_what_a_unique_index_or_a_validator_refuses_is_rejected_and_nothing_else(
    server: MongoServer, name: str
) -> None:
    server.client.statspout.create_collection(name, validator={"container.name": {"$ne": "web-2"}})
    server.client.statspout[name].create_index("host", unique=True)
    hosts = ["a", "b", "c", "a", "d"]
    batch = [sample(f"web-{i}", host=host) for i, host in enumerate(hosts)]
    repository = opened(server, name)
    repository.push(batch[:1])
    with pytest.raises(Rejected, match=r"Document failed validation \(code 121\)") as caught:
        repository.push(batch[1:])
    assert caught.value.indices == frozenset({1, 2})
    assert caught.value.rest == "stored"
    assert sorted(one["host"] for one in documents(server, name)) == ["a", "b", "d"]


def test_a_sample_too_large_for_a_document_is_rejected_before_anything_is_sent(server: MongoServer, name: str) -> None:
    huge = sample("huge", labels={"a": "x" * 17_000_000})
    repository = opened(server, name)
    with pytest.raises(Rejected, match=r"huge: its document has 170.* bytes, more than 16777216") as caught:
        repository.push([sample("a"), huge, sample("b")])
    assert caught.value.indices == frozenset({1})
    assert caught.value.rest == "retry"
    assert documents(server, name) == []


def test_the_index_is_made_once_and_is_there_again_when_it_was_dropped(server: MongoServer, name: str) -> None:
    repository = opened(server, name)
    repository.open()
    assert indexes(server, name)["container.id_1_time_1"]["key"] == [("container.id", 1), ("time", 1)]
    server.client.statspout[name].drop()
    repository.open()
    assert list(indexes(server, name)) == ["container.id_1_time_1"]


@pytest.mark.parametrize(
    ("schema", "time", "index"),
    [("own", "time", "container.id_1_time_1"), ("legacy", "timestamp", "name_1_timestamp_1")],
)
def test_documents_expire_at_the_age_that_was_asked_for(
    server: MongoServer, name: str, schema: str, time: str, index: str
) -> None:
    opened(server, name, schema=schema, ttl="14d")
    found = indexes(server, name)
    assert set(found) == {index, f"{time}_1"}
    assert found[f"{time}_1"]["expireAfterSeconds"] == 14 * 86_400
    opened(server, name, schema=schema, ttl="36h")
    assert indexes(server, name)[f"{time}_1"]["expireAfterSeconds"] == 36 * 3600


def test_an_age_that_is_not_asked_for_any_more_is_told_and_left(
    server: MongoServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    opened(server, name, ttl="14d")
    repository = opened(server, name)
    repository.open()
    assert [record.message for record in caplog.records] == [
        f"mongodb: documents of statspout.{name} expire after 1209600 s, --mongodb.ttl is not given: left as it is"
    ]
    assert indexes(server, name)["time_1"]["expireAfterSeconds"] == 1_209_600


def test_a_time_series_is_made_as_one(server: MongoServer, name: str) -> None:
    for _ in range(2):
        opened(server, name, timeseries=True, ttl="14d").push(samples(1))
    (found,) = server.client.statspout.list_collections(filter={"name": name})
    assert found["options"]["timeseries"] == {"timeField": "time", "metaField": "container"}
    assert found["options"]["expireAfterSeconds"] == 14 * 86_400


def test_a_plain_collection_in_the_place_of_a_time_series_is_told(server: MongoServer, name: str) -> None:
    opened(server, name)
    with pytest.raises(
        RepositoryError, match=rf"^statspout\.{name} is there as a plain collection, which cannot become"
    ):
        opened(server, name, timeseries=True)


def test_a_view_is_told(server: MongoServer, name: str) -> None:
    server.client.statspout.create_collection(name, viewOn="stats")
    with pytest.raises(RepositoryError, match=rf"^statspout\.{name} is a view, into which nothing can be written"):
        opened(server, name)


def test_an_age_that_may_not_be_changed_is_told_once_and_samples_are_stored(
    server: MongoServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    opened(server, name, ttl="14d")
    repository = make(server, name, ttl="36h")
    for _ in range(2):
        server.fail("collMod", errorCode=13)
        repository.open()
    repository.push(samples(1))
    (line,) = [record.message for record in caplog.records]
    assert line.endswith(f"statspout.{name} do not expire as --mongodb.ttl says: the user lacks the right collMod")
    assert len(documents(server, name)) == 1


@pytest.mark.parametrize("settings", [{}, {"timeseries": True}])
def test_a_time_series_by_another_field_is_told(server: MongoServer, name: str, settings: dict[str, Any]) -> None:
    server.client.statspout.create_collection(name, timeseries={"timeField": "when"})
    with pytest.raises(RepositoryError, match="is a time series by the field when, and our documents have"):
        opened(server, name, **settings)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"errorCode": 10107}, "the server is no primary any more: "),
        ({"errorCode": 91}, "the server is no primary any more: "),
        ({"errorCode": 8000}, "insert into statspout.{name}: "),
        ({"closeConnection": True}, "{address}: connection closed"),
        ({"blockConnection": True, "blockTimeMS": 2000}, "no answer within 1 s: {address}: timed out"),
        ({"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}},
         "not stored as safely as the write concern asks: waiting for replication timed out (code 64)"),
    ],
)  # fmt: skip
def test_the_servers_own_trouble_keeps_the_batch_and_is_one_line(
    server: MongoServer, name: str, how: dict[str, Any], told: str
) -> None:
    repository = opened(server, name, timeout=1.0)
    server.fail("insert", **how)
    with pytest.raises(RepositoryError) as caught:
        repository.push(samples(2))
    assert str(caught.value).startswith(told.format(name=name, address=server.address))
    assert not isinstance(caught.value, Rejected)
    assert not {"\n", "Topology", "full error", "configured"} & {*str(caught.value).split()}
    repository.close()
    repository = opened(server, name)
    repository.push(samples(2))
    assert len(documents(server, name)) == 2


@pytest.mark.parametrize(
    ("command", "how"),
    [
        ("createIndexes", {"errorCode": 13}),
        ("createIndexes", {"errorCode": 67}),
        ("createIndexes", {"blockConnection": True, "blockTimeMS": 1500}),
    ],
)
def test_an_index_that_cannot_be_made_is_told_once_and_samples_are_stored(
    server: MongoServer, name: str, command: str, how: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    repository = make(server, name, timeout=0.7)
    for _ in range(2):
        server.fail(command, **how)
        repository.open()
    repository.push(samples(1))
    missing = f"mongodb: the index on container.id and time of statspout.{name} was not made: "
    assert [record.message.startswith(missing) for record in caplog.records] == [True]
    assert len(documents(server, name)) == 1


def test_a_server_that_was_killed_and_comes_back_has_everything() -> None:
    before = stood_still()
    with MongoServer("--sync-on-commit") as server:
        settings = ("--repository=mongo", f"--mongo.address={server.address}", "--mongo.timeout=1", "--interval=1")
        with Daemon("--demo", *settings) as daemon:
            daemon.eventually(lambda: len(documents(server)) >= 6)
            server.kill()
            daemon.wait_for_line("mongodb: push failed: ")
            server.start()
            daemon.wait_for_line("mongodb: works again")
            daemon.terminate()
        found = documents(server)
        assert len({one["_id"] for one in found}) == len(found)
        times = sorted(one["time_ns"] // 10**9 for one in found if one["container"]["name"] == "shop-db-1")
        assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= 2 + stood_still() - before


def test_the_program_stores_what_it_collects(server: MongoServer) -> None:
    done = run_program("--demo", "--once", "--repository=mongo", f"--mongo.uri={server.uri}", "--mongo.database=once")
    assert done.code == 0, done.err
    names = {one["container"]["name"] for one in server.client.once.stats.find()}
    assert {"shop-api-1", "shop-db-1", "shop-worker-1"} <= names


def test_nobody_there_is_one_line_within_the_timeout() -> None:
    address = f"127.0.0.1:{free_port()}"
    repository, began = MongoDB(uri=f"mongodb://me:pass-word@{address}", timeout=0.5), running_time()
    with pytest.raises(RepositoryError) as caught:
        repository.open()
    assert str(caught.value) == f"nobody to write to within 0.5 s: {address}: [Errno 111] Connection refused"
    assert running_time() - began < 5


def test_a_server_that_says_nothing_is_one_line_within_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        repository, began = MongoDB(address=address, timeout=0.5), running_time()
        with pytest.raises(RepositoryError, match=f"^nobody to write to within 0.5 s: .*{address}.*") as caught:
            repository.open()
        repository.close()
    assert running_time() - began < 5
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def locked() -> Iterator[MongoServer]:
    """A server that knows who may write, who may only read, and who may only insert."""
    with MongoServer() as server:
        database = server.client.statspout
        database.command(
            "createRole", "inserting", roles=[],
            privileges=[{"resource": {"db": "statspout", "collection": "stats"}, "actions": ["insert"]}],
        )  # fmt: skip
        for user, role in (("writer", "readWrite"), ("reader", "read"), ("inserter", "inserting")):
            database.command("createUser", user, pwd="pass-word%1", roles=[role])
        server.stop()
        server.start("--auth")
        yield server


@pytest.mark.parametrize(
    "settings",
    [
        {"uri": "mongodb://writer:pass-word%251@{address}/statspout"},
        {"uri": "mongodb://writer:pass-word%251@{address}/?authSource=statspout"},
        {"uri": "mongodb://{address}/statspout", "user": "writer", "password": "pass-word%1"},
        {"uri": "mongodb://writer@{address}/statspout", "password": "pass-word%1"},
    ],
)
def test_whom_the_server_knows_is_let_in(locked: MongoServer, settings: dict[str, str]) -> None:
    given = {key: value.format(address=locked.address) for key, value in settings.items()}
    opened(locked, **given).push(samples(2))


def open_and_push(repository: MongoDB) -> None:
    repository.open()
    repository.push(samples(1))


@pytest.mark.parametrize(
    ("user", "told"),
    [
        ("", "command .* requires authentication: --mongodb.user, with a password, or a user in the URI is needed"),
        ("writer:pass-wrong@", "authentication failed: writer, the password, or the database of that user, authSource"),
        ("nobody:pass-word%251@", "authentication failed: nobody, the password, or"),
        (
            "reader:pass-word%251@",
            "reader has no right to insert into statspout.stats: the role readWrite on statspout",
        ),
    ],
)
def test_whom_it_does_not_is_told_so_and_loses_nothing(locked: MongoServer, user: str, told: str) -> None:
    repository = make(locked, uri=f"mongodb://{user}{locked.address}/statspout", timeout=2.0)
    with pytest.raises(RepositoryError, match=f"^{told}") as caught:
        open_and_push(repository)
    assert not isinstance(caught.value, Rejected)
    assert "pass-w" not in str(caught.value)


def test_who_may_only_insert_inserts_and_hears_once_that_there_is_no_index(
    locked: MongoServer, caplog: pytest.LogCaptureFixture
) -> None:
    repository = make(locked, uri=f"mongodb://inserter:pass-word%251@{locked.address}/statspout")
    for _ in range(2):
        repository.open()
        repository.push(samples(3))
    (line,) = [record.message for record in caplog.records]
    assert line.endswith(
        "index on container.id and time of statspout.stats was not made: the user lacks the right createIndex"
    )


def test_a_wrong_password_is_in_no_line_of_the_log(locked: MongoServer) -> None:
    uri = f"mongodb://writer:pass-wrong@{locked.address}/statspout"
    with Daemon(
        "--demo", "--repository=mongo", "--log.level=debug", f"--mongo.uri={uri}", "--mongo.timeout=1"
    ) as daemon:
        daemon.wait_for_line("mongodb: open failed: authentication failed: writer, the password, or")
        assert "mongodb.uri=mongodb://writer:***@127.0.0.1" in daemon.log
        assert "pass-wrong" not in daemon.log


def test_tls_with_an_authority_of_our_own_and_with_another(tmp_path: Path) -> None:
    ours, other = Authority(tmp_path / "ours"), Authority(tmp_path / "other")
    flags = (f"--tls-cert-file={ours.cert('server')}", f"--tls-key-file={ours.key('server')}")
    with MongoServer(*flags) as server:
        opened(server, uri=f"{server.uri}/?tls=true&tlsCAFile={ours.ca}").push(samples(2))
        with pytest.raises(RepositoryError, match=r"nobody to write to within 1 s: .*certificate verify failed"):
            opened(server, uri=f"{server.uri}/?tls=true&tlsCAFile={other.ca}", timeout=1.0)
        with pytest.raises(RepositoryError, match="nobody to write to within 1 s: "):
            opened(server, timeout=1.0)
