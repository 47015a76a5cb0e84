"""The examples of docs/redis-stats.md, as they stand there, with a real Redis: what Aka Stats' own document shows."""

from __future__ import annotations

import asyncio
import re
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fastapi
import pytest
import redis as library
import uvicorn
from support.asgi import serving
from support.influxdb import free_port
from support.redis import RedisServer, unused

from statspout.client.redis import (
    Stats,
    async_redis,
    available_stats,
    config,
    contexts,
    fetch_stats,
    lost,
    prometheus,
    push_stat,
    push_stat_async,
    stat_history,
    sync_redis,
)
from statspout.client.redis.api import attach_routes

PAGE = Path(__file__).parents[2] / "docs" / "redis-stats.md"
BLOCKS: list[str] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
MARKS = {
    "task": "work()",
    "device": "extra_labels=",
    "one": "large_file.csv",
    "many": "urlopen",
    "tasks": "asyncio.gather",
    "lost": "print(lost())",
    "context": "the cake is a lie",
    "leaves": 'int("test")',
    "instance": "stat.exception(error)",
    "current": "stat.exception()",
    "errors": 'available_stats("errors__*")',
    "other": 'writer.set("greeting", "hello")\n    print',
    "kept": "\nsync_redis.open_connection()",
    "server": "await async_redis.open_connection()",
    "attached": "async_redis.attach(redis, redis)\n    yield",
    "own": "\nsync_redis.attach(redis, redis)",
    "http": "attach_routes(FastAPI()",
    "formatter": '@stat_formatter("timer:")',
    "pytest": "def test_that_it_counts(mock_stats)",
}
"""What each example of the page has that no other has."""


def blocks(name: str) -> list[str]:
    return [block for block in BLOCKS if MARKS[name] in block]


def run(name: str, **names: Any) -> dict[str, Any]:
    """What an example has made."""
    (block,) = blocks(name)
    space = {"__name__": "example", **names}
    # The page has the address that most have.
    exec(block.replace("redis://127.0.0.1:6379", config.redis_url), space)
    return space


def test_every_example_is_one_of_these() -> None:
    assert {name: len(blocks(name)) for name in MARKS} == dict.fromkeys(MARKS, 1)
    assert len(BLOCKS) == len(MARKS)


@pytest.fixture
def urls(tmp_path: Path) -> list[str]:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    return [(tmp_path / name).as_uri() for name in ("a", "b")]


@pytest.fixture(autouse=True)
def nothing_lost(redis: Any) -> Iterator[None]:
    yield
    assert set(lost()) <= {"bad_value"}


def test_the_time_of_a_task() -> None:
    run("task", work=lambda: None)
    assert fetch_stats("task_done").count == 1
    assert 0 < (fetch_stats("task_done").total or 0) < 10


def test_the_time_of_a_task_of_a_device() -> None:
    probe = run("device", answer_of=lambda _: asyncio.sleep(0.01))["probe"]
    asyncio.run(probe("10.0.0.1, b"))
    assert list(available_stats()) == ["task_done;device_id=10.0.0.1__b"]
    assert 0.01 <= (fetch_stats("task_done;device_id=10.0.0.1__b").last or 0) < 10


def test_one_stat_is_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("large_file.csv").write_text("a,b\n1,2\n3,4\n")
    run("one")
    assert capsys.readouterr().out == "3 lines\n"
    assert fetch_stats("file:large_file.csv").count == 1
    assert [entry.context_id for entry in stat_history("file:large_file.csv")] == [""]


def test_many_stats_are_written_at_the_end(urls: list[str]) -> None:
    run("many", urls=urls)
    assert set(available_stats()) == {*urls, "url-downloader"}
    assert fetch_stats("url-downloader").total == pytest.approx(sum(fetch_stats(url).total or 0 for url in urls))


def test_many_stats_of_many_tasks_are_written_at_the_end() -> None:
    urls = [f"http://shop/{n}" for n in range(20)]
    run("tasks", urls=urls, download=lambda _: asyncio.sleep(0.05))
    assert set(available_stats()) == {*urls, "url-downloader"}
    assert min(fetch_stats(url).min or 0 for url in urls) >= 0.05


def test_what_is_no_number_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    run("lost")
    assert capsys.readouterr().out == "{'bad_value': 1}\n"
    assert list(available_stats()) == []


def test_contexts(redis: Any) -> None:
    run("context")
    name = "06466bfef6e7e40e52d572902df6757d"
    assert re.fullmatch(rf"\d+\.\d+;1\.4;{name}", redis.lindex("AKA-STATS::HISTORY::slices", 0).decode())
    assert redis.get(f"AKA-STATS::CONTEXTS::{name}") == b"the cake is a lie"
    assert fetch_stats("slices")[:3] == (10, 1.4, 0)


