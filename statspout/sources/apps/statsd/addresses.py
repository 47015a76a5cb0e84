"""Where to listen for StatsD, as a person writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from statspout.errors import ConfigError
from statspout.web.address import parse_address, show_address

SETTING = "listen.statsd"


class Address(NamedTuple):
    """``kinds``: UDP, TCP or both at ``host:port``, the host ``""`` is every interface; or a unix datagram socket."""

    kinds: tuple[Literal["udp", "tcp", "unix"], ...]
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}"
        where = show_address(self.host, self.port)
        return where if len(self.kinds) > 1 else f"{self.kinds[0]}://{where}"


def parse_addresses(texts: Sequence[str]) -> list[Address]:
    """``:8125`` (UDP and TCP), ``udp://host:port``, ``tcp://host:port``, ``unix:///path``; ConfigError for all else."""
    found: list[Address] = []
    for text in texts:
        address = _parse(text)
        if any(_meet(address, other) for other in found):
            raise ConfigError(f"--{SETTING}: {text!r} is there already: once is right")
        found.append(address)
    return found


def _parse(text: str) -> Address:
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Address(("udp", "tcp"), *_host_and_port(text, text))
    if scheme == "udp":
        return Address(("udp",), *_host_and_port(rest, text))
    if scheme == "tcp":
        return Address(("tcp",), *_host_and_port(rest, text))
    if scheme == "unix" and rest.startswith("/") and not rest.endswith("/"):
        return Address(("unix",), path=rest)
    raise _wrong(text)


def _host_and_port(text: str, whole: str) -> tuple[str, int]:
    try:
        return parse_address(text, SETTING)
    except ConfigError:
        raise _wrong(whole) from None


def _wrong(text: str) -> ConfigError:
    return ConfigError(
        f"--{SETTING}: {text!r} is wrong: :8125, udp://host:8125, tcp://host:8125 or unix:///path is right"
    )


def _meet(one: Address, other: Address) -> bool:
    same = (one.host, one.port, one.path) == (other.host, other.port, other.path)
    return same and bool(set(one.kinds) & set(other.kinds)) and bool(one.port or one.path)
