"""``statspout health``: whether the daemon at ``--health.address`` gets samples; for HEALTHCHECK and scripts."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

from statspout.config import own_settings, placed, understand
from statspout.errors import ConfigError
from statspout.health import in_short
from statspout.logs import printed
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

_LONGEST = 500
"""Characters of a line."""

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
        status, line = _ask(connection, access)
    except (OSError, http.client.HTTPException) as error:
        return _trouble(f"{where}: {getattr(error, 'strerror', None) or error or type(error).__name__}")
    except ValueError:
        return _trouble(f"{where}: the answer is not statspout's")
    print(_shown(line))
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


def _ask(connection: http.client.HTTPConnection, access: Access) -> tuple[int, str]:
    """The status and a line; ValueError when it answers what no :meth:`statspout.health.Health.readiness` returns."""
    headers = {"Connection": "close"} | ({"Authorization": access.header} if access.header else {})
    try:
        with _in_time(connection):
            connection.request("GET", "/readyz", headers=headers)
            response = connection.getresponse()
            said = response.read(_MOST)
    finally:
        connection.close()
    if response.status == http.HTTPStatus.UNAUTHORIZED:
        raise PermissionError("it wants other credentials: those of the daemon's --web.* settings are right")
    try:
        return response.status, in_short(json.loads(said))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("no readiness") from error


@contextmanager
def _in_time(connection: http.client.HTTPConnection) -> Iterator[None]:
    """TimeoutError when what is within is not over in time, though something comes all the while."""
    if connection.sock is None:
        connection.connect()
    ours, late = connection.sock, threading.Event()

    def cut() -> None:
        late.set()
        with suppress(OSError):
            ours.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(_PATIENCE, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException):
        if not late.is_set():
            raise
    finally:
        timer.cancel()
    if late.is_set():
        raise TimeoutError(f"it did not answer within {_PATIENCE:g} s")


def _shown(line: str) -> str:
    """Whoever it was that answered, a line is of no endless length, and steers no terminal."""
    return printed(line)[:_LONGEST]


def _trouble(line: str) -> int:
    print(f"statspout: {_shown(line)}", file=sys.stderr)
    return 1
