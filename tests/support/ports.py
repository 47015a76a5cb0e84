"""Ports for the programs that tests start: each is given to one only, of all the tests that run on this machine."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

_LEAST, _MANY = 10_000, 20_000
_CLAIMS: list[socket.socket] = []
"""They end with this process, and no program that it starts has them."""


def free_port() -> int:
    """A port that nobody has, of TCP and of UDP, and that nobody is given until this process ends.

    It is none of those that the kernel gives to who asks for any: between this call and the start of the program that
    is to have it, somebody else's connection would take it now and then.
    """
    taken = _given_by_the_kernel()
    for number in range(_MANY):
        port = _LEAST + (os.getpid() * 7 + number) % _MANY
        if port not in taken and _claimed(port):
            return port
    raise RuntimeError(f"no free port from {_LEAST} to {_LEAST + _MANY}")


def _given_by_the_kernel() -> range:
    try:
        first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    except OSError:
        return range(0)
    # Where these are nearly all there are, there is no choice.
    return range(first, last + 1) if first > _LEAST + 1000 else range(0)


def _claimed(port: int) -> bool:
    """Whether it is ours from now on: the name of a socket is free as soon as its process has ended."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0statspout-tests-port-{port}")
        with contextlib.ExitStack() as probes:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                probe = probes.enter_context(socket.socket(socket.AF_INET, kind))
                probe.bind(("", port))
    except OSError:
        claim.close()
        return False
    _CLAIMS.append(claim)
    return True
