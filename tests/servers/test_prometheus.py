"""A real Prometheus scrapes what applications report, by each schema; promtool looks at the page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support.prometheus import PrometheusServer, promtool
from support.web import served

from statspout import Sample
from statspout.repositories.prometheus import Prometheus
from statspout.repositories.prometheus_schemas import SCHEMAS
from statspout.sample import MetricKind
from statspout.testing import metric, metrics, sample
from statspout.testing.contract_driver import AWKWARD

ID = sample().container.id
SENDER = {
    "own": {"host": "node-1", "container": "web", "id": ID[:12]},
    "cadvisor": {"host": "node-1", "name": "web", "id": f"/docker/{ID}", "image": "nginx:1.27"},
    "legacy": {"container": "web"},
}
COUNTED = "shop_counter_delta_total"
CURRENT: list[Sample] = [sample(), *(one for one in metrics() if one.kind != "text")]
AWKWARD_ONES = [metric(text, "gauge", tags={text: text, "of": text}, context=text) for text in AWKWARD]


def showing(schema: Any) -> Prometheus:
    repository = Prometheus(schema=schema)
    repository.open()
    repository.push([*CURRENT, *AWKWARD_ONES])
    return repository


@pytest.fixture(scope="module")
def shown() -> dict[str, Prometheus]:
    return {schema: showing(schema) for schema in SCHEMAS}


@pytest.fixture(scope="module")
def prometheus(shown: dict[str, Prometheus]) -> Iterator[PrometheusServer]:
    with ExitStack() as stack:
        clients = {name: stack.enter_context(served(one.routes())) for name, one in shown.items()}
        targets = {name: f"127.0.0.1:{client.port}" for name, client in clients.items()}
        server = stack.enter_context(PrometheusServer(targets))
        server.eventually(lambda: [value for _, value in server.query("up")] == [1, 1, 1])
        yield server


def test_every_page_is_scraped_without_error_whatever_is_in_names_and_tags(prometheus: PrometheusServer) -> None:
    targets = prometheus.ask("targets")["activeTargets"]
    assert [target["lastError"] for target in targets] == [""] * 3
    found = prometheus.eventually(lambda: prometheus.query('{job="own", of!=""}'))
    assert sorted(labels["of"] for labels, _ in found) == sorted(AWKWARD)


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize(
    ("query", "labels", "value"),
    [
        (COUNTED, {}, 12),
        ("shop_counter_total", {}, 120),
        ("shop_gauge", {}, 2.5),
        ("shop_set", {}, 3),
        ('shop_timer_seconds{quantile="0.999"}', {"quantile": "0.999"}, 0.04),
        ("shop_timer_seconds_sum / shop_timer_seconds_count", {}, 0.025),
        ("shop_histogram_count", {}, 4),
    ],
)
def test_a_query_finds_what_was_reported(
    prometheus: PrometheusServer, schema: str, query: str, labels: dict[str, str], value: float
) -> None:
    found = prometheus.eventually(lambda: [one for one in prometheus.query(query) if one[0]["job"] == schema])
    expected = {**SENDER[schema], **labels, "env": "prod"}
    [(had, number)] = found
    assert had == had | expected
    assert number == pytest.approx(value)


@pytest.mark.parametrize(
    ("family", "kind", "unit"),
    [("shop_counter_delta", "counter", ""), ("shop_gauge", "gauge", ""), ("shop_timer_seconds", "summary", "seconds")],
)
def test_prometheus_knows_kind_and_unit(prometheus: PrometheusServer, family: str, kind: str, unit: str) -> None:
    found = prometheus.eventually(lambda: prometheus.ask("targets/metadata", metric=family))
    assert {(entry["type"], entry["unit"]) for entry in found} == {(kind, unit)}


def test_a_counter_that_is_counted_on_goes_on(shown: dict[str, Prometheus], prometheus: PrometheusServer) -> None:
    prometheus.eventually(lambda: prometheus.query(f'{COUNTED}{{job="own"}}'))
    shown["own"].push([metric("shop.counter_delta", value=8)])
    found = prometheus.eventually(lambda: prometheus.query(f'{COUNTED}{{job="own"}} > 12'))
    assert [value for _, value in found] == [20]
    assert prometheus.query(f'resets({COUNTED}{{job="own"}}[1m])')[0][1] == 0


def test_promtool_finds_nothing_to_complain_about() -> None:
    repository = Prometheus()
    kinds: dict[str, MetricKind] = {"orders": "counter_delta", "depth": "gauge", "users": "set", "wait": "timer"}
    repository.push([sample(), *(metric(name, kind) for name, kind in kinds.items()), metric("size", "histogram")])
    page = repository.exposition()
    assert b"wait_seconds_sum{" in page
    assert promtool(page) == ""
