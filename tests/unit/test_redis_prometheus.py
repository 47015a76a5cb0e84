"""Statistics as Prometheus takes them: names, labels, formatters of one's own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from statspout.client.redis import config
from statspout.client.redis import prometheus as page_of
from statspout.client.redis.prometheus import (
    Page,
    default_stat_formatter,
    generate_metrics,
    metric_name,
    parse_line_protocol_stat_key,
    prometheus_stat_formatters,
    stat_formatter,
)
from statspout.client.redis.reading import StatsData

STAT = StatsData(3.0, 1.0, 0.5, 2.0, -1.0, 3.0, 1.5, 1.6e9)._asdict()


@pytest.fixture(autouse=True)
def formatters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that a test registers are its own, and what it has said in the log was not said before."""
    monkeypatch.setattr(page_of, "prometheus_stat_formatters", prometheus_stat_formatters.copy())
    monkeypatch.setattr(page_of, "_told", set())
    monkeypatch.setattr("statspout.client.losses._said", set())


def series(*labels: str, namespace: str = "AKA-STATS") -> list[str]:
    page = Page(namespace)
    for label in labels:
        page.add(label, STAT)
    return [line for line in page.text().splitlines() if not line.startswith("#")]


def test_a_label_has_a_family_of_each_of_its_statistics_but_the_time() -> None:
    assert series("jobs;host=10.0.0.01") == [
        'jobs_AVG{host="10.0.0.01"} 1.0',
        'jobs_COUNT{host="10.0.0.01"} 3.0',
        'jobs_LAST{host="10.0.0.01"} 1.5',
        'jobs_MAX{host="10.0.0.01"} 2.0',
        'jobs_MIN{host="10.0.0.01"} -1.0',
        'jobs_STDEV{host="10.0.0.01"} 0.5',
        'jobs_TOTAL{host="10.0.0.01"} 3.0',
    ]


def test_a_family_has_its_head_once() -> None:
    page = Page("NS")
    for host in "ab":
        page.add(f"jobs;host={host}", STAT)
    head = "# HELP jobs_AVG The average of the values of jobs.\n# TYPE jobs_AVG gauge\n"
    assert page.text().startswith(f'{head}jobs_AVG{{host="a"}} 1.0\njobs_AVG{{host="b"}} 1.0\n# HELP jobs_COUNT ')


@pytest.mark.parametrize(
    ("label", "found"),
    [
        ("errors__all", '{error="all"}'),
        ("errors__EXC:ValueError", '{EXC="ValueError"}'),
        ("errors__EXC:K__worker:7", '{EXC="K",worker="7"}'),
        ("errors__EXC:a.b:c", '{EXC="a.b:c"}'),
        ("errors__time__out", '{error="time__out"}'),
        ("errors__EXC:A__EXC:B", '{error="EXC:A__EXC:B"}'),
        ("errors__", ""),
    ],
)
def test_an_error_has_its_count_only(label: str, found: str) -> None:
    assert series(label) == [f"AKA_STATS_ERROR_COUNT{found} 3.0"]


def test_errors_have_the_name_of_their_namespace() -> None:
    assert series("errors__all", namespace="shop") == ['SHOP_ERROR_COUNT{error="all"} 3.0']


@pytest.mark.parametrize(
    ("label", "first"),
    [
        ("DEVICE::1.2.3.4", 'DEVICE__1_2_3_4_AVG{label="DEVICE::1.2.3.4"} 1.0'),
        ("a/b;k=v", 'a_b_AVG{label="a/b",k="v"} 1.0'),
        ("a/b;label=v", 'a_b_AVG{label="v"} 1.0'),
        ("1st", '_1st_AVG{label="1st"} 1.0'),
        ("ü", '__AVG{label="ü"} 1.0'),
        ('a;k="\\\n', r'a_AVG{k="\"\\\n"} 1.0'),
        ("a;k-1=x,k_1=y", 'a_AVG{k_1="x",k_1_2="y"} 1.0'),
        ("a;__name__=x", 'a_AVG{_name__="x"} 1.0'),
        ("a;1=x", 'a_AVG{_1="x"} 1.0'),
        ("a;k=", "a_AVG 1.0"),
        ("a;k", 'a_k_AVG{label="a;k"} 1.0'),
    ],
)
def test_names_are_made_what_prometheus_takes(label: str, first: str) -> None:
    assert series(label)[0] == first


