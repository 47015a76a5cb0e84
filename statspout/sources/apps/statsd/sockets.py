"""Where lines come in: the addresses that are listened at, from the first to the last moment."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from pathlib import Path

from statspout.errors import ConfigError
from statspout.logs import Limited
from statspout.sources.apps.statsd.addresses import SETTING, Address
from statspout.sources.apps.statsd.aggregate import Aggregator
from statspout.sources.apps.statsd.connections import Connection
from statspout.sources.apps.statsd.datagrams import Datagrams, UnixDatagrams
from statspout.sources.apps.statsd.senders import Senders
from statspout.sources.limits import open_files
from statspout.telemetry import Heard
from statspout.web import sockets
from statspout.web.address import show_address

log = logging.getLogger("statspout.statsd")

MOST_CONNECTIONS, _SHARE = 1000, 8
"""Over TCP, all listening sockets together, and no more than one in so many of the files that we may have open: the
engine and whoever asks us need theirs. More are closed at once, and counted."""

_SO_RCVBUFFORCE = 33
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
