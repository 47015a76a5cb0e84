"""MongoDB without a server: every value of a document and its type, the settings, and what each error means."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import bson
import pytest
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64
from bson.objectid import ObjectId
from pymongo.errors import (
    AutoReconnect,
    CollectionInvalid,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WTimeoutError,
)

from statspout import ConfigError, Container, ContainerSample, Interface, Rejected, RepositoryError
from statspout.catalogue import ENTRIES
from statspout.config import configure
from statspout.logs import censored
from statspout.repositories.mongodb import MongoDB
from statspout.repositories.mongodb_collection import Wanted, prepare
from statspout.repositories.mongodb_documents import encode_all, identity, safe_key, safe_text, schema
from statspout.repositories.mongodb_errors import Place, check_bulk, failure
from statspout.testing import sample, samples

DOCS = Path(__file__).parents[2] / "docs" / "mongodb.md"
NETWORK = {"rx_bytes": 1010, "rx_packets": 10, "rx_errors": 1, "rx_dropped": 0}
NETWORK |= {"tx_bytes": 2020, "tx_packets": 20, "tx_errors": 0, "tx_dropped": 2}
STARTED = Int64(1_487_070_001_123)
PLACE = Place("statspout", "stats", "me", 10.0)
BARE = ContainerSample(time_ns=5_000_000, host="h", container=Container(id="b" * 64, name="bare"))


def read(one: ContainerSample, name: str = "own") -> dict[str, Any]:
    """The document of ``one`` as a client reads it back, dates in milliseconds."""
    options: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
    (document,) = encode_all([one], schema(name))
    return bson.decode(document.raw, options)


def kinds(document: Mapping[str, Any]) -> Iterator[tuple[str, type]]:
    """Every value's type by its path."""
    for key, value in document.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{path}", kind) for path, kind in kinds(value))
        else:
            yield key, type(value)


def test_our_own_document() -> None:
    one = sample(labels={"team": "shop"}, network_shared_with="proxy")
    found = read(one)
    assert list(found)[:5] == ["_id", "time", "time_ns", "host", "container"]
    assert found == {
        "_id": identity(one), "time": DatetimeMS(1_487_073_601_123), "time_ns": 1_487_073_601_123_456_789,
        "host": "node-1", "container": {
            "id": one.container.id, "name": "web", "image": "nginx:1.27", "labels": {"team": "shop"},
            "started_at": DatetimeMS(STARTED),
        },
        "cpu_percent": 20.0, "cpu_seconds_total": 12.5, "online_cpus": 4, "cpu_periods_total": 40,
        "throttled_periods_total": 3, "throttled_seconds_total": 0.25, "mem_usage": 104_857_600,
        "mem_usage_raw": 125_829_120, "mem_cache": 20_971_520, "mem_rss": 83_886_080, "mem_limit": 1_073_741_824,
        "mem_percent": 9.765625, **NETWORK, "networks": {"eth0": NETWORK}, "network_shared_with": "proxy",
        "blkio_read_bytes": 4096, "blkio_write_bytes": 8192, "blkio_read_ops": 1, "blkio_write_ops": 2, "pids": 7,
        "pids_limit": 512, "state": "running", "health": "healthy", "restarts": 0, "uptime_seconds": 3600.0,
    }  # fmt: skip


def test_the_legacy_document() -> None:
    one = sample(labels={"com.docker": "x"})
    assert read(one, "legacy") == {
        "_id": identity(one), "timestamp": DatetimeMS(1_487_073_601_123), "name": "web", "cpupercent": 20.0,
        "memorypercent": 9.765625, "memoryusage": 104_857_600, "txbytestotal": 2020, "rxbytestotal": 1010,
        "labels": {"com%2Edocker": "x"},
    }  # fmt: skip


def test_every_metric_of_the_catalogue_is_in_a_complete_document() -> None:
    assert [entry.field for entry in ENTRIES if entry.field not in read(sample())] == []


def test_the_page_says_which_fields_there_are_and_of_what_type() -> None:
    table = (
        DOCS.read_text().partition("<!-- the fields: held by tests/unit/test_mongodb.py -->")[2].partition("\n\n*")[0]
    )
    first = "".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| "))
    named = {path.partition(".")[0] for path in re.findall("`([^`]+)`", first)} - {""}
    found = read(sample(network_shared_with="proxy"))
    assert named == found.keys() - {entry.field for entry in ENTRIES}
    doubles = {entry.field for entry in ENTRIES if type(found[entry.field]) is float}
    assert doubles == {entry.field for entry in ENTRIES if entry.unit in ("percent", "seconds")}


