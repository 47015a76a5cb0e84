"""Where to write and as whom, checked: what is wrong is a ConfigError of one line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from statspout import ConfigError
from statspout.files import Unreadable, check
from statspout.logs import censored, hide
from statspout.repositories.influxdb_api.troubles import told_os

_RIGHT = "http://localhost:8086 or the like is right"
_HEADER = re.compile(r"[\x21-\x7e]+( [\x21-\x7e]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """``url`` has no end slash, user or password in it. With a ``bucket`` it is version 2's API, else 1.x's."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    database: str = ""
    org: str = ""
    bucket: str = ""
    token: str = field(default="", repr=False)
    ca: str | None = None
    gzip: bool = True
    timeout: float = 10.0

    @property
    def basic(self) -> str:
        """``user:password`` for the header Authorization; empty without a user."""
        return f"{self.user}:{self.password}" if self.user else ""


class Address(NamedTuple):
    """A URL without its user and password, and those two."""

    url: str
    user: str
    password: str


_LONGEST_LABEL = 63
"""Characters between two dots of a host's name."""


def parsed_url(text: str, setting: str) -> Address:
    """The parts of the URL that a user gave as ``setting``; its password is hidden from the logs from here on."""
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise ConfigError(f"--{setting}: {censored(text)!r} is wrong: {_RIGHT}") from None
    for secret in {parts.password or "", unquote(parts.password or "")}:
        hide(secret)
    host = parts.hostname or ""
    odd = not host or len(host.split()) != 1 or any(len(label) > _LONGEST_LABEL for label in host.split("."))
    if parts.scheme not in ("http", "https") or odd or parts.query or parts.fragment or port == 0:
        raise ConfigError(f"--{setting}: {censored(text)!r} is wrong: {_RIGHT}")
    return Address(_bare(parts), unquote(parts.username or ""), unquote(parts.password or ""))


def _bare(parts: SplitResult) -> str:
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"


def checked_token(token: str, setting: str) -> str:
    """The token, or ConfigError when no HTTP header could carry it."""
    if not _HEADER.fullmatch(token):
        raise ConfigError(f"--{setting}-file: the value is wrong: letters, digits and signs on one line are right")
    return token


def checked_ca(path: str, setting: str) -> str:
    """The path of a file with certificates in it, or ConfigError."""
    import ssl

    try:
        check(path)
        ssl.create_default_context(cafile=path)
    except Unreadable as error:
        raise ConfigError(f"--{setting}: {path} cannot be used: {told_os(error.__cause__ or error)}") from None
    except ssl.SSLError:
        raise ConfigError(f"--{setting}: {path} cannot be used: there are no PEM certificates in it") from None
    return str(Path(path).absolute())
