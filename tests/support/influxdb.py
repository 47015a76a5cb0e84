"""A real influxd and a real VictoriaMetrics, and what they hold; and a server that answers as it is told."""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.server
import itertools
import json
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from support.ports import free_port as free_port
from support.servers import server, server_environment

from statspout import ContainerSample
from statspout.repositories.influxdb import InfluxDB
from statspout.testing import samples

APIS: dict[str, dict[str, str]] = {
    "1.x": {"database": "stats", "user": "me", "password": "secret-word"},
    "2": {"bucket": "stats", "org": "acme", "token": "secret-word"},
}
"""Settings for either API."""

SUMMED_UP = {
    "count": 4, "sum": 100, "min": 10, "max": 40, "mean": 25, "stdev": 11.25, "p50": 20, "p95": 40, "p99.9": 40,
}  # fmt: skip
"""The fields of the timer, and of the histogram, that :func:`statspout.testing.metrics` has."""

HOW = "run scripts/setup-servers on Debian, or install influxdb 1.x and victoria-metrics"
_START = 60.0


class _Server:
    """A program that listens on a port of this machine; ``close()``, or the end of a ``with``, ends it."""

    program: str

    def __init__(self) -> None:
        found = server(self.program)
        if found is None:
            pytest.skip(f"needs a real {self.program}: {HOW}")
        self._program = found
        self.work = Path(tempfile.mkdtemp(prefix=f"statspout-{self.program}-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def arguments(self) -> Sequence[str]:
        """What the program is started with."""
        raise NotImplementedError

    def start(self) -> Self:
        """Start it, and wait until it answers."""
        with (self.work / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, *self.arguments()],
                env=server_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + _START
        while not self._answers():
            log_text = (self.work / "log").read_text(errors="replace")
            assert self._process.poll() is None, f"{self.program} ended; its log:\n{log_text}"
            assert time.monotonic() < deadline, f"{self.program} does not answer; its log:\n{log_text}"
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """End it at once, as a crash would; what it stored stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def end(self) -> None:
        """End it in good order."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_START)
            self._process = None

    def close(self) -> None:
        """End it for good."""
        self.stop()
        shutil.rmtree(self.work, ignore_errors=True)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{self.url}/ping", timeout=5).close()
            return True
        return False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class Influxd(_Server):
    """InfluxDB 1.x, with lines for the sections ``data`` and ``http`` of its configuration."""

    program = "influxd"
    admin = ("root", "the root password")

    def __init__(self, data: Sequence[str] = (), http: Sequence[str] = ()) -> None:
        super().__init__()
        self._auth = "auth-enabled = true" in http
        config = self.work / "influxdb.conf"
        config.write_text(
            "\n".join(
                [
                    f'reporting-disabled = true\nbind-address = "127.0.0.1:{free_port()}"',
                    f'[meta]\ndir = "{self.work}/meta"',
                    f'[data]\ndir = "{self.work}/data"\nwal-dir = "{self.work}/wal"\nquery-log-enabled = false',
                    *data,
                    f'[http]\nbind-address = "127.0.0.1:{self.port}"\nlog-enabled = false',
                    *http,
                    "[monitor]\nstore-enabled = false",
                ]
            )
        )

    def arguments(self) -> Sequence[str]:
        return ["run", "-config", str(self.work / "influxdb.conf")]

    def query(self, statement: str, database: str = "") -> list[dict[str, Any]]:
        """The rows that a statement gives, each with its ``measurement``; integers stay exact."""
        parameters = urllib.parse.urlencode({"q": statement, "db": database, "epoch": "ns"}).encode()
        request = urllib.request.Request(f"{self.url}/query", parameters, self._headers())
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                found = json.load(answer)["results"][0]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{statement}: {error.read().decode()}") from None
        assert "error" not in found, found
        return [
            {"measurement": series.get("name", ""), **dict(zip(series["columns"], row, strict=True))}
            for series in found.get("series", ())
            for row in series.get("values", ())
        ]

    def rows(self, database: str) -> list[dict[str, Any]]:
        """All points of a database, unknown tags and fields left out; none when there is no such database."""
        with contextlib.suppress(AssertionError):
            rows = self.query("SELECT * FROM /.*/", database)
            return [{name: value for name, value in row.items() if value is not None} for row in rows]
        return []

    def write(self, database: str, *lines: str) -> None:
        """Write lines of one's own."""
        body = "\n".join(lines).encode()
        request = urllib.request.Request(f"{self.url}/write?db={database}&precision=ns", body, self._headers())
        urllib.request.urlopen(request, timeout=30).close()

    def _headers(self) -> dict[str, str]:
        credentials = base64.b64encode(":".join(self.admin).encode()).decode()
        return {"Authorization": f"Basic {credentials}"} if self._auth else {}


class VictoriaMetrics(_Server):
    """VictoriaMetrics, which keeps what is old for the tests' sake."""

    program = "victoria-metrics"

    def __init__(self, *flags: str) -> None:
        super().__init__()
        self._flags = flags
        self._looks = itertools.count()

    def arguments(self) -> Sequence[str]:
        return [
            f"-storageDataPath={self.work / 'data'}",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-retentionPeriod=100y",
            *self._flags,
        ]

    def series(self, selector: str = '{__name__!=""}') -> list[dict[str, Any]]:
        """Every series: ``metric``, ``values``, ``timestamps`` (ms). Databases are a tag, buckets are nothing to it.

        What is of this hour can be seen a moment later only. Which series a selector finds is remembered there for up
        to ten seconds, new series or not; so each look is with a selector that it has not seen.
        """
        urllib.request.urlopen(f"{self.url}/internal/force_flush", timeout=30).close()
        match = urllib.parse.urlencode({"match[]": f'{selector.removesuffix("}")},look!="{next(self._looks)}"}}'})
        with urllib.request.urlopen(f"{self.url}/api/v1/export?{match}", timeout=30) as answer:
            return [json.loads(line) for line in answer]


@dataclass
class Reply:
    """What the fake server answers: a status, a body (JSON unless it is bytes), headers."""

    status: int = 204
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Request:
    """What it was asked: the body as it was before it was packed."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class FakeInflux:
    """An HTTP server that gives ``replies`` to all but /ping, one after the other, and the last one for ever.

    A reply may be a function of the request. ``requests`` are those that were made, without /ping.
    """

    def __init__(
        self,
        *replies: Reply | Callable[[Request], Reply],
        tls: tuple[Path, Path] | None = None,
        ping: Reply | None = None,
    ) -> None:
        self.replies = list(replies or [Reply()])
        self.ping = ping or Reply()
        self.requests: list[Request] = []
        self._server = _Quiet(("127.0.0.1", 0), _handler(self))
        self._scheme = "http"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"
        threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, request: Request) -> Reply:
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return reply(request) if callable(reply) else reply

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class _Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """What goes wrong is the test's doing."""


def _handler(fake: FakeInflux) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_: Any) -> None:
            pass

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            parts = urllib.parse.urlsplit(self.path)
            query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
            request = Request(self.command, parts.path, query, dict(self.headers), body)
            reply = fake.ping if parts.path.endswith("/ping") else fake.answer(request)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            data = reply.data()
            if reply.status != 204:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """The URL of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def rude_server(reply: bytes = b"") -> Iterator[str]:
    """The URL of a server that writes ``reply`` to whoever connects, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    with connection:
                        connection.settimeout(5)
                        connection.recv(65536)
                        connection.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            thread.join(5)


def opened(url: str, **settings: Any) -> InfluxDB:
    """A repository that is open."""
    repository = InfluxDB(**{"url": url, "timeout": 5.0, **settings})
    repository.open()
    return repository


def failed(url: str, settings: Mapping[str, Any], batch: Sequence[ContainerSample] = ()) -> Exception:
    """What open or a push raises, in one line and without a secret."""
    with pytest.raises(Exception) as caught:
        opened(url, **settings).push(batch or samples(3))
    assert "\n" not in str(caught.value)
    assert "secret-word" not in str(caught.value)
    return caught.value
