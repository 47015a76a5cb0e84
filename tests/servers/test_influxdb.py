"""A real influxd 1.x: what was pushed is what it holds, and what it does not take is told exactly."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import struct
import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from support.influxdb import SUMMED_UP, Influxd

from statspout import ContainerSample, Rejected, Repository, RepositoryError, TooLarge
from statspout.catalogue import ENTRIES
from statspout.delivery.backoff import Backoff
from statspout.delivery.delivery import Delivery
from statspout.repositories.influxdb import InfluxDB
from statspout.repositories.influxdb_lines import SCHEMAS
from statspout.repositories.influxdb_lines.own import Own
from statspout.repositories.influxdb_lines.text import LONGEST
from statspout.sample import Interface
from statspout.testing import RepositoryContract, metric, metrics, sample, samples

NUMBERS = itertools.count()
TAGS = {
    "host": "node-1",
    "container": "web",
    "image": "nginx:1.27",
    "compose_project": "shop",
    "compose_service": "web",
}


@pytest.fixture(scope="module")
def influxd() -> Iterator[Influxd]:
    with Influxd() as server:
        yield server


@pytest.fixture
def database(influxd: Influxd) -> str:
    """The name of a database that does not exist yet."""
    return f"stats{next(NUMBERS)}"


def opened(influxd: Influxd, database: str, **settings: Any) -> InfluxDB:
    repository = InfluxDB(url=influxd.url, database=database, **settings)
    repository.open()
    return repository


def rejected(repository: Repository, batch: Sequence[ContainerSample]) -> Rejected:
    with pytest.raises(Rejected) as caught:
        repository.push(batch)
    return caught.value


def now(seconds_ago: float = 0) -> int:
    return time.time_ns() - int(seconds_ago * 1e9)


# what is stored


def test_what_applications_report_comes_back_kind_by_kind(influxd: Influxd, database: str) -> None:
    opened(influxd, database).push([sample(), *metrics(), metric("shop.gauge", "gauge", container=None, context="why")])
    rows = [row for row in influxd.rows(database) if row.pop("measurement").startswith("shop.")]
    values: list[dict[str, Any]] = [
        {"value": 12, "rate": 2.4}, {"value": 120}, {"value": 2.5}, SUMMED_UP, SUMMED_UP, {"value": 3},
        {"text": "version 7 is out"},
    ]  # fmt: skip
    nobody = {"time": sample().time_ns, "host": "node-1", "env": "prod"}
    web = {**nobody, "container": "web", "id": sample().container.short_id}
    expected = [{**web, "kind": one.kind, **value} for one, value in zip(metrics(), values, strict=True)]
    expected.append({**nobody, "kind": "gauge", "value": 2.5, "context": "why"})
    in_order = [sorted(map(repr, (sorted(row.items()) for row in each))) for each in (rows, expected)]
    assert in_order[0] == in_order[1]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_counter_and_a_gauge_of_one_name_and_time_are_two_points(
    influxd: Influxd, database: str, schema: str
) -> None:
    opened(influxd, database, schema=schema).push([metric("x", value=1), metric("x", "gauge", value=2)])
    assert sorted(row["value"] for row in influxd.rows(database)) == [1, 2]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_number_of_an_application_is_of_one_type_whatever_it_is(influxd: Influxd, database: str, schema: str) -> None:
    repository = opened(influxd, database, schema=schema)
    for number, value in enumerate((3, 2.5, 0, 10 / 3, 2**40)):
        repository.push([metric("x", value=value, time_ns=number), metric("y", "gauge", value=value, time_ns=number)])
    assert len(influxd.rows(database)) == 10


def test_telegrafs_queries_of_its_statsd_input_find_what_applications_report(influxd: Influxd, database: str) -> None:
    opened(influxd, database, schema="telegraf").push([metric("api.hits"), metric("api.time", "timer")])
    for field, measurement, kind, value in (
        ("value", "api_hits", "counter", 12),
        ("mean", "api_time", "timing", 25),
        ("stddev", "api_time", "timing", 11.25),
        ("upper", "api_time", "timing", 40),
        ("count", "api_time", "timing", 4),
        ('"95_percentile"', "api_time", "timing", 40),
    ):
        where = f"metric_type = '{kind}' AND container_name = 'web' AND env = 'prod'"
        [row] = influxd.query(f"SELECT last({field}) AS found FROM {measurement} WHERE {where}", database)
        assert row["found"] == value


def test_an_application_that_changes_a_type_harms_no_container(influxd: Influxd, database: str) -> None:
    repository = opened(influxd, database, schema="legacy")
    repository.push([metric("tx_bytes", "gauge", value=0.5)])
    repository.push([sample(), metric("tx_bytes", "text")])
    assert [row["value"] for row in influxd.query("SELECT value FROM tx_bytes", database)] == [2020]


def test_every_number_comes_back_with_its_value_and_its_type(influxd: Influxd, database: str) -> None:
    one = sample()
    opened(influxd, database).push([one])
    [row] = influxd.rows(database)
    expected = {entry.field: getattr(one, entry.field) for entry in ENTRIES}
    expected |= {"state": "running", "health": "healthy", "seen": 1, "id": one.container.short_id, **TAGS}
    assert row == {"measurement": "container", "time": one.time_ns, **expected}
    kinds = {row["fieldKey"]: row["fieldType"] for row in influxd.query("SHOW FIELD KEYS", database)}
    assert {field for field, kind in kinds.items() if kind == "float"} == {
        entry.field for entry in ENTRIES if isinstance(getattr(one, entry.field), float)
    }
    assert {field for field, kind in kinds.items() if kind == "string"} == {"state", "health"}


def test_floats_and_integers_are_exact_to_the_last_digit(influxd: Influxd, database: str) -> None:
    chance = random.Random(2)
    floats = [struct.unpack("d", chance.randbytes(8))[0] for _ in range(300)]
    floats = [*filter(math.isfinite, floats), 5e-324, 1.7976931348623157e308, 1e16, 1e-7, 0.1, -0.0]
    integers = [2**53 + 1, 2**63 - 1, 0]
    batch = [
        sample(f"c{i}", time_ns=i + 1, cpu_percent=value, rx_bytes=integers[i % 3]) for i, value in enumerate(floats)
    ]
    opened(influxd, database).push(batch)
    rows = sorted(influxd.rows(database), key=lambda row: row["time"])
    # Its JSON has a large float without a fraction, which reads as an integer.
    found = [(float(row["cpu_percent"]), row["rx_bytes"]) for row in rows]
    assert found == [(one.cpu_percent, one.rx_bytes) for one in batch]


def test_a_counter_that_does_not_fit_is_absent_and_the_rest_is_there(influxd: Influxd, database: str) -> None:
    opened(influxd, database).push([sample(rx_bytes=2**64 - 1, tx_bytes=2**63 - 1)])
    [row] = influxd.rows(database)
    assert "rx_bytes" not in row
    assert row["tx_bytes"] == 2**63 - 1


def test_a_float_may_be_whole_at_first_and_a_field_unknown(influxd: Influxd, database: str) -> None:
    repository = opened(influxd, database)
    for number, value in enumerate((20, 20.5, None, 0)):
        repository.push([sample(time_ns=number, cpu_percent=value)])
    assert [row.get("cpu_percent") for row in influxd.rows(database)] == [20, 20.5, None, 0]


def test_interfaces_are_points_of_their_own(influxd: Influxd, database: str) -> None:
    networks = {"eth0": Interface(rx_bytes=1, tx_bytes=2), "eth1": Interface(rx_bytes=3, tx_bytes=4)}
    opened(influxd, database).push([sample(networks=networks)])
    rows = influxd.query("SELECT * FROM container_network", database)
    assert [(row["interface"], row["rx_bytes"], row["tx_bytes"]) for row in rows] == [("eth0", 1, 2), ("eth1", 3, 4)]
    assert all(row["container"] == "web" for row in rows)


def test_legacy_answers_the_queries_of_the_go_program(influxd: Influxd, database: str) -> None:
    opened(influxd, database, schema="legacy").push([sample()])
    for measurement, value in (("cpu_usage", 20), ("mem_usage", 9.765625), ("tx_bytes", 2020), ("rx_bytes", 1010)):
        statement = f"SELECT value FROM {measurement} WHERE container = 'web' GROUP BY *"
        assert [row["value"] for row in influxd.query(statement, database)] == [value]


def test_telegraf_answers_the_queries_of_its_dashboards(influxd: Influxd, database: str) -> None:
    opened(influxd, database, schema="telegraf", labels=("com.docker.compose.*",)).push([sample()])
    where = "container_name = 'web' AND engine_host = 'node-1' AND \"com.docker.compose.project\" = 'shop'"
    for field, measurement, value in (
        ("usage_percent", "docker_container_cpu", 20),
        ("usage_total", "docker_container_cpu", 12_500_000_000),
        ("usage", "docker_container_mem", 104_857_600),
        ("rx_bytes", "docker_container_net", 1010),
        ("io_service_bytes_recursive_read", "docker_container_blkio", 4096),
        ("uptime_ns", "docker_container_status", 3_600_000_000_000),
        ("health_status", "docker_container_health", "healthy"),
    ):
        [row] = influxd.query(f"SELECT last({field}) AS found FROM {measurement} WHERE {where}", database)
        assert row["found"] == value


AWKWARD = {
    "two\nlines\r\n": r"two\nlines\r\n",
    "tab\tnul\0bell\a": r"tab\tnul\x00bell\x07",
    "trailing\\": "trailing/",
    "back\\slash": "back\\slash",
    "twice\\\\": "twice//",
    "before\\ space": "before/ space",
    "before\\,comma": "before/,comma",
    "before\\=equals": "before/=equals",
    "a=b,c{d}": "a=b,c{d}",
    'say "hi"': 'say "hi"',
    "it's": "it's",
    " ": " ",
    "  lead and trail  ": "  lead and trail  ",
    "#comment": "#comment",
    "x,y=1i 5\nm z=2i": r"x,y=1i 5\nm z=2i",
    "é-Ж-漢字-🐳": "é-Ж-漢字-🐳",
    "half\udc80": r"half\udc80",
    "": None,
    "y" * 5000: "y" * LONGEST,
}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_no_text_harms_its_neighbours_and_each_comes_back_as_documented(
    influxd: Influxd, database: str, schema: str
) -> None:
    batch = []
    for number, text in enumerate(AWKWARD):
        labels = {"team": text, text: text}
        odd = sample(text, id=f"{number:064}", image=text, host=text, labels=labels, time_ns=3 * number + 1,
                     network_shared_with=text or None, health=text or None)  # fmt: skip
        batch += [sample("before", time_ns=3 * number), odd, sample("after", time_ns=3 * number + 2)]
    opened(influxd, database, schema=schema, labels=("team",)).push(batch)
    rows = influxd.rows(database)
    name = "container_name" if schema == "telegraf" else "container"
    for one in batch:
        of_sample = [row for row in rows if row["time"] == one.time_ns]
        assert len(of_sample) == SCHEMAS[schema](("team",)).lines(one).count(b"\n") + 1
        written = AWKWARD.get(one.container.name, one.container.name)
        assert {row.get(name) for row in of_sample} == {written}
        assert {row.get("team") for row in of_sample} == {written if one.container.name in AWKWARD else None}
        if one.health in AWKWARD and schema == "own":
            # A string field keeps its backslashes.
            assert of_sample[0]["health"] == one.health.encode("utf-8", "backslashreplace").decode()[:LONGEST].replace(
                "\n", r"\n"
            ).replace("\r", r"\r").replace("\t", r"\t").replace("\0", r"\x00").replace("\a", r"\x07")


def test_the_same_batch_twice_stores_nothing_twice(influxd: Influxd, database: str) -> None:
    for schema, points in (("own", 50), ("legacy", 200), ("telegraf", 300)):
        repository = opened(influxd, database + schema, schema=schema)
        repository.push(samples(50))
        repository.push(samples(50))
        assert len(influxd.rows(database + schema)) == points


# what is not taken


@pytest.mark.parametrize("gzip", [True, False])
def test_a_type_conflict_rejects_whom_it_is_about_and_stores_the_rest(
    influxd: Influxd, database: str, gzip: bool
) -> None:
    influxd.query(f"CREATE DATABASE {database}")
    influxd.write(database, "container pids=1.5 1487073601000000000")
    batch = [sample(f"c{i}", pids=None if i == 2 else 7) for i in range(5)]
    error = rejected(opened(influxd, database, gzip=gzip), batch)
    assert error.indices == frozenset({0, 1, 3, 4})
    assert error.rest == "stored"
    assert 'input field "pids" on measurement "container" is type integer, already exists as type float' in error.reason
    stored = influxd.query("SELECT container, cpu_percent FROM container", database)
    assert [row["container"] for row in stored if row["cpu_percent"] is not None] == ["c2"]


def test_a_type_conflict_in_one_of_several_points_rejects_the_sample(influxd: Influxd, database: str) -> None:
    influxd.query(f"CREATE DATABASE {database}")
    influxd.write(database, "tx_bytes value=1.5 1487073601000000000")
    error = rejected(opened(influxd, database, schema="legacy"), [sample("a"), sample("b", tx_bytes=None)])
    assert error.indices == frozenset({0})
    assert error.rest == "stored"
    stored = influxd.query("SELECT container, value FROM cpu_usage", database)
    assert [row["container"] for row in stored] == ["a", "b"]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_what_is_older_than_the_retention_is_rejected_and_the_rest_stored(
    influxd: Influxd, database: str, schema: str
) -> None:
    influxd.query(f"CREATE DATABASE {database} WITH DURATION 1h SHARD DURATION 1h")
    moment = now(60)
    ages = [0, 7200, 10, 7200, 9000]
    batch = [sample(f"c{i}", time_ns=moment - age * 10**9) for i, age in enumerate(ages)]
    error = rejected(opened(influxd, database, schema=schema), batch)
    assert error.indices == frozenset({1, 3, 4})
    assert error.rest == "stored"
    assert "points beyond retention policy" in error.reason
    assert {row["time"] for row in influxd.rows(database)} == {batch[0].time_ns, batch[2].time_ns}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_line_that_cannot_be_parsed_is_rejected_and_its_neighbours_are_stored(
    influxd: Influxd, database: str, schema: str
) -> None:
    batch = samples(4)
    batch[1] = sample("it's: far", time_ns=2**63 - 1)
    batch[3] = sample("long", labels={f"label{i}": "x" * 1000 for i in range(70)})
    error = rejected(opened(influxd, database, schema=schema, labels=("*",)), batch)
    assert error.indices == frozenset({1, 3})
    assert error.rest == "stored"
    assert "time outside range" in error.reason
    assert {row["time"] for row in influxd.rows(database)} == {batch[0].time_ns, batch[2].time_ns}


def test_a_batch_of_which_nothing_can_be_parsed_is_rejected_whole(influxd: Influxd, database: str) -> None:
    error = rejected(opened(influxd, database), [sample("a", time_ns=2**63 - 1), sample("b", time_ns=2**63)])
    assert error.indices == frozenset({0, 1})


def test_new_values_of_a_tag_beyond_the_limit_are_counted() -> None:
    with Influxd(data=["max-values-per-tag = 3"]) as influxd:
        repository = opened(influxd, "stats")
        repository.push(samples(3))
        error = rejected(repository, samples(5))
        assert error.count == 2
        assert "max-values-per-tag limit exceeded" in error.reason
        assert len(influxd.rows("stats")) == 3


def test_a_body_that_is_too_large_comes_in_halves() -> None:
    with Influxd(http=["max-body-size = 20000"]) as influxd:
        repository = opened(influxd, "stats", gzip=False)
        with pytest.raises(TooLarge):
            repository.push(samples(100))
        repository.push(samples(10))
        assert len(influxd.rows("stats")) == 10


def test_a_conflict_within_the_first_batch_of_all_names_nobody_and_halves_tell(influxd: Influxd, database: str) -> None:
    """Nothing of it is stored. Our own lines cannot do that; another's, at the same time, can."""

    class Mixed(Own):
        def lines(self, sample: ContainerSample) -> bytes:
            line = super().lines(sample)
            return line.replace(b"pids=7i", b"pids=7") if sample.container.name == "web-1" else line

    repository = opened(influxd, database)
    repository._schema = Mixed()
    error = rejected(repository, samples(3))
    assert (error.indices, error.count, error.rest) == (None, None, "retry")
    assert not influxd.rows(database)
    repository.push(samples(1))
    error = rejected(repository, samples(2))
    assert (error.count, error.rest) == (1, "stored")


