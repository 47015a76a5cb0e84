"""Listening sockets, made before anything is served, so that an address that cannot be had ends the start."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Any

_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL)
"""What a machine without IPv6 says to an IPv6 address."""

_REMEDIES = {
    errno.EADDRINUSE: "another port is right",
    errno.EACCES: "a port above 1023 is right",
    errno.EADDRNOTAVAIL: "an address of this machine is right",
}


async def listen(host: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> list[socket.socket]:
    """A listening socket for each address that ``host`` has, all on one port; OSError when it cannot be.

    The host ``""`` is every interface. Port 0 takes a free one. One of ``kind`` SOCK_DGRAM is only bound.
    """
    if not host:
        return [_listen_everywhere(port, kind)]
    listening: list[socket.socket] = []
    refused: OSError | None = None
    try:
        for family, address in await _resolve(host, port, kind):
            try:
                listening.append(_listen(family, (address[0], port, *address[2:]), kind))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                refused = error
            else:
                port = listening[0].getsockname()[1]
    except OSError:
        close(listening)
        raise
    if refused is not None and not listening:
        raise refused
    return listening


def close(sockets: list[socket.socket]) -> None:
    """Close them all."""
    for each in sockets:
        each.close()


def remedy(error: OSError) -> str:
    """What went wrong and what would be right, such as ``address already in use: another port is right``."""
    number = error.errno or 0
    right = _REMEDIES.get(number, "an address of this machine and a free port are right")
    # create_server adds its own words to strerror; a resolver's numbers are negative and not the system's.
    reason = os.strerror(number) if number > 0 else error.strerror or str(error)
    return f"{reason[:1].lower()}{reason[1:]}: {right}"


async def _resolve(host: str, port: int, kind: socket.SocketKind) -> list[tuple[int, tuple[Any, ...]]]:
    """The (family, address) pairs of ``host``, each once; OSError when it has none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=kind)
    except UnicodeError:
        raise OSError(f"{host!r} is no host name") from None
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _listen_everywhere(port: int, kind: socket.SocketKind) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return _listen(socket.AF_INET6, ("", port), kind, dualstack=True)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
    return _listen(socket.AF_INET, ("", port), kind)


def _listen(
    family: int, address: tuple[Any, ...], kind: socket.SocketKind, *, dualstack: bool = False
) -> socket.socket:
    if kind == socket.SOCK_STREAM:
        listening = socket.create_server(address, family=family, dualstack_ipv6=dualstack)
        # Connections inherit it. asyncio does not see that they are TCP, and an answer comes in two pieces: without it
        # the second waits for the other side's word on the first, 40 ms on a connection that is used again.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    bound = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not dualstack))
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound
