"""A simulated Docker Engine: the demo runs on it, and plugins and statspout itself are tested with it.

    with FakeEngine() as engine:
        engine.add("web", cpu=0.5)
        ...                             # read it at engine.address, as a real one
        engine.fault("web", "hang")     # and see what happens

It answers ``/_ping``, ``/version``, ``/info``, ``/containers/json``, ``/containers/{id}/json``,
``/containers/{id}/stats`` and ``/events`` over HTTP/1.1 on a unix socket or a TCP port, from a thread of its own.
``python -m statspout.testing.engine --containers 100 --socket PATH`` runs one in a process of its own.
"""

from __future__ import annotations

import argparse
import itertools
import math
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Self

from statspout.testing.engine_api import Api
from statspout.testing.engine_events import Events
from statspout.testing.engine_fleet import FaultKind, Fleet, PathFaultKind, PathName
from statspout.testing.engine_http import BACKLOG, Request, RequestLog, Server
from statspout.testing.engine_state import GIB, MIB, SECOND, FakeContainer, Host, World

__all__ = ["FakeContainer", "FakeEngine", "FaultKind", "PathFaultKind", "PathName", "Request", "demo_engine"]

UPTIME = 3600 * SECOND
"""The simulated machine runs for so many ns when its engine is made."""


class FakeEngine(Fleet):
    """A simulated Docker Engine. Every method may be called from any thread.

    ``socket_path``: where the unix socket is made (None: in a new temporary directory); ``tcp``: listen on a free
    port of 127.0.0.1 instead; ``version``, ``api_version``, ``min_api_version``: what it says it is (before version
    25 one-shot stats wait for the collector's turn, once a second); ``cgroup``: which kernel interface its numbers
    come from; ``cpus``; ``memory``: bytes; ``latency``: seconds before a stats answer, may be changed at any time;
    ``clock``: ns since the epoch; ``maxlen``: so many requests and answers are remembered.
    """

    def __init__(
        self,
        *,
        socket_path: str | None = None,
        tcp: bool = False,
        version: str = "28.2.2",
        api_version: str = "1.50",
        min_api_version: str = "1.24",
        cgroup: Literal[1, 2] = 2,
        name: str = "fake-engine",
        cpus: int = 4,
        memory: int = 8 * GIB,
        latency: float = 0.0,
        clock: Callable[[], int] = time.time_ns,
        maxlen: int = 100_000,
    ) -> None:
        host = Host(
            name=name,
            version=version,
            api_version=api_version,
            min_api_version=min_api_version,
            cgroup=cgroup,
            cpus=cpus,
            memory=memory,
            boot_ns=clock() - UPTIME,
        )
        world = World(host, clock, latency)
        super().__init__(world, Events(lambda action: self._server.soon(action)))
        self._log = RequestLog(world.lock, maxlen)
        api = Api(world, self._log, self._events)
        self._server = Server(world.lock, self._log, (version, api_version), api.respond)
        self._tcp = tcp
        self._port = 0
        self._wanted_path = socket_path
        self._path = socket_path
        self._directory: str | None = None
        self._every: list[tuple[float, Callable[[], object]]] = []

    # Starting and stopping

    def start(self) -> None:
        """Start to answer; does nothing when it already runs."""
        if self._server.running:
            return
        if not self._tcp and self._wanted_path is None:
            self._directory = tempfile.mkdtemp(prefix="statspout-")
            self._path = str(Path(self._directory, "docker.sock"))
        self._server.start()
        try:
            self.up()
        except BaseException:
            self.stop()
            raise
        for seconds, action in self._every:
            self._repeat(seconds, action)

    def stop(self) -> None:
        """Stop, close every connection and remove the socket; does nothing when it does not run."""
        self.down()
        self._server.stop()
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = self._path = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def down(self) -> None:
        """Vanish: remove the socket and cut every connection. The containers go on. Waits until it is so."""
        if self._server.listening:
            if not self._tcp:
                Path(self.socket_path).unlink(missing_ok=True)
            self._server.hang_up()

    def up(self) -> None:
        """Come back at the same address after ``down``."""
        if not self._server.listening:
            listener = self._bound()
            try:
                self._server.listen(listener)
            except BaseException:
                listener.close()
                raise

    def restart(self, keep: bool = False) -> None:
        """Go down and up again, without a memory of past events.

        Unless ``keep``, each container is replaced by a new one of its name and settings: new id, counters from 0;
        no events tell of it.
        """
        self.down()
        with self._lock:
            self._events.forget()
            if not keep:
                self.replace_all()
        self.up()

    def every(self, seconds: float, action: Callable[[], object]) -> None:
        """Call ``action`` every so many seconds while the engine runs. It may add, remove and change containers."""
        self._every.append((seconds, action))
        if self._server.running:
            self._repeat(seconds, action)

    def _repeat(self, seconds: float, action: Callable[[], object]) -> None:
        def again() -> None:
            action()
            self._server.later(seconds, again)

        self._server.soon(lambda: self._server.later(seconds, again))

    def _bound(self) -> socket.socket:
        listener = socket.socket(socket.AF_INET if self._tcp else socket.AF_UNIX)
        try:
            if self._tcp:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(("127.0.0.1", self._port))
                self._port = listener.getsockname()[1]
            else:
                Path(self.socket_path).unlink(missing_ok=True)
                listener.bind(self.socket_path)
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
        return listener

    # Where it is

    @property
    def address(self) -> str:
        """Where it answers: ``unix:///path`` or ``http://127.0.0.1:port``."""
        return f"http://{self.http_address}" if self._tcp else f"unix://{self.socket_path}"

    @property
    def socket_path(self) -> str:
        """The unix socket's path."""
        if self._path is None or self._tcp:
            raise RuntimeError("no unix socket: the engine listens on TCP, or was not started")
        return self._path

    @property
    def http_address(self) -> str:
        """``127.0.0.1:port``."""
        if not self._port:
            raise RuntimeError("no TCP port: the engine listens on a unix socket, or was not started")
        return f"127.0.0.1:{self._port}"

    def cut_events(self) -> None:
        """Cut every open event stream, once; new ones are welcome."""
        self._server.do(self._events.cut)

    # What was asked of it

    @property
    def requests(self) -> list[Request]:
        """The last ``maxlen`` requests, oldest first, as copies."""
        return self._log.requests()

    def requests_of(self, route: str) -> list[Request]:
        """Return the requests of one route: ping, version, info, list, inspect, stats, events or other."""
        return [request for request in self.requests if request.route == route]

    @property
    def answers(self) -> list[tuple[str, int]]:
        """(container id, ``read`` in ns) of each stats answer with a reading that was fully written, oldest first."""
        return self._log.answers()

    @property
    def connections(self) -> int:
        """Connections of clients that are open."""
        return len(self._server.connections)

    @property
    def stats_in_flight(self) -> int:
        """Stats requests that wait for their answer, hung ones and streams included."""
        return self._log.in_flight

    @property
    def max_stats_in_flight(self) -> int:
        """The most there ever were of them."""
        return self._log.max_in_flight