# the database, and who may do what


@pytest.mark.parametrize("name", ["statspout", 'we"ird d,b=é', "select", "a-b.c", "1st"])
def test_a_missing_database_is_made(influxd: Influxd, name: str) -> None:
    opened(influxd, name).push([sample()])
    assert len(influxd.rows(name)) == 1


def test_a_name_that_influxd_does_not_take_is_told(influxd: Influxd) -> None:
    with pytest.raises(RepositoryError, match="there is no database 'a/b', and it cannot be created: invalid name"):
        opened(influxd, "a/b").push([sample()])


def test_version_2s_api_is_not_there_and_that_is_told(influxd: Influxd) -> None:
    repository = InfluxDB(url=influxd.url, bucket="stats", org="acme", token="secret-word")
    repository.open()
    with pytest.raises(RepositoryError, match=r"InfluxDB 1\.x is written to without --influxdb\.bucket"):
        repository.push([sample()])


@pytest.fixture(scope="module")
def guarded() -> Iterator[Influxd]:
    """An influxd that asks who is there: a writer of ``stats``, and somebody without rights."""
    with Influxd(http=["auth-enabled = true"]) as server:
        name, password = server.admin
        server.query(f"CREATE USER {name} WITH PASSWORD '{password}' WITH ALL PRIVILEGES")
        server.query('CREATE DATABASE "stats"')
        server.query("CREATE USER writer WITH PASSWORD 'größe: \"x\"'")
        server.query('GRANT WRITE ON "stats" TO writer')
        server.query("CREATE USER nobody WITH PASSWORD 'secret-word'")
        yield server


