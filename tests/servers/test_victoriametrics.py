"""A real VictoriaMetrics, by version 2's API and by 1.x's: every number comes back, and texts do not become zeros."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import msgspec
import pytest
from support.influxdb import SUMMED_UP, VictoriaMetrics

from statspout import ContainerSample, Rejected, Repository, RepositoryError
from statspout.catalogue import ENTRIES
from statspout.repositories.influxdb import InfluxDB
from statspout.repositories.influxdb_lines import SCHEMAS
from statspout.sample import Interface, MetricKind
from statspout.testing import RepositoryContract, metrics, sample, samples

NUMBERS = itertools.count()

APIS: dict[str, dict[str, Any]] = {"2": {"bucket": "stats", "org": "acme"}, "1.x": {"database": "stats"}}


@pytest.fixture(scope="module")
def victoria() -> Iterator[VictoriaMetrics]:
    with VictoriaMetrics() as server:
        yield server


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> dict[str, Any]:
    return APIS[request.param]


@pytest.fixture
def host() -> str:
    """A name that no other test has: the server keeps no buckets apart."""
    return f"node-{next(NUMBERS)}"


def opened(victoria: VictoriaMetrics, **settings: Any) -> InfluxDB:
    repository = InfluxDB(url=victoria.url, **settings)
    repository.open()
    return repository


def values(series: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    return {one["metric"]["__name__"]: one["values"] for one in series}


def measured(host: str) -> ContainerSample:
    """A sample whose numbers are as long as real ones."""
    chance = random.Random(3)
    return sample(
        host=host, time_ns=1_700_000_000_123_456_789, cpu_percent=chance.random() * 100,
        cpu_seconds_total=chance.random() * 1e6, mem_percent=chance.random() * 100, mem_usage=chance.randrange(2**40),
        rx_bytes=chance.randrange(2**50),
    )  # fmt: skip


@pytest.mark.parametrize("gzip", [True, False])
def test_every_number_comes_back_and_nothing_else(
    victoria: VictoriaMetrics, api: dict[str, Any], host: str, gzip: bool
) -> None:
    one = measured(host)
    opened(victoria, gzip=gzip, **api).push([one])
    found = victoria.series(f'{{host="{host}"}}')
    expected = {f"container_{entry.field}": getattr(one, entry.field) for entry in ENTRIES} | {"container_seen": 1}
    assert {name: value for name, [value] in values(found).items()} == {
        # It keeps 12 digits of a float, and all of an integer.
        name: pytest.approx(value, rel=1e-11) if isinstance(value, float) else value
        for name, value in expected.items()
    }
    assert all(series["timestamps"] == [one.time_ns // 1_000_000] for series in found)
    tags = {name: value for name, value in found[0]["metric"].items() if name not in ("__name__", "db")}
    assert tags == {
        "host": host, "container": "web", "id": one.container.short_id, "image": "nginx:1.27",
        "compose_project": "shop", "compose_service": "web",
    }  # fmt: skip


def test_a_database_is_a_tag_and_a_bucket_is_nothing_to_it(victoria: VictoriaMetrics, host: str) -> None:
    opened(victoria, database="stats").push([sample("by 1.x", host=host)])
    opened(victoria, bucket="stats").push([sample("by 2", host=host)])
    found = victoria.series(f'{{__name__="container_pids",host="{host}"}}')
    assert {one["metric"]["container"]: one["metric"].get("db") for one in found} == {"by 1.x": "stats", "by 2": None}


def test_legacy_and_telegraf_come_back_too(victoria: VictoriaMetrics, api: dict[str, Any], host: str) -> None:
    one = sample(host, host=host)
    opened(victoria, schema="legacy", **api).push([one])
    opened(victoria, schema="telegraf", **api).push([one])
    found = values(victoria.series(f'{{container="{host}"}}'))
    assert found == {
        "cpu_usage_value": [20], "mem_usage_value": [9.765625], "tx_bytes_value": [2020], "rx_bytes_value": [1010],
    }  # fmt: skip
    found = values(victoria.series(f'{{container_name="{host}"}}'))
    assert found["docker_container_cpu_usage_total"] == [12_500_000_000]
    assert found["docker_container_net_rx_bytes"] == [1010]
    assert found["docker_container_status_uptime_ns"] == [3_600_000_000_000]
    assert not [name for name in found if "container_id" in name or "health" in name]


def test_interfaces_come_back(victoria: VictoriaMetrics, api: dict[str, Any], host: str) -> None:
    networks = {"eth0": Interface(rx_bytes=1), "eth1": Interface(rx_bytes=3)}
    opened(victoria, **api).push([sample(host=host, networks=networks)])
    found = victoria.series(f'{{__name__="container_network_rx_bytes",host="{host}"}}')
    assert {one["metric"]["interface"]: one["values"] for one in found} == {"eth0": [1], "eth1": [3]}


AWKWARD = {
    "two\nlines\r\n": r"two\nlines\r\n",
    "trailing\\": "trailing/",
    "back\\slash": "back\\slash",
    "twice\\\\": "twice//",
    "before\\ space": "before/ space",
    "before\\,comma": "before/,comma",
    "before\\=equals": "before/=equals",
    "a=b,c{d}": "a=b,c{d}",
    'say "hi"': 'say "hi"',
    " ": " ",
    "#comment": "#comment",
    "x,y=1i 5\nm z=2i": r"x,y=1i 5\nm z=2i",
    "é-Ж-漢字-🐳": "é-Ж-漢字-🐳",
    "half\udc80": r"half\udc80",
    "": None,
}


def test_no_text_harms_its_neighbours_and_each_reads_as_in_influxdb(
    victoria: VictoriaMetrics, api: dict[str, Any], host: str
) -> None:
    """It says 204 whatever it drops: only what it holds is proof."""
    batch = []
    for number, text in enumerate(AWKWARD):
        odd = sample(text, id=f"{number:064}", image=text, host=host, labels={"team": text})
        batch += [sample(f"before {number}", host=host), odd, sample(f"after {number}", host=host)]
    opened(victoria, labels=("team",), **api).push(batch)
    found = victoria.series(f'{{__name__="container_pids",host="{host}"}}')
    names = [AWKWARD.get(one.container.name, one.container.name) for one in batch]
    assert sorted(str(one["metric"].get("container")) for one in found) == sorted(map(str, names))
    for one in found:
        written = one["metric"].get("container")
        if written in AWKWARD.values():
            assert one["metric"].get("team") == one["metric"].get("image") == written


def test_the_same_batch_twice_is_two_values(victoria: VictoriaMetrics, api: dict[str, Any], host: str) -> None:
    """As documented: it keeps both."""
    repository = opened(victoria, **api)
    repository.push([sample(host=host)])
    repository.push([sample(host=host)])
    [found] = victoria.series(f'{{__name__="container_pids",host="{host}"}}')
    assert found["values"] == [7, 7]


def test_the_same_batch_twice_is_one_value_with_deduplication() -> None:
    """As documented: with the flag it keeps one."""
    with VictoriaMetrics("-dedup.minScrapeInterval=1ms") as victoria:
        repository = opened(victoria, bucket="stats")
        repository.push(samples(3))
        repository.push(samples(3))
        found = victoria.series('{__name__="container_pids"}')
        assert [one["values"] for one in found] == [[7]] * 3


def test_who_may_not_write_is_told() -> None:
    with VictoriaMetrics("-httpAuth.username=me", "-httpAuth.password=secret-word") as victoria:
        with pytest.raises(RepositoryError, match="HTTP 401"):
            opened(victoria, bucket="stats", user="me", password="wrong-word").push([sample()])
        for settings in APIS.values():
            opened(victoria, user="me", password="secret-word", **settings).push([sample()])


def test_what_applications_report_comes_back_but_for_texts(
    victoria: VictoriaMetrics, api: dict[str, Any], host: str
) -> None:
    reported = [msgspec.structs.replace(one, host=host) for one in metrics()]
    with pytest.raises(Rejected) as caught:
        opened(victoria, **api).push([sample(host=host), *reported])
    assert (caught.value.indices, caught.value.rest) == (frozenset({7}), "stored")
    found = victoria.series(f'{{__name__=~"shop.*",host="{host}"}}')
    expected = {"shop.counter_delta_value": 12, "shop.counter_delta_rate": 2.4, "shop.counter_total_value": 120}
    expected |= {"shop.gauge_value": 2.5, "shop.set_value": 3}
    expected |= {f"shop.{kind}_{part}": value for kind in ("timer", "histogram") for part, value in SUMMED_UP.items()}
    assert {name: value for name, [value] in values(found).items()} == expected
    assert all(one["metric"]["container"] == "web" and one["metric"]["env"] == "prod" for one in found)


@pytest.fixture(scope="class")
def own_victoria() -> Iterator[VictoriaMetrics]:
    """All of it is read again and again: that of the other tests would make it slow."""
    with VictoriaMetrics() as server:
        yield server


class _Contract(RepositoryContract):
    rejects: ClassVar[frozenset[MetricKind]] = frozenset({"text"})  # it has no strings
    settings: dict[str, Any]
    schema: Any

    @pytest.fixture(autouse=True)
    def server(self, own_victoria: VictoriaMetrics) -> None:
        self.victoria = own_victoria

    def make(self) -> Repository:
        return InfluxDB(url=self.victoria.url, schema=self.schema, labels=("*",), **self.settings)

    def stored(self, repository: Repository) -> Sequence[object]:
        return [value for one in self.victoria.series() for value in one["values"]]


class TestVersion2(_Contract):
    settings, schema = APIS["2"], "own"


class TestVersion1(_Contract):
    settings, schema = APIS["1.x"], "own"


class TestTelegraf(_Contract):
    settings, schema = APIS["2"], "telegraf"


class TestLegacy(_Contract):
    settings, schema = APIS["2"], "legacy"


def test_every_schema_is_under_the_contract() -> None:
    assert {TestVersion2.schema, TestTelegraf.schema, TestLegacy.schema} == set(SCHEMAS)
