"""What applications report in line protocol, to the byte, in each schema."""

from __future__ import annotations

import math
from typing import Any

import pytest

from statspout import Metric, Rejected, Summary
from statspout.repositories.influxdb import InfluxDB
from statspout.repositories.influxdb_lines import SCHEMAS
from statspout.repositories.influxdb_lines.text import LONGEST_KEY, measurement, series
from statspout.sample import MetricKind
from statspout.testing import metric, metrics, sample

TIME = 1_487_073_601_123_456_789
ID = sample().container.short_id
TAGS = f"container=web,env=prod,host=node-1,id={ID},kind="
PARTS = "count=4.0,sum=100.0,min=10.0,max=40.0,mean=25.0,stdev=11.25,p50=20.0,p95=40.0,p99.9=40.0"

TIMING = "mean=25.0,stddev=11.25,sum=100.0,upper=40.0,lower=10.0,50_percentile=20.0,95_percentile=40.0"
TIMING += ",99.9_percentile=40.0,count=4.0"

UNKNOWN = Summary(count=math.nan, sum=math.nan, min=math.nan, max=math.nan, mean=math.nan, stdev=math.nan)


def line(one: Metric, schema: str = "own", labels: tuple[str, ...] = (), *, texts: bool = True) -> str:
    return SCHEMAS[schema](labels, texts=texts).application(one).decode()


@pytest.mark.parametrize("schema", ["own", "legacy"])
@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("counter_delta", "value=12.0,rate=2.4"),
        ("counter_total", "value=120.0"),
        ("gauge", "value=2.5"),
        ("set", "value=3.0"),
        ("timer", PARTS),
        ("histogram", PARTS),
        ("text", 'text="version 7 is out"'),
    ],
)
def test_each_kind_has_its_fields_and_every_number_is_a_float(schema: str, kind: MetricKind, fields: str) -> None:
    assert line(metric("orders.placed", kind), schema) == f"orders.placed,{TAGS}{kind} {fields} {TIME}"


@pytest.mark.parametrize(
    ("kind", "name", "fields"),
    [
        ("counter_delta", "counter", "value=12.0"),
        ("counter_total", "counter_total", "value=120.0"),
        ("gauge", "gauge", "value=2.5"),
        ("set", "set", "value=3.0"),
        ("text", "event", 'text="version 7 is out"'),
        ("timer", "timing", TIMING),
        ("histogram", "histogram", TIMING),
    ],
)
def test_telegraf_has_the_tags_and_fields_of_its_statsd_input(kind: MetricKind, name: str, fields: str) -> None:
    tags = f"container_name=web,env=prod,host=node-1,metric_type={name}"
    assert line(metric("orders.placed", kind), "telegraf") == f"orders_placed,{tags} {fields} {TIME}"


def test_nobody_known_and_nothing_but_a_number_is_a_point_too() -> None:
    bare = Metric(time_ns=1, host="", key="k", name="", kind="gauge", value=1)
    assert [line(bare, schema) for schema in SCHEMAS] == [
        "_,kind=gauge value=1.0 1",
        "_,kind=gauge value=1.0 1",
        "_,metric_type=gauge value=1.0 1",
    ]


def test_a_context_is_a_text_beside_the_value() -> None:
    one = metric("up", "gauge", value=2, context='no "route"\n', tags={})
    assert line(one).split(" ", 1)[1] == f'value=2.0,context="no \\"route\\"\\\\n" {TIME}'
    assert line(one, texts=False).split(" ", 1)[1] == f"value=2.0 {TIME}"


def tags_of(written: str) -> dict[str, str]:
    return dict(part.split("=") for part in written.split(" ")[0].split(",")[1:])


def test_no_tag_of_an_application_takes_the_place_of_another() -> None:
    tags = dict.fromkeys(("host", "value", "p95", "time", "team", "count", "other"), "x") | {"beta": "", "kind": "x"}
    who = sample(labels={"team": "red", "secret": "s"}).container
    assert tags_of(line(metric("m", tags=tags, container=who), labels=("team",))) == {
        "container": "web", "host": "node-1", "id": ID, "team": "red", "exported_host": "x", "exported_value": "x",
        "exported_time": "x", "exported_team": "x", "exported_count": "x", "other": "x", "p95": "x",
        "kind": "counter_delta", "exported_kind": "x", "beta": "true",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "name", "written"),
    [
        ("own", "container", "container"),
        ("own", "container_network", "container_network"),
        ("legacy", "tx_bytes", "tx_bytes"),
        ("telegraf", "docker.container.cpu", "docker_container_cpu"),
    ],
)
def test_an_application_writes_into_no_measurement_of_containers(schema: str, name: str, written: str) -> None:
    assert line(metric(name), schema).startswith(f"exported_{written},")


@pytest.mark.parametrize(("name", "written"), [("#x", "_x"), ("#", "_"), ("x#", "x#"), (" #x", r"\ #x")])
def test_no_name_makes_a_comment_of_its_line(name: str, written: str) -> None:
    assert measurement(name) == written


@pytest.mark.parametrize("letter", ["x", "é", "漢", "🐳", "\n"])
def test_a_tags_key_is_as_long_as_every_server_takes_it_and_no_letter_is_cut(letter: str) -> None:
    key = series("m", {letter * 400: "x"}).decode().partition(",")[2].partition("=")[0]
    assert LONGEST_KEY - 4 < len(key.encode()) <= LONGEST_KEY


@pytest.mark.parametrize(
    "bad",
    [
        metric("x", "gauge", value=math.nan),
        metric("x", "gauge", value=-math.inf),
        metric("x", value=10**400),
        metric("x", "timer", value=UNKNOWN),
    ],
    ids=repr,
)
@pytest.mark.parametrize("schema", SCHEMAS)
def test_what_is_no_number_is_no_point(bad: Metric, schema: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        line(bad, schema)


def test_a_part_that_is_no_number_is_absent() -> None:
    odd = Summary(count=1, sum=math.inf, min=1.0, max=2.0, mean=math.nan, stdev=0.0, percentiles={"95": math.nan})
    assert line(metric("t", "timer", value=odd)).split(" ")[1] == "count=1.0,min=1.0,max=2.0,stdev=0.0"


class Taken:
    """In the place of a connection: takes every line."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def write(self, body: bytes) -> Any:
        self.bodies.append(body)
        return type("Answer", (), {"status": 204, "body": ""})

    def hint(self, _: object) -> str:
        return ""

    def close(self) -> None: ...


def test_what_cannot_be_written_is_told_by_its_place_and_costs_no_other() -> None:
    repository, taken = InfluxDB(), Taken()
    repository._api = taken  # type: ignore[assignment]
    with pytest.raises(Rejected) as caught:
        repository.push([sample(), metric("a"), metric("b", "gauge", value=math.nan), metric("c")])
    assert (caught.value.indices, caught.value.rest) == (frozenset({2}), "stored")
    assert [text.partition(b",")[0] for text in taken.bodies[0].splitlines()] == [b"container", b"a", b"c"]


def test_a_server_without_texts_gets_none() -> None:
    repository, taken = InfluxDB(), Taken()
    repository._api = taken  # type: ignore[assignment]
    repository._schema = SCHEMAS["own"](texts=False)
    with pytest.raises(Rejected) as caught:
        repository.push(metrics())
    assert caught.value.indices == frozenset({[one.kind for one in metrics()].index("text")})
    assert len(taken.bodies[0].splitlines()) == 6
