"""Where an engine is, and how a connection to it is made."""

from __future__ import annotations

import asyncio
import grp
import os
import re
import ssl
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from statspout.errors import ConfigError
from statspout.logs import censored

P = TypeVar("P", bound=asyncio.BaseProtocol)

PORT = 2375
TLS_PORT = 2376


class Address(ABC):
    """One engine's address; as text it is what a user would write for it."""

    host = "docker"
    """The Host header of requests."""

    slowest_connect = 5.0
    """Seconds between two attempts when nobody is there, at the most: a refused connection costs nothing."""

    when_cut = ""
    """What a new connection that is cut off without an answer may mean, to be added to the error."""

    elsewhere = False
    """Whether it is on another machine for sure."""

    encrypted = False
    """Whether it is by TLS."""

    unchecked = False
    """Whether it is encrypted, and nobody looks with whom."""

    @abstractmethod
    async def connect(self, factory: Callable[[], P]) -> P:
        """Open one connection, or raise OSError."""

    def remedy(self, error: BaseException) -> str:  # noqa: ARG002 - most have none
        """What would help, to be added to the reason; empty where that is not known."""
        return ""

    def close(self) -> None:  # noqa: B027 - most share nothing
        """Release what connections shared; a later one may have it again."""


class UnixAddress(Address):
    """An engine's socket in the file system."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __str__(self) -> str:
        return f"unix://{self.path}"

    async def connect(self, factory: Callable[[], P]) -> P:
        """Open one connection, or raise OSError."""
        _, connection = await asyncio.get_running_loop().create_unix_connection(factory, self.path)
        return connection

    def remedy(self, error: BaseException) -> str:
        """Whose socket it is, for whom it does not let in: the most usual trouble of a first start."""
        if not isinstance(error, PermissionError):
            return ""
        try:
            found = Path(self.path).stat()
        except OSError:
            return ""  # it is a folder above that does not let us in
        if not found.st_mode & stat.S_IWGRP:
            return ""
        return f": root and the members of its group may open it (group {_group(found.st_gid)})"


def _group(number: int) -> str:
    """The group's number, which ``docker run --group-add`` takes, behind its name where this machine knows one."""
    try:
        return f"{grp.getgrgid(number).gr_name}, {number}"
    except KeyError:
        return str(number)


class TcpAddress(Address):
    """An engine that listens on TCP; with ``tls``, encrypted by it."""

    def __init__(self, hostname: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.hostname, self.port = hostname, port
        self._tls = tls
        self.encrypted = tls is not None
        self.unchecked = tls is not None and tls.verify_mode == ssl.CERT_NONE
        # By TLS 1.3 the handshake is over for us before the engine has looked at our certificate.
        self.when_cut = " (as when the engine does not accept our certificate)" if tls else ""
        self.host = f"[{hostname}]:{port}" if ":" in hostname else f"{hostname}:{port}"

    def __str__(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.host}"

    async def connect(self, factory: Callable[[], P]) -> P:
        """Open one connection, handshake included, or raise OSError."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(factory, self.hostname, self.port, ssl=self._tls)
        return connection


def reason_of(error: BaseException) -> str:
    """Why a connection was not made, or broke, in a few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        return "it asks for a client certificate" if _wants_certificate(reason) else f"TLS: {reason}"
    if isinstance(error, OSError) and error.errno:
        # A resolver's numbers are negative, and not the system's.
        return os.strerror(error.errno) if error.errno > 0 else error.strerror or str(error)
    return str(error) or type(error).__name__


def _wants_certificate(reason: str) -> bool:
    # What a Go server says by TLS 1.3, and by 1.2, to a client without a certificate.
    return "certificate required" in reason or "alert bad certificate" in reason


class Url(NamedTuple):
    """What a URL as of DOCKER_HOST says; ``port`` is None, the texts are empty, for what it does not say."""

    scheme: str
    user: str
    host: str
    port: int | None
    path: str


def parse_url(text: str) -> Url | None:
    """The parts of ``text``, the host without brackets and in ASCII; None where host or port cannot be one."""
    found = _URL.fullmatch(text)
    host = _host(found["host"]) if found else None
    port = int(found["port"]) if found and found["port"] else None
    if found is None or host is None or (port is not None and not 0 < port < 65536):
        return None
    path = found["path"] or ""
    return Url(found["scheme"], found["user"] or "", host, port, "" if path == "/" else path)


def _host(text: str) -> str | None:
    """The host as the network knows it; None for what is no host."""
    if not text or text.startswith("["):
        return text.strip("[]") or None
    try:
        return text.encode("idna").decode()
    except UnicodeError:
        return None


_URL = re.compile(
    r"(?P<scheme>[a-z]+)://(?:(?P<user>[^@/\s]+)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^:/@\[\]\s]*)(?::(?P<port>\d{1,5}))?(?P<path>/\S*)?"
)


def tcp_address(text: str, setting: str, tls: ssl.SSLContext | None = None) -> TcpAddress:
    """``host:port`` as an address, or ConfigError naming the setting."""
    url = parse_url(text if "://" in text else f"tcp://{text}")
    if url is None or url.scheme not in ("tcp", "http") or url.user or url.path or url.port is None:
        raise ConfigError(f"--{setting}: {censored(text)!r} is wrong: host:port such as localhost:2375 is right")
    return TcpAddress(url.host, url.port, tls)


def unix_address(path: str, setting: str) -> UnixAddress:
    """The path of a socket as an address, or ConfigError naming the setting."""
    path = path.removeprefix("unix://")
    if not path:
        raise ConfigError(f"--{setting}: it is empty: a path such as /var/run/docker.sock is right")
    return UnixAddress(path)
