"""The image that the Dockerfile describes, built and run on a real engine."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docker.errors import BuildError
from support.daemon import Daemon
from support.engine import Engine

ROOT = Path(__file__).parents[2]
TAG = "statspout:test"
FORWARDED = ("index-url", "extra-index-url", "trusted-host", "proxy", "default-timeout")
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"  # where the base image has the authorities of the machine that made it
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@pytest.fixture(scope="module")
def image(shared_engine: Engine, python_image: str, say: Callable[[str], None]) -> str:
    say(f"building {TAG} on {python_image}")
    args = build_args() | {"BASE": python_image}
    try:
        # The tests' engine has no way out of its bridge; `host` works on every engine.
        shared_engine.client.images.build(path=str(ROOT), tag=TAG, buildargs=args, network_mode="host", forcerm=True)
    except BuildError as error:
        pytest.fail("".join(line.get("stream", line.get("error", "")) for line in error.build_log)[-4000:])
    return TAG


@pytest.fixture
def running(engine: Engine, image: str) -> Any:
    """The image next to a container called sibling, run as the README says, and serving."""
    engine.run("sibling")
    container = engine.run(
        "statspout",
        ["--repository=rest", "--interval=1"],
        image=image,
        volumes={str(engine.socket): {"bind": "/var/run/docker.sock", "mode": "ro"}},
        group_add=[str(engine.socket.stat().st_gid)],
        ports={"8080/tcp": ("127.0.0.1", None)},
        stop_signal="SIGTERM",
    )
    wait_for_sibling(container)
    return container


def test_it_serves_the_numbers_of_its_siblings(running: Any) -> None:
    sibling = wait_for_sibling(running)
    assert isinstance(sibling["mem_usage"], int | float)
    assert sibling["mem_usage"] > 0


def test_it_does_not_run_as_root(running: Any) -> None:
    status = running.exec_run(["cat", "/proc/1/status"]).output.decode()
    ids = next(line.split()[1:] for line in status.splitlines() if line.startswith("Uid:"))
    assert "0" not in ids


def test_docker_stop_ends_it_cleanly(running: Any) -> None:
    started = time.monotonic()
    running.stop(timeout=10)
    assert time.monotonic() - started < 12
    running.reload()
    assert running.attrs["State"]["ExitCode"] == 0, logs(running)


def wait_for_sibling(container: Any, timeout: float = 30.0) -> dict[str, Any]:
    """What GET /stats says of the sibling, as soon as it says how much memory that uses."""
    deadline = time.monotonic() + timeout
    answer: Any = None
    while time.monotonic() < deadline:
        container.reload()
        assert container.status == "running", logs(container)
        try:
            port = container.attrs["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostPort"]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=5) as response:
                answer = json.load(response)
        except (OSError, ValueError, LookupError, TypeError) as error:
            answer = error
        else:
            for shown in answer:
                if shown["name"] == "sibling" and shown["mem_usage"] is not None:
                    return dict(shown)
        time.sleep(0.2)
    pytest.fail(f"no memory of the sibling in {timeout:.0f} s: {answer!r}\n{logs(container)}")


def logs(container: Any) -> str:
    return str(container.logs(tail=50).decode(errors="replace"))


def build_args() -> dict[str, str]:
    """What pip on this machine needs to reach its package index, for pip in the build."""
    settings = pip_settings()
    args = {f"PIP_{name.replace('-', '_').upper()}": settings[name] for name in FORWARDED if settings.get(name)}
    if "cert" in settings:
        args["PIP_CERT"] = BUNDLE
    return args | {name: os.environ[name] for name in PROXIES if name in os.environ}


def pip_settings() -> dict[str, str]:
    """pip's own view of its files and variables, without the folders that only this machine has."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    settings = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        words = str(ast.literal_eval(value)).split()
        settings[key.rpartition(".")[2]] = " ".join(word for word in words if not word.startswith("file:"))
    return settings


def test_an_applications_numbers_stand_next_to_its_containers_cpu(engine: Engine, image: str) -> None:
    """As docs/app-stats.md has it; in the image, for statspout is installed there."""
    with Daemon(
        f"--socket.path={engine.socket}", "--interval=1", "--repository=prometheus",
        "--prometheus.address=127.0.0.1:0", "--listen.statsd=127.0.0.1:0",
    ) as daemon:  # fmt: skip
        address = daemon.wait_for_line("listen.statsd: udp://").partition("udp://")[2].partition(",")[0]
        engine.run(
            "shop", ["/shop.py"], image=image, entrypoint="python3", network_mode="host",
            environment={"STATSPOUT_CLIENT_STATSD": address},
            volumes={str(ROOT / "examples" / "shop.py"): {"bind": "/shop.py", "mode": "ro"}},
        )  # fmt: skip
        daemon.eventually(lambda: {"cpu", "orders", "queue", "checkout"} <= shown(daemon), 20)


def shown(daemon: Daemon) -> set[str]:
    """What the page has of the container called shop."""
    page = daemon.get("/metrics", "prometheus.address").body.decode()
    names = {
        "cpu": "statspout_container_cpu_usage_ratio",
        "orders": "shop_orders_total",
        "queue": "shop_queue",
        "checkout": "shop_checkout_seconds_count",
    }
    return {what for what, name in names.items() if re.search(rf'^{name}{{[^}}]*container="shop"', page, re.MULTILINE)}
