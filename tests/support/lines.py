"""Servers that StatsD's clients send to, as bare sockets, and what lines come to: an interpreter of its own."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Self

from support.standstill import PATIENCE

from statspout.client import StatsD


class Sink:
    """A socket for datagrams, on ``127.0.0.1``, ``::1``, or at a path; what has arrived is read when asked for."""

    def __init__(self, where: str | Path = "127.0.0.1", port: int = 0) -> None:
        if isinstance(where, Path):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.socket.bind(str(where))
            self.address = f"unix://{where}"
        else:
            self.socket = socket.socket(socket.AF_INET6 if ":" in where else socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.bind((where, port))
            host = f"[{where}]" if ":" in where else where
            self.address = f"{host}:{self.socket.getsockname()[1]}"
        self.socket.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def packets(self) -> list[str]:
        """Every packet that is here now: on this host, one that was sent has arrived."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                return found

    def next(self, seconds: float = PATIENCE) -> str:
        """The next packet, which is waited for."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(65536).decode()
        finally:
            self.socket.setblocking(False)

    def lines(self) -> list[str]:
        return "\n".join(self.packets()).splitlines()

    def sent_by(self, client: StatsD) -> list[str]:
        """The lines that are here when the client has sent all it had."""
        assert client.flush()
        return self.lines()


class StreamSink:
    """A TCP server that reads one connection after the other, each to its end."""

    def __init__(self, port: int = 0) -> None:
        self.socket = socket.create_server(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def connection(self) -> socket.socket:
        self.socket.settimeout(PATIENCE)
        connection, _ = self.socket.accept()
        connection.settimeout(PATIENCE)
        return connection

    def text(self) -> str:
        """All that comes over the next connection, until the client closes it."""
        parts = []
        with self.connection() as connection:
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts).decode()


class Levels:
    """Gauges and counts as a server has them whose signed gauges are changes, from 0."""

    def __init__(self) -> None:
        self.gauges: dict[str, float] = {}
        self.counts: Counter[str] = Counter()
        self.lines = 0

    def take(self, packet: str) -> None:
        for line in packet.splitlines():
            self.lines += 1
            name, _, rest = line.partition(":")
            value, kind = rest.split("|")[:2]
            if kind == "c":
                self.counts[name] += int(value)
            elif kind == "g":
                before = self.gauges.get(name, 0.0) if value[0] in "+-" else 0.0
                self.gauges[name] = before + float(value)


def together(*works: Callable[[], object]) -> None:
    """Run these at the same time, each in a thread, to their end."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
