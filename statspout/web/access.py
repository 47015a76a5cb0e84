"""Who is answered: whoever asks, or only who sends a token, or a name and its password."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re

from statspout.errors import ConfigError
from statspout.logs import hide
from statspout.settings import Settings

_TOKEN = re.compile(r"[\x21-\x7e]+")
_USER = re.compile(r"[^\x00-\x1f\x7f:]+")
_PASSWORD = re.compile(r"[^\x00-\x1f\x7f]+")
_LONGEST = 8192
"""Bytes of a header that are looked at: a longer one holds no credentials of ours."""


class Access:
    """Which requests are answered. Without a token and a user: all of them; with both, either will do.

    ConfigError when one of them cannot be sent by HTTP, or a user and a password do not come together.
    """

    def __init__(self, token: str | None = None, user: str | None = None, password: str | None = None) -> None:
        _check(token, user, password)
        self._accepted: dict[str, bytes] = {}
        self.header = ""
        """What our own client sends as Authorization; empty where nothing is asked for."""
        if user is not None and password is not None:
            pair = f"{user}:{password}".encode()
            self._accept("basic", pair, f"Basic {base64.b64encode(pair).decode()}")
        if token is not None:
            self._accept("bearer", token.encode(), f"Bearer {token}")

    @property
    def restricted(self) -> bool:
        """Whether credentials are asked for."""
        return bool(self._accepted)

    @property
    def challenges(self) -> list[str]:
        """What WWW-Authenticate says, a header each, to whom is not answered."""
        says = {"basic": 'Basic realm="statspout", charset="UTF-8"', "bearer": 'Bearer realm="statspout"'}
        return [says[scheme] for scheme in self._accepted]

    def admits(self, authorization: bytes) -> bool:
        """Whether the value of the request's Authorization header, empty without one, is to be answered.

        How long it takes tells nothing of how much of a guess is right, nor of how long the secret is.
        """
        if not self._accepted:
            return True
        scheme, _, sent = authorization[:_LONGEST].partition(b" ")
        digest = self._accepted.get(scheme.decode("latin-1").lower())
        return digest is not None and hmac.compare_digest(_digest(_given(scheme, sent.strip())), digest)

    def _accept(self, scheme: str, secret: bytes, header: str) -> None:
        self._accepted[scheme] = _digest(secret)
        self.header = header
        hide(header.partition(" ")[2])


def access_of(settings: Settings) -> Access:
    """The access that the settings ask for, or ConfigError."""
    return Access(settings.web_token, settings.web_user, settings.web_password)


def _check(token: str | None, user: str | None, password: str | None) -> None:
    for secret in (token, password):
        hide(secret or "")
    if token is not None and not _TOKEN.fullmatch(token):
        raise ConfigError("--web.token: the value is wrong: ASCII without white space is right")
    if user is not None and not _USER.fullmatch(user):
        raise ConfigError(f"--web.user: {user!r} is wrong: a name without a colon is right")
    if password is not None and not _PASSWORD.fullmatch(password):
        raise ConfigError("--web.password: the value is wrong: one line of text is right")
    if (user is None) != (password is None):
        given, missing = ("password", "user") if user is None else ("user", "password-file")
        raise ConfigError(f"--web.{given}: --web.{missing} has to come with it")


def _given(scheme: bytes, sent: bytes) -> bytes:
    """What was sent as the secret is kept: of basic authentication the pair that is encoded in it."""
    if scheme.lower() != b"basic":
        return sent
    try:
        return binascii.a2b_base64(sent, strict_mode=True)
    except binascii.Error:
        return b""


def _digest(secret: bytes) -> bytes:
    """Of one length, whatever the secret's is."""
    return hashlib.sha256(secret).digest()
