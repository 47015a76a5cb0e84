"""Sockets of datagrams, and how much is taken from each at a time: nobody else may wait for long."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from contextlib import suppress

from statspout.logs import Limited
from statspout.sources.apps.statsd.aggregate import Aggregator
from statspout.sources.apps.statsd.receive import AT_ONCE, LARGEST, drops_of, receiver
from statspout.sources.apps.statsd.senders import Senders
from statspout.telemetry import Heard

log = logging.getLogger("statspout.statsd")

_PACKETS, _BYTES = AT_ONCE, 48 * 1024
"""What is taken from a socket at once: a millisecond or two of work."""

_LAST_BATCHES = 500
"""What is taken at the end at most: more than a buffer holds."""

_GATHER = 0.005
"""Seconds for which packets gather while they come."""

_CREDENTIALS = struct.Struct("3i")


class Datagrams:
    """A UDP socket: a packet has whole lines."""

    def __init__(self, sock: socket.socket, aggregator: Aggregator, senders: Senders, heard: Heard) -> None:
        self.sock = sock
        self.aggregator = aggregator
        self.senders = senders
        self.heard = heard
        self.more = False
        """Whether the last batch may have left something."""
        self._full = False
        self._received = receiver(sock)
        self._waiting: list[bytes] = []
        """What was received and is to be taken, the first one last."""
        self._dropped = 0
        self._limited = Limited(log)
        self._watched = False
        self._turn: asyncio.Handle | None = None

    def begin(self) -> None:
        """Read whenever there is something: the first packet at once, those that follow it together."""
        asyncio.get_running_loop().add_reader(self.sock, self._take_turn)
        self._watched = True

    def _take_turn(self) -> None:
        """Read a batch. While packets come, others gather meanwhile: to wake up for each costs more than to read it."""
        loop = asyncio.get_running_loop()
        taken = self._read_safely()
        if not taken and not self._watched:
            self.begin()
        elif taken:
            if self._watched:
                loop.remove_reader(self.sock)
                self._watched = False
            self._turn = loop.call_soon(self._take_turn) if self.more else loop.call_later(_GATHER, self._take_turn)

    def _read_safely(self) -> int:
        """As :meth:`read`; a fault of ours costs a batch, but does not leave the socket deaf."""
        try:
            return self.read()
        except Exception as error:
            if self._limited.first(type(error).__name__):
                log.exception("statsd: lines are lost, which is a fault of ours")
            else:
                self._limited.warning("fault", "statsd: lines are lost: %s: %s", type(error).__name__, error)
            return 1

    def read(self) -> int:
        """Take what is there, but no more than a batch; returns how many packets there were."""
        if not self._waiting:
            self._receive()
        packets: list[bytes] = []
        size = 0
        while self._waiting and size < _BYTES:
            packets.append(packet := self._waiting.pop())
            size += len(packet)
        self.more = self._full or bool(self._waiting)
        if packets:
            self.heard.packets += len(packets)
            self.aggregator.feed(b"\n".join(packets), self.senders.unknown, time.time_ns())
        return len(packets)

    def _receive(self) -> None:
        try:
            self._waiting = self._received()
        except OSError as error:
            self._trouble(error)
        self._full = len(self._waiting) == AT_ONCE
        self._waiting.reverse()

    def _trouble(self, error: OSError) -> None:
        self.more = False
        self._limited.warning("receive", "statsd: receiving: %s", error.strerror or error)

    def drops(self) -> int:
        """How many packets the kernel has dropped since the last time; 0 where it does not say."""
        count = drops_of(self.sock)
        if count is None:
            return 0
        new, self._dropped = (count - self._dropped) % 2**32, count
        return new

    def finish(self) -> None:
        """Let nothing more in, take what has arrived, and close."""
        if self._watched:
            asyncio.get_running_loop().remove_reader(self.sock)
        if self._turn is not None:
            self._turn.cancel()
        with suppress(OSError):
            self.shut()
        for _ in range(_LAST_BATCHES):
            if not self.read():
                break
        self.heard.socket_drops += self.drops()
        self.sock.close()

    def shut(self) -> None:
        """A socket that is connected, to itself, gets nothing from others."""
        self.sock.connect(self.sock.getsockname())


class UnixDatagrams(Datagrams):
    """A unix datagram socket: the kernel says with each packet whose it is."""

    def read(self) -> int:
        """As for UDP, but that each packet has a sender, and may be cut."""
        count = size = 0
        self.more = True
        try:
            while size < _BYTES and count < _PACKETS:
                packet, ancillary, flags, _ = self.sock.recvmsg(LARGEST, socket.CMSG_SPACE(_CREDENTIALS.size))
                if not packet and not ancillary:
                    self.more = False  # Shut, and empty.
                    break
                count, size = count + 1, size + len(packet)
                if flags & socket.MSG_TRUNC:
                    packet = packet[: packet.rfind(b"\n") + 1]
                    self.heard.lines += 1
                    self.aggregator.bad("too_long", f"a packet of more than {LARGEST} bytes, of which the end is lost")
                self.aggregator.feed(packet, self.senders.of_process(_pid(ancillary)), time.time_ns())
        except BlockingIOError:
            self.more = False
        except OSError as error:
            self._trouble(error)
        self.heard.packets += count
        return count

    def drops(self) -> int:
        """None: a full socket lets its senders wait, or tells them."""
        return 0

    def shut(self) -> None:
        """Who sends now is told."""
        self.sock.shutdown(socket.SHUT_RD)


def _pid(ancillary: list[tuple[int, int, bytes]]) -> int:
    """The number of the process that sent a datagram, as it is here; 0 when it has none here."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS) and len(data) >= _CREDENTIALS.size:
            pid: int = _CREDENTIALS.unpack_from(data)[0]
            return pid
    return 0