def _wave(mean: float, swing: float, period: float, phase: float = 0.0) -> Callable[[float], float]:
    """Return a sinusoid of the seconds since the start around ``mean``, ``period`` seconds long."""
    return lambda seconds: mean + swing * math.sin(2 * math.pi * (seconds / period + phase))


def _compose_labels(service: str) -> dict[str, str]:
    return {
        "com.docker.compose.project": "shop",
        "com.docker.compose.service": service,
        "com.docker.compose.container-number": "1",
    }


def demo_engine() -> FakeEngine:
    """Return an engine, not started, with a small web shop on it whose load rises and falls."""
    engine = FakeEngine(name="demo", maxlen=1000)
    _add_service(engine, "web", "nginx:1.27", (0.08, 0.05, 45), (24, 2), (90_000, 40_000), health="healthy")
    _add_service(engine, "api", "shop/api:2.4", (0.6, 0.35, 60), (180, 25), (60_000, 30_000), health="healthy")
    _add_service(engine, "worker", "shop/worker:2.4", (0.9, 0.8, 30), (140, 40), (8_000, 4_000))
    _add_service(engine, "db", "postgres:17", (0.35, 0.2, 80), (310, 15), (25_000, 12_000), disk=400_000)
    _add_service(engine, "cache", "redis:7", (0.05, 0.03, 20), (48, 6), (40_000, 20_000))
    engine.every(15.0, lambda: _come_or_go(engine))
    return engine


def _add_service(
    engine: FakeEngine,
    service: str,
    image: str,
    cpu: tuple[float, float, float],
    memory: tuple[float, float],
    traffic: tuple[float, float],
    *,
    disk: float = 0.0,
    health: str | None = None,
) -> None:
    """Add a service. ``cpu``: mean, swing (cores), period (s); ``memory`` (MiB), ``traffic`` (bytes/s): mean, swing."""
    mean, swing, period = cpu
    engine.add(
        f"shop-{service}-1",
        image=image,
        labels=_compose_labels(service),
        cpu=_wave(mean, swing, period),
        memory=_wave(memory[0] * MIB, memory[1] * MIB, period * 3),
        memory_limit=512 * MIB,
        rx_rate=_wave(*traffic, period),
        tx_rate=_wave(traffic[0] * 3, traffic[1] * 3, period, phase=0.1),
        read_rate=_wave(disk / 4, disk / 8, period),
        write_rate=_wave(disk, disk / 2, period),
        pids=8,
        health=health,
    )


def _come_or_go(engine: FakeEngine) -> None:
    """Run a job for a while, remove it, and run it anew the next time, as cron does."""
    if "shop-report-1" in engine.containers:
        engine.die("shop-report-1")
        engine.remove("shop-report-1")
    else:
        _add_service(engine, "report", "shop/report:2.4", (1.2, 0.4, 10), (95, 20), (3_000, 1_000), disk=90_000)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m statspout.testing.engine", description="Run a simulated Docker Engine.")
    parser.add_argument("--containers", type=int, default=10, help="so many containers (default 10)")
    parser.add_argument("--socket", help="where its unix socket is made (default: in a temporary directory)")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before a stats answer (default 0)")
    parser.add_argument("--churn", type=float, default=0.0, help="containers replaced each second (default 0)")
    parser.add_argument("--version", default="28.2.2", help="the engine's version; below 25, one-shot stats wait")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> None:
    """Run an engine until SIGTERM or SIGINT; the first line of stdout is its address."""
    arguments = _arguments(given)
    stopped = threading.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: stopped.set())
    engine = FakeEngine(socket_path=arguments.socket, latency=arguments.latency, version=arguments.version, maxlen=1000)
    for number in range(arguments.containers):
        engine.add(f"load-{number}", cpu=0.01 + secrets.randbelow(50) / 100)
    if arguments.churn > 0:
        names = (f"load-{number}" for number in itertools.count(arguments.containers))
        engine.every(1 / arguments.churn, lambda: _replace_oldest(engine, next(names)))
    with engine:
        sys.stdout.write(f"{engine.address}\n")
        sys.stdout.flush()
        stopped.wait()


def _replace_oldest(engine: FakeEngine, name: str) -> None:
    engine.remove(next(iter(engine.containers)))
    engine.add(name)


if __name__ == "__main__":
    main()