def test_two_labels_that_come_to_one_name_are_two_series() -> None:
    assert series("a/b", "a-b")[:2] == ['a_b_AVG{label="a/b"} 1.0', 'a_b_AVG{label="a-b"} 1.0']


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("SNMP;hostname=abc.com,worker=mti", ("SNMP", {"hostname": "abc.com", "worker": "mti"})),
        ("a;k=v=w", ("a", {"k": "v=w"})),
        ("a", ("a", {})),
        ("a;", ("a;", {})),
        ("a;k=1,k=2", ("a;k=1,k=2", {})),
    ],
)
def test_a_label_and_its_extra_labels_are_told_apart(key: str, found: tuple[str, dict[str, str]]) -> None:
    assert parse_line_protocol_stat_key(key) == found


def test_what_is_not_known_has_no_line() -> None:
    assert list(generate_metrics({}, StatsData(count=1.0)._asdict(), "a")) == ["a_COUNT 1.0"]


def test_metrics_without_a_prefix_have_that_of_the_namespace() -> None:
    assert config.namespace == "AKA-STATS"
    assert list(generate_metrics({"k": None, "n": 1}, STAT, fields=["max"])) == ['AKA_STATS_MAX{n="1"} 2.0']


@pytest.mark.parametrize(("text", "name"), [("", "_"), ("a.b", "a_b"), ("9", "_9"), ("a:b", "a_b"), ("\u0663", "_")])
def test_a_name_is_made_one(text: str, name: str) -> None:
    assert metric_name(text) == name


# Formatters of one's own


def test_a_formatter_is_for_the_labels_that_begin_so() -> None:
    @stat_formatter("stat:")
    def simple(key: str, stat: dict[str, Any]) -> Iterator[str]:
        _, host = key.split(":", 1)
        return generate_metrics({"host_id": host}, stat, "SIMPLE_STAT", fields=["count"])

    assert series("stat:1", "stats")[0] == 'SIMPLE_STAT_COUNT{host_id="1"} 3.0'
    assert len(series("stat:1")) == 1


def test_of_two_formatters_the_one_for_more_is_asked() -> None:
    @stat_formatter("errors__EXC:")
    def short(key: str, stat: dict[str, Any]) -> list[str]:
        return [f"exceptions {stat['count']}"]

    assert series("errors__EXC:A", "errors__all") == ['AKA_STATS_ERROR_COUNT{error="all"} 3.0', "exceptions 3.0"]


def test_the_default_formatter_may_be_another() -> None:
    @default_stat_formatter
    def short(key: str, stat: dict[str, Any]) -> list[str]:
        return [f'everything{{label="{key}"}} {stat["last"]} 1600000000000']

    assert series("a", "errors__all")[1] == 'everything{label="a"} 1.5 1600000000000'


@pytest.mark.parametrize(
    "line",
    [
        "no value", "1a 1", "a-b 1", "a None", "a nan", "a inf", "a 1_0", "a \u0661", 'a{k=v} 1', 'a{k="v} 1',
        'a{1="v"} 1', 'a{k="\\x"} 1', 'a{k="v"}{l="w"} 1', "a 1\nb 2", "# HELP a b", 'a{k="1",k="2"} 1', "a 1 soon",
    ],
)  # fmt: skip
def test_a_line_that_is_no_series_is_left_out_and_said_once(line: str, caplog: pytest.LogCaptureFixture) -> None:
    @stat_formatter("x")
    def wrong(key: str, stat: dict[str, Any]) -> list[str]:
        return ["", line, f'good{{k="{key}"}} 1']

    with caplog.at_level(logging.WARNING, "statspout.client"):
        assert series("x1", "x2") == ['good{k="x1"} 1', 'good{k="x2"} 1']
    (said,) = caplog.messages
    assert said.startswith("stats-prometheus: ")
    assert "wrong made of 'x1' what is left out" in said


@pytest.mark.parametrize("again", ["a 2", "a{} 2", 'a{k=""} 2'])
def test_a_series_is_there_once(again: str) -> None:
    @stat_formatter("x")
    def twice(key: str, stat: dict[str, Any]) -> list[str]:
        return ["a 1", again, 'a{k="v",l="w"} 3', 'a{l="w",k="v",} 4']

    assert series("x") == ["a 1", 'a{k="v",l="w"} 3']


def test_a_formatter_that_fails_costs_its_own_labels_only(caplog: pytest.LogCaptureFixture) -> None:
    @stat_formatter("x")
    def fails(key: str, stat: dict[str, Any]) -> Iterator[str]:
        yield "begun 1"
        raise KeyError(key)

    assert series("x1", "errors__all", "x2") == ['AKA_STATS_ERROR_COUNT{error="all"} 3.0', "begun 1"]
    assert len([line for line in caplog.messages if "KeyError" in line]) == 1
