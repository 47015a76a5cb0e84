"""The certificate that is served, and the one that came to be in its place on disk meanwhile."""

from __future__ import annotations

import logging
import re
import ssl
from pathlib import Path

from statspout.errors import ConfigError
from statspout.files import Unreadable, read
from statspout.logs import Limited, printed
from statspout.settings import Settings

_logger = logging.getLogger(__name__)

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)

_LARGEST = 4 * 2**20
"""Bytes of a file that are looked at."""

_State = tuple[tuple[int, int, int], ...]


class ServedTls:
    """A certificate and its key, paths of PEM files, as the context of a server. ConfigError when they are of no use.

    Each handshake looks whether the files are others by now, as after a renewal, and takes those. A pair that cannot
    be used, as while only one of the two is written, is said, and the one before it serves on.
    """

    def __init__(self, cert: str, key: str) -> None:
        self._cert, self._key = cert, key
        self._limited = Limited(_logger)
        self._seen = self._look()
        self._current = self._load()

    @property
    def leaf(self) -> bytes:
        """The certificate that is on disk now, without its chain, in DER; ConfigError when there is none."""
        found = _CERTIFICATE.search(_read(self._cert, "web.tls-cert").decode("latin-1"))
        try:
            return ssl.PEM_cert_to_DER_cert(found[0] if found else "")
        except ValueError as error:
            raise ConfigError(f"--web.tls-cert: {self._cert} has no certificate in it: a PEM file is right") from error

    def context(self) -> ssl.SSLContext:
        """What the handshake that begins now goes by.

        Not asked by OpenSSL within it, where a client that says a name of any bytes gets Python to complain of each.
        """
        self._renew()
        return self._current

    def _renew(self) -> None:
        state = self._look()
        if state == self._seen:
            return
        # Also of a pair that is of no use: it is tried again when it is another.
        self._seen = state
        try:
            self._current = self._load()
        except ConfigError as error:
            self._limited.warning("renewal", "the certificate before it is served on: %s", error)
        else:
            _logger.info("--web.tls-cert: %s is served anew", self._cert)

    def _look(self) -> _State:
        """What changes when the files do. Zeros for one that is not there."""
        return tuple(map(_look, (self._cert, self._key)))

    def _load(self) -> ssl.SSLContext:
        for setting, path in (("web.tls-cert", self._cert), ("web.tls-key", self._key)):
            _read(path, setting)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        try:
            # The password keeps OpenSSL from asking for one at the terminal.
            context.load_cert_chain(self._cert, self._key, password=lambda: "")
        except (ssl.SSLError, ValueError) as error:
            reason = (getattr(error, "reason", None) or "not PEM, or with a password").replace("_", " ").lower()
            raise ConfigError(
                f"--web.tls-cert: {self._cert} with the key {self._key} cannot be used: {reason}: "
                "a certificate and its own key, both PEM, are right"
            ) from error
        return context


def tls_of(settings: Settings) -> ServedTls | None:
    """What the settings ask for, None when for no TLS; or ConfigError."""
    cert, key = settings.web_tls_cert, settings.web_tls_key
    if bool(cert) != bool(key):
        given, missing = ("cert", "key") if cert else ("key", "cert")
        raise ConfigError(f"--web.tls-{given}: --web.tls-{missing} has to come with it")
    return ServedTls(cert, key) if cert and key else None


def _look(path: str) -> tuple[int, int, int]:
    try:
        found = Path(path).stat()
    except OSError:
        return 0, 0, 0
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read(path: str, setting: str) -> bytes:
    try:
        return read(path, _LARGEST)
    except Unreadable as error:
        raise ConfigError(f"--{setting}: {printed(path)} cannot be read: {error}") from error
