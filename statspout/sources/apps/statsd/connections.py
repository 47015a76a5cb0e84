"""Connections over TCP that lines come in by."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from statspout.sources.apps.statsd.aggregate import Aggregator
from statspout.sources.apps.statsd.lines import LONGEST_LINE
from statspout.sources.apps.statsd.receive import LARGEST
from statspout.sources.apps.statsd.senders import Senders
from statspout.telemetry import Heard


class Connection(asyncio.BufferedProtocol):
    """A TCP connection: lines end with a newline, and the last one with the connection."""

    # What is received is looked at before anything else is: one buffer does for all of them.
    _buffer = bytearray(LARGEST)

    def __init__(
        self,
        aggregator: Aggregator,
        senders: Senders,
        connections: set[Connection],
        heard: Heard,
        has_room: Callable[[], bool],
    ) -> None:
        self._aggregator = aggregator
        self._senders = senders
        self._all = connections
        self._heard = heard
        self._has_room = has_room
        self._transport: asyncio.Transport | None = None
        self._begun = b""
        """The beginning of a line."""
        self._skipping = False
        """Whether the rest of a line is on its way that was too long."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take it, or, when there are too many, close it."""
        assert isinstance(transport, asyncio.Transport)
        if not self._has_room():
            transport.abort()
            return
        self._transport = transport
        self._all.add(self)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - asyncio says what it would like
        """Where the next bytes go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes have come."""
        self._take(bytes(memoryview(self._buffer)[:nbytes]))

    def eof_received(self) -> None:
        """Nothing more comes: what is there is a line."""
        if not self._skipping:
            self._feed(self._begun)
        self._begun = b""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason matters to nobody
        """It is over. Half a line may look like another one, and is none."""
        self._all.discard(self)
        if self._begun:
            self._heard.lines += 1
            self._aggregator.bad("cut", "the connection broke within it")
            self._begun = b""

    def finish(self) -> None:
        """Take what has arrived, and close."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            with suppress(OSError):
                self._take_last(transport.get_extra_info("socket"))
            transport.abort()

    def _take_last(self, sock: socket.socket) -> None:
        # No more than its buffer holds: who sends faster than this reads would have it read for ever.
        left = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        while left > 0 and (data := os.read(sock.fileno(), min(left, LARGEST))):
            left -= len(data)
            self._take(data)

    def _take(self, data: bytes) -> None:
        whole, newline, begun = data.rpartition(b"\n")
        if newline:
            if self._skipping:
                self._skipping = False
                whole = whole.partition(b"\n")[2]
            else:
                whole = self._begun + whole
            self._begun = begun
            self._feed(whole)
        elif not self._skipping:
            self._begun += begun
        if len(self._begun) > LONGEST_LINE:
            self._heard.lines += 1
            self._aggregator.bad("too_long", f"{LONGEST_LINE} bytes and no end: less is right")
            self._begun, self._skipping = b"", True

    def _feed(self, lines: bytes) -> None:
        if lines:
            self._aggregator.feed(lines, self._senders.unknown, time.time_ns())
