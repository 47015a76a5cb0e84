"""What was recorded in a real Redis, over HTTP as Aka Stats documents it: by FastAPI and by the daemon's web server."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fastapi
import pytest
import redis as library
from support.asgi import serving
from support.prometheus import promtool
from support.redis import RedisServer
from support.web import Answer, Client, served

from statspout.client.redis import Stats, config
from statspout.client.redis import api as stats_api
from statspout.client.redis import routes as redis_routes_module
from statspout.client.redis.api import attach_routes
from statspout.client.redis.app import make_app
from statspout.web.access import Access
from statspout.web.application import MOST_BODY_BYTES
from statspout.web.redis import redis_routes

TOKEN = "5f1c-token"
SURFACES = ["fastapi", "daemon"]
GETS = ["available-stats", "stats/a", "stats-history/a", "stats-prometheus"]
POSTS = ["stats", "stat-contexts"]
STATS = {"avg": 2.5, "count": 4.0, "last": 4.0, "max": 4.0, "min": 1.0, "total": 10.0}


@contextmanager
def surface(kind: str, url: str, token: str | None = None) -> Iterator[Client]:
    """Who asks one of the two."""
    if kind == "daemon":
        with served(redis_routes(url, "AKA-STATS"), Access(token)) as client:
            yield client
    else:
        with serving(make_app(token)) as client:
            yield client


@pytest.fixture(scope="module", params=SURFACES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def shared(kind: str, redis_server: RedisServer) -> Iterator[Client]:
    with surface(kind, redis_server.url) as client:
        yield client


@pytest.fixture
def api(shared: Client, redis: Any) -> Client:
    return shared


def post(api: Client, path: str, body: object, **headers: str) -> Answer:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return api.ask(f"/api/v1/{path}", "POST", {"Content-Type": "application/json", **headers}, sent)


def record(**values: float) -> None:
    with Stats(strict=True) as stat:
        for label, value in values.items():
            stat(label, value)


def downloader() -> None:
    with Stats(strict=True) as stat:
        for value in (1, 2, 3, 4):
            stat("url-downloader", value, context=b"the cake is a lie")


# The documented requests


def test_the_labels_that_match(api: Client) -> None:
    with Stats(strict=True) as stat:
        for label in ("DEVICE::172.26.185.3", "DEVICE::172.27.217.56", "url-downloader"):
            stat(label, 1)
    found = api.ask("/api/v1/available-stats?matcher=DEVICE%3A%2A")
    assert (found.status, found.headers["content-type"]) == (200, "application/json")
    assert found.json() == ["DEVICE::172.26.185.3", "DEVICE::172.27.217.56"]
    assert len(api.ask("/api/v1/available-stats").json()) == 3


def test_there_are_no_labels(api: Client) -> None:
    assert api.ask("/api/v1/available-stats").json() == []


def test_the_statistics_of_a_label(api: Client) -> None:
    downloader()
    found = api.ask("/api/v1/stats/url-downloader").json()
    assert {name: found.pop(name) for name in STATS} == STATS
    assert found.pop("stdev") == pytest.approx(1.2909944487358056)
    assert found.pop("last_time") > 1.6e9
    assert found == {}


def test_the_statistics_of_many_labels(api: Client) -> None:
    downloader()
    found = post(api, "stats", ["url-downloader", "unknown", "url-downloader"])
    assert found.json() == {"url-downloader": api.ask("/api/v1/stats/url-downloader").json(), "unknown": {}}
    assert post(api, "stats", []).json() == {}


def test_the_history_of_a_label(api: Client) -> None:
    downloader()
    found = api.ask("/api/v1/stats-history/url-downloader").json()
    assert [entry["value"] for entry in found] == [4.0, 3.0, 2.0, 1.0]
    assert {tuple(sorted(entry)) for entry in found} == {("context_id", "label", "timestamp", "value")}
    assert found[0]["timestamp"] >= found[-1]["timestamp"] > 1.6e9
    assert found[0]["label"] == "url-downloader"


def test_contexts(api: Client) -> None:
    downloader()
    known = "06466bfef6e7e40e52d572902df6757d"
    assert post(api, "stat-contexts", [known, "unknown"]).json() == {known: "the cake is a lie"}
    assert post(api, "stat-contexts", []).json() == {}


def test_the_page_for_prometheus(api: Client) -> None:
    with Stats(strict=True) as stat:
        stat("jobs", 1, extra_labels={"host": "10.0.0.01"})
        stat.error("EXC:ValueError")
    page = api.ask("/api/v1/stats-prometheus")
    assert page.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = page.body.decode().splitlines()
    assert 'jobs_AVG{host="10.0.0.01"} 1.0' in lines
    assert [line for line in lines if "ERROR" in line] == [
        "# HELP AKA_STATS_ERROR_COUNT The number of the values of AKA_STATS_ERROR.",
        "# TYPE AKA_STATS_ERROR_COUNT gauge",
        'AKA_STATS_ERROR_COUNT{EXC="ValueError"} 1.0',
        'AKA_STATS_ERROR_COUNT{error="all"} 1.0',
    ]
    assert "LAST_TIME" not in page.body.decode()


# What was wrong in the original


@pytest.mark.parametrize("label", ["a/b", "/etc/hosts", "http://shop/items/", "a//", "50% off?#;=+ ü", "a\nb", ".."])
def test_any_label_is_reached_by_its_name(api: Client, label: str) -> None:
    record(**{label: 7.0, f"{label.rstrip('/')}x": 8.0})
    path = "".join(f"%{byte:02X}" for byte in label.encode())
    assert api.ask(f"/api/v1/stats/{path}").json()["last"] == 7
    assert [entry["label"] for entry in api.ask(f"/api/v1/stats-history/{path}").json()] == [label]
    assert post(api, "stats", [label]).json()[label]["last"] == 7


def test_slashes_may_stand_as_they_are(api: Client) -> None:
    record(**{"http://shop/items/": 7.0})
    assert api.ask("/api/v1/stats/http://shop/items/").json()["last"] == 7
    assert api.ask("/api/v1/stats/http://shop/items").status == 404


@pytest.mark.parametrize("path", ["stats/unknown", "stats-history/unknown", "stats/a/b", "stats-history/%FF"])
def test_an_unknown_label_is_not_found(api: Client, kind: str, path: str) -> None:
    found = api.ask(f"/api/v1/{path}")
    assert (found.status, list(found.json())) == (404, ["detail" if kind == "fastapi" else "error"])
    assert "no statistics of" in found.body.decode()


def test_a_label_without_a_history_is_known_all_the_same(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "history_size", 0)
    record(a=1)
    assert api.ask("/api/v1/stats-history/a").json() == []


def test_a_context_that_is_no_text_is_shown_as_far_as_it_is(api: Client) -> None:
    with Stats(strict=True) as stat:
        stat("a", 1, context=b"\xff\xfe cake")
    (entry,) = api.ask("/api/v1/stats-history/a").json()
    assert post(api, "stat-contexts", [entry["context_id"]]).json() == {entry["context_id"]: "\ufffd\ufffd cake"}


def test_a_stale_label_breaks_nothing_and_leaves_the_index(api: Client, redis: library.Redis) -> None:
    record(a=1, stale=2)
    redis.delete("AKA-STATS::COUNT::stale")
    assert b"stale" not in api.ask("/api/v1/stats-prometheus").body
    assert api.ask("/api/v1/available-stats").json() == ["a"]
    assert redis.zrange("AKA-STATS::INDEX", 0, -1) == [b"a"]


def test_asking_for_a_label_writes_nothing(api: Client, redis: library.Redis) -> None:
    before = redis.info("commandstats").get("cmdstat_eval")
    post(api, "stats", [f"unknown-{n}" for n in range(1000)])
    api.ask("/api/v1/stats/unknown")
    assert redis.info("commandstats").get("cmdstat_eval") == before


def test_a_redis_that_may_only_be_read_is_read(redis: Any, redis_server: RedisServer) -> None:
    record(a=1, stale=2)
    redis.delete("AKA-STATS::COUNT::stale")
    redis.execute_command("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@read", "+@connection")
    who = {"username": "reader", "password": "secret"}
    try:
        with served(redis_routes(redis_server.url, "AKA-STATS", who)) as api:
            assert api.ask("/api/v1/available-stats").json() == ["a"]
            assert api.ask("/api/v1/stats/unknown").status == 404
    finally:
        redis.execute_command("ACL", "DELUSER", "reader")


AWKWARD = [
    "load/cpu", "load-cpu", "load cpu", "1st", "DEVICE::1.2.3.4", "jobs;host=x,host=y", "jobs;", "jobs;h-1=x,h_1=y",
    'jobs;q="\\\n"', "jobs;__name__=x", "errors__", "errors__:x", "errors__EXC:A__EXC:B", "errors__ü", "ü", "jobs;l=",
    "_", ";host=b",
]  # fmt: skip


def test_promtool_finds_nothing_to_complain_about(api: Client) -> None:
    record(jobs=-1.5, **dict.fromkeys(AWKWARD, 1e300))
    page = api.ask("/api/v1/stats-prometheus").body
    assert page.count(b"\n# TYPE ") > 7 * 5
    assert promtool(page) == ""


# What cannot be answered


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "body",
    [
        b"", b"[", b"null", b"{}", b'"a"', b"[1]", b'["a", null]', b'["\\ud800"]', b'["\xff"]', b"[" * 50_000, b"NaN",
        json.dumps(["a"] * 10_001).encode(),
    ],
    ids=lambda body: repr(body[:10]),
)  # fmt: skip
def test_a_body_that_is_no_array_of_texts_is_refused(api: Client, kind: str, path: str, body: bytes) -> None:
    found = post(api, path, body)
    assert found.status == 422
    right = "an array of at most 10000 texts, as JSON, is right"
    wrong = {"type": "value_error", "loc": ["body"], "msg": right, "input": None}
    assert found.json() == ({"detail": [wrong]} if kind == "fastapi" else {"error": f"body: {right}"})


@pytest.mark.parametrize("path", ["available-stats", "stats-prometheus"])
@pytest.mark.parametrize("matcher", ["", "a" * 1025])
def test_a_glob_of_no_length_or_of_too_much_is_refused(api: Client, path: str, matcher: str) -> None:
    found = api.ask(f"/api/v1/{path}?matcher={matcher}")
    assert (found.status, b"1 to 1024 characters are right" in found.body) == (422, True)


@pytest.mark.parametrize("matcher", ["%FF", "[", "a[", "%5C", "*" * 1000, "%00"])
def test_a_glob_that_matches_nothing_finds_nothing(api: Client, matcher: str) -> None:
    assert api.ask(f"/api/v1/available-stats?matcher={matcher}").json() == []


def spoken(api: Client, *parts: bytes) -> bytes:
    """What is answered to these bytes, after which nothing comes."""
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while received := connection.recv(65536):
            answer += received
        return answer


HEAD = b"POST /api/v1/stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


def test_a_body_that_is_too_large_is_refused_as_it_comes(api: Client, kind: str) -> None:
    most = redis_routes_module.MOST_BODY if kind == "fastapi" else MOST_BODY_BYTES
    chunks = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (2 * most)
    assert spoken(api, HEAD + chunks + b"[" * (most + 1)).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_does_not_come_is_waited_for_no_longer_than_is_said(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_routes_module, "PATIENCE", 0.2)
    assert spoken(api, HEAD + b'Content-Length: 9\r\n\r\n["a"').startswith(b"HTTP/1.1 408 ")


def test_a_method_that_is_not_meant_is_refused(api: Client) -> None:
    found = api.ask("/api/v1/stats", "DELETE")
    assert (found.status, found.headers["allow"]) == (405, "POST")


# Who may ask


@pytest.fixture(scope="module")
def with_token(kind: str, redis_server: RedisServer) -> Iterator[Client]:
    with surface(kind, redis_server.url, TOKEN) as client:
        yield client


@pytest.fixture
def guarded(with_token: Client, redis: Any) -> Client:
    return with_token


@pytest.mark.parametrize("sent", [None, "", TOKEN, "Bearer", "Bearer no", f"Basic {TOKEN}", f"Bearer {TOKEN}x"])
def test_without_the_token_nothing_is_answered(guarded: Client, sent: str | None) -> None:
    headers = {} if sent is None else {"Authorization": sent}
    found = [guarded.ask(f"/api/v1/{path}", headers=headers) for path in GETS]
    found += [post(guarded, path, b"no JSON", **headers) for path in POSTS]
    assert {(one.status, one.headers["www-authenticate"]) for one in found} == {(401, 'Bearer realm="statspout"')}
    assert len({one.body for one in found}) == 1


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
def test_with_the_token_everything_is(guarded: Client, scheme: str) -> None:
    record(a=1)
    headers = {"Authorization": f"{scheme} {TOKEN}"}
    found = [guarded.ask(f"/api/v1/{path}", headers=headers) for path in GETS]
    found += [post(guarded, path, ["a"], **headers) for path in POSTS]
    assert {one.status for one in found} == {200}


@pytest.mark.parametrize("token", ["", "a b", "a\n", "ü"])
def test_a_token_that_cannot_be_sent_is_refused_at_once(token: str) -> None:
    with pytest.raises(ValueError, match="ASCII without white space is right"):
        make_app(token)


# In an application of one's own


def test_it_is_attached_as_aka_stats_shows_it(redis: Any) -> None:
    app = fastapi.FastAPI()
    assert stats_api.app.attach_routes(app) is app
    record(a=1)
    with serving(app) as api:
        assert api.ask("/api/v1/stats/a").json()["count"] == 1


def test_permissions_and_errors_are_the_applications_own(redis: Any) -> None:
    def employee(key: str = "") -> None:
        if key != "42":
            raise fastapi.HTTPException(403, "employees only")

    app = fastapi.FastAPI()

    @app.exception_handler(404)
    def lost(request: fastapi.Request, error: Exception) -> fastapi.Response:
        return fastapi.Response("gone fishing", 404)

    attach_routes(app, dependencies=[fastapi.Depends(employee)])
    with serving(app) as api:
        assert api.ask("/api/v1/stats/a").json() == {"detail": "employees only"}
        assert api.ask("/api/v1/stats/a?key=42").body == b"gone fishing"


def test_the_standalone_application_is_called_as_the_original() -> None:
    assert make_app().title == "Aka Stats"
