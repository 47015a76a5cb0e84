"""Where a StatsD server is: ``host:port``, ``[::1]:8125``, ``udp://``, ``tcp://host:port``, ``unix:///path``."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

PORT = 8125
"""What StatsD servers listen on."""

Transport = Literal["udp", "tcp", "unix"]

_SCHEMES: dict[str, Transport] = {"udp": "udp", "tcp": "tcp", "unix": "unix", "unixgram": "unix"}
_NUMERIC = re.compile(r"\d{1,3}(\.\d{1,3}){3}|.*:.*")


class Address(NamedTuple):
    """A server. ``host`` has no brackets; of a unix socket it is the path, and the port is 0."""

    transport: Transport
    host: str
    port: int = 0

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"unix://{self.host}" if self.transport == "unix" else f"{self.transport}://{host}:{self.port}"

    @property
    def named(self) -> bool:
        """It takes a look-up, which can take its time, to reach it."""
        return self.transport != "unix" and not _NUMERIC.fullmatch(self.host)


def parse(text: str, port: int | None = None) -> Address:
    """The address that is written so; ``port`` is for a text without one.

    ValueError with the reason in one line.
    """
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        scheme, rest = "udp", text.strip()
    if scheme not in _SCHEMES:
        raise ValueError(f"no such transport {scheme!r}: there are {', '.join(_SCHEMES)}")
    transport = _SCHEMES[scheme]
    if transport == "unix":
        if not rest.startswith("/"):
            raise ValueError(f"{text!r} is no path of a socket: unix:///run/statsd.sock is one")
        return Address("unix", rest)
    host, number = _split(rest, port)
    return Address(transport, host, number)


def _split(text: str, port: int | None) -> tuple[str, int]:
    host, separator, digits = text.rpartition(":")
    if text.endswith("]") or not separator:
        host, digits = text, "" if port is None else str(port)
        if port is None:
            raise ValueError(f"missing colon delimiter in {text!r}: host:port is right")
    bare = host.removeprefix("[").removesuffix("]") if host.startswith("[") and host.endswith("]") else host
    if not bare or re.search(r"[\s/\[\]@]", bare):
        raise ValueError(f"no host in {text!r}: host:port is right")
    if ":" not in bare and not all(0 < len(label) < 64 for label in bare.removesuffix(".").split(".")):
        raise ValueError(f"no host can be called {bare!r}: 1 to 63 characters between two dots are right")
    if ":" in bare and bare == host:
        raise ValueError(f"{text!r} has more than one colon: an IPv6 address is in brackets, [::1]:{PORT}")
    if not re.fullmatch(r"[0-9]{1,5}", digits) or not 0 < int(digits) < 65536:
        raise ValueError(f"port {digits!r} in {text!r}: a number from 1 to 65535 is right")
    return bare, int(digits)
