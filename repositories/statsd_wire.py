"""The way to a StatsD server: packets sent there, and what did not get there."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from statspout import RepositoryError
from statspout.client.addresses import Address

_PATIENCE = 5.0
"""Seconds to connect, and for a receiver that is full to take the next packet."""

_LOOKED_UP = 60.0
"""Seconds after which a name is looked up again: nothing tells a sender of datagrams that a server has moved."""

_UNSENT = {errno.ENOBUFS, errno.EAGAIN, errno.EMSGSIZE, errno.ENOMEM}
"""What the kernel says of the very packet that it was given: those before it are on their way."""


class Unsent(RepositoryError):
    """Packets that were not sent; ``sent`` are how many before them were, and are not to come again."""

    def __init__(self, reason: str, sent: int = 0) -> None:
        super().__init__(reason)
        self.sent = sent


def wire_to(address: Address) -> Wire:
    """A way to ``address``, not yet open."""
    return Stream(address) if address.transport == "tcp" else Datagrams(address)


class Wire(ABC):
    """Packets to one address. Errors are RepositoryError, and in one line."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Look the address up, and connect."""
        self.close()
        try:
            self._socket = self._connected()
        except OSError as error:
            raise self._told(error) from error
        except UnicodeError as error:  # a name that no name server could have
            raise Unsent(f"{self._address}: {error}") from error

    @abstractmethod
    def send(self, packets: Sequence[bytes]) -> None:
        """Send them all, in order. Unsent says how many of them need not come again."""

    def close(self) -> None:
        """Let go of the connection."""
        made, self._socket = self._socket, None
        if made is not None:
            made.close()

    @abstractmethod
    def _connected(self) -> socket.socket: ...

    def _told(self, error: OSError, sent: int = 0) -> Unsent:
        if isinstance(error, TimeoutError):
            return Unsent(f"{self._address}: it took nothing for {_PATIENCE:g} s", sent)
        if isinstance(error, ConnectionRefusedError):
            return Unsent(f"{self._address}: nobody listens there", sent)
        return Unsent(f"{self._address}: {error.strerror or error}", sent)


class Datagrams(Wire):
    """A packet a datagram, over UDP or a unix socket.

    Nobody acknowledges a datagram. What a sender can learn is what the kernel says at once, and what comes back from
    a host where nobody listens: the socket is connected, for else that would be said to nobody.
    """

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._refusals = 0
        self._looked_up = 0.0

    def send(self, packets: Sequence[bytes]) -> None:
        """Send them all; Unsent when one is refused.

        A refusal is about what came before it, and a server that has gone has taken along what it was sent: then all
        of them come again.
        """
        if time.monotonic() - self._looked_up > _LOOKED_UP:
            self._follow()
        assert self._socket is not None, "open comes before push"
        sent = 0
        try:
            for packet in packets:
                self._socket.send(packet)
                sent += 1
            if refusal := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(refusal, os.strerror(refusal))
        except OSError as error:
            full = isinstance(error, TimeoutError) or error.errno in _UNSENT
            self._refusals += not full
            raise self._told(error, sent if full else 0) from error

    def _connected(self) -> socket.socket:
        targets = self._targets()
        # Where a name has several addresses, the server may listen on one of them only.
        family, to = targets[self._refusals % len(targets)]
        made = socket.socket(family, socket.SOCK_DGRAM)
        try:
            made.settimeout(_PATIENCE)
            made.connect(to)
        except OSError:
            made.close()
            self._refusals += 1
            raise
        return made

    def _targets(self) -> list[tuple[socket.AddressFamily, Any]]:
        """All there are, IPv4 first: it is what most StatsD servers listen on when they are not told."""
        if self._address.transport == "unix":
            self._looked_up = float("inf")
            return [(socket.AF_UNIX, self._address.host)]
        found = socket.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_DGRAM)
        self._looked_up = time.monotonic()
        return sorted(((entry[0], entry[4]) for entry in found), key=lambda entry: entry[0] != socket.AF_INET)

    def _follow(self) -> None:
        """Connect anew where the name has come to mean another address; with no answer, the old one is kept."""
        self._looked_up = time.monotonic()
        with contextlib.suppress(OSError):
            targets = [to[:2] for _, to in self._targets()]
            if self._socket is None or self._socket.getpeername()[:2] not in targets:
                self.open()


class Stream(Wire):
    """Lines over TCP. What was written when a connection broke may or may not have arrived."""

    def send(self, packets: Sequence[bytes]) -> None:
        """Send them all; Unsent when the connection breaks: then all of them come again."""
        if self._has_ended():
            # It closed while nothing was under way: nothing is lost.
            self.open()
        assert self._socket is not None, "open comes before push"
        try:
            self._socket.sendall(b"\n".join([*packets, b""]))
        except OSError as error:
            raise self._told(error) from error
        if self._has_ended():
            raise Unsent(f"{self._address}: it closed the connection")

    def _connected(self) -> socket.socket:
        made = socket.create_connection((self._address.host, self._address.port), timeout=_PATIENCE)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def _has_ended(self) -> bool:
        """Whether the other side has closed it, as far as that is known; StatsD servers answer nothing."""
        assert self._socket is not None, "open comes before push"
        self._socket.setblocking(False)
        try:
            while self._socket.recv(4096):
                pass
        except BlockingIOError:
            self._socket.settimeout(_PATIENCE)
            return False
        except OSError:
            pass
        return True
