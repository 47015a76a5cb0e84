"""The image that the Dockerfile describes, built by an engine on a stand-in for the official Python image."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from docker.errors import BuildError
from support.engine import Engine

TAG = "statspout:test"

_ROOT = Path(__file__).parents[2]
_FORWARDED = ("index-url", "extra-index-url", "trusted-host", "proxy", "default-timeout")
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"  # where the base image has the authorities of the machine that made it
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


def build(engine: Engine, base: str, say: Callable[[str], None]) -> None:
    """Build :data:`TAG`, and say how much larger than its base it is."""
    say(f"building {TAG} on {base}")
    args = _build_args() | {"BASE": base}
    try:
        # The tests' engine has no way out of its bridge; `host` works on every engine.
        engine.client.images.build(path=str(_ROOT), tag=TAG, buildargs=args, network_mode="host", forcerm=True)
    except BuildError as error:
        pytest.fail("".join(line.get("stream", line.get("error", "")) for line in error.build_log)[-4000:])
    say(f"{TAG} is {(_size(engine, TAG) - _size(engine, base)) / 1e6:.0f} MB above its base")


def _size(engine: Engine, name: str) -> int:
    return int(engine.client.images.get(name).attrs["Size"])


def _build_args() -> dict[str, str]:
    """What pip on this machine needs to reach its package index, for pip in the build."""
    settings = _pip_settings()
    args = {f"PIP_{name.replace('-', '_').upper()}": settings[name] for name in _FORWARDED if settings.get(name)}
    if "cert" in settings:
        args["PIP_CERT"] = _BUNDLE
    return args | {name: os.environ[name] for name in _PROXIES if name in os.environ}


def _pip_settings() -> dict[str, str]:
    """pip's own view of its files and variables, without the folders that only this machine has."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    settings = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        words = str(ast.literal_eval(value)).split()
        settings[key.rpartition(".")[2]] = " ".join(word for word in words if not word.startswith("file:"))
    return settings