def test_what_is_unknown_is_absent() -> None:
    assert read(BARE) == {
        "_id": identity(BARE), "time": DatetimeMS(5), "time_ns": 5_000_000, "host": "h",
        "container": {"id": "b" * 64, "name": "bare", "image": "", "labels": {}},
    }  # fmt: skip
    assert set(read(BARE, "legacy")) == {"_id", "timestamp", "name", "labels"}
    assert read(sample(networks={"eth0": Interface(rx_bytes=1)}))["networks"] == {"eth0": {"rx_bytes": 1}}


@pytest.mark.parametrize("name", ["own", "legacy"])
def test_a_field_has_one_type_whatever_its_value_is(name: str) -> None:
    fields = {entry.field for entry in ENTRIES if entry.derive is None}
    values: list[dict[str, Any]] = [dict.fromkeys(fields, value) for value in (1, 2**53)]
    small, large = (sample(**each) for each in values)
    found = dict(kinds(read(small, name)))
    assert dict(kinds(read(large, name))) == found
    assert set(found.values()) == {ObjectId, DatetimeMS, Int64, str, float}
    assert int not in found.values()


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        ("rx_bytes", 2**63 - 1, 2**63 - 1),
        ("rx_bytes", 2**63, None),
        ("rx_bytes", 2**64 - 1, None),
        ("rx_bytes", 2**53 + 1, 2**53 + 1),
        ("mem_usage", 1.5, None),
        ("cpu_percent", 3, 3.0),
        ("cpu_percent", 0.1, 0.1),
        ("cpu_percent", math.nan, None),
        ("cpu_percent", math.inf, None),
        ("mem_percent", -math.inf, None),
        ("restarts", 0, 0),
    ],
)
def test_a_number_is_right_or_absent(field: str, value: float, stored: float | None) -> None:
    given: dict[str, Any] = {field: value}
    found = read(sample(**given))
    assert found.get(field) == stored
    assert (field in found) == (stored is not None)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("team", "team"),
        ("com.docker.compose.project", "com%2Edocker%2Ecompose%2Eproject"),
        ("$set", "%24set"),
        ("100%", "100%25"),
        ("%2E", "%252E"),
        ("a\0b", "a%00b"),
        ("é 漢", "é 漢"),
        ("half\udc80", "half%ED%B2%80"),
        ("", ""),
    ],
)
def test_a_key_is_safe_and_the_way_back_is_known(name: str, key: str) -> None:
    assert safe_key(name) == key
    assert unquote(key, errors="surrogatepass") == name
    assert read(sample(labels={name: "x"}))["container"]["labels"] == {key: "x"}
    assert list(read(sample(networks={name: Interface(rx_bytes=1)}))["networks"]) == [key]
    assert read(sample(labels={name: "x"}), "legacy")["labels"] == {key: "x"}


def test_no_two_names_have_one_key() -> None:
    chance = random.Random(7)
    names = {"".join(chance.choices("%.$\0 2Ea\udc80é", k=chance.randint(0, 6))) for _ in range(5000)}
    assert len({safe_key(name) for name in names}) == len(names)
    assert all(unquote(safe_key(name), errors="surrogatepass") == name for name in names)


def test_half_a_surrogate_pair_in_a_text_is_written_out() -> None:
    assert (safe_text("half\udc80é"), safe_text("é🐳")) == (r"half\udc80é", "é🐳")
    texts = dict.fromkeys(("host", "image", "state", "health", "network_shared_with"), "\udcff")
    found = read(sample("\udcff", labels={"a": "\udcff"}, **texts))
    assert {found["host"], found["state"], found["container"]["name"], found["container"]["image"]} == {r"\udcff"}
    assert read(sample("\udcff"), "legacy")["name"] == r"\udcff"


def test_an_identity_is_that_of_container_and_time() -> None:
    one = sample()
    assert identity(one) == identity(sample(image="other", cpu_percent=1.0, host="elsewhere"))
    assert identity(one).generation_time.timestamp() == one.time_ns // 10**9
    others = [sample("db"), sample(time_ns=one.time_ns + 1), sample(time_ns=one.time_ns + 10**9), *samples(1000)]
    assert len({identity(one), *map(identity, others)}) == len(others) + 1


