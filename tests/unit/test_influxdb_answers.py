"""InfluxDB: what follows from each answer of a server, and what is made when it is missing."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest
from support.influxdb import APIS, FakeInflux, Reply, failed, opened

from statspout import Rejected, RepositoryError, RetryAfter, TooLarge
from statspout.repositories.influxdb_lines import SCHEMAS
from statspout.testing import sample, samples


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings for either API."""
    found: dict[str, Any] = APIS[request.param]
    return found


# answers

BUSY = [
    (Reply(429, {"code": "too many requests", "message": "limit"}, {"Retry-After": "7"}), 7.0),
    (Reply(503, {"code": "unavailable", "message": "later"}, {"Retry-After": "30"}), 30.0),
    (Reply(503, b"<html><title>503</title></html>", {"Retry-After": "5"}), 5.0),
]


@pytest.mark.parametrize(("reply", "seconds"), BUSY)
def test_a_server_that_asks_for_a_pause_gets_it(api: dict[str, Any], reply: Reply, seconds: float) -> None:
    with FakeInflux(reply) as fake:
        error = failed(fake.url, api)
    assert isinstance(error, RetryAfter)
    assert error.seconds == seconds


@pytest.mark.parametrize(
    "reply", [Reply(413, {"code": "request too large", "message": "x"}), Reply(413, b"<html>"), Reply(413)]
)
def test_a_batch_that_is_too_large_is_halved(api: dict[str, Any], reply: Reply) -> None:
    with FakeInflux(reply) as fake:
        assert isinstance(failed(fake.url, api), TooLarge)


KEPT: list[tuple[Reply, str]] = [
    (Reply(401, {"code": "unauthorized", "message": "unauthorized access"}), "credentials are wrong"),
    (Reply(401, {"error": "authorization failed"}), "credentials are wrong"),
    (Reply(403, {"code": "forbidden", "message": "insufficient permissions for write"}), "lack the right to write"),
    (Reply(404, {"code": "not found", "message": 'organization name "acme" not found'}), "not found"),
    (Reply(404, b"404 page not found\n"), "HTTP 404: 404 page not found: "),
    (Reply(429, {"message": "no header"}), "HTTP 429: no header"),
    (Reply(500, {"error": "timeout"}), "HTTP 500: timeout"),
    (Reply(502, b"<html><h1>Bad Gateway</h1>"), "HTTP 502: a page for browsers"),
    (Reply(407, b"proxy"), "HTTP 407: proxy"),
    (Reply(200, b"<!DOCTYPE html><title>Grafana</title>"), "HTTP 200: a page for browsers, as another server"),
    (Reply(200, {"status": "ok"}), 'HTTP 200: {"status": "ok"}: InfluxDB would have answered 204'),
    (Reply(301, b"", {"Location": "https://db/write"}), "HTTP 301: a redirect to https://db/write, where"),
    (Reply(307, b"", {"Location": "/elsewhere"}), "a redirect to /elsewhere"),
    (Reply(308, b"", {"Location": "/elsewhere"}), "a redirect to /elsewhere"),
    (Reply(303, b"", {"Location": "/elsewhere"}), "a redirect to /elsewhere"),
    (Reply(400, b"<html><h1>400 Bad Request</h1>nginx"), "HTTP 400: a page for browsers"),
    (Reply(400, b"cannot read gzipped data"), "HTTP 400: cannot read gzipped data"),
    (Reply(400, {"code": "invalid", "message": "Please provide either orgID or org"}), "either orgID or org"),
    (Reply(400, {"code": "invalid", "message": "gzipped HTTP body contains an invalid header"}), "gzip"),
    (Reply(400, {"error": "database is required"}), "database is required"),
    (Reply(400, {"error": "invalid character in database or rp name: must be ASCII"}), "database or rp name"),
    (Reply(422, {"error": "partial write of line protocol occurred", "data": [
        {"line_number": 1, "error_message": "Adding a new database would exceed limit of 5 databases"},
    ]}), "Adding a new database would exceed limit"),
    (Reply(500, "\xff\xfe".encode("utf-16")), ""),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "told"), KEPT, ids=lambda value: str(getattr(value, "status", "")))
def test_what_a_setting_or_time_can_mend_is_kept_and_told(api: dict[str, Any], reply: Reply, told: str) -> None:
    with FakeInflux(reply) as fake:
        error = failed(fake.url, api)
    assert type(error) is RepositoryError
    assert told in str(error)
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("settings", "reply", "told"),
    [
        ({"bucket": "b"}, Reply(404, b"404 page not found"), "InfluxDB 1.x is written to without --influxdb.bucket"),
        ({"bucket": "b"}, Reply(404, {"message": 'organization name "" not found'}), "--influxdb.org names it"),
        ({"bucket": "b"}, Reply(401, {"message": "unauthorized access"}), "--influxdb.token-file is not set"),
        ({}, Reply(404, {"code": "not found", "message": "no dbrp mapping"}), "InfluxDB 2 wants --influxdb.org"),
        ({}, Reply(401, {"error": "unable to parse authentication credentials"}), "--influxdb.user and"),
    ],
)  # fmt: skip
def test_what_to_do_about_it_is_told(settings: dict[str, Any], reply: Reply, told: str) -> None:
    with FakeInflux(reply) as fake:
        assert told in str(failed(fake.url, settings))


