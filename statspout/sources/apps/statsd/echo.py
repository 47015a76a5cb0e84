"""A daemon that sends StatsD to itself would have all of it again with each interval, for ever."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable, Sequence

from statspout.client.addresses import Address as Server
from statspout.client.addresses import parse
from statspout.errors import ConfigError
from statspout.repository import Repository, name_of
from statspout.sample import Metric
from statspout.sources.apps.statsd.addresses import SETTING, Address

_EVERYWHERE = {"": (4, 6), "0.0.0.0": (4,), "::": (6,)}  # noqa: S104 - compared with, not listened on
"""Every interface, and the versions of IP that are heard there."""

_LOCALHOST = ("127.0.0.1", "::1")


def refuse_echo(addresses: Sequence[Address], repositories: Iterable[Repository]) -> None:
    """Raise ConfigError when one of ``repositories`` sends what it gets to one of our own listening ``addresses``.

    Only where that is certain: no name but localhost is looked up, and one that gets only what belongs to some
    containers need not get what it sent.
    """
    for repository in repositories:
        chosen = repository.handling
        if not repository.statsd_server or Metric not in repository.accepts:
            continue
        if chosen is not None and (chosen.include or chosen.exclude):
            continue
        server = parse(repository.statsd_server)
        if any(_is_heard(server, address) for address in addresses):
            raise ConfigError(
                f"--{SETTING}: repository {name_of(repository)} would send to {server}, which is heard here, and sent "
                "again, for ever: another address for one of them is right"
            )


def _is_heard(server: Server, address: Address) -> bool:
    """Whether what is sent to ``server`` comes in at ``address``."""
    if server.transport not in address.kinds:
        return False
    if server.transport == "unix":
        return os.path.realpath(server.host) == os.path.realpath(address.path)
    return server.port == address.port and _reaches(server.host, address.host)


def _reaches(host: str, listening: str) -> bool:
    if host == listening:
        return True
    try:
        ip = ipaddress.ip_address(_LOCALHOST[0] if host == "localhost" else host)
    except ValueError:
        return False
    if listening in _EVERYWHERE:
        return ip.version in _EVERYWHERE[listening] and (ip.is_loopback or _is_ours(str(ip)))
    return str(ip) in _LOCALHOST if listening == "localhost" else str(ip) == listening


def _is_ours(ip: str) -> bool:
    """Whether it is an address of this machine: no other can be bound to."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((ip, 0))
    except OSError:
        return False
    return True
