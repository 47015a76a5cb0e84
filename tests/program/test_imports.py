"""What a daemon does not load: whatever its repositories, its engine and its command line have no use for."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest
from support.daemon import Daemon
from support.influxdb import free_port

from statspout.testing import FakeEngine

PARSER = {"cyclopts", "attrs"}
HELP = {"rich", "docstring_parser", "pygments", "markdown_it"}
OTHERS = {"importlib.metadata", "zipfile"}
"""What the search for repositories in other packages takes."""

WEB = {"uvicorn", "starlette", "anyio", "click"}
HTTP = {"urllib3", "requests"}
DATABASES = {"influxdb_client", "pymongo", "bson", "redis", "sqlite3"}
OURS = {"statspout.sources.engine.ssh", "statspout.sources.apps.statsd", "statspout.testing", "statspout.terminal"}
NEVER = PARSER | HELP | OURS | {"statspout.client", "docker", "tomllib"}
SHIPPED = {"influxdb", "mongodb", "prometheus", "rest", "statsd", "stdout", "webhook"}

NOT_LOADED = {
    "stdout": NEVER | OTHERS | WEB | HTTP | DATABASES | {"http.client", "email.message", "tempfile"},
    "rest": NEVER | OTHERS | HTTP | DATABASES,
    "prometheus": NEVER | OTHERS | HTTP | DATABASES,
    "influxdb": NEVER | WEB | DATABASES | {"requests"},
    "mongodb": NEVER | WEB | HTTP | {"influxdb_client", "redis", "sqlite3"},
    "webhook": NEVER | WEB | DATABASES,
}
"""By repository, when variables say it all. What a client or the web server loads itself is its own business."""

SETTINGS = {
    "rest": {"STATSPOUT_REST_ADDRESS": "127.0.0.1:0"},
    "prometheus": {"STATSPOUT_PROMETHEUS_ADDRESS": "127.0.0.1:0"},
    "influxdb": {"STATSPOUT_INFLUXDB_URL": f"http://127.0.0.1:{free_port()}"},
    "mongodb": {"STATSPOUT_MONGODB_URI": f"mongodb://127.0.0.1:{free_port()}", "STATSPOUT_MONGODB_TIMEOUT": "1"},
    "webhook": {"STATSPOUT_WEBHOOK_URL": f"http://127.0.0.1:{free_port()}/"},
}

TELLING = """
import signal, sys
from statspout.cmd.main import main
signal.signal(signal.SIGUSR1, lambda *_: print(*sys.modules, "and no more", file=sys.stderr, flush=True))
sys.exit(main())
"""
"""The program, which says when asked what it has loaded."""

AT_WORK: dict[str, Callable[[Daemon], object]] = {
    "stdout": lambda daemon: daemon.eventually(lambda: daemon.out),
    "rest": lambda daemon: daemon.eventually(daemon.stats),
    "prometheus": lambda daemon: daemon.eventually(lambda: daemon.get("/metrics", "prometheus.address").body),
    "influxdb": lambda daemon: daemon.wait_for_line("influxdb: open failed"),
    "mongodb": lambda daemon: daemon.wait_for_line("mongodb: open failed"),
    "webhook": lambda daemon: daemon.wait_for_line("webhook: push failed"),
}
"""Returns when the daemon has done all that it does for a sample, or as much as it can without a server."""


@pytest.fixture(scope="module")
def engine() -> Iterator[FakeEngine]:
    with FakeEngine() as engine:
        engine.add("web")
        yield engine


def loaded(engine: FakeEngine, repository: str, *flags: str, **variables: str) -> set[str]:
    """The modules that a daemon at work has loaded."""
    settings = {"STATSPOUT_SOCKET_PATH": engine.socket_path, "STATSPOUT_REPOSITORY": repository}
    environ = settings | SETTINGS.get(repository, {}) | variables
    with Daemon(*flags, environ=environ, program=("-c", TELLING)) as daemon:
        AT_WORK[repository](daemon)
        daemon.signal(signal.SIGUSR1)
        return set(daemon.wait_for_line(" and no more").split())


@pytest.mark.parametrize("repository", NOT_LOADED)
def test_a_daemon_loads_nothing_that_it_has_no_use_for(repository: str, engine: FakeEngine) -> None:
    others = {f"statspout.repositories.{name}" for name in SHIPPED - {repository}}
    found = loaded(engine, repository)
    assert f"statspout.repositories.{repository}" in found
    assert found & (NOT_LOADED[repository] | others) == set()


def test_flags_cost_their_parser_but_not_the_help(engine: FakeEngine) -> None:
    found = loaded(engine, "stdout", "--interval=5")
    assert "cyclopts" in found
    assert not found & (HELP | OTHERS | WEB | HTTP | DATABASES)


def test_a_repository_that_is_only_mentioned_is_loaded_too(engine: FakeEngine) -> None:
    found = loaded(engine, "stdout", STATSPOUT_REST_ADDRESS="127.0.0.1:0")
    assert "statspout.repositories.rest" in found
    assert not found & (OTHERS | WEB | {"statspout.repositories.prometheus"})


def test_what_may_be_of_another_package_is_looked_for_there(engine: FakeEngine) -> None:
    found = loaded(engine, "stdout", STATSPOUT_ACME_URL="http://acme")
    assert {f"statspout.repositories.{name}" for name in SHIPPED} | {"importlib.metadata"} <= found
