"""The way over TCP."""

from __future__ import annotations

import socket
from contextlib import suppress

from statspout.client import channel
from statspout.client.channel import Channel, Waiting, writable

CONNECT = 5.0
"""Seconds that a connection may take to be made."""

_CHUNK = 65536


class Stream(Channel):
    """TCP: all is sent by the channel's thread, a line and a newline after the other."""

    def _connect(self) -> None:
        connection = socket.create_connection((self.address.host, self.address.port), CONNECT)
        connection.setblocking(False)
        self._socket = connection

    def _transmit(self) -> bool:
        connection = self._socket
        if connection is None or _hung_up(connection):
            self._disconnect()
            return False
        until, data = self._chunk()
        sent = 0
        try:
            while sent < len(data):
                with suppress(BlockingIOError):
                    sent += connection.send(data[sent : sent + _CHUNK])
                    continue
                if not writable(connection, channel.STALE):
                    raise TimeoutError("the server takes nothing")
        except OSError as error:
            self._disconnect()
            self._again(until, data, sent, error)
            return False
        return True

    def _chunk(self) -> tuple[float, bytes]:
        """What waits the longest, up to a size, and until when it may."""
        parts: list[bytes] = []
        until, size = 0.0, 0
        with self._lock:
            while self._backlog and size < _CHUNK:
                head = self._backlog.popleft()
                until = until or head.until
                size += len(head.packet) + 1
                parts.append(head.packet)
        return until, b"".join(part + b"\n" for part in parts)

    def _again(self, until: float, data: bytes, sent: int, error: OSError) -> None:
        """What the kernel has not taken waits on. A line that it has half of is lost: nobody knows what came of it."""
        rest = data[sent:]
        if sent and data[sent - 1 : sent] != b"\n":
            self._losses.add("cut", 1, error)
            rest = rest[rest.index(b"\n") + 1 :]
        if rest:
            with self._lock:
                self._backlog.appendleft(Waiting(until, rest.removesuffix(b"\n"), rest.count(b"\n")))
                if self._over:
                    self._give_up(error)


def _hung_up(connection: socket.socket) -> bool:
    """The server has closed: a line sent now would vanish. What servers say is of no use here, and makes room."""
    try:
        return not connection.recv(4096)
    except BlockingIOError:
        return False
    except OSError:
        return True
