"""deploy/stack.yaml on a Swarm of one node, and compose.yaml: deployed by their own tools on a real engine."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError, NotFound
from support.dockerd import free_port, program
from support.engine import Engine

ROOT = Path(__file__).parents[2]


@pytest.fixture
def swarm(engine: Engine) -> Iterator[Engine]:
    """The engine as a Swarm of one node; it leaves that, and what it made for it, after the test."""
    address = f"127.0.0.1:{free_port()}"
    try:
        engine.client.swarm.init(advertise_addr=address, listen_addr=address, default_addr_pool=["10.214.0.0/16"])
    except APIError as error:
        pytest.skip(f"needs an engine that can be a Swarm: {error.explanation}")
    try:
        yield engine
    finally:
        engine.client.swarm.leave(force=True)
        with suppress(NotFound, APIError):
            engine.client.networks.get("docker_gwbridge").remove()


def docker(engine: Engine, *arguments: str, **environ: str) -> str:
    """The docker command, or with ``compose`` first docker-compose, against this engine; what it printed."""
    command = ["docker", *arguments] if arguments[0] != "compose" else ["docker-compose", *arguments[1:]]
    if program(command[0]) is None:
        pytest.skip(f"needs {command[0]}: run scripts/setup-engine as root on Debian")
    environment = os.environ | {"DOCKER_HOST": engine.url, "DOCKER_GID": str(engine.socket.stat().st_gid)}
    environment |= {"DOCKER_SOCKET": str(engine.socket), **environ}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_stack_runs_on_every_node_and_its_records_say_which_task_they_are_of(swarm: Engine, image: str) -> None:
    port = str(free_port())
    stack = str(ROOT / "deploy" / "stack.yaml")
    docker(swarm, "stack", "deploy", "--resolve-image=never", "-c", stack, "shop", STATSPOUT_IMAGE=image, STATSPOUT_PORT=port)
    try:
        shown = wait_for(port, "shop_statspout.", lambda: docker(swarm, "service", "ps", "--no-trunc", "shop_statspout"))
        assert (shown["swarm_stack"], shown["swarm_service"]) == ("shop", "shop_statspout")
        assert shown["swarm_task"] == shown["name"]
        assert shown["host"] == swarm.client.info()["Name"]
    finally:
        docker(swarm, "stack", "rm", "shop")
        while swarm.client.api.containers(all=True, filters={"label": "com.docker.stack.namespace=shop"}):
            time.sleep(0.1)


def wait_for(port: str, prefix: str, tell: Any, timeout: float = 40.0) -> dict[str, Any]:
    """The first of GET /stats whose name begins so, as soon as it says how much memory that uses."""
    deadline = time.monotonic() + timeout
    answer: Any = None
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=5) as response:
                answer = json.load(response)
        except (OSError, ValueError) as error:
            answer = error
        else:
            for one in answer:
                if one["name"].startswith(prefix) and one["mem_usage"] is not None:
                    return dict(one)
        time.sleep(0.1)
    pytest.fail(f"no {prefix} in {timeout:.0f} s: {answer!r}\n{tell()}")
