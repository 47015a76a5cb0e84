"""compose.yaml, and deploy/stack.yaml on a Swarm of one node: started by their own tools on a real engine.

The images of the databases are stand-ins: this machine's programs under the names that the files have.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError, NotFound
from support.dockerd import free_port, program, why_no_dockerd
from support.engine import Engine
from support.images import ensure_program
from support.servers import server

ROOT = Path(__file__).parents[2]
COMPOSE, STACK = ROOT / "compose.yaml", ROOT / "deploy" / "stack.yaml"
PORTS = ("STATSPOUT_PORT", "VICTORIAMETRICS_PORT", "PROMETHEUS_PORT")


@pytest.fixture
def environ(engine: Engine, image: str) -> dict[str, str]:
    """What the files are told: the engine, our image, and ports that are free; the databases' images are there."""
    if why := why_no_dockerd():
        pytest.skip(f"needs an engine of the tests' own ({why}): run scripts/setup-engine as root on Debian")
    for name in ("victoria-metrics", "prometheus"):
        path = server(name)
        if path is None:
            pytest.skip(f"needs {name}: run scripts/setup-servers on Debian")
        [tag] = re.findall(rf"image: (\S+/{name}:\S+)", COMPOSE.read_text())
        ensure_program(engine.client, tag, Path(path))
    own = {"DOCKER_HOST": engine.url, "DOCKER_SOCKET": str(engine.socket), "STATSPOUT_IMAGE": image}
    own["DOCKER_GID"] = str(engine.socket.stat().st_gid)
    return own | {name: str(free_port()) for name in PORTS}


@pytest.fixture
def composed(engine: Engine, environ: dict[str, str]) -> Iterator[dict[str, str]]:
    """What compose.yaml makes, up."""
    command = ["docker-compose", "--project-name", "shop", "--file", str(COMPOSE)]
    run([*command, "up", "--detach", "--no-build"], environ)
    try:
        yield environ
    finally:
        engine.remove_everything()


@pytest.fixture
def deployed(engine: Engine, environ: dict[str, str]) -> Iterator[dict[str, str]]:
    """What deploy/stack.yaml makes of the engine as a Swarm of one node, deployed; the engine leaves that after it."""
    address = f"127.0.0.1:{free_port()}"
    try:
        engine.client.swarm.init(advertise_addr=address, listen_addr=address, default_addr_pool=["10.214.0.0/16"])
    except APIError as error:
        pytest.skip(f"needs an engine that can be a Swarm: {error.explanation}")
    try:
        run(["docker", "stack", "deploy", "--resolve-image=never", "--compose-file", str(STACK), "shop"], environ)
        yield environ
        run(["docker", "stack", "rm", "shop"], environ)
    finally:
        engine.client.swarm.leave(force=True)
        engine.remove_everything()
        with suppress(NotFound, APIError):
            engine.client.networks.get("docker_gwbridge").remove()


def test_compose_starts_all_of_it_and_figures_arrive_in_both_databases(composed: dict[str, str]) -> None:
    query = {"match[]": 'container_mem_usage{compose_service="prometheus"}'}
    stored = eventually(lambda: ask(composed["VICTORIAMETRICS_PORT"], "/api/v1/export", query))
    assert stored["metric"]["compose_project"] == "shop"
    query = {"query": 'statspout_container_info{compose_service="victoriametrics"}'}
    found = eventually(lambda: ask(composed["PROMETHEUS_PORT"], "/api/v1/query", query)["data"]["result"])
    assert found[0]["metric"]["compose_project"] == "shop"


def test_a_stack_runs_on_every_node_and_its_records_say_which_task_they_are_of(
    engine: Engine, deployed: dict[str, str]
) -> None:
    def sampled() -> Any:
        stats = ask(deployed["STATSPOUT_PORT"], "/stats")
        return [s for s in stats if s["name"].startswith("shop_victoriametrics.") and s["mem_usage"] is not None]

    [shown] = eventually(sampled)
    assert (shown["swarm_stack"], shown["swarm_service"]) == ("shop", "shop_victoriametrics")
    assert shown["swarm_task"] == shown["name"]
    assert shown["host"] == engine.client.info()["Name"]


def run(command: list[str], environ: dict[str, str]) -> None:
    if program(command[0]) is None:
        pytest.skip(f"needs {command[0]}: run scripts/setup-engine as root on Debian")
    done = subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def ask(port: str, path: str, query: dict[str, str] | None = None) -> Any:
    """The JSON that is there, or None where there is nothing yet."""
    url = f"http://127.0.0.1:{port}{path}?{urllib.parse.urlencode(query or {})}"
    with urllib.request.urlopen(url, timeout=60) as response:
        return json.loads(response.read().partition(b"\n")[0] or b"null")


def eventually(look: Callable[[], Any], timeout: float = 120.0) -> Any:
    """What ``look`` returns, as soon as that is true in the sense of ``if``."""
    deadline = time.monotonic() + timeout
    found: Any = None
    while time.monotonic() < deadline:
        try:
            if found := look():
                return found
        except OSError as error:
            found = error
        time.sleep(0.1)
    pytest.fail(f"not in {timeout:.0f} s: {found!r}")