def line(number: int, schema: str = "own") -> str:
    """A line of the sample with this number."""
    return SCHEMAS[schema]().lines(samples(9)[number]).decode().partition("\n")[0]


CONFLICT = (
    'field type conflict: input field "pids" on measurement "container" is type integer, already exists as type float'
)
FAILURE = "failure writing points to database: partial write: "
WINDOW = (
    "dropped 1 points outside retention policy of duration 1h0m0s - oldest point x at 2017-02-14T12:00Z dropped because"
    " it violates a Retention Policy Lower Bound at 2017-02-15T00:00:00Z, newest point x at 2017-02-14T12:00Z dropped "
    "because it violates a Retention Policy Lower Bound at 2017-02-15T00:00:00Z"
)

# The answer to a batch of four samples of one point each; the indices, what became of the others, the count.
REJECTIONS: list[tuple[Reply, set[int] | None, str, int | None]] = [
    # 1.x
    (Reply(400, {"error": f"partial write: {CONFLICT} dropped=4"}), {0, 1, 2, 3}, "stored", None),
    (Reply(400, {"error": f"partial write: {CONFLICT} dropped=2"}), None, "stored", 2),
    (Reply(400, {"error": "partial write: points beyond retention policy dropped=3"}), {0, 1, 2}, "stored", None),
    (Reply(400, {"error": "partial write: max-values-per-tag limit exceeded (3/3) dropped=2"}), None, "stored", 2),
    (Reply(400, {"error": "partial write: shard 7 is pending deletion dropped=9"}), None, "stored", 4),
    (Reply(400, {"error": "field type conflict"}), None, "retry", None),
    (Reply(400, {"error": f"unable to parse '{line(0)}': time outside range"}), {0}, "retry", None),
    (Reply(400, {"error": f"partial write: unable to parse '{line(1)}': it's: bad\n"
                          f"unable to parse '{line(3)}': bad dropped=0"}), {1, 3}, "stored", None),
    (Reply(400, {"error": "partial write: unable to parse 'nobody': bad dropped=0"}), None, "retry", None),
    # 2
    (Reply(422, {"code": "unprocessable entity", "message": f"{FAILURE}{CONFLICT} dropped=4"}),
     {0, 1, 2, 3}, "stored", None),
    (Reply(422, {"code": "unprocessable entity", "message": f"{FAILURE}{WINDOW} dropped=1 for database: 0123456789ab"
                 " for retention policy: autogen"}), {0}, "stored", None),
    (Reply(422, {"code": "unprocessable entity", "message": FAILURE + WINDOW.replace("Lower", "Upper") + " dropped=1"}),
     None, "stored", 1),
    (Reply(500, {"code": "internal error", "message": "unexpected error writing points to database: partial write: "
                 "points beyond retention policy dropped=1"}), {0}, "stored", None),
    (Reply(400, {"code": "invalid", "message": f"unable to parse '{line(2)}': missing fields"}), {2}, "retry", None),
    (Reply(400, {"code": "invalid", "message": "3 out of 3 points rejected"}), None, "retry", None),
    (Reply(422, {"code": "conflict", "message": "something new"}), None, "retry", None),
    # 3
    (Reply(400, {"error": "partial write of line protocol occurred", "data": [
        {"error_message": "invalid column type", "line_number": 2, "original_line": "x"},
        {"error_message": "invalid column type", "line_number": 4, "original_line": "y"},
    ]}), {1, 3}, "stored", None),
    (Reply(400, {"error": "line protocol parsing error", "data": {
        "error_message": "No fields", "line_number": 3, "original_line": "x",
    }}), {2}, "retry", None),
    (Reply(400, {"code": "invalid", "line": 2, "message": "failed to parse line protocol:\n  errors encountered "
                 "on line(s):\n  error parsing line 2 (1-based): Invalid\n  error parsing line 4 (1-based): Unable"}),
     {1, 3}, "retry", None),
    (Reply(201, {"code": "invalid", "message": "error parsing line 1 (1-based): Invalid"}), {0}, "retry", None),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "indices", "rest", "count"), REJECTIONS)
def test_what_is_rejected_is_as_exact_as_the_answer(
    api: dict[str, Any], reply: Reply, indices: frozenset[int] | None, rest: str, count: int | None
) -> None:
    with FakeInflux(reply) as fake:
        error = failed(fake.url, api, samples(4))
    assert isinstance(error, Rejected)
    assert (error.indices, error.rest, error.count) == (indices, rest, count)
    assert error.reason


