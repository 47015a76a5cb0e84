"""``make run`` shows the real containers if there are any, says why when it does not, and does what it is told."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

import pytest

from statspout.testing import FakeEngine

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "scripts/run.py"))


def look(monkeypatch: pytest.MonkeyPatch, path: str) -> list[str]:
    monkeypatch.setattr("statspout.sources.engine.endpoint.SOCKET", path)
    monkeypatch.setenv("HOME", "/nowhere")
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    arguments: list[str] = SCRIPT["demo_or_not"]()
    return arguments


def test_a_running_container_is_watched(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    with FakeEngine() as engine:
        engine.add("web")
        assert look(monkeypatch, engine.socket_path) == []
        assert "1 running container: watching" in capsys.readouterr().err


def test_an_engine_without_containers_makes_it_a_demo(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    with FakeEngine() as engine:
        assert look(monkeypatch, engine.socket_path) == ["--demo"]
        assert "0 running containers: showing a simulated engine" in capsys.readouterr().err


def test_no_engine_makes_it_a_demo_and_the_reason_is_said(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert look(monkeypatch, "/nowhere/docker.sock") == ["--demo"]
    assert "/nowhere/docker.sock: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "environ", "chosen"),
    [
        ([], {}, False),
        (["--interval=1", "--repository=rest"], {}, False),
        (["--socket.path=/x"], {}, True),
        (["-mode=http", "-http.address=a:1"], {}, True),
        (["check"], {}, True),
        (["--demo"], {}, True),
        ([], {"STATSPOUT_MODE": "http"}, True),
        (["--docker.context=far"], {}, True),
        ([], {"STATSPOUT_DOCKER_HOST": "tcp://a"}, True),
        ([], {"DOCKER_HOST": "tcp://a"}, True),
        ([], {"DOCKER_HOST": ""}, False),
        ([], {"STATSPOUT_CONFIG": "statspout.toml"}, True),
    ],
)
def test_who_says_which_engine_gets_it(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], environ: dict[str, str], chosen: bool
) -> None:
    for name in [name for name in os.environ if name.startswith(SCRIPT["VARIABLES"])]:
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert SCRIPT["chosen"](arguments) == chosen
