"""What TLS with an engine needs: an authority, a certificate of ours and its key, all of them PEM files."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from statspout.errors import ConfigError
from statspout.files import Unreadable, check
from statspout.logs import printed


@dataclass(frozen=True, slots=True)
class Tls:
    """What TLS needs, if it is ``wanted``; the files are paths of PEM files.

    ``where`` says, in an error, where they were given, when that was not by their settings.
    """

    wanted: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    verify: bool = True
    where: str = ""

    def context(self) -> ssl.SSLContext:
        """The context of every connection, or ConfigError."""
        for kind, path in (("ca", self.ca), ("cert", self.cert), ("key", self.key)):
            _check_readable(path, self._named(kind))
        if bool(self.cert) != bool(self.key):
            given, missing = ("cert", "key") if self.cert else ("key", "cert")
            raise ConfigError(f"{self._named(given)}: {self._named(missing)} has to come with it")
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except ssl.SSLError as error:
            raise ConfigError(
                f"{self._named('ca')}: {self.ca} has no certificate in it: a PEM file is right"
            ) from error
        if not self.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self.cert:
            self._load(context, self.cert)
        return context

    def _load(self, context: ssl.SSLContext, cert: str) -> None:
        try:
            # The password keeps OpenSSL from asking for one at the terminal.
            context.load_cert_chain(cert, self.key, password=lambda: "")
        except ssl.SSLError as error:
            reason = (error.reason or "not PEM, or with a password").replace("_", " ").lower()
            raise ConfigError(
                f"{self._named('cert')}, {self._named('key')}: {cert} and {self.key} cannot be used: {reason}: "
                "a certificate and its own key, both PEM, are right"
            ) from error

    def _named(self, kind: str) -> str:
        return self.where or f"--docker.tls-{kind}"


def _check_readable(path: str | None, where: str) -> None:
    if path is not None:
        try:
            check(path)
        except Unreadable as error:
            raise ConfigError(f"{where}: {printed(path)} cannot be read: {error}") from error
