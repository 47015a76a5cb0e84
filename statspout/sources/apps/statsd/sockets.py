"""The sockets that lines come in by, and how much is taken from each at a time: nobody else may wait for long."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from statspout.errors import ConfigError
from statspout.logs import Limited
from statspout.sources.apps.statsd.addresses import SETTING, Address
from statspout.sources.apps.statsd.aggregate import Aggregator
from statspout.sources.apps.statsd.parse import LONGEST_LINE
from statspout.sources.apps.statsd.receive import AT_ONCE, LARGEST, drops_of, receiver
from statspout.sources.apps.statsd.senders import Senders
from statspout.sources.limits import open_files
from statspout.telemetry import Heard
from statspout.web import sockets
from statspout.web.address import show_address

log = logging.getLogger("statspout.statsd")

MOST_CONNECTIONS, _SHARE = 1000, 8
"""Over TCP, all listening sockets together, and no more than one in so many of the files that we may have open: the
engine and whoever asks us need theirs. More are closed at once, and counted."""

_PACKETS, _BYTES = AT_ONCE, 48 * 1024
"""What is taken from a socket at once: a millisecond or two of work."""

_LAST_BATCHES = 500
"""What is taken at the end at most: more than a buffer holds."""

_GATHER = 0.005
"""Seconds for which packets gather while they come."""

_SO_RCVBUFFORCE = 33
_CREDENTIALS = struct.Struct("3i")
_FREE_PORTS = 8
"""How often another free port is tried, when the one that was free for UDP is not for TCP."""

_MODE = 0o722
"""Whoever is given the unix socket may write to it: containers have users of their own."""


class Listener:
    """Listens at ``addresses`` and feeds the aggregator until closed. ``buffer`` is the kernel's for each socket."""

    def __init__(
        self, addresses: list[Address], aggregator: Aggregator, senders: Senders, heard: Heard, buffer: int
    ) -> None:
        self._addresses = addresses
        self._aggregator = aggregator
        self._senders = senders
        self._heard = heard
        self._buffer = buffer
        self._datagrams: list[Datagrams] = []
        self._servers: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._most = min(MOST_CONNECTIONS, open_files() // _SHARE)
        self._paths: dict[Path, int] = {}
        self._limited = Limited(log)
        self.bound: list[str] = []
        """The addresses as they became."""

    async def open(self) -> None:
        """Begin, or begin again. ConfigError, and nothing is left open, when an address cannot be had."""
        self.bound = []
        for address in self._addresses:
            try:
                if address.path:
                    self._receive(_unix(address.path), address.path)
                else:
                    await self._open_network(address)
            except OSError as error:
                self.close()
                right = "another path is right" if address.path else ""
                told = f"{error.strerror or error}: {right}" if right else sockets.remedy(error)
                raise ConfigError(f"--{SETTING}: {address} cannot be listened on: {told}") from error

    def close(self) -> None:
        """Take in what has arrived by now, then end. Harmless when not open."""
        self.count_drops()
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.finish()
        for datagrams in self._datagrams:
            datagrams.finish()
        for path, inode in self._paths.items():
            with suppress(OSError):
                if path.stat().st_ino == inode:
                    path.unlink()
        self._servers, self._datagrams, self._paths = [], [], {}

    def count_drops(self) -> None:
        """Count what the kernel dropped since the last time, and say so."""
        dropped = sum(datagrams.drops() for datagrams in self._datagrams)
        if dropped:
            self._heard.socket_drops += dropped
            self._limited.warning("drops", "statsd: the kernel dropped %d packets: they came faster than read", dropped)

    async def _open_network(self, address: Address) -> None:
        for attempt in range(_FREE_PORTS):
            port, opened = address.port, []
            try:
                for kind in address.kinds:
                    type_ = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
                    opened.append((kind, await sockets.listen(address.host, port, type_)))
                    port = opened[-1][1][0].getsockname()[1]
                break
            except OSError:
                for _, listening in opened:
                    sockets.close(listening)
                if address.port or not opened or attempt == _FREE_PORTS - 1:
                    raise
        for kind, listening in opened:
            for each in listening:
                await self._begin(kind, each, address.host or "0.0.0.0")  # noqa: S104 - only shown

    async def _begin(self, kind: str, sock: socket.socket, host: str) -> None:
        self.bound.append(f"{kind}://{show_address(host, sock.getsockname()[1])}")
        if kind == "udp":
            self._receive(sock)
        else:
            loop = asyncio.get_running_loop()
            self._servers.append(await loop.create_server(self._connection, sock=sock))

    def _receive(self, sock: socket.socket, path: str = "") -> None:
        sock.setblocking(False)
        _enlarge(sock, self._buffer)
        if path:
            self._paths[Path(path)] = Path(path).stat().st_ino
            self.bound.append(f"unix://{path}")
            self._datagrams.append(UnixDatagrams(sock, self._aggregator, self._senders, self._heard))
        else:
            self._datagrams.append(Datagrams(sock, self._aggregator, self._senders, self._heard))
        self._datagrams[-1].begin()

    def _connection(self) -> Connection:
        return Connection(self._aggregator, self._senders, self._connections, self._heard, self._has_room)

    def _has_room(self) -> bool:
        """Whether there may be one connection more; if not, it is counted, and said."""
        if len(self._connections) < self._most:
            return True
        self._heard.refused += 1
        self._limited.warning("refused", "statsd: a connection is refused: there are %d, the most", self._most)
        return False


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


def _pid(ancillary: list[tuple[int, int, bytes]]) -> int:
    """The number of the process that sent a datagram, as it is here; 0 when it has none here."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS) and len(data) >= _CREDENTIALS.size:
            pid: int = _CREDENTIALS.unpack_from(data)[0]
            return pid
    return 0


def _enlarge(sock: socket.socket, size: int) -> None:
    """Ask for so many bytes of buffer: beyond the system's limit where we may, else up to it."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def _unix(path: str) -> socket.socket:
    """A bound unix datagram socket; one that nobody listens at any more is replaced. OSError when it cannot be."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        _remove_stale(Path(path))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        sock.bind(path)
        Path(path).chmod(_MODE)
    except OSError:
        sock.close()
        raise
    return sock


def _remove_stale(path: Path) -> None:
    if not path.is_socket():
        return  # To bind says that there is another kind of file.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