@pytest.mark.parametrize("time_ns", [0, 1, 2**62, -1])
def test_any_time_has_an_identity_and_a_date(time_ns: int) -> None:
    assert read(sample(time_ns=time_ns))["time"] == DatetimeMS(time_ns // 10**6)


def test_a_renamed_container_has_its_new_name_in_the_next_document() -> None:
    own = schema("own")
    before, after = sample("web", id="a" * 64), sample("web-2", id="a" * 64)
    names = [bson.decode(one.raw)["container"]["name"] for one in encode_all([before, after, before], own)]
    assert names == ["web", "web-2", "web"]


def test_many_containers_are_not_remembered_for_ever() -> None:
    own = schema("own")
    for number in range(10_500):
        own.document(sample(id=str(number)))
    kept = own.document.__self__._kept  # type: ignore[attr-defined]  # the method's own object
    assert 0 < len(kept) <= 10_000


@pytest.mark.parametrize("name", ["own", "legacy"])
def test_a_sample_of_wrong_types_is_rejected_without_its_neighbours(name: str) -> None:
    wrong: Any = {"labels": {"a": 5}}
    batch = [sample("a"), sample("bad", **wrong), sample("b"), sample("worse", time_ns=2**90)]
    with pytest.raises(Rejected, match=r"^bad: no document can be made of it: AttributeError: ") as caught:
        encode_all(batch, schema(name))
    assert caught.value.indices == frozenset({1, 3})
    assert caught.value.rest == "retry"


def told(index: int, code: int, message: str = "no", **more: Any) -> dict[str, Any]:
    return {"index": index, "code": code, "errmsg": message, "op": {"secret": "document"}, **more}


THERE = told(0, 11000, "E11000 duplicate key error collection: a.b index: _id_ dup key", keyPattern={"_id": 1})
OLD_SERVER = told(2, 11000, "E11000 duplicate key error collection: a.b index: _id_ dup key: { _id: 1 }")
OTHER_INDEX = told(1, 11000, "E11000 duplicate key error collection: a.b index: host_1 dup key", keyPattern={"host": 1})


def test_what_is_there_already_counts_as_stored() -> None:
    check_bulk({"writeErrors": [THERE, OLD_SERVER], "writeConcernErrors": []}, PLACE)


@pytest.mark.parametrize(
    ("errors", "indices", "reason"),
    [
        ([THERE, OTHER_INDEX], {1}, "statspout.stats: E11000 duplicate key .* index: host_1 dup key \\(code 11000\\)"),
        (
            [told(3, 121, "Document failed\nvalidation"), told(5, 2)],
            {3, 5},
            "Document failed validation \\(code 121\\)",
        ),
    ],
)
def test_what_a_server_refuses_for_good_is_rejected(errors: list[Any], indices: set[int], reason: str) -> None:
    with pytest.raises(Rejected, match=reason) as caught:
        check_bulk({"writeErrors": errors}, PLACE)
    assert caught.value.indices == frozenset(indices)
    assert caught.value.rest == "stored"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "details",
    [
        {"writeErrors": [told(0, 121), told(1, 10107)]},
        {"writeErrors": [told(0, 14031)]},
        {"writeErrors": [told(0, 13)]},
        {"writeErrors": [told(0, 121)], "writeConcernErrors": [told(0, 64, "waiting for replication timed out")]},
        {"writeErrors": [THERE], "writeConcernErrors": [told(0, 100)]},
    ],
)
def test_what_is_the_servers_own_trouble_keeps_all_of_it(details: dict[str, Any]) -> None:
    with pytest.raises(RepositoryError) as caught:
        check_bulk(details, PLACE)
    assert type(caught.value) is RepositoryError


WAITED = " (configured timeouts: socketTimeoutMS: 1.0ms, connectTimeoutMS: 1.0ms)"
REFUSED = "a:1: [Errno 111] Connection refused"
TOPOLOGY = ", Timeout: 1.0s, Topology Description: <TopologyDescription id: 1, servers: [...]>"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            ServerSelectionTimeoutError(f"{REFUSED}{WAITED},{REFUSED}{WAITED}{TOPOLOGY}"),
            f"nobody to write to within 10 s: {REFUSED},{REFUSED}",
        ),
        (NetworkTimeout(f"a:1: timed out{WAITED}"), "no answer within 10 s: a:1: timed out"),
        (AutoReconnect("a:1: connection closed"), "a:1: connection closed"),
        (NotPrimaryError("not primary, full error: {'ok': 0}"), "the server is no primary any more: not primary"),
        (
            OperationFailure("not authorized", 13),
            "me has no right to insert into statspout.stats: the role readWrite on statspout gives it",
        ),
        (
            OperationFailure("Authentication failed.", 18),
            "Authentication failed: me, the password, or the database of that user, authSource in the URI, is wrong",
        ),
        (
            WTimeoutError("waiting\nfor replication", 64),
            "not stored as safely as the write concern asks: waiting for replication",
        ),
        (OperationFailure("a collection's name", 73), "insert into statspout.stats: a collection's name"),
        (PyMongoError(), "insert into statspout.stats: PyMongoError"),
    ],
)
def test_an_error_is_one_clear_line(error: PyMongoError, line: str) -> None:
    found = failure(error, PLACE, "insert into")
    assert (type(found), str(found)) == (RepositoryError, line)


class Collections:
    """A database that holds one collection, and answers as a real mongod does where the tests' server does not."""

    name, full_name = "stats", "statspout.stats"

    def __init__(self, found: dict[str, Any] | None, made: list[str] | None = None) -> None:
        self.database, self.found, self.did = self, found, made if made is not None else []

    def list_collections(self, filter: dict[str, Any]) -> list[dict[str, Any]]:  # noqa: A002 - pymongo's name
        return [] if self.found is None else [self.found]

    def create_collection(self, name: str, **options: Any) -> None:
        self.found = {"type": "timeseries", "options": options}
        raise CollectionInvalid("collection stats already exists")

    def create_index(self, keys: Any, **options: Any) -> None:
        self.did.append(f"index {dict(keys)} {options}")

    def command(self, name: str, collection: str, **how: Any) -> None:
        self.did.append(f"{name} {how}")
        raise OperationFailure("not authorized", 13)


SERIES = {"type": "timeseries", "options": {"timeseries": {"timeField": "time"}, "expireAfterSeconds": 60}}


def prepared(collection: Any, ttl: int | None, timeseries: bool = True) -> list[str]:
    lines: list[str] = []
    prepare(collection, Wanted(timeseries, ttl, "time", "container.id"), lines.append)
    return lines


@pytest.mark.parametrize("timeseries", [True, False])
def test_the_age_of_a_time_series_is_changed_and_to_lack_the_right_is_told(timeseries: bool) -> None:
    collection = Collections(SERIES)
    assert prepared(collection, 3600, timeseries) == [
        "the documents of statspout.stats do not expire as --mongodb.ttl says: the user lacks the right collMod"
    ]
    assert collection.did == ["collMod {'expireAfterSeconds': 3600}", "index {'container.id': 1, 'time': 1} {}"]


def test_the_age_of_a_time_series_is_left_where_it_is_right_or_not_given() -> None:
    assert prepared(Collections(SERIES), 60) == []
    assert prepared(Collections(SERIES), None) == [
        "documents of statspout.stats expire after 60 s, --mongodb.ttl is not given: left as it is"
    ]


def test_a_time_series_that_somebody_else_made_at_the_same_moment_is_taken() -> None:
    collection = Collections(None)
    assert prepared(collection, 60) == []
    assert collection.did == ["index {'container.id': 1, 'time': 1} {}"]


def test_a_view_is_told() -> None:
    with pytest.raises(RepositoryError, match=r"^statspout\.stats is a view, into which nothing can be written"):
        prepared(Collections({"type": "view", "options": {}}), None)


