"""What applications report as documents: every value and its type, and when two are the same."""

from __future__ import annotations

import math
from typing import Any

import bson
import pytest
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64

from statspout import Metric, Rejected
from statspout.repositories.mongodb_documents import encode_all, identity, identity_of_metric, schema
from statspout.sample import MetricKind
from statspout.testing import metric, sample

MS = CodecOptions[dict[str, Any]](datetime_conversion=DatetimeConversion.DATETIME_MS)
TIME = DatetimeMS(1_487_073_601_123)
PARTS = {"count": 4.0, "sum": 100.0, "min": 10.0, "max": 40.0, "mean": 25.0, "stdev": 11.25}


def document(one: Metric, name: str = "own") -> dict[str, Any]:
    [made] = encode_all([one], schema(name))
    return bson.decode(made.raw, MS)


def test_a_document_says_what_was_reported_and_by_whom() -> None:
    found = document(metric(context="op 7"))
    of_container = bson.decode(encode_all([sample()], schema("own"))[0].raw, MS)["container"]
    assert found == {
        "_id": identity_of_metric(metric()), "time": TIME, "time_ns": Int64(1_487_073_601_123_456_789),
        "host": "node-1", "metric": "orders.placed", "kind": "counter_delta", "value": 12.0, "rate": 2.4,
        "interval_s": 5.0, "tags": {"env": "prod"}, "container": of_container, "context": "op 7",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("counter_total", {"value": 120.0}),
        ("gauge", {"value": 2.5}),
        ("set", {"value": 3.0}),
        ("timer", {**PARTS, "percentiles": {"50": 20.0, "95": 40.0, "99%2E9": 40.0}, "unit": "ms"}),
        ("histogram", {**PARTS, "percentiles": {"50": 20.0, "95": 40.0, "99%2E9": 40.0}}),
        ("text", {"text": "version 7 is out"}),
    ],
)
def test_each_kind_has_its_fields_and_every_number_is_a_double(kind: MetricKind, value: dict[str, Any]) -> None:
    found = document(metric("x", kind))
    about = {"_id", "time", "time_ns", "host", "metric", "kind", "interval_s", "tags", "container"}
    assert {name: one for name, one in found.items() if name not in about} == value
    assert all(type(one) in (float, str, dict) for one in value.values())


def test_legacy_has_the_same_with_its_own_timestamp() -> None:
    own, legacy = document(metric()), document(metric(), "legacy")
    assert legacy.pop("timestamp") == own.pop("time")
    assert legacy == own


def test_what_is_unknown_is_absent() -> None:
    bare = Metric(time_ns=1, host="h", key="k", name="n", kind="gauge", value=math.nan)
    assert document(bare).keys() == {"_id", "time", "time_ns", "host", "metric", "kind", "tags"}


def test_keys_and_texts_are_such_that_every_server_takes_them() -> None:
    found = document(metric("half\udc80", "text", value="\udc80", tags={"a.b$\0": "\udc80"}, context="\udc80"))
    assert (found["metric"], found["text"], found["context"]) == ("half\\udc80", "\\udc80", "\\udc80")
    assert found["tags"] == {"a%2Eb%24%00": "\\udc80"}


@pytest.mark.parametrize(
    "other",
    [
        metric("another"),
        metric(kind="gauge"),
        metric(tags={}),
        metric(container=None),
        metric(time_ns=metric().time_ns + 1),
    ],
    ids=repr,
)
def test_what_is_another_metric_is_another_document(other: Metric) -> None:
    assert identity_of_metric(metric()) == identity_of_metric(metric(value=13))
    assert identity_of_metric(other) != identity_of_metric(metric())


def test_two_events_of_one_name_and_second_are_two_documents() -> None:
    texts = [metric("deploy", "text", value=value) for value in ("began", "ended")]
    assert len({identity_of_metric(one) for one in texts}) == 2


def test_a_container_and_its_metric_are_never_one_document() -> None:
    one = sample()
    assert identity(one) != identity_of_metric(metric(key=one.key, time_ns=one.time_ns))


def test_what_cannot_be_a_document_is_named() -> None:
    with pytest.raises(Rejected, match="huge: no document can be made of it: OverflowError") as caught:
        encode_all([sample(), metric("huge", value=10**400), metric("fine")], schema("own"))
    assert caught.value.indices == frozenset({1})
