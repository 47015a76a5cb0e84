"""Least privilege: behind a proxy that lets little through to a real engine, and nothing that writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import docker
import pytest
from support.daemon import Daemon, run_program
from support.engine import Engine
from support.proxy import Proxy, haproxy

READ_ONLY = ("/containers/.*", "/events", "/version", "/_ping")
LEAST = ("/containers/json", "/containers/ID/json")
SERVING = ("--repository=rest", "--rest.address=127.0.0.1:0", "--interval=1")


@contextmanager
def behind(engine: Engine, allowed: Sequence[str], collector: str = "engine") -> Iterator[tuple[Proxy, Daemon]]:
    """A daemon that has only the proxy's socket."""
    with (
        Proxy(engine.socket, allowed) as proxy,
        Daemon(f"--socket.path={proxy.socket}", f"--collector={collector}", *SERVING) as daemon,
    ):
        yield proxy, daemon


def test_a_read_only_proxy_gives_all_that_is_needed(engine: Engine) -> None:
    engine.run("web")
    with behind(engine, READ_ONLY) as (proxy, daemon):
        daemon.eventually(lambda: daemon.stats().get("web", {}).get("cpu_percent") is not None)
        engine.run("later")
        daemon.eventually(lambda: "later" in daemon.stats())
        engine.remove("later")
        daemon.eventually(lambda: "later" not in daemon.stats())
        assert proxy.passed["GET /events"] == 1
        assert not {"WARNING", "ERROR"} & set(daemon.log.split())
    assert {request.partition(" ")[0] for request in (*proxy.passed, *proxy.refused)} == {"GET"}
    # That is asked for the host's name only.
    assert set(proxy.refused) <= {"GET /info"}


def test_without_events_what_changes_is_seen_in_the_list(engine: Engine) -> None:
    engine.run("web")
    with behind(engine, [path for path in READ_ONLY if path != "/events"]) as (proxy, daemon):
        daemon.eventually(lambda: daemon.stats().get("web", {}).get("cpu_percent") is not None)
        engine.run("later")
        daemon.eventually(lambda: "later" in daemon.stats())
        engine.remove("later")
        daemon.eventually(lambda: "later" not in daemon.stats())
        assert daemon.stats()["web"]["cpu_percent"] is not None
        # Said once, however often it is tried.
        warnings = [line for line in daemon.log.splitlines() if " WARNING " in line]
        assert len(warnings) == 1
        assert warnings[0].endswith(": its events are forbidden: the list is taken every 30 s or sooner")
    assert proxy.refused["GET /events"] > 1
    assert set(proxy.refused) <= {"GET /info", "GET /events"}


def test_with_the_kernels_files_two_requests_are_all_that_is_needed(engine: Engine) -> None:
    engine.run("web")
    with behind(engine, LEAST, "cgroup") as (proxy, daemon):
        daemon.eventually(lambda: daemon.stats().get("web", {}).get("cpu_percent") is not None)
    assert set(proxy.passed) == {"GET /containers/json", "GET /containers/ID/json"}
    assert not [request for request in proxy.refused if request.endswith("/stats")]


@pytest.mark.parametrize("allowed", [READ_ONLY, (*LEAST, "/containers/ID/stats")])
def test_one_sample_needs_the_containers_only(engine: Engine, allowed: Sequence[str]) -> None:
    engine.run("web")
    with Proxy(engine.socket, allowed) as proxy:
        done = run_program("--once", f"--socket.path={proxy.socket}", "--collector=engine", "--host.name=node7")
        checked = run_program("check", f"--socket.path={proxy.socket}")
    assert (done.code, checked.code) == (0, 0), done.err + checked.out
    assert "web" in done.out
    assert "1 running container" in checked.out


def test_a_proxy_that_forbids_the_containers_is_said_to(engine: Engine) -> None:
    with Proxy(engine.socket, ("/version", "/_ping")) as proxy:
        done = run_program("check", f"--socket.path={proxy.socket}")
    assert done.code == 1
    assert "403" in done.out.splitlines()[-1]
    assert set(proxy.refused) <= {"GET /info", "GET /containers/json"}


CONFIG = Path(__file__).parents[2] / "deploy/socket-proxy.cfg"


def test_the_proxy_that_is_shipped_lets_statspout_through(engine: Engine) -> None:
    engine.run("web")
    with (
        haproxy(CONFIG, engine.socket) as listens,
        Daemon(f"--socket.path={listens}", "--collector=engine", *SERVING) as daemon,
    ):
        daemon.eventually(lambda: daemon.stats().get("web", {}).get("cpu_percent") is not None)
        engine.run("later")
        daemon.eventually(lambda: "later" in daemon.stats())
        assert not {"WARNING", "ERROR"} & set(daemon.log.split())


REFUSED = [
    "GET /containers/{id}/archive?path=/etc/passwd",
    "GET /containers/{id}/logs?stdout=1",
    "GET /containers/{id}/export",
    "GET /containers/{id}/attach/ws",
    "GET /containers/web/json",
    "GET /containers/{id}/json%2f..%2flogs",
    "POST /containers/{id}/stop",
    "POST /containers/json",
    "DELETE /containers/{id}",
    "GET /images/json",
    "GET /info",
    "HEAD /containers/{id}/archive?path=/etc/passwd",
    "GET /",
    "GET /containers/{id}/json/x",
    "GET /events/x",
]


def test_the_proxy_that_is_shipped_lets_nothing_else_through(engine: Engine) -> None:
    container = engine.run("web")
    with (
        haproxy(CONFIG, engine.socket) as listens,
        closing(docker.DockerClient(base_url=f"unix://{listens}", version="1.41")) as client,
    ):
        base = f"{client.api.base_url}/v1.41"
        assert client.api.get(f"{base}/containers/{container.id}/json").status_code == 200
        for request in REFUSED:
            method, path = request.format(id=container.id).split()
            assert client.api.request(method, base + path).status_code == 403, request
