"""What an application reported as people and their programs read it: REST, JSON lines, text lines, the webhook."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest
import responses
from support.web import served

from statspout import ConfigError, Metric, Summary
from statspout.delivery.delivery import Delivery
from statspout.delivery.live import Live
from statspout.repositories.rest import Rest
from statspout.repositories.stdout import Stdout
from statspout.repositories.webhook import Webhook
from statspout.shapes import metric_object, rest_object
from statspout.testing import metric, metrics, sample

UNKNOWN: dict[str, Any] = {"unit": None, "interval_s": None, "tags": {}, "context": None}
NOBODY = {"container": None, "Labels": None, "id": None, "image": None}

SHORT = Summary(count=4, sum=100.0, min=10.0, max=40.0, mean=25.0, stdev=11.25, percentiles={"95": 40.0})


def test_an_object_has_the_number_its_rate_and_whose_it_is() -> None:
    web = sample().container
    assert metric_object(metric(context="op 7")) == {
        "@timestamp": "2017-02-14T12:00:01.123456789Z", "metric": "orders.placed", "kind": "counter_delta",
        "value": 12, "rate": 2.4, "unit": None, "interval_s": 5.0, "tags": {"env": "prod"}, "context": "op 7",
        "container": "web", "Labels": dict(web.labels), "id": web.id, "image": "nginx:1.27", "host": "node-1",
    }  # fmt: skip


def test_a_summary_has_its_parts_in_place_of_a_value() -> None:
    found = metric_object(metric("t", "timer"))
    assert found["percentiles"] == {"50": 20.0, "95": 40.0, "99.9": 40.0}
    assert (found["count"], found["sum"], found["min"], found["max"], found["mean"], found["stdev"], found["unit"]) == (
        4, 100.0, 10.0, 40.0, 25.0, 11.25, "ms",
    )  # fmt: skip
    assert not found.keys() & {"value", "rate"}


def test_what_is_unknown_is_null() -> None:
    found = metric_object(Metric(time_ns=0, host="h", key="k", name="n", kind="gauge", value=1))
    assert found == {
        "@timestamp": "1970-01-01T00:00:00.000000000Z", "metric": "n", "kind": "gauge", "value": 1, "rate": None,
        "host": "h", **UNKNOWN, **NOBODY,
    }  # fmt: skip


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_is_infinite_or_nan(value: float) -> None:
    odd = Summary(count=1, sum=value, min=value, max=1.0, mean=value, stdev=value, percentiles={"95": value})
    objects = [metric_object(metric("g", "gauge", value=value)), metric_object(metric("t", "timer", value=odd))]
    assert objects[0]["value"] is objects[1]["sum"] is objects[1]["percentiles"]["95"] is None
    json.dumps(objects, allow_nan=False)


def test_an_object_is_told_from_a_containers_by_its_metric() -> None:
    assert "metric" not in rest_object(sample())
    assert not {"name", "cpu_percent"} & metric_object(metric()).keys()


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (metric(), "[web] {14 Feb 17 12:00:01 UTC} orders.placed: 12 (2.4/s) env=prod"),
        (metric("q", "gauge", value=-0.5, tags={}), "[web] {14 Feb 17 12:00:01 UTC} q: -0.5"),
        (metric("q", "gauge", value=math.nan, tags={}), "[web] {14 Feb 17 12:00:01 UTC} q: --"),
        (metric("b", "gauge", value=1234567.8, tags={}, unit="B"), "[web] {14 Feb 17 12:00:01 UTC} b: 1234568 B"),
        (metric("u", "set", container=None, tags={"beta": ""}), "[--] {14 Feb 17 12:00:01 UTC} u: 3 beta"),
        (
            metric("t", "timer", tags={}, value=SHORT),
            "[web] {14 Feb 17 12:00:01 UTC} t: 4 values, mean 25 ms, min 10 ms, max 40 ms, p95 40 ms",
        ),
        (
            metric("deploy", "text", value="two\nlines", context="by me", tags={"a\n": "b\x1b"}),
            r"[web] {14 Feb 17 12:00:01 UTC} deploy: two\nlines a\n=b\x1b (by me)",
        ),
    ],
)
def test_a_line_for_people(one: Metric, line: str) -> None:
    stream = io.BytesIO()
    Stdout(stream=stream).push([one])
    assert stream.getvalue().decode() == line + "\n"


def test_json_lines_have_the_objects_of_both() -> None:
    stream, odd = io.BytesIO(), metric("half\udc80", "text", value="\udc80")
    Stdout(stream=stream, format="json").push([sample(), metric(), odd])
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert found == [rest_object(sample()), metric_object(metric()), metric_object(odd)]


@pytest.mark.parametrize(("form", "filtered"), [("table", 7), ("text", 0), ("json", 0)])
def test_the_table_has_no_row_for_it_and_the_books_say_so(form: Any, filtered: int) -> None:
    delivery = Delivery(Stdout(stream=io.BytesIO(), format=form))
    delivery.put([sample(), *metrics()])
    assert (delivery.books.collected, delivery.books.filtered) == (8, filtered)


@responses.activate
def test_the_webhook_sends_both_in_one_array() -> None:
    responses.post("https://hooks.example/in")
    webhook = Webhook(url="https://hooks.example/in")
    webhook.open()
    webhook.push([sample(), metric()])
    webhook.close()
    body = responses.calls[0].request.body
    assert json.loads(body or "") == [rest_object(sample()), metric_object(metric())]


# rest


def serving(**options: Any) -> Rest:
    rest = Rest(**options)
    rest.open()
    rest.push([sample("web"), metric("b/c"), metric("a", tags={"x": "1"}), metric("a", tags={"x": "2"})])
    return rest


@pytest.mark.parametrize(("path", "app_path"), [("/stats", "/app-stats"), ("/", "/apps"), ("/x", "/"), ("/x", "/x/y")])
def test_applications_have_a_path_of_their_own(path: str, app_path: str) -> None:
    with served(serving(path=path, app_path=app_path).routes()) as client:
        found = client.ask(app_path).json()
        assert [(one["metric"], one["tags"].get("x")) for one in found] == [("a", "1"), ("a", "2"), ("b/c", None)]
        assert [one["name"] for one in client.ask(path).json()] == ["web"]
        assert client.ask(f"{path.rstrip('/')}/web").json()["name"] == "web"
        assert client.ask(f"{app_path.rstrip('/')}/a").json() == found[:2]
        assert client.ask(f"{app_path.rstrip('/')}/b%2Fc").json() == found[2:]


def test_a_name_that_nobody_reports_is_not_found() -> None:
    with served(serving().routes()) as client:
        answer = client.ask("/app-stats/web")
    assert (answer.status, answer.json()) == (404, {"error": "no metric 'web'"})


def test_nothing_is_an_empty_array() -> None:
    with served(Rest().routes()) as client:
        assert client.ask("/app-stats").body == b"[]"


def test_a_closed_rest_serves_nothing() -> None:
    rest = serving()
    rest.close()
    assert rest.reported.series() == []


def test_two_paths_that_are_one_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"--rest\.app-path: /x is --rest\.path, too: a path of its own is right"):
        Rest(path="/x", app_path="x/")


def test_what_a_live_repository_rejects_is_counted_and_each_reason_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rest = Rest()
    live = Live(rest)
    live.start()
    live.put([metric(f"n{i}") for i in range(10_003)])
    assert (live.books.delivered, dict(live.books.dropped), live.books.balanced) == (10_000, {"rejected": 3}, True)
    assert [record.message for record in caplog.records] == [
        "rest: left out, and counted: there are 10000 series of applications, the most that are kept: no new ones"
    ]
