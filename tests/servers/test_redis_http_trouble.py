"""The HTTP interface to a real Redis: every answer is one that OpenAPI announces; Redis gone, and there again."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import negative_data_rejection
from support.asgi import serving
from support.influxdb import free_port
from support.redis import RedisServer, settings
from support.web import Client, served

from statspout.client.redis import Stats
from statspout.client.redis.app import make_app
from statspout.web.redis import redis_routes

TOKEN = "5f1c-token"
RIGHT = {"Authorization": f"Bearer {TOKEN}"}
OPERATIONS = [
    ("/api/v1/available-stats", "GET"),
    ("/api/v1/stats/{label}", "GET"),
    ("/api/v1/stats", "POST"),
    ("/api/v1/stats-history/{label}", "GET"),
    ("/api/v1/stat-contexts", "POST"),
    ("/api/v1/stats-prometheus", "GET"),
]
WITH_LABEL = [(path, method) for path, method in OPERATIONS if "{label}" in path]
CONTEXT = "06466bfef6e7e40e52d572902df6757d"


def record() -> None:
    with Stats(strict=True) as stat:
        for label in ("a", "a/b", "jobs;host=10.0.0.1", "errors__all"):
            stat(label, 1.5, context="the cake is a lie")


# What OpenAPI says


@contextmanager
def described_by(app: Any) -> Iterator[Any]:
    """The requests that an application says it answers."""
    with serving(app) as api:
        yield schemathesis.openapi.from_url(f"http://127.0.0.1:{api.port}/openapi.json")


@pytest.fixture(scope="module")
def described(redis_server: RedisServer) -> Iterator[Any]:
    with settings(redis_server.url), described_by(make_app(TOKEN)) as found:
        record()
        yield found


@pytest.fixture(scope="module")
def described_as_open(described: Any) -> Iterator[Any]:
    with described_by(make_app()) as found:
        yield found


def test_every_operation_is_described(described: Any) -> None:
    found = [operation.ok() for operation in described.get_all_operations()]
    assert [(one.path, one.method.upper()) for one in found] == OPERATIONS


TRIED = hypothesis.settings(max_examples=50, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_what_is_asked_rightly_is_answered_as_described_to_who_has_the_token(
    described: Any, path: str, method: str
) -> None:
    @TRIED
    @hypothesis.given(case=described[path][method].as_strategy(generation_mode=GenerationMode.POSITIVE))
    def conforms(case: Any) -> None:
        case.call_and_validate(headers=RIGHT)

    conforms()


# Every text is a label: there is no wrong one.
@pytest.mark.parametrize(("path", "method"), [one for one in OPERATIONS if one not in WITH_LABEL])
def test_what_is_asked_wrongly_is_refused_as_described(described_as_open: Any, path: str, method: str) -> None:
    @TRIED
    @hypothesis.given(case=described_as_open[path][method].as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def conforms(case: Any) -> None:
        answer = case.call()
        # A body that is not even read is a refusal that schemathesis does not know as one.
        case.validate_response(answer, excluded_checks=[negative_data_rejection] if answer.status_code == 413 else [])

    conforms()


@pytest.mark.parametrize(("path", "method"), WITH_LABEL)
@pytest.mark.parametrize(("label", "status"), [("a", 200), ("a/b", 200), ("jobs;host=10.0.0.1", 200), ("no", 404)])
def test_so_is_that_about_a_label_that_is_there(
    described: Any, path: str, method: str, label: str, status: int
) -> None:
    case = described[path][method].Case(path_parameters={"label": label})
    assert case.call_and_validate(headers=RIGHT).status_code == status


@pytest.mark.parametrize(("path", "body"), [("stats", ["a", "a/b", "no"]), ("stat-contexts", [CONTEXT, "no"])])
def test_so_is_that_about_several(described: Any, path: str, body: list[str]) -> None:
    case = described[f"/api/v1/{path}"]["POST"].Case(body=body, media_type="application/json")
    assert body[0] in case.call_and_validate(headers=RIGHT).json()


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_so_is_that_without_a_redis(path: str, method: str) -> None:
    with settings(f"redis://127.0.0.1:{free_port()}"), described_by(make_app()) as found:
        parts: dict[str, Any] = {"path_parameters": {"label": "a"}} if "{label}" in path else {}
        if method == "POST":
            parts = {"body": ["a"], "media_type": "application/json"}
        answer = found[path][method].Case(**parts).call_and_validate(excluded_checks=[not_a_server_error])
        assert (answer.status_code, answer.json()) == (503, {"detail": "Redis does not answer"})


# Redis away


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    with RedisServer("--save", "") as server, settings(server.url):
        yield server


@pytest.fixture(params=["fastapi", "daemon"])
def surface(request: pytest.FixtureRequest, own_redis: RedisServer) -> Iterator[Client]:
    if request.param == "fastapi":
        with serving(make_app()) as api:
            yield api
    else:
        with served(redis_routes(own_redis.url, "AKA-STATS")) as api:
            yield api


class Load:
    """Four threads that ask, until the end of the ``with``; ``seen`` counts what was answered."""

    def __init__(self, api: Client) -> None:
        self.seen: Counter[int] = Counter()
        self._api, self._ended = api, threading.Event()
        paths = ["stats/a", "available-stats", "stats-history/a", "stats-prometheus"]
        self._threads = [threading.Thread(target=self._ask, args=(f"/api/v1/{path}",)) for path in paths]

    def _ask(self, path: str) -> None:
        while not self._ended.is_set():
            self.seen[self._api.ask(path).status] += 1

    def until(self, reached: Callable[[Counter[int]], bool]) -> Counter[int]:
        """What was answered from now on, as soon as ``reached`` is true of it."""
        before, waited = Counter(self.seen), threading.Event()
        for _ in range(1000):
            if reached(found := Counter(self.seen) - before):
                return found
            waited.wait(0.02)
        raise AssertionError(f"only this was answered in 20 s: {found}")

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def test_while_redis_is_away_that_is_said_and_then_all_is_right_again(
    surface: Client, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    record()
    with Load(surface) as load:
        load.until(lambda seen: seen[200] > 50)
        own_redis.stop()
        load.until(lambda seen: seen[503] > 50)
        own_redis.start()
        record()
        load.until(lambda seen: seen[200] > 50)
    assert set(load.seen) <= {200, 404, 503}  # 404: after it came back, and before all was recorded anew
    assert surface.ask("/api/v1/stats/a").json()["count"] == 1
    told = [line for line in caplog.messages if "Redis does not answer" in line]
    assert len(told) == 1


def test_a_redis_that_hangs_is_waited_for_no_longer_than_is_set(own_redis: RedisServer) -> None:
    record()
    with settings(own_redis.url, timeout=0.2), serving(make_app()) as api:
        with own_redis.client() as client:
            client.execute_command("CLIENT", "PAUSE", 60_000, "ALL")
        found = api.ask("/api/v1/stats/a")
    assert found.status == 503
    assert str(own_redis.port).encode() not in found.body


def test_what_redis_refuses_is_no_failure_of_ours(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.set("AKA-STATS::INDEX", "no sorted set")
    with serving(make_app()) as api:
        assert api.ask("/api/v1/available-stats").status == 503


def test_no_connection_stays_open_when_the_daemon_is_asked_no_more(own_redis: RedisServer) -> None:
    with served(redis_routes(own_redis.url, "AKA-STATS")) as api, own_redis.client() as client:
        record()
        before = len(client.client_list())
        for _ in range(20):
            assert api.ask("/api/v1/stats/a").status == 200
        assert len(client.client_list()) == before


# The program


def standalone(port: int, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "uvicorn", "statspout.client.redis.app:app", f"--port={port}"]
    return subprocess.Popen(command, env=os.environ | variables, stderr=subprocess.PIPE, text=True)


def test_the_standalone_server_says_its_settings_and_answers_who_has_the_token(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    record()
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    port = free_port()
    variables = {"AKA_STATS_REDIS_URL": own_redis.url, "AKA_STATS_TOKEN_FILE": str(tmp_path / "token")}
    with standalone(port, **variables) as program:
        assert program.stderr is not None
        said = ""
        while "Uvicorn running" not in said:
            said += (line := program.stderr.readline())
            assert line, said
        try:
            api = Client(port)
            assert api.ask("/api/v1/stats/a", headers=RIGHT).json()["count"] == 1
            assert api.ask("/api/v1/stats/a").status == 401
        finally:
            program.terminate()
    assert f"AKA_STATS_REDIS_URL = {own_redis.url}" in said
    assert TOKEN not in said


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"AKA_STATS_TOKEN_FILE": "/no/token"}, "AKA_STATS_TOKEN_FILE: '/no/token' cannot be read: No such file"),
        ({"AKA_STATS_TOKEN": ""}, "the token is wrong: ASCII without white space is right"),
    ],
)
def test_it_does_not_start_without_the_token_that_it_was_to_ask_for(variables: dict[str, str], line: str) -> None:
    with standalone(free_port(), **variables) as program:
        _, said = program.communicate(timeout=30)
    assert program.returncode != 0
    assert said.startswith(f"statspout: {line}")
    assert said.count("\n") == 1


def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nobody(surface: Client) -> None:
    async def leave() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", surface.port)
        writer.write(b"POST /api/v1/stats HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n[")
        await writer.drain()
        writer.close()

    asyncio.run(leave())
    assert surface.ask("/api/v1/available-stats").json() == []
