"""A read-only proxy in front of an engine's socket, as people put one between: it lets some GETs through, no more."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from support.dockerd import answers, program
from support.standstill import PATIENCE

_REQUEST = re.compile(rb"(?P<method>[A-Z]+) (?:/v[0-9.]+)?(?P<path>/[^ ?]*)[^ ]* HTTP/1\.1")
_ID = re.compile(r"[0-9a-f]{64}")
_REFUSAL = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 35\r\nConnection: close\r\n\r\n"
    b"<h1>403 Forbidden</h1> by the proxy"
)


class Proxy:
    """Listens at ``socket``, and hands the GETs whose path is one of the patterns ``allowed`` to the engine ``behind``.

    Everything else is 403, in HTML as such proxies say it. ``passed`` and ``refused`` count requests, by method and
    path without the version, such as ``GET /containers/ID/json``.
    """

    def __init__(self, behind: Path, allowed: Sequence[str]) -> None:
        self._work = Path(tempfile.mkdtemp(prefix="statspout-proxy-"))
        self.socket = self._work / "docker.sock"
        self.passed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._behind, self._allowed = behind, allowed
        self._open: set[socket.socket] = set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.socket))
        self._listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for each in (self._listener, *list(self._open)):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        shutil.rmtree(self._work, ignore_errors=True)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """One client's connection, and one of ours to the engine, for as long as either lasts."""
        with client, socket.socket(socket.AF_UNIX) as engine, contextlib.suppress(OSError):
            self._open |= {client, engine}
            engine.connect(str(self._behind))
            threading.Thread(target=_pump, args=(engine, client), daemon=True).start()
            while (head := _head(client)) and self._takes(head):
                engine.sendall(head)
            if head:
                client.sendall(_REFUSAL)
            for each in (client, engine):
                each.shutdown(socket.SHUT_RDWR)
        self._open -= {client, engine}

    def _takes(self, head: bytes) -> bool:
        request = _REQUEST.match(head)
        what = f"{request['method'].decode()} {_ID.sub('ID', request['path'].decode())}" if request else repr(head)
        taken = any(re.fullmatch(f"GET {pattern}", what) for pattern in self._allowed)
        (self.passed if taken else self.refused)[what] += 1
        return taken


def _head(client: socket.socket) -> bytes:
    """The next request, which has no body where it is a GET; empty at the end of the connection."""
    head = b""
    while b"\r\n\r\n" not in head:
        more = client.recv(65536)
        if not more:
            return b""
        head += more
    return head


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def haproxy(config: Path, behind: Path) -> Iterator[Path]:
    """A real HAProxy with ``config`` in front of the engine at ``behind``; gives the socket that it listens at."""
    if program("haproxy") is None:
        pytest.skip("needs HAProxy: apt-get install haproxy")
    work = Path(tempfile.mkdtemp(prefix="statspout-haproxy-"))
    listens = work / "docker.sock"
    with (work / "log").open("wb") as log:
        process = subprocess.Popen(
            [program("haproxy") or "haproxy", "-db", "-f", str(config)],
            env={"PROXY_SOCKET": str(listens), "DOCKER_SOCKET": str(behind)}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE
        while not answers(listens):
            assert process.poll() is None, (work / "log").read_text()
            assert time.monotonic() < deadline, f"no answer in {PATIENCE:g} s"
            time.sleep(0.05)
        yield listens
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(work, ignore_errors=True)
