"""The way to a server: takes packets, never waits, never raises.

What cannot be sent at once, because a name is to be looked up, a connection to be made, or a server is slower than we
are, waits in a bounded backlog for a thread of the channel's own. StatsD has no times: what has waited for long would
be told as of now, so it is dropped instead, and counted.
"""

from __future__ import annotations

import select
import socket
import threading
from abc import ABC, abstractmethod
from collections import deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import NamedTuple

from statspout.client.addresses import Address
from statspout.client.losses import Losses, say_once

STALE = 10.0
"""Seconds after which what waits is no longer told as of now."""

WAITING = 4096
"""Packets that wait at most."""

_FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
"""Seconds from an attempt to the next at most."""


class Waiting(NamedTuple):
    """A packet of so many lines, which may wait ``until`` then."""

    until: float
    packet: bytes
    lines: int


class Channel(ABC):
    """What datagrams and streams have in common: the backlog, and the thread that carries it off.

    The thread is there from the first packet that has to wait, and sleeps when none does.
    """

    def __init__(self, address: Address, losses: Losses) -> None:
        self.address = address
        self._losses = losses
        self._lock = threading.RLock()
        self._backlog: deque[Waiting] = deque()
        self._wake: SimpleQueue[SimpleQueue[None] | None] = SimpleQueue()
        self._askers: list[SimpleQueue[None]] = []
        self._socket: socket.socket | None = None
        self._direct: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._awake = False
        self._busy = False
        self._closing = False
        self._over = False
        self._ended = False

    # for the application's threads

    def send(self, packet: bytes, lines: int) -> bool:
        """Have it sent, now or soon, or its ``lines`` counted as lost. False, and neither, when this is closed."""
        taken = self._later(packet, lines)
        self._losses.tell()
        return taken

    def drained(self, seconds: float) -> bool:
        """Wait until nothing waits, at most so long; False if something still does."""
        if not self._backlog and not self._awake and not self._busy:
            return True
        answer: SimpleQueue[None] = SimpleQueue()
        self._rouse(answer)
        try:
            answer.get(timeout=max(0.0, seconds))
        except Empty:
            return False
        return not self._backlog

    def close(self, seconds: float | None = None) -> None:
        """Take nothing more. What waits is still sent, in its own time; with ``seconds``, or else it is counted."""
        with self._lock:
            self._closing, self._direct = True, None
            if self._thread is None and not self._backlog:
                self._disconnect()
                return
        self._rouse()
        if seconds is not None and not self.drained(seconds):
            self._give_up()

    def abandon(self) -> None:
        """In a child: let go of what is the parent's, whose thread may hold the lock for good."""
        if self._socket is not None:
            self._socket.close()

    def _later(self, packet: bytes, lines: int) -> bool:
        with self._lock:
            if self._closing:
                return False
            if len(self._backlog) >= WAITING:
                self._losses.add("full", self._backlog.popleft().lines, self.address)
            self._direct = None
            self._backlog.append(Waiting(monotonic() + STALE, packet, lines))
        if not self._awake:
            self._rouse()
        return True

    def _rouse(self, asker: SimpleQueue[None] | None = None) -> None:
        with self._lock:
            if self._ended:
                if asker is not None:
                    asker.put(None)
                return
            self._awake = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="statspout-client-channel", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError as error:  # the interpreter ends, or the host has no threads left
                    self._thread, self._awake = None, False
                    self._give_up(error)
                    return
            self._wake.put(asker)

    def _give_up(self, why: object = "") -> None:
        with self._lock:
            self._over = self._closing
            while self._backlog:
                self._losses.add("unsent", self._backlog.popleft().lines, why)

    @property
    def over(self) -> bool:
        """It is closed, and nothing waits any more."""
        return self._closing and not self._backlog and not self._busy

    # for the channel's own thread

    def _run(self) -> None:
        while True:
            self._ask(self._wake.get())
            self._busy = True
            self._awake = False  # before it looks: who comes later rouses it again
            try:
                self._look_up()
                self._carry()
            except Exception as error:  # noqa: BLE001 - a thread that ended here would lose all that comes
                self._losses.add("internal", 1, error)
            self._busy = False
            self._losses.tell()
            with self._lock:
                if self._closing and not self._backlog:
                    self._disconnect()
                    self._ended = True
                    with suppress(Empty):
                        while True:
                            self._ask(self._wake.get_nowait())
            for asker in self._askers:
                asker.put(None)
            self._askers.clear()
            if self._ended:
                return

    def _ask(self, asker: SimpleQueue[None] | None) -> None:
        if asker is not None:
            self._askers.append(asker)

    def _look_up(self) -> None:
        """Look up anew where the server is, if it is time to: of a stream that is known with each connection."""
        return

    def _carry(self) -> None:
        """Send what waits, until nothing does."""
        pause = _FIRST_PAUSE
        while self._backlog:
            self._drop_stale()
            if self._connected() and self._transmit():
                pause = _FIRST_PAUSE
            elif self._backlog:
                with suppress(Empty):
                    self._ask(self._wake.get(timeout=pause))
                pause = min(2 * pause, LONGEST_PAUSE)

    def _drop_stale(self) -> None:
        now = monotonic()
        with self._lock:
            while self._backlog and self._backlog[0].until < now:
                self._losses.add("late", self._backlog.popleft().lines, self.address)

    def _connected(self) -> bool:
        if self._socket is not None:
            return True
        try:
            self._connect()
        except (OSError, UnicodeError) as error:  # the second: a name that no name server could have
            say_once(f"{self.address}: {error}; it is tried again")
        return self._socket is not None

    @abstractmethod
    def _connect(self) -> None:
        """Set ``_socket``, or raise OSError."""

    @abstractmethod
    def _transmit(self) -> bool:
        """Send some of what waits; False where it takes a pause, or a new connection, to go on."""

    def _disconnect(self) -> None:
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None


def writable(connection: socket.socket, seconds: float) -> bool:
    """Whether there is room to send, or is within so many seconds."""
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))