WRONG = [
    ({"uri": "http://h"}, "--mongodb.uri: it is wrong: Invalid URI scheme"),
    ({"uri": ""}, "--mongodb.uri: it is wrong: Invalid URI scheme"),
    ({"uri": "mongodb://"}, "--mongodb.uri: it is wrong: Must provide at least one hostname"),
    ({"uri": "mongodb://me:hidden/word@h"}, "--mongodb.uri: it is wrong: Port contains non-digit characters"),
    ({"uri": "mongodb://me:hidden:word@h"}, "--mongodb.uri: it is wrong: Username and password must be escaped"),
    ({"uri": "mongodb://me:hidden@word@h"}, "--mongodb.uri: it is wrong: Username and password must be escaped"),
    ({"uri": "mongodb://h/?tls=perhaps"}, "--mongodb.uri: it is wrong: The value of tls must be"),
    ({"uri": "mongodb://h/?sslCA=/x"}, "--mongodb.uri: it is wrong: Unknown option"),
    ({"uri": "mongodb://h/?tlsCAFile=/nowhere/ca.pem"}, "--mongodb.uri: it is wrong: "),
    ({"uri": "mongodb://h/?w=0"}, "--mongodb.uri: with w=0 nobody knows what is stored"),
    ({"uri": "mongodb+srv://h:27017"}, "--mongodb.uri: it is wrong: after mongodb+srv:// comes one name"),
    ({"uri": "mongodb+srv://a,b"}, "--mongodb.uri: it is wrong: after mongodb+srv:// comes one name"),
    ({"uri": "mongodb://me@h"}, "--mongodb.uri: A password is required: --mongodb.password-file or"),
    ({"address": "h:port"}, "--mongodb.address: it is wrong: Port contains non-digit characters"),
    ({"address": "h", "uri": "mongodb://g"}, "--mongodb.address: it is the same as --mongodb.uri: give one"),
    ({"password": "hidden"}, "--mongodb.password: it is nobody's"),
    ({"user": "me"}, "--mongodb.uri: A password is required"),
    ({"uri": "mongodb://you:hidden@h", "user": "me"}, "--mongodb.user: there is one in --mongodb.uri too"),
    ({"uri": "mongodb://you:hidden@h", "password": "more"}, "--mongodb.password: there is one in --mongodb.uri too"),
    ({"database": "a.b"}, "--mongodb.database, --mongodb.collection: database names cannot contain"),
    ({"collection": "a$b"}, "--mongodb.database, --mongodb.collection: collection names must not contain"),
    ({"collection": ""}, "--mongodb.database, --mongodb.collection: collection names cannot be empty"),
    ({"ttl": "14"}, "--mongodb.ttl: '14' is wrong: a number and s, m, h, d or w, such as 14d, is right"),
    ({"ttl": "4000w"}, "--mongodb.ttl: '4000w' is more than MongoDB can count"),
    ({"timeout": 0.0}, "--mongodb.timeout: 0 is too small: 0.1 or more is right"),
    ({"timeseries": True, "schema": "legacy"}, "--mongodb.timeseries: --mongodb.schema=legacy makes no time series"),
    ({"schema": "mine"}, "--mongodb.schema: 'mine' is wrong: own or legacy is right"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "line"), WRONG)
def test_a_wrong_setting_is_one_line_without_a_password(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        MongoDB(**settings)
    assert str(caught.value).startswith(line)
    assert [part for part in ("\n", "hidden", "word@") if part in str(caught.value)] == []


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"uri": "mongodb://me:p%40ss@a:1,b:2/admin?replicaSet=rs0&tls=true&w=majority"},
        {"uri": "mongodb+srv://cluster.example/?srvMaxHosts=2"},
        {"uri": "mongodb://%2Ftmp%2Fmongodb-27017.sock"},
        {"uri": "mongodb://h/?authMechanism=MONGODB-X509&tls=true", "user": "CN=me"},
        {"uri": "mongodb://me@h", "password": "secret"},
        {"address": "a:1,b:2"},
        {"address": "[::1]:27017"},
        {"address": "mongodb://h:1"},
        {"ttl": "14d", "timeseries": True},
        {"ttl": " "},
    ],
)
def test_right_settings_ask_nobody(settings: dict[str, Any]) -> None:
    MongoDB(**settings)


def test_no_password_comes_into_a_log_line() -> None:
    uri = "mongodb://me:pass%2Fword@h/?tls=true&tlsCertificateKeyFilePassword=key-secret"
    shown = "mongodb://me:***@h/?tls=true&tlsCertificateKeyFilePassword=***"
    assert f"uri={shown} " in repr(MongoDB(uri=uri))
    assert censored(f"{uri} pass/word pass%2Fword key-secret") == f"{shown} *** *** ***"


def test_the_go_programs_flags_and_the_short_name_are_taken() -> None:
    argv = ["-repository=mongo", "-mongo.address=db:27017", "-mongo.database=d", "-mongo.collection=c"]
    (found,) = configure(argv, {"STATSPOUT_MONGO_PASSWORD": "a-secret", "STATSPOUT_MONGODB_USER": "me"}).repositories
    assert isinstance(found, MongoDB)
    assert (found.address, found.database, found.collection, found.user) == ("db:27017", "d", "c", "me")
    assert "a-secret" not in repr(found)


def test_to_close_what_was_never_open_is_harmless() -> None:
    MongoDB().close()
