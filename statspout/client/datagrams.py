"""The way by datagrams, over UDP or a unix socket: what is sent goes at once, by the one who calls."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from time import monotonic

from statspout.client.addresses import Address
from statspout.client.channel import LONGEST_PAUSE, Channel, writable
from statspout.client.losses import Losses

FRESH = 60.0
"""Seconds for which a look-up of a server's name holds."""


class _Socket(socket.socket):
    """Closed when nobody has it any more: a thread that is sending through it has it.

    To close it in another thread could have that one write into whatever gets its number next; and a lock around every
    ``send`` costs more than all that stands between a call and it.
    """

    def __del__(self) -> None:
        self.close()


class Datagrams(Channel):
    """UDP, or a unix socket of datagrams: sent where it is called, by one system call that does not wait.

    ``_direct`` is the socket while there is one and nothing waits before what is sent now. UDP tells only at the next
    packet that nobody listens: the count of ``refused`` is what the host has told.
    """

    def __init__(self, address: Address, losses: Losses) -> None:
        super().__init__(address, losses)
        self._named = address.named
        self._places: list[tuple[int, tuple[object, ...] | str]] = []
        self._place: tuple[int, tuple[object, ...] | str] | None = None
        self._fresh_until = float("inf")
        self._before = 0
        if not self._named:
            with suppress(OSError):  # a socket that is not there yet is tried again when there is something for it
                self._connect()

    def send(self, packet: bytes, lines: int) -> bool:
        """Have it sent, at once where that is possible; False when it is closed."""
        connection = self._direct
        done = False
        if connection is not None:
            if self._named:
                self._keep_fresh()
            try:
                connection.send(packet)
                self._before = lines
                return True
            except OSError as error:
                with self._lock:
                    done = self._failed(error, packet, lines)
        done = done or self._later(packet, lines)
        self._losses.tell()
        return done

    def _disconnect(self) -> None:
        self._socket = self._direct = None  # which closes it

    def _keep_fresh(self) -> None:
        if monotonic() > self._fresh_until and not self._awake:
            self._rouse()

    def _failed(self, error: OSError, packet: bytes, lines: int) -> bool:
        """Whether that settles the packet, because it is sent now, or counted. With the lock."""
        if isinstance(error, BlockingIOError):
            return False
        if error.errno == errno.EMSGSIZE:
            self._losses.add("too_long", lines, error)
            return True
        if not isinstance(error, ConnectionRefusedError) or self.address.transport == "unix":
            self._disconnect()
            return False
        # That is about the packet before. This one was not sent; where the name has another address, there it goes.
        self._losses.add("refused", self._before or 1, error)
        self._before = 0
        if len(self._places) > 1:
            self._places.append(self._places.pop(0))
            with suppress(OSError):
                self._open()
        return self._sent_again(packet, lines)

    def _sent_again(self, packet: bytes, lines: int) -> bool:
        try:
            if self._socket is not None:
                self._socket.send(packet)
                self._before = lines
                return True
        except OSError:
            self._disconnect()
        return False

    def _connect(self) -> None:
        if self.address.transport == "unix":
            self._places = [(socket.AF_UNIX, self.address.host)]
        elif not self._places or self._named:
            self._places = self._looked_up()
        with self._lock:
            self._open()

    def _open(self) -> None:
        """Connect to the first of the places that can be reached: a datagram's connection is made without waiting."""
        error: OSError | None = None
        for place in self._places:
            family, where = place
            connection = _Socket(family, socket.SOCK_DGRAM)
            connection.setblocking(False)
            try:
                connection.connect(where)
            except OSError as failed:
                connection.close()
                error = failed
                continue
            self._disconnect()
            self._socket, self._place, self._before = connection, place, 0
            self._direct = None if self._backlog or self._closing else connection
            return
        raise error or OSError("the name has no address")

    def _looked_up(self) -> list[tuple[int, tuple[object, ...] | str]]:
        flags = 0 if self._named else socket.AI_NUMERICHOST
        found = socket.getaddrinfo(
            self.address.host, self.address.port, type=socket.SOCK_DGRAM, flags=flags | socket.AI_NUMERICSERV
        )
        self._fresh_until = monotonic() + FRESH
        # Most servers listen on IPv4 alone, and UDP tells too late that nobody does on IPv6.
        places: list[tuple[int, tuple[object, ...] | str]] = [(family, where) for family, _, _, _, where in found]
        return sorted(dict.fromkeys(places), key=lambda place: place[0] != socket.AF_INET)

    def _look_up(self) -> None:
        if not self._named or self._socket is None or monotonic() <= self._fresh_until:
            return
        self._fresh_until = monotonic() + FRESH
        with suppress(OSError, UnicodeError):  # the old address may hold; it is asked again in a while
            places = self._looked_up()
            with self._lock:
                moved = self._place not in places
                self._places = places
                if moved:
                    self._open()

    def _transmit(self) -> bool:
        with self._lock:
            if not self._backlog:
                return True
            if self._socket is None:
                return False
            head = self._backlog.popleft()
            try:
                self._socket.send(head.packet)
                self._before = head.lines
                done = True
            except OSError as error:
                done = self._failed(error, head.packet, head.lines)
            if done:
                self._direct = None if self._backlog or self._closing else self._socket
                return True
            self._backlog.appendleft(head)
            connection = self._socket
        return connection is not None and writable(connection, LONGEST_PAUSE)