def test_a_user_with_the_right_to_write_is_all_it_takes(guarded: Influxd) -> None:
    opened(guarded, "stats", user="writer", password='größe: "x"').push([sample("by the writer")])
    assert "by the writer" in [row["container"] for row in guarded.rows("stats")]


def test_user_and_password_may_be_in_the_url(guarded: Influxd) -> None:
    url = guarded.url.replace("http://", "http://writer:gr%C3%B6%C3%9Fe%3A%20%22x%22@")
    repository = InfluxDB(url=url, database="stats")
    repository.open()
    repository.push([sample("by the URL")])
    assert "by the URL" in [row["container"] for row in guarded.rows("stats")]


@pytest.mark.parametrize(
    ("settings", "database", "told"),
    [
        ({}, "stats", "HTTP 401: unable to parse authentication credentials: .* --influxdb.user and"),
        ({"user": "writer", "password": "wrong-word"}, "stats", "HTTP 401: authorization failed: the credentials"),
        ({"user": "who", "password": "wrong-word"}, "stats", "HTTP 401: authorization failed"),
        ({"user": "nobody", "password": "secret-word"}, "stats", "HTTP 403: .*not authorized to write to"),
        ({"user": "nobody", "password": "secret-word"}, "other",
         r"cannot be created: .*requires admin privilege: it takes an administrator, who may say: CREATE DATABASE"),
    ],
)  # fmt: skip
def test_who_may_not_write_is_told_what_is_missing_and_nothing_is_lost(
    guarded: Influxd, settings: dict[str, str], database: str, told: str
) -> None:
    with pytest.raises(RepositoryError, match=told) as caught:
        opened(guarded, database, **settings).push([sample()])
    assert not isinstance(caught.value, Rejected)
    assert "-word" not in str(caught.value)


