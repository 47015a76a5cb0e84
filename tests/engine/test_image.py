"""The image that the Dockerfile describes, built and run on a real engine."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support.engine import Engine

SIBLINGS = {"sibling", "sister", "brother"}


@pytest.fixture(params=["engine", "cgroup"])
def running(request: pytest.FixtureRequest, engine: Engine, image: str) -> Any:
    """The image next to three others, run as docs/deploying.md says, and serving, by each collector."""
    return run(engine, image, f"--collector={request.param}")


@pytest.fixture
def tended(engine: Engine, image: str) -> Any:
    """The same with its health check every second: it is the image's own check, which nobody here waits 30 s for."""
    return run(engine, image, healthcheck={"interval": 10**9})


def start_siblings(engine: Engine) -> None:
    for name in SIBLINGS:
        engine.run(name)


def run(engine: Engine, image: str, *arguments: str, **options: Any) -> Any:
    start_siblings(engine)
    container = engine.run(
        "statspout",
        ["--repository=rest", "--interval=1", *arguments],
        image=image,
        volumes={
            str(engine.socket): {"bind": "/var/run/docker.sock", "mode": "ro"},
            "/sys/fs/cgroup": {"bind": "/sys/fs/cgroup", "mode": "ro"},
        },
        group_add=[str(engine.socket.stat().st_gid)],
        pid_mode="host",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        ports={"8080/tcp": ("127.0.0.1", None)},
        stop_signal="SIGTERM",
        **options,
    )
    wait_for_siblings(container)
    return container


def test_it_serves_the_numbers_of_its_siblings(running: Any, say: Callable[[str], None]) -> None:
    shown = wait_for_siblings(running)
    began = datetime.fromisoformat(running.attrs["State"]["StartedAt"][:26])
    last = max(datetime.fromisoformat(one["@timestamp"][:26]) for one in shown.values())
    say(f"all siblings were sampled {(last - began).total_seconds():.1f} s after the start, or sooner")
    assert all(isinstance(one["mem_usage"], int | float) and one["mem_usage"] > 0 for one in shown.values())


def test_its_health_check_finds_it_well(tended: Any) -> None:
    state = wait_until(tended, lambda state: state["Health"]["Status"] == "healthy")
    assert re.fullmatch(r"ready, \d containers\n", state["Health"]["Log"][-1]["Output"])


def test_its_health_check_says_what_is_wrong(engine: Engine, image: str) -> None:
    # Nobody mounted the socket.
    lost = engine.run("lost", ["--repository=rest"], image=image, healthcheck={"interval": 10**9, "retries": 1})
    # A failure while it starts does not count, but is told.
    state = wait_until(lost, lambda state: state["Health"]["Log"])
    assert state["Health"]["Log"][-1]["ExitCode"] == 1
    assert state["Health"]["Log"][-1]["Output"].startswith("not ready: the engine has not listed its containers yet")


def test_it_is_not_root_and_can_do_nothing_that_needs_a_capability(tended: Any) -> None:
    # With the host's processes in sight it is not process 1.
    status = Path("/proc", str(tended.attrs["State"]["Pid"]), "status").read_text()
    found = dict(line.split(":\t", 1) for line in status.splitlines())
    assert "0" not in found["Uid"].split()
    assert {found[name] for name in ("CapPrm", "CapEff", "CapBnd")} == {"0" * 16}
    assert found["NoNewPrivs"] == "1"


def test_docker_stop_ends_it_cleanly(engine: Engine, image: str) -> None:
    # Without the host's processes, so that it is process 1.
    start_siblings(engine)
    container = engine.run(
        "statspout",
        ["--repository=rest"],
        image=image,
        volumes={str(engine.socket): {"bind": "/var/run/docker.sock", "mode": "ro"}},
        user="0",
        ports={"8080/tcp": ("127.0.0.1", None)},
        stop_signal="SIGTERM",
    )
    wait_for_siblings(container)
    container.stop(timeout=15)
    container.reload()
    assert container.attrs["State"]["ExitCode"] == 0, logs(container)


def wait_until(container: Any, look: Callable[[dict[str, Any]], Any], timeout: float = 90.0) -> dict[str, Any]:
    """The container's state, as soon as ``look`` finds it right."""
    deadline = time.monotonic() + timeout
    while True:
        container.reload()
        state: dict[str, Any] = container.attrs["State"]
        if look(state):
            return state
        assert time.monotonic() < deadline, f"{state}\n{logs(container)}"
        time.sleep(0.2)


def wait_for_siblings(container: Any, timeout: float = 90.0) -> dict[str, dict[str, Any]]:
    """What GET /stats says of the siblings by name, as soon as it says how much memory each of them uses."""
    deadline = time.monotonic() + timeout
    answer: Any = None
    while time.monotonic() < deadline:
        container.reload()
        assert container.status == "running", logs(container)
        try:
            port = container.attrs["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostPort"]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=60) as response:
                answer = json.load(response)
        except (OSError, ValueError, LookupError, TypeError) as error:
            answer = error
        else:
            shown = {one["name"]: one for one in answer if one["mem_usage"] is not None}
            if shown.keys() >= SIBLINGS:
                return {name: shown[name] for name in SIBLINGS}
        time.sleep(0.1)
    pytest.fail(f"no memory of the siblings in {timeout:.0f} s: {answer!r}\n{logs(container)}")


def logs(container: Any) -> str:
    return str(container.logs(tail=50).decode(errors="replace"))
