"""Which engine: the settings, else what the docker command goes by, become one address.

What was given to statspout goes first; then, as for the docker command, DOCKER_HOST, DOCKER_CONTEXT, the current
context of the docker configuration, and the usual socket.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from statspout.errors import ConfigError
from statspout.logs import censored
from statspout.settings import Settings
from statspout.sources.engine.address import (
    PORT,
    TLS_PORT,
    Address,
    TcpAddress,
    UnixAddress,
    Url,
    parse_url,
    tcp_address,
    unix_address,
)
from statspout.sources.engine.contexts import contexts, current_context, tls_of_context, tls_of_environment
from statspout.sources.engine.tls import Tls

SOCKET = "/var/run/docker.sock"
HTTP = "localhost:2375"


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""What can be the name of an engine: a host's name, for that is what it becomes."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An engine's address, and what said that it is the one; empty when nothing did.

    ``name`` is what tells it from others; empty for the only one.
    """

    address: Address
    origin: str = ""
    name: str = ""

    def __str__(self) -> str:
        return f"{self.address} ({self.name or self.origin})" if self.name or self.origin else str(self.address)


def endpoints_of(settings: Settings, environ: Mapping[str, str]) -> list[Endpoint]:
    """Every engine that ``--engine`` names, or else the only one, as of :func:`endpoint_of`; or ConfigError."""
    if not settings.engine:
        return [endpoint_of(settings, environ)]
    if ways := [f"--{way}" for way in _ways(settings)]:
        raise ConfigError(f"{ways[0]}: --engine says where the engines are: one of the two is right")
    tls = _tls(settings)
    found = [_named(text, environ, tls) for text in settings.engine]
    _check_different(found)
    if tls.wanted and not any(isinstance(endpoint.address, TcpAddress) for endpoint in found):
        raise ConfigError("--docker.tls: no engine of --engine is reached over TCP: tcp://host:2376 is right")
    return found


def _named(text: str, environ: Mapping[str, str], tls: Tls) -> Endpoint:
    """The engine that ``name=URL`` names. TLS is for those that are reached over TCP; a context has its own."""
    name, separator, url = text.partition("=")
    if not separator or not _NAME.fullmatch(name):
        right = "a name and a URL, such as far=ssh://me@far or near=unix:///var/run/docker.sock, is right"
        raise ConfigError(f"--engine: {censored(text)!r} is wrong: {right}")
    where = f"--engine: {name}"
    if url.startswith("context://"):
        return replace(_of_context(url.removeprefix("context://"), where, environ, Tls(verify=tls.verify)), name=name)
    encrypted = tls if url.startswith(("tcp://", "http://", "https://")) else Tls()
    return Endpoint(address_of(url, where, encrypted), name=name)


def _check_different(endpoints: Sequence[Endpoint]) -> None:
    """ConfigError where two have one name, or are one engine: each of its containers would come twice."""
    names: set[str] = set()
    places: dict[str, str] = {}
    for endpoint in endpoints:
        name, address = endpoint.name, endpoint.address
        if name in names:
            raise ConfigError(f"--engine: there are two engines called {name}: a name for each is right")
        place = os.path.realpath(address.path) if isinstance(address, UnixAddress) else str(address)
        if places.setdefault(place, name) != name:
            raise ConfigError(f"--engine: {places[place]} and {name} are one engine, {address}: once is right")
        names.add(name)


def endpoint_of(settings: Settings, environ: Mapping[str, str]) -> Endpoint:
    """The engine that the settings name, or else the environment, or else the docker configuration; or ConfigError."""
    tls = _tls(settings)
    ways = list(_ways(settings))
    if len(ways) > 1:
        raise ConfigError(f"{', '.join(f'--{way}' for way in ways)}: they are {len(ways)} ways to an engine: give one")
    if settings.docker_host is not None:
        return Endpoint(address_of(settings.docker_host, "--docker.host", tls), "docker.host")
    if settings.docker_context is not None:
        return _of_context(settings.docker_context, "--docker.context", environ, tls)
    if ways:
        return Endpoint(_of_mode(settings, tls), ways[0])
    return _as_docker_does(environ, tls)