@pytest.mark.parametrize(
    ("schema", "message", "indices", "count"),
    [
        ("legacy", "points beyond retention policy dropped=4", {0}, None),
        ("legacy", "points beyond retention policy dropped=8", {0, 1}, None),
        ("legacy", "points beyond retention policy dropped=3", None, 3),
        ("legacy", "points beyond retention policy dropped=7", None, 4),
        ("legacy", ('field type conflict: input field "value" on measurement "tx_bytes" is type integer, already '
                   "exists as type float dropped=4"), {0, 1, 2, 3}, None),
        ("telegraf", "points beyond retention policy dropped=6", {0}, None),
    ],
)  # fmt: skip
def test_a_sample_is_rejected_when_any_of_its_points_is(
    schema: str, message: str, indices: frozenset[int] | None, count: int | None
) -> None:
    with FakeInflux(Reply(400, {"error": f"partial write: {message}"})) as fake:
        error = failed(fake.url, {"schema": schema}, samples(4))
    assert isinstance(error, Rejected)
    assert (error.indices, error.count, error.rest) == (indices, count, "stored")


def test_lines_are_counted_over_samples_of_several_points() -> None:
    answer = {"error": "partial write of line protocol occurred", "data": [{"error_message": "x", "line_number": 7}]}
    with FakeInflux(Reply(400, answer)) as fake:
        error = failed(fake.url, {"schema": "legacy"}, samples(4))
    assert isinstance(error, Rejected)
    assert error.indices == frozenset({1})


@pytest.mark.parametrize(
    ("message", "indices", "count"),
    [
        ("points beyond retention policy dropped=1", {0, 1}, None),
        ("max-values-per-tag limit exceeded dropped=1", None, 2),
        ("something else dropped=0", {1}, None),
    ],
)
def test_what_could_not_be_sent_is_rejected_along_with_what_was_not_taken(
    message: str, indices: frozenset[int] | None, count: int | None
) -> None:
    batch = samples(3)
    batch[1] = msgspec.structs.replace(batch[1], mem_usage="many")
    with FakeInflux(Reply(400, {"error": f"partial write: {message}"})) as fake:
        error = failed(fake.url, {}, batch)
    assert isinstance(error, Rejected)
    assert (error.indices, error.count) == (indices, count)


# what is missing is made

NO_DATABASE = Reply(404, {"error": 'database not found: "stats"'})
NO_BUCKET = Reply(404, {"code": "not found", "message": 'bucket "stats" not found'})
ORG = {"orgs": [{"id": "0123456789abcdef", "name": "acme"}]}
MADE = {"id": "fedcba9876543210", "orgID": "0123456789abcdef", "name": "stats", "retentionRules": []}


def test_a_missing_database_is_created_and_written_to(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with FakeInflux(NO_DATABASE, Reply(200, {"results": [{"statement_id": 0}]}), Reply()) as fake:
        opened(fake.url, **APIS["1.x"]).push([sample()])
    first, create, second = fake.requests
    assert (create.method, create.path, create.query) == ("POST", "/query", {"q": 'CREATE DATABASE "stats"'})
    assert first.body == second.body
    assert "influxdb: made the database 'stats'" in caplog.text


def test_a_missing_bucket_is_created_and_written_to() -> None:
    with FakeInflux(NO_BUCKET, Reply(200, ORG), Reply(201, MADE), Reply()) as fake:
        opened(fake.url, **APIS["2"]).push([sample()])
    first, org, create, second = fake.requests
    assert (org.path, org.query["org"]) == ("/api/v2/orgs", "acme")
    assert create.path == "/api/v2/buckets"
    assert create.json() == {"name": "stats", "orgID": "0123456789abcdef", "retentionRules": [], "rp": "0"}
    assert "Content-Encoding" not in create.headers
    assert first.body == second.body


@pytest.mark.parametrize(
    ("api", "replies", "told"),
    [
        ("1.x", [NO_DATABASE, Reply(403, {"error": "requires admin privilege"})],
         'requires admin privilege: it takes an administrator, who may say: CREATE DATABASE "stats"'),
        ("1.x", [NO_DATABASE, Reply(200, {"results": [{"statement_id": 0, "error": "invalid name"}]})], "invalid name"),
        ("1.x", [NO_DATABASE, Reply(200, b"<html>")], "it cannot be created: HTTP 200: a page"),
        ("1.x", [NO_DATABASE, Reply(200, {"results": [{"statement_id": 0}]}), NO_DATABASE], "database not found"),
        ("2", [NO_BUCKET, Reply(404, {"message": "organization not found"})], "cannot find organization"),
        ("2", [NO_BUCKET, Reply(200, {"orgs": []})], "token with sufficient permission"),
        ("2", [NO_BUCKET, Reply(200, ORG), Reply(403, {"message": "write:buckets is unauthorized"})],
         "write:buckets is unauthorized: it takes a token that may write buckets of the organization"),
        ("2", [NO_BUCKET, Reply(200, ORG), Reply(422, {"message": "bucket with name stats already exists"})],
         "already exists"),
        ("2", [NO_BUCKET, Reply(404, b"404 page not found")], "it cannot be created"),
    ],
)  # fmt: skip
def test_what_cannot_be_created_is_told_with_the_right_that_it_takes(api: str, replies: list[Reply], told: str) -> None:
    with FakeInflux(*replies) as fake:
        error = failed(fake.url, APIS[api])
    assert isinstance(error, RepositoryError)
    assert not isinstance(error, Rejected)
    assert told in str(error)
