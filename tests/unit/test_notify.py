"""What a service manager hears of us, on a socket as systemd's."""

from __future__ import annotations

import asyncio
import itertools
import os
import select
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from support.daemon import Daemon

from statspout.notify import Supervisor
from statspout.testing import FakeEngine

NUMBERS = itertools.count()


class Manager:
    """The service manager's end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))

    def hear(self, timeout: float = 10.0) -> dict[str, str]:
        """The assignments of the next message; empty when there is none in that time."""
        if not select.select([self._socket], [], [], timeout)[0]:
            return {}
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().split("\n"))

    def hear_until(self, name: str) -> list[dict[str, str]]:
        """Every message up to the first that has an assignment of that name."""
        heard = [self.hear()]
        while heard[-1] and name not in heard[-1]:
            heard.append(self.hear())
        assert name in heard[-1], heard
        return heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    name = f"@statspout-test-{os.getpid()}-{next(NUMBERS)}"
    with closing(Manager(name if request.param == "abstract" else str(tmp_path / "notify"))) as manager:
        yield manager


def test_a_daemon_says_when_it_is_up_that_it_lives_and_when_it_stops(tmp_path: Path) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "40000"}
    with closing(Manager(environ["NOTIFY_SOCKET"])) as manager, FakeEngine() as engine:
        engine.add("web")
        with Daemon(f"--socket.path={engine.socket_path}", "--interval=1", environ=environ) as daemon:
            first = manager.hear()
            assert first["READY"] == "1", daemon.log
            assert first["STATUS"] == "not ready: the engine has not listed its containers yet, 0 containers"
            while (heard := manager.hear()).get("STATUS") != "ready, 1 container":
                assert heard["WATCHDOG"] == "1", daemon.log
            daemon.signal(signal.SIGTERM)
            manager.hear_until("STOPPING")
            assert daemon.wait() == 0


def test_a_reload_is_told_of_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    with closing(Manager(str(tmp_path / "notify"))) as manager, FakeEngine() as engine:
        environ = {"NOTIFY_SOCKET": manager.address}
        with Daemon(f"--socket.path={engine.socket_path}", environ=environ) as daemon:
            manager.hear_until("READY")
            before = time.monotonic()
            daemon.signal(signal.SIGHUP)
            began = manager.hear_until("RELOADING")[-1]
            assert before <= int(began["MONOTONIC_USEC"]) / 1e6 <= time.monotonic()
            manager.hear_until("READY")


def test_it_is_not_up_before_its_ports_are(tmp_path: Path) -> None:
    with closing(Manager(str(tmp_path / "notify"))) as manager, socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"--rest.address=127.0.0.1:{taken.getsockname()[1]}"
        with Daemon("--demo", "--repository=rest", address, environ={"NOTIFY_SOCKET": manager.address}) as daemon:
            assert daemon.wait() == 2
        assert manager.hear(timeout=0) == {}


def test_it_is_up_without_its_engine(tmp_path: Path) -> None:
    with closing(Manager(str(tmp_path / "notify"))) as manager:
        engine = f"--socket.path={tmp_path / 'nobody'}"
        with Daemon(engine, environ={"NOTIFY_SOCKET": manager.address}) as daemon:
            assert manager.hear()["READY"] == "1", daemon.log


def test_a_loop_that_stands_still_does_not_beat(manager: Manager) -> None:
    async def scene() -> None:
        async with told(manager, WATCHDOG_USEC="20000").watching(lambda: "so"):
            await asyncio.to_thread(manager.hear_until, "READY")
            await asyncio.to_thread(manager.hear_until, "WATCHDOG")
            while manager.hear(timeout=0):
                pass  # what came before
            time.sleep(0.1)  # noqa: ASYNC251 - it is the fault
            late = 0
            while manager.hear(timeout=0):
                late += 1
            assert late <= 1
            await asyncio.to_thread(manager.hear_until, "WATCHDOG")

    asyncio.run(scene())


def test_it_beats_while_what_is_queued_is_delivered(manager: Manager) -> None:
    async def scene() -> None:
        async with told(manager, WATCHDOG_USEC="20000").watching(lambda: "so"):
            pass
        await asyncio.to_thread(manager.hear_until, "STOPPING")
        for _ in range(3):
            assert await asyncio.to_thread(manager.hear) == {"WATCHDOG": "1"}

    asyncio.run(scene())


@pytest.mark.parametrize(
    "environ",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}],
    ids=["nothing", "zero", "no number", "another process"],
)
def test_without_a_watchdog_of_ours_there_are_no_beats(manager: Manager, environ: Mapping[str, str]) -> None:
    async def scene() -> None:
        async with told(manager, **environ).watching(lambda: "so"):
            pass

    asyncio.run(scene())
    heard = [manager.hear(timeout=0) for _ in range(3)]
    assert heard == [{"READY": "1", "STATUS": "so"}, {"STOPPING": "1", "STATUS": "delivering what is queued"}, {}]


def test_the_line_for_people_is_told_anew_when_it_changes_and_only_then(manager: Manager) -> None:
    lines = itertools.chain(["not ready", "not ready", "ready"], itertools.repeat("ready"))

    async def scene() -> None:
        async with told(manager, WATCHDOG_USEC="20000").watching(lambda: next(lines)):
            while (await asyncio.to_thread(manager.hear)).get("STATUS") != "ready":
                pass
            assert await asyncio.to_thread(manager.hear) == {"WATCHDOG": "1"}

    asyncio.run(scene())


def test_the_line_for_people_stays_one_line(manager: Manager) -> None:
    async def scene() -> None:
        async with told(manager).watching(lambda: "so\nREADY=0"):
            pass

    asyncio.run(scene())
    assert manager.hear()["STATUS"] == "so READY=0"


@pytest.mark.parametrize("address", ["", "vsock:2:1", "/nowhere/notify"])
def test_a_manager_that_cannot_be_told_stops_nothing(address: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> bool:
        async with Supervisor({"NOTIFY_SOCKET": address}).watching(lambda: "so"):
            return True

    assert asyncio.run(scene())
    assert len(caplog.records) == bool(address)


def told(manager: Manager, **environ: str) -> Supervisor:
    return Supervisor({"NOTIFY_SOCKET": manager.address, **environ})
