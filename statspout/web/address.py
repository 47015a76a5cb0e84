"""Where to listen, as a person writes it."""

from __future__ import annotations

import ipaddress
import re

from statspout.errors import ConfigError

_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+(?:%\w+)?)\]|(?P<name>[^\s:/@\[\]]*)):(?P<port>[0-9]{1,5})")

_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to be asked, not listened on


def parse_address(text: str, setting: str) -> tuple[str, int]:
    """``host:port``, ``:port`` or ``[::1]:port`` as (host, port); the host ``""`` is every interface.

    ConfigError names ``setting``, a whole name such as ``rest.address``.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise ConfigError(f"--{setting}: {text!r} is wrong: host:port such as 127.0.0.1:8080 is right")
    return match["six"] or match["name"] or "", int(match["port"])


def show_address(host: str, port: int) -> str:
    """The pair as :func:`parse_address` reads it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reached(host: str) -> str:
    """Where a program of this machine reaches what listens at ``host``: every interface has its loopback among it."""
    return _EVERYWHERE.get(host, host)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it; a name that is no address may be anybody's but for ``localhost``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
