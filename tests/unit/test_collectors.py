"""Which collector it is: by the settings and the engine's address, and then by each container."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.trees import ID, PID, Tree, target
from support.watch import Watch

from statspout.errors import ConfigError, Unreadable
from statspout.sample import Container
from statspout.settings import Settings
from statspout.source import Target
from statspout.sources.cgroup.collector import CgroupCollector
from statspout.sources.choice import AutoCollector
from statspout.sources.collectors import choice_of
from statspout.sources.engine.address import Address, TcpAddress, UnixAddress, unix_address
from statspout.sources.engine.answers import Inspected
from statspout.sources.engine.client import Engine, EngineClient
from statspout.sources.engine.collector import EngineCollector
from statspout.sources.engine.source import EngineSource
from statspout.sources.engine.ssh import SshAddress
from statspout.testing import FakeEngine

UNIX, TCP, SSH = UnixAddress("/nowhere.sock"), TcpAddress("127.0.0.1", 2375), SshAddress("node7")
ROOTS = {name: str(Path(getattr(Tree("v2-systemd").roots, name))) for name in ("cgroup", "proc")}
NOWHERE = {"cgroup_root": "/nowhere", "proc_root": "/nowhere"}


def settings(**values: Any) -> Settings:
    return Settings(**{"cgroup_root": ROOTS["cgroup"], "proc_root": ROOTS["proc"]} | values)


@pytest.mark.parametrize(
    ("values", "address", "kernel", "insist"),
    [
        ({}, UNIX, True, False),
        ({"interval": 0.1}, UNIX, True, False),
        ({}, TCP, False, False),
        ({}, SSH, False, False),
        ({"demo": True}, None, False, False),
        (NOWHERE, UNIX, False, False),
        ({"collector": "engine"}, UNIX, False, False),
        ({"collector": "cgroup", "interval": 0.1}, UNIX, True, True),
        ({"collector": "cgroup"}, TCP, True, True),
    ],
)
def test_what_is_chosen(values: dict[str, Any], address: Address | None, kernel: bool, insist: bool) -> None:
    choice = choice_of(settings(**values), address)
    assert (choice.roots is not None, choice.insist) == (kernel, insist)
    assert bool(choice.why) == (not kernel and values.get("collector") != "engine")


@pytest.mark.parametrize(
    ("values", "address", "said"),
    [
        ({"collector": "cgroup"}, SSH, "--collector: cgroup is wrong here: the engine is on another machine: engine"),
        ({"collector": "cgroup", "demo": True}, None, "--collector: cgroup is wrong here: the simulated engine has"),
        ({"collector": "cgroup"} | NOWHERE, UNIX, "--cgroup.root: '/nowhere' is wrong: there are no cgroups in it"),
        ({"collector": "cgroup", "proc_root": "/tmp"}, UNIX, "--proc.root: '/tmp' is wrong: there are no processes"),
        ({"collector": "engine", "interval": 0.5}, UNIX, "--interval: 0.5 is too small for the engine's figures: 1 or"),
        ({"interval": 0.5}, TCP, "--interval: 0.5 is too small for the engine's figures: 1 or more is right"),
        ({"interval": 0.5, "demo": True}, None, "--interval: 0.5 is too small for the engine's figures"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(values: dict[str, Any], address: Address | None, said: str) -> None:
    with pytest.raises(ConfigError, match="^" + re.escape(said)) as caught:
        choice_of(settings(**values), address)
    assert "\n" not in str(caught.value)


# What an inspect tells


def test_an_inspect_tells_the_process_the_limits_and_the_interfaces() -> None:
    body = {
        "Id": ID,
        "State": {"Running": True, "Pid": 4242},
        "HostConfig": {"Memory": 1000, "PidsLimit": 5, "NetworkMode": "shop"},
        "NetworkSettings": {
            "Networks": {
                "shop": {"DriverOpts": {"com.docker.network.endpoint.ifname": "web0"}},
                "other": {"DriverOpts": None},
                "odd": None,
            }
        },
    }
    told = msgspec.convert(body, Inspected).target()
    assert (told.pid, told.memory_limit, told.pids_limit, told.interfaces) == (4242, 1000, 5, ("web0",))


@pytest.mark.parametrize("host", [{"Memory": 0, "PidsLimit": 0}, {"PidsLimit": -1}, {"Memory": None}, None])
def test_what_an_inspect_has_no_limit_for_is_none(host: dict[str, Any] | None) -> None:
    told = msgspec.convert({"Id": ID, "State": {"Pid": 0}, "HostConfig": host}, Inspected).target()
    assert (told.pid, told.memory_limit, told.pids_limit) == (None, None, None)


# Each container


class Recorder:
    """Stands in for a collector: who is its own, and what it was told."""

    def __init__(self) -> None:
        self.host = ""
        self.mine: dict[str, Target] = {}
        self.told: list[str] = []

    def found(self, target: Target) -> None:
        self.mine[target.container.id] = target
        self.told.append(f"found {target.container.name}")

    def lost(self, container: Container) -> None:
        self.release(container)
        self.told.append(f"lost {container.name}")

    def release(self, container: Container) -> None:
        self.mine.pop(container.id, None)

    def meet(self, engine: Engine) -> None: ...

    async def stop(self) -> None: ...


@asynccontextmanager
async def choosing(slower: float | None = None) -> AsyncIterator[tuple[AutoCollector, Watch, Recorder]]:
    watch, engine = Watch(0.1), Recorder()
    kernel = CgroupCollector(watch, watch.telemetry, interval=0.1, roots=Tree("v2-systemd").roots)
    auto = AutoCollector(kernel, engine, slower)  # type: ignore[arg-type]  # as much of one as is used
    auto.host = "node"
    try:
        yield auto, watch, engine
    finally:
        await auto.stop()


def test_who_can_be_read_is_and_the_others_are_the_engines_which_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with choosing(slower=1.0) as (auto, watch, engine):
            auto.found(target())
            for number in range(3):
                auto.found(target(id=f"{number:064x}", name=f"far-{number}", pid=9999 + number))
            await watch.until(lambda: len(watch.samples[ID]) >= 2)
            assert watch.samples[ID][0].host == engine.host == "node"
            assert sorted(one.container.name for one in engine.mine.values()) == ["far-0", "far-1", "far-2"]
            auto.lost(target(id=f"{0:064x}", name="far-0").container)
            auto.lost(target().container)
            assert engine.told[-1] == "lost far-0"
            assert [one.id for one in watch.cleared] == [ID]

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    said = [record.message for record in caplog.records]
    assert [line for line in said if "far-0, and others likewise, through the engine: its process is not in" in line]
    assert "the engine is asked every 1 s: more often it has nothing new" in said
    assert len(said) == 3
    assert {record.levelno for record in caplog.records} == {logging.INFO}


def test_who_is_the_engines_is_tried_again_when_its_process_is_known() -> None:
    async def main() -> None:
        async with choosing() as (auto, watch, engine):
            auto.found(target(pid=None))
            auto.found(target(pid=None, state="paused"))
            assert engine.told == ["found web", "found web"]
            auto.found(target())
            assert engine.mine == {}
            await watch.until(lambda: len(watch.samples[ID]) >= 1)

    asyncio.run(main())


def test_podmans_own_figures_stay_podmans() -> None:
    async def main() -> None:
        async with choosing() as (auto, watch, engine):
            auto.meet(Engine("", "5.0", (1, 41), podman=True))
            auto.found(target())
            auto.lost(target().container)
            assert engine.told == ["found web", "lost web"]
            assert not watch.samples

    asyncio.run(main())


def test_a_simulated_engines_process_ids_are_nobodys(tmp_path: Path) -> None:
    async def main() -> None:
        with FakeEngine() as engine:
            container = engine.add("web")
            # A stranger has the number that the simulated container pretends to have.
            tree = Tree("v2-systemd", tmp_path)
            (tree.path / "proc" / str(PID)).rename(tree.path / "proc" / str(container.pid))
            watch = Watch(1.0)
            client = EngineClient(unix_address(engine.socket_path, "socket.path"))
            source = EngineSource(client, watch.telemetry, interval=1.0, roots=tree.roots)
            running = asyncio.create_task(source.run(watch))
            await watch.until(lambda: bool(watch.of("web")))
            assert watch.last("web").mem_usage != 94371840
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())


def test_once_takes_each_from_where_it_can_be_read() -> None:
    async def main() -> None:
        with FakeEngine() as engine:
            container = engine.add("simulated")
            watch = Watch(1.0)
            client = EngineClient(unix_address(engine.socket_path, "socket.path"))
            await client.negotiate()
            kernel = CgroupCollector(watch, watch.telemetry, interval=1.0, roots=Tree("v2-systemd").roots)
            auto = AutoCollector(kernel, EngineCollector(client, watch, watch.telemetry, interval=1.0))
            simulated = (await client.inspect(container.id)).target()
            assert await auto.round([target(), simulated], 0.1) == 2
            assert watch.last("web").mem_usage == 94371840
            assert watch.names == {"web", "simulated"}
            await auto.stop()
            client.close()

    asyncio.run(main())


def test_an_unreadable_container_is_a_source_error_of_its_own_kind() -> None:
    assert Unreadable("x").kind == "unreadable"
