"""``statspout health``: whether the daemon at ``--health.address`` gets samples; for HEALTHCHECK and scripts."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from statspout.config import own_settings, placed, understand
from statspout.errors import ConfigError
from statspout.health import in_short
from statspout.repository import Repository
from statspout.web.access import Access, access_of
from statspout.web.address import parse_address, reached, show_address
from statspout.web.tls import ServedTls, tls_of

T = TypeVar("T")

_PATIENCE = 4.0
"""Seconds for the answer: less than the image's HEALTHCHECK has, so that a line is left of a daemon that hangs."""

_RENEWAL = 1.0
"""Seconds for which a certificate that is not the daemon's, or of no use, is one that is being renewed."""

_PAUSE = 0.1

_MOST = 1_000_000
"""Bytes of an answer that are read."""


def health(arguments: Sequence[str], classes: Sequence[type[Repository]] = ()) -> int:
    """Ask ``/readyz`` and print one line; 0 when samples come, else 1. A wrong setting is a ConfigError as ever.

    The settings are read as the daemon reads them, so that the same environment and file lead to the same address, and
    to the certificate and the credentials that belong to it.
    """
    given = understand(list(arguments), os.environ, classes, every=False).given
    settings = own_settings(given)
    with placed(given):
        access, tls = access_of(settings), _settled(lambda: tls_of(settings))
    text = settings.health_address
    if not text:
        return _trouble("--health.address is not set: an address such as 127.0.0.1:8081, as the daemon's, is right")
    host, port = parse_address(text, "health.address")
    if not port:
        return _trouble(f"--health.address: {text}: the daemon's log says which port that became; that one is right")
    host = reached(host)
    where = f"{'https' if tls else 'http'}://{show_address(host, port)}/readyz"
    try:
        with placed(given):
            connection = _settled(lambda: _connection(host, port, tls))
        status, state = _ask(connection, access)
    except (OSError, http.client.HTTPException) as error:
        return _trouble(f"{where}: {getattr(error, 'strerror', None) or error or type(error).__name__}")
    except ValueError:
        return _trouble(f"{where}: the answer is not statspout's")
    print(in_short(state))
    return int(status != 200)


class _OtherCertificate(ConnectionError):
    """Whoever is there has another certificate than the files."""


def _settled(look: Callable[[], T]) -> T:
    """What ``look`` returns. While it meets a certificate that is half renewed, it looks again, for a moment.

    Two files cannot be replaced at once, and the daemon serves the pair before them until both are new.
    """
    end = time.monotonic() + _RENEWAL
    while True:
        try:
            return look()
        except (ConfigError, _OtherCertificate):
            if time.monotonic() > end:
                raise
        time.sleep(_PAUSE)


def _connection(host: str, port: int, tls: ServedTls | None) -> http.client.HTTPConnection:
    """A connection that is made; with TLS it is one to who has our own certificate, whatever name is in that.

    Nobody else on this machine is sent the credentials by having the port while the daemon is down.
    """
    if tls is None:
        return http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(host, port, timeout=_PATIENCE, context=context)
    connection.connect()
    if connection.sock.getpeercert(binary_form=True) != tls.leaf:
        connection.close()
        raise _OtherCertificate("it has another certificate than that of --web.tls-cert")
    return connection


def _ask(connection: http.client.HTTPConnection, access: Access) -> tuple[int, dict[str, Any]]:
    """The status and the object; ValueError when it is none that :meth:`statspout.health.Health.readiness` makes."""
    headers = {"Connection": "close"} | ({"Authorization": access.header} if access.header else {})
    try:
        connection.request("GET", "/readyz", headers=headers)
        response = connection.getresponse()
        if response.status == http.HTTPStatus.UNAUTHORIZED:
            raise PermissionError("it wants other credentials: those of the daemon's --web.* settings are right")
        state = json.loads(response.read(_MOST))
    finally:
        connection.close()
    if not isinstance(state, dict) or not {"ready", "reason", "containers", "queued", "dropped"} <= state.keys():
        raise ValueError("no readiness")
    return response.status, state


def _trouble(line: str) -> int:
    print(f"statspout: {line}", file=sys.stderr)
    return 1