def address_of(text: str, where: str, tls: Tls) -> Address:
    """The address that a URL as of DOCKER_HOST names, or ConfigError that begins with ``where`` it was."""
    if text.startswith("unix:///"):
        return _plain(UnixAddress(text.removeprefix("unix://")), where, tls)
    url = parse_url(text)
    if url is None or url.scheme not in ("tcp", "http", "https", "ssh"):
        right = "unix:///path, tcp://host:port, https://host:port or ssh://user@host is right"
        raise ConfigError(f"{where}: {censored(text)!r} is wrong: {right}")
    if url.scheme == "ssh":
        return _plain(_ssh(url, where), where, tls)
    if url.user or url.path:
        raise ConfigError(f"{where}: {censored(text)!r} is wrong: tcp://host:port, without a user or a path, is right")
    encrypted = tls.wanted or url.scheme == "https"
    context = tls.context() if encrypted else None
    return TcpAddress(url.host, url.port or (TLS_PORT if encrypted else PORT), context)


def _ssh(url: Url, where: str) -> Address:
    if ":" in url.user:
        raise ConfigError(f"{where}: a password in it is of no use: ssh keys are right")
    if (url.user or url.host).startswith("-"):
        raise ConfigError(f"{where}: {url.user or url.host!r} is wrong: a user or host that begins with - is none")
    if ":" in url.path:
        raise ConfigError(f"{where}: {url.path!r} is wrong: ssh forwards no socket with a colon in its path")
    from statspout.sources.engine.ssh import REMOTE_SOCKET, SshAddress  # programs and temporary files, only here

    return SshAddress(f"{url.user}@{url.host}" if url.user else url.host, url.port, url.path or REMOTE_SOCKET)


def _plain(address: Address, where: str, tls: Tls) -> Address:
    if tls.wanted:
        raise ConfigError(f"--docker.tls: {address} ({where}) has no TLS: tcp://host:2376 is right")
    return address


def _ways(settings: Settings) -> Iterator[str]:
    """The settings by which an engine was named; ``mode`` and what belongs to it are one."""
    for name, value in (("docker.host", settings.docker_host), ("docker.context", settings.docker_context)):
        if value is not None:
            yield name
    if settings.mode is not None:
        yield "mode"
    else:
        for name, value in (("socket.path", settings.socket_path), ("http.address", settings.http_address)):
            if value is not None:
                yield name


def _of_mode(settings: Settings, tls: Tls) -> Address:
    if settings.mode == "http" or (settings.mode is None and settings.http_address is not None):
        address = HTTP if settings.http_address is None else settings.http_address
        return tcp_address(address, "http.address", tls.context() if tls.wanted else None)
    path = SOCKET if settings.socket_path is None else settings.socket_path
    return _plain(unix_address(path, "socket.path"), "--socket.path", tls)


def _tls(settings: Settings) -> Tls:
    ca, cert, key = settings.docker_tls_ca, settings.docker_tls_cert, settings.docker_tls_key
    return Tls(bool(settings.docker_tls or ca or cert or key), ca, cert, key, settings.docker_tls_verify)


# As the docker command does


def _as_docker_does(environ: Mapping[str, str], tls: Tls) -> Endpoint:
    if url := environ.get("DOCKER_HOST"):
        if not tls.wanted and not url.startswith(("unix://", "ssh://")):
            tls = tls_of_environment(environ, tls.verify)
        return Endpoint(address_of(url, "DOCKER_HOST", tls), "DOCKER_HOST")
    if name := environ.get("DOCKER_CONTEXT"):
        return _of_context(name, "DOCKER_CONTEXT", environ, tls)
    if name := current_context(environ):
        return _of_context(name, "the current docker context", environ, tls)
    return Endpoint(_plain(UnixAddress(SOCKET), "the usual socket", tls))


def _of_context(name: str, where: str, environ: Mapping[str, str], tls: Tls) -> Endpoint:
    origin = f"{where} {name}"
    if name == "default":
        return Endpoint(_plain(UnixAddress(SOCKET), where, tls), origin)
    known = contexts(environ)
    if name not in known:
        there = f"there are {', '.join(['default', *sorted(known)])}" if known else "there is only default"
        raise ConfigError(f"{where}: there is no docker context {name!r}: {there}")
    file, said = known[name]
    url = said.get("Host") or f"unix://{SOCKET}"
    if not isinstance(url, str):
        raise ConfigError(f"{where}: {file}: its Host is no text: {url!r}")
    if not tls.wanted and not url.startswith(("unix://", "ssh://")):
        tls = tls_of_context(file, tls.verify, bool(said.get("SkipTLSVerify")), origin)
    return Endpoint(address_of(url, origin, tls), origin)
