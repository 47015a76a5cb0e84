"""The webhook's settings, held to what they have to be: a URL, an authority, headers, and one credential at most."""

from __future__ import annotations

import base64
import re
import ssl
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from statspout import ConfigError
from statspout.files import Unreadable, check
from statspout.logs import censored, hide

_HEADER = re.compile(r"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(?P<value>[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_NOT_IN_A_URL = re.compile(r"[\s\x00-\x1f\x7f\\]")
_SECRET_QUERY = re.compile(r"(?i)(?:^|&)[^=&]*(?:token|key|secret|sig|pass|auth|code)[^=&]*=([^&]+)")

_OF_THE_BODY = {"content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "expect"}
"""Headers that follow from how the body is sent."""


class Target(NamedTuple):
    """Where to send: ``url`` without credentials, ``where`` its host and port for an error, and the credentials."""

    url: str
    where: str
    user: str
    password: str

    @property
    def secure(self) -> bool:
        """Whether it is TLS."""
        return self.url.lower().startswith("https:")


def target_of(url: str) -> Target:
    """``url`` in its parts, or ConfigError. What is secret in it is hidden from logs."""
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        right = False
    if not right or _NOT_IN_A_URL.search(url):
        raise ConfigError(f"--webhook.url: {censored(url)!r} is wrong: http://host:port/path or https://... is right")
    user, password = parts.username or "", parts.password or ""
    # A user without a password is a token.
    for secret in (password or user, *_SECRET_QUERY.findall(parts.query)):
        hide(secret)
        hide(unquote(secret))
    place = parts.netloc.rpartition("@")[2]
    return Target(parts._replace(netloc=place, fragment="").geturl(), place, unquote(user), unquote(password))


def check_authority(path: str | None, target: Target) -> None:
    """ConfigError unless ``path`` is None, or a file of certificates that a connection to ``target`` will use."""
    if path is None:
        return
    if not target.secure:
        raise ConfigError("--webhook.tls-ca: it has no effect on an http:// URL: https:// is right")
    try:
        check(path)
        ssl.create_default_context(cafile=path)
    except ssl.SSLError as error:
        raise ConfigError(f"--webhook.tls-ca: {path} has no certificate in it: a PEM file is right") from error
    except Unreadable as error:
        raise ConfigError(f"--webhook.tls-ca: {path!r} cannot be read: {error}") from error


def headers_of(text: str) -> dict[str, str]:
    """The headers written in ``text``, one ``Name: value`` a line, or ConfigError, which shows no value."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        header = _HEADER.fullmatch(line.strip())
        if header is None:
            raise ConfigError(f"--webhook.headers: line {number} is wrong: Name: value, in ASCII, is right")
        name, value = header["name"], header["value"]
        if name.lower() in _OF_THE_BODY:
            raise ConfigError(f"--webhook.headers: {name} follows from what is sent: leave it out")
        if name.lower() in map(str.lower, found):
            raise ConfigError(f"--webhook.headers: {name} is there twice: once is right")
        # A server may repeat all of it in an error, or only what comes behind "Bearer".
        hide(value)
        hide(value.split()[-1])
        found[name] = value
    return found


def authorization(target: Target, token: str, headers: dict[str, str]) -> dict[str, str]:
    """The header of the one credential that was given, if any, where it is not among ``headers`` already."""
    in_headers = "authorization" in map(str.lower, headers)
    in_url = bool(target.user or target.password)
    if (bool(token), in_url, in_headers).count(True) > 1:
        raise ConfigError(
            "--webhook.url: a user in it, --webhook.token and Authorization in --webhook.headers exclude each other: "
            "give one"
        )
    if token:
        if not _TOKEN.fullmatch(token):
            raise ConfigError("--webhook.token: the value is wrong: ASCII without white space is right")
        hide(token)
        return {"Authorization": f"Bearer {token}"}
    if in_url:
        pair = base64.b64encode(f"{target.user}:{target.password}".encode("utf-8", "surrogatepass")).decode()
        hide(pair)
        return {"Authorization": f"Basic {pair}"}
    return {}