def test_a_right_that_is_given_later_is_used(guarded: Influxd) -> None:
    guarded.query("CREATE USER later WITH PASSWORD 'secret-word'")
    repository = opened(guarded, "stats", user="later", password="secret-word")
    with pytest.raises(RepositoryError):
        repository.push([sample("later")])
    guarded.query('GRANT WRITE ON "stats" TO later')
    repository.push([sample("later")])
    assert "later" in [row["container"] for row in guarded.rows("stats")]


# a server that comes and goes


def test_a_restart_while_pushing_loses_nothing_and_stores_nothing_twice() -> None:
    with Influxd() as influxd:
        repository = opened(influxd, "stats")
        repository.close()
        batch = samples(3000)

        async def main() -> Delivery:
            delivery = Delivery(repository, backoff=Backoff(first=0.01, cap=0.1))
            delivery.start()
            for number, one in enumerate(batch):
                delivery.put([one])
                if number in (500, 1500):
                    await asyncio.to_thread(influxd.stop)
                    await asyncio.sleep(0.2)
                    await asyncio.to_thread(influxd.start)
                if number % 50 == 0:
                    await asyncio.sleep(0.02)
            await delivery.stop(60.0)
            return delivery

        repository.flush_interval = 0.01  # type: ignore[misc]  # so that pushes are many
        books = asyncio.run(main()).books
        assert books.balanced
        assert (books.delivered, books.queued) == (3000, 0)
        assert books.failures
        rows = influxd.rows("stats")
        assert [row["time"] for row in rows] == [one.time_ns for one in batch]
        assert [row["rx_bytes"] for row in rows] == [one.rx_bytes for one in batch]


def test_a_batch_cut_by_a_crash_may_come_again(influxd: Influxd, database: str) -> None:
    repository = opened(influxd, database)
    repository.push(samples(10))
    changed = [msgspec.structs.replace(one, pids=8) for one in samples(12)]
    repository.push(changed)
    assert [row["pids"] for row in influxd.rows(database)] == [8] * 12


class _Contract(RepositoryContract):
    schema: Any

    @pytest.fixture(autouse=True)
    def server(self, influxd: Influxd, database: str) -> None:
        self.influxd, self.database = influxd, database

    def make(self) -> Repository:
        return InfluxDB(url=self.influxd.url, database=self.database, schema=self.schema, labels=("*",))

    def stored(self, repository: Repository) -> Sequence[object]:
        return self.influxd.rows(self.database)


class TestOwn(_Contract):
    schema = "own"


class TestLegacy(_Contract):
    schema = "legacy"


class TestTelegraf(_Contract):
    schema = "telegraf"