def error_was_recorded(kind: str) -> None:
    assert set(available_stats("errors__*")) == {"errors__all", f"errors__EXC:{kind}"}
    (entry,) = stat_history(f"errors__EXC:{kind}")
    text = contexts([entry.context_id])[entry.context_id].decode()
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.splitlines()[-1].startswith(f"{kind}: ")
    assert [one.context_id for one in stat_history("errors__all")] == [entry.context_id]


def test_an_exception_that_leaves_the_block_is_recorded_and_goes_on() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        run("leaves")
    error_was_recorded("ValueError")


@pytest.mark.parametrize("name", ["instance", "current"])
def test_an_exception_that_is_handled_is_recorded_by_hand(name: str) -> None:
    def job() -> None:
        raise KeyError("no such job")

    run(name, job=job)
    error_was_recorded("KeyError")


def test_errors_are_retrieved(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError), Stats():
        int("test")
    run("errors")
    said = capsys.readouterr().out
    assert "'errors__all': StatsData(count=1.0, avg=1.0, stdev=0.0, max=1.0, min=1.0, total=1.0, last=1.0" in said
    assert "label='errors__EXC:ValueError', value=1.0" in said
    assert "b'Traceback (most recent call last):" in said


def test_a_connection_for_other_use(capsys: pytest.CaptureFixture[str], redis: Any) -> None:
    push_stat("x", 1)
    run("other")
    assert capsys.readouterr().out == "b'hello'\n"
    assert sync_redis.call_count == 0


def test_a_connection_that_stays_open(capsys: pytest.CaptureFixture[str], redis: Any) -> None:
    before = redis.info("stats")["total_connections_received"]
    run("kept")
    assert capsys.readouterr().out == "b'hello'\n"
    assert redis.info("stats")["total_connections_received"] == before + 1


def answer(app: Any, path: str, meanwhile: Callable[[], None] = lambda: None) -> bytes:
    """What the application answers, from its start to its end."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
        meanwhile()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as page:
            body: bytes = page.read()
            return body
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("name", ["server", "attached"])
def test_a_server_with_a_connection_of_its_own(name: str, redis: Any) -> None:
    redis.set("greeting", "hello")
    app = run(name)["app"]
    before = redis.info("stats")["total_connections_received"]
    assert answer(app, "/greeting") == b'"hello"'
    assert redis.info("stats")["total_connections_received"] == before + 1


@pytest.mark.filterwarnings("ignore:.*\\s*on_event is deprecated:DeprecationWarning")
def test_a_server_as_aka_stats_shows_it(redis: Any) -> None:
    app = fastapi.FastAPI()

    @app.on_event("startup")
    def connect() -> None:
        client = library.asyncio.Redis.from_url(config.redis_url)
        async_redis.attach(client, client)

    @app.get("/recorded")
    async def recorded() -> str:
        await push_stat_async("x", 2.5)
        async with async_redis as (reader, writer):
            await writer.set("key", "value")
            return str((await reader.get("key")).decode())

    assert answer(app, "/recorded") == b'"value"'
    assert fetch_stats("x").last == 2.5


def test_a_server_that_has_the_requests_among_its_own(redis: Any) -> None:
    push_stat("x", 2.5)
    with serving(run("http")["app"]) as api:
        assert api.ask("/api/v1/stats/x").status == 401
        assert api.ask("/api/v1/stats/x", headers={"Authorization": "Bearer 5f1c-token"}).json()["last"] == 2.5


def test_a_formatter_for_prometheus(redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "prometheus_stat_formatters", prometheus.prometheus_stat_formatters.copy())
    push_stat("timer:web", 2.5)
    run("formatter")
    with serving(attach_routes(fastapi.FastAPI())) as api:
        lines = api.ask("/api/v1/stats-prometheus").body.decode().splitlines()
    found = [line for line in lines if not line.startswith("#")]
    assert found == ['SIMPLE_STAT_AVG{host_id="web"} 2.5', 'SIMPLE_STAT_COUNT{host_id="web"} 1.0']


def test_a_client_of_ones_own(redis_server: RedisServer) -> None:
    client = run("own")["redis"]
    config.redis_url = "redis://127.0.0.1:1"
    push_stat("x", 5)
    assert fetch_stats("x").total == 5
    with sync_redis() as pair:
        assert pair == (client, client)
    sync_redis.close()
    assert client.ping()
    unused()


def test_a_test_of_stats(mock_stats: list[Any], redis: Any) -> None:
    run("pytest")["test_that_it_counts"](mock_stats)
    assert redis.keys() == []
