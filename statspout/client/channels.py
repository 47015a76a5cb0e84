"""The way to a server: takes packets, never waits, never raises.

What cannot be sent at once, because a name is to be looked up, a connection to be made, or a server is slower than we
are, waits in a bounded backlog for a thread of the channel's own. StatsD has no times: what has waited for long would
be told as of now, so it is dropped instead, and counted.
"""

from __future__ import annotations

import errno
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

FRESH = 60.0
"""Seconds for which a look-up of a server's name holds."""

CONNECT = 5.0
"""Seconds that a connection may take to be made."""

_CHUNK = 65536
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0


class _Waiting(NamedTuple):
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
        self._backlog: deque[_Waiting] = deque()
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
            self._backlog.append(_Waiting(monotonic() + STALE, packet, lines))
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
                pause = min(2 * pause, _LONGEST_PAUSE)

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


def _writable(connection: socket.socket, seconds: float) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))


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
        return connection is not None and _writable(connection, _LONGEST_PAUSE)


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
                if not _writable(connection, STALE):
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
                self._backlog.appendleft(_Waiting(until, rest.removesuffix(b"\n"), rest.count(b"\n")))
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


def open_channel(address: Address, losses: Losses) -> Channel:
    """The channel to a server. Nothing is looked up and nobody waited for in the caller's thread."""
    return Stream(address, losses) if address.transport == "tcp" else Datagrams(address, losses)
