"""Where StatsD is sent to in tests: sockets that keep what comes, and the reference server from npm."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from support.influxdb import free_port
from support.servers import ROOT, server

_PATIENCE = 60.0


class Receiver:
    """Takes datagrams, over UDP at ``host`` or at a unix socket's ``path``, or what comes over TCP; keeps the packets.

    It stops with :meth:`close`, and :meth:`start` begins again at the same address.
    """

    def __init__(self, scheme: str = "udp", path: Path | None = None, host: str = "127.0.0.1") -> None:
        self.packets: list[bytes] = []
        self._scheme, self._path = scheme, path
        self._at: Any = str(path) if path else (host, 0)
        self._marks = itertools.count()
        self._came = threading.Condition()
        self._host = host
        self._connection: socket.socket | None = None
        self.start()

    @property
    def address(self) -> str:
        if self._path is not None:
            return f"unix://{self._path}"
        host, port = self._at[:2]
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def port(self) -> int:
        port: int = self._at[1]
        return port

    def start(self) -> None:
        family = socket.AF_UNIX if self._path else socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM if self._scheme == "tcp" else socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, self._scheme == "tcp")
        self._socket.bind(self._at)
        self._at = self._socket.getsockname()
        if self._scheme == "tcp":
            self._socket.listen()
        self._thread = threading.Thread(target=self._serve if self._scheme == "tcp" else self._read, daemon=True)
        self._thread.start()

    def lines(self) -> list[str]:
        """Every line of the datagrams that were sent before this call."""
        mark = f"mark:{next(self._marks)}".encode()
        with socket.socket(self._socket.family, socket.SOCK_DGRAM) as sender:
            sender.sendto(mark, self._at)
        self.wait_for(lambda: mark in self.packets)
        return [line for packet in self.packets if b"mark:" not in packet for line in packet.decode().split("\n")]

    def wait_for(self, came: Any) -> None:
        with self._came:
            assert self._came.wait_for(came, _PATIENCE), f"it did not come; what came is {self.packets[-5:]}"

    def close(self) -> None:
        for one in (self._socket, self._connection):
            with contextlib.suppress(OSError, AttributeError):
                one.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]  # there may be none
        if self._scheme != "tcp" and self._thread.is_alive():
            with contextlib.suppress(OSError), socket.socket(self._socket.family, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"mark:end", self._at)
        self._thread.join(_PATIENCE)
        self._socket.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while (packet := self._socket.recv(65536)) not in (b"mark:end", b""):
                self._keep(packet)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._connection, _ = self._socket.accept()
                with self._connection:
                    while packet := self._connection.recv(65536):
                        self._keep(packet)

    def _keep(self, packet: bytes) -> None:
        with self._came:
            self.packets.append(packet)
            self._came.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class ReferenceServer:
    """The StatsD server from npm: UDP and TCP on ``port``. It flushes once an hour: what it holds is all that came."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._program = server("node")
        self._source = ROOT / "statsd" / "stats.js"
        if self._program is None or not self._source.exists():
            pytest.skip("needs node and the server of npm's package statsd: run scripts/setup-servers")
        self.host, self.port, self._management = host, free_port(), free_port()
        self._work = Path(tempfile.mkdtemp(prefix="statspout-statsd-"))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        at = {"address": self.host, "port": self.port, "address_ipv6": ":" in self.host}
        config = self._work / "config.js"
        settings = {
            "servers": [{"server": "./servers/udp", **at}, {"server": "./servers/tcp", **at}],
            "mgmt_address": "127.0.0.1", "mgmt_port": self._management,
            "flushInterval": 3_600_000, "backends": ["./backends/console"],
        }  # fmt: skip
        config.write_text(json.dumps(settings))
        assert self._program is not None
        with (self._work / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, str(self._source), str(config)],
                cwd=self._source.parent, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.wait_for(lambda: bool(self._asked("health")))
        return self

    def holds(self, what: str) -> dict[str, Any]:
        """Its ``counters``, ``gauges`` or ``timers``, by name; those about itself begin with ``statsd.``."""
        text = self._asked(what)
        found = re.findall(r"^\s*(?:\{ )?'?([^\s':]+)'?: ([^\n]+?),?(?: \})?$", text.removesuffix("END\n\n"), re.M)
        return {name: json.loads(value.replace("'", '"')) for name, value in found}

    def took(self, lines: int) -> None:
        """Wait until that many lines came, good or bad, and see that none was bad."""
        self.wait_for(lambda: self.holds("counters")["statsd.metrics_received"] >= lines)
        assert self.holds("counters")["statsd.bad_lines_seen"] == 0, (self._work / "log").read_text()

    def wait_for(self, happened: Any) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self._tried(happened):
            assert time.monotonic() < deadline, (self._work / "log").read_text(errors="replace")
            time.sleep(0.01)

    def _tried(self, happened: Any) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._work / "log").read_text(errors="replace")
        with contextlib.suppress(ConnectionRefusedError):
            return bool(happened())
        return False

    def _asked(self, command: str) -> str:
        answer = b""
        with socket.create_connection(("127.0.0.1", self._management), _PATIENCE) as asking:
            asking.sendall(command.encode())
            while not answer.endswith(b"END\n\n" if command != "health" else b"\n"):
                part = asking.recv(65536)
                assert part, answer
                answer += part
        return answer.decode()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()
        shutil.rmtree(self._work, ignore_errors=True)
