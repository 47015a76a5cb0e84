"""``statspout health``: whether the daemon at ``--health.address`` gets samples; for HEALTHCHECK and scripts."""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from statspout.config import understand
from statspout.health import in_short
from statspout.repository import Repository
from statspout.web.address import parse_address, show_address

_PATIENCE = 4.0
"""Seconds for the answer: less than the image's HEALTHCHECK has, so that a line is left of a daemon that hangs."""

_MOST = 1_000_000
"""Bytes of an answer that are read."""

_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to be asked, not listened on


def health(arguments: Sequence[str], classes: Sequence[type[Repository]] = ()) -> int:
    """Ask ``/readyz`` and print one line; 0 when samples come, else 1. A wrong setting is a ConfigError as ever.

    The settings are read as the daemon reads them, so that the same environment and file lead to the same address.
    """
    found = understand(list(arguments), os.environ, classes, every=False)
    text = found.given.values.get("health.address", "")
    if not text:
        return _trouble("--health.address is not set: an address such as 127.0.0.1:8081, as the daemon's, is right")
    host, port = parse_address(text, "health.address")
    if not port:
        return _trouble(f"--health.address: {text}: the daemon's log says which port that became; that one is right")
    host = _EVERYWHERE.get(host, host)
    where = show_address(host, port)
    try:
        status, state = _ask(host, port)
    except (OSError, http.client.HTTPException) as error:
        return _trouble(f"http://{where}/readyz: {getattr(error, 'strerror', None) or error or type(error).__name__}")
    except ValueError:
        return _trouble(f"http://{where}/readyz: the answer is not statspout's")
    print(in_short(state))
    return int(status != 200)


def _ask(host: str, port: int) -> tuple[int, dict[str, Any]]:
    """The status and the object; ValueError when it is none that :meth:`statspout.health.Health.readiness` makes."""
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    try:
        connection.request("GET", "/readyz", headers={"Connection": "close"})
        response = connection.getresponse()
        state = json.loads(response.read(_MOST))
    finally:
        connection.close()
    if not isinstance(state, dict) or not {"ready", "reason", "containers", "queued", "dropped"} <= state.keys():
        raise ValueError("no readiness")
    return response.status, state


def _trouble(line: str) -> int:
    print(f"statspout: {line}", file=sys.stderr)
    return 1
