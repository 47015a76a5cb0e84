"""The containers of the simulated engine: what can be done to them, and what can go wrong with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypedDict, Unpack, get_args

from statspout.testing.engine_api import ROUTES
from statspout.testing.engine_events import Events
from statspout.testing.engine_state import MIB, FakeContainer, Fault, Level, Rate, World

FaultKind = Literal[
    "hang",
    "hang_headers",
    "hang_body",
    "slow",
    "garbage",
    "wrong_types",
    "empty",
    "error",
    "gone",
    "conflict",
    "cut",
    "no_cpu",
    "no_memory",
    "rollback",
    "huge",
]
"""What can be wrong with a container's stats; ``FakeEngine.fault`` says what each does."""

PathFaultKind = Literal["hang", "error", "forbidden", "garbage", "cut", "eof"]
"""What can be wrong with a route; ``FakeEngine.fault_path`` says what each does."""

PathName = Literal["/_ping", "/version", "/info", "/containers/json", "/events", "inspect", "stats"]


class Changes(TypedDict, total=False):
    """What ``FakeEngine.update`` can change; as the arguments of ``FakeEngine.add``."""

    image: str
    labels: dict[str, str]
    cpu: Rate
    memory: Level
    cache: int
    memory_limit: int
    rx_rate: Rate
    tx_rate: Rate
    read_rate: Rate
    write_rate: Rate
    pids: int
    pids_limit: int | None
    network_mode: str
    health: str | None


LIMITS = frozenset({"memory_limit", "pids_limit"})
"""Changing one of these is what ``docker update`` does, so it sends an event."""


class Fleet:
    """The engine's containers. Every method may be called from any thread."""

    def __init__(self, world: World, events: Events) -> None:
        self.drop_events = False
        self._world = world
        self._events = events
        self._lock = world.lock

    @property
    def latency(self) -> float:
        """Seconds before a stats answer."""
        return self._world.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._world.latency = seconds

    @property
    def containers(self) -> dict[str, FakeContainer]:
        """The containers by name, oldest first, in a new dict."""
        with self._lock:
            return dict(self._world.containers)

    def add(
        self,
        name: str,
        *,
        image: str = "busybox:latest",
        labels: dict[str, str] | None = None,
        cpu: Rate = 0.1,
        memory: Level = 20 * MIB,
        cache: int = 5 * MIB,
        memory_limit: int = 0,
        rx_rate: Rate = 1000.0,
        tx_rate: Rate = 1000.0,
        read_rate: Rate = 0.0,
        write_rate: Rate = 0.0,
        pids: int = 3,
        pids_limit: int | None = None,
        network_mode: str = "bridge",
        health: str | None = None,
        started: bool = True,
        emit: bool = True,
    ) -> FakeContainer:
        """Create a container, and start it unless told otherwise.

        ``cpu``: cores; ``memory``: working set, ``cache``: page cache on top of it, ``memory_limit`` (0: the
        engine's memory): bytes; ``*_rate``: bytes/s. A rate or ``memory`` may be a function of the seconds since
        the start. ``network_mode``: ``bridge``, ``none``, ``host``, ``container:NAME`` or a network's name.
        ``emit``: whether events tell of it.
        """
        with self._lock:
            if name in self._world.containers:
                raise ValueError(f"the container name {name!r} is already in use")
            container = FakeContainer(
                name=name,
                image=image,
                labels=dict(labels or {}),
                cpu=cpu,
                memory=memory,
                cache=cache,
                memory_limit=memory_limit,
                rx_rate=rx_rate,
                tx_rate=tx_rate,
                read_rate=read_rate,
                write_rate=write_rate,
                pids=pids,
                pids_limit=pids_limit,
                network_mode=self._resolved(network_mode),
                health=health,
                created_ns=self._world.clock(),
            )
            self._world.put(container)
            self._tell(container, "create", emit)
            if started:
                self._begin(container, emit)
        return container

    def start_container(self, name: str, *, emit: bool = True) -> None:
        """Start a container that does not run; its counters begin at 0."""
        with self._lock:
            container = self._get(name)
            if not container.running:
                self._begin(container, emit)

    def die(self, name: str, exit_code: int = 0, *, emit: bool = True) -> None:
        """Let a running container end by itself."""
        with self._lock:
            self._end(self._get(name), exit_code, emit)

    def stop_container(self, name: str, *, emit: bool = True) -> None:
        """Stop a running container as ``docker stop`` does."""
        with self._lock:
            container = self._get(name)
            if container.running:
                self._tell(container, "kill", emit, signal="15")
                self._end(container, 0, emit)
                self._tell(container, "stop", emit)

    def remove(self, name: str, *, emit: bool = True) -> None:
        """Remove a container; one that runs dies first."""
        with self._lock:
            container = self._get(name)
            self._end(container, 137, emit)
            self._world.forget(container)
            self._tell(container, "destroy", emit)

    def restart_container(self, name: str, *, emit: bool = True) -> None:
        """Let a container die and start again as a restart policy does: counters begin at 0, ``RestartCount`` grows."""
        with self._lock:
            container = self._get(name)
            self._end(container, 1, emit)
            container.restart_count += 1
            self._begin(container, emit)

    def pause(self, name: str, *, emit: bool = True) -> None:
        """Freeze a running container: its counters stand still."""
        self._switch(name, "running", "paused", "pause", emit)

    def unpause(self, name: str, *, emit: bool = True) -> None:
        """Let a frozen container go on."""
        self._switch(name, "paused", "running", "unpause", emit)

    def rename(self, old: str, new: str, *, emit: bool = True) -> None:
        """Give a container another name."""
        with self._lock:
            container = self._get(old)
            if new in self._world.containers:
                raise ValueError(f"the container name {new!r} is already in use")
            before = container.name
            self._world.rename(container, new)
            self._tell(container, "rename", emit, oldName=f"/{before}")

    def update(self, name: str, *, emit: bool = True, **changes: Unpack[Changes]) -> None:
        """Change what a container is or does from now on; a new limit or health sends an event."""
        unknown = changes.keys() - Changes.__annotations__.keys()
        if unknown:
            raise TypeError(f"a container has no {min(unknown)!r}")
        with self._lock:
            container = self._get(name)
            if "network_mode" in changes:
                changes["network_mode"] = self._resolved(changes["network_mode"])
            health = container.health
            container.change(self._world.clock(), dict(changes))
            if LIMITS & changes.keys():
                self._tell(container, "update", emit)
            if container.health and container.health != health:
                self._tell(container, f"health_status: {container.health}", emit)

    def exec_storm(self, n: int, *, emit: bool = True) -> None:
        """Send ``n`` events as health checks do (created, started, ended, healthy), over all running containers."""
        with self._lock:
            running = [container for container in self._world.containers.values() if container.running]
            for number in range(n if running else 0):
                check, step = divmod(number, 4)
                self._check(running[check % len(running)], step, emit)

    def _check(self, container: FakeContainer, step: int, emit: bool) -> None:
        exec_id = container.id[::-1]
        if step < 2:
            action = ("exec_create", "exec_start")[step]
            self._tell(container, f"{action}: /bin/sh -c true", emit, execID=exec_id)
        elif step == 2:
            self._tell(container, "exec_die", emit, execID=exec_id, exitCode="0")
        else:
            self._tell(container, f"health_status: {container.health or 'healthy'}", emit)

    def _get(self, name: str) -> FakeContainer:
        container = self._world.find(name)
        if container is None:
            raise KeyError(f"no such container: {name}")
        return container

    def _resolved(self, network_mode: str) -> str:
        kind, _, other = network_mode.partition(":")
        return f"container:{self._get(other).id}" if kind == "container" else network_mode

    def _begin(self, container: FakeContainer, emit: bool) -> None:
        container.begin(self._world.clock(), self._world.next_pid())
        self._tell(container, "start", emit)

    def _end(self, container: FakeContainer, exit_code: int, emit: bool) -> None:
        if container.running:
            container.finish(self._world.clock(), exit_code)
            self._tell(container, "die", emit, exitCode=str(exit_code))

    def _switch(
        self,
        name: str,
        before: Literal["running", "paused"],
        after: Literal["running", "paused"],
        action: str,
        emit: bool,
    ) -> None:
        with self._lock:
            container = self._get(name)
            if container.state != before:
                raise ValueError(f"container {container.name} is {container.state}, not {before}")
            container.advance(self._world.clock())
            container.state = after
            self._tell(container, action, emit)

    def _tell(self, container: FakeContainer, action: str, emit: bool, **attributes: str) -> None:
        if emit and not self.drop_events:
            self._events.publish(container, action, self._world.clock(), attributes)

    def fault(self, name: str, kind: FaultKind, times: int | None = None, *, seconds: float = 1.0) -> None:
        """Let a container's stats go wrong, ``times`` requests long (None: until ``heal``).

        ``hang``, ``hang_headers``: never answered. ``hang_body``: the head and half the body, then nothing.
        ``cut``: the same, then the connection is closed. ``slow``: ``seconds`` late. ``garbage``: 200, not JSON.
        ``wrong_types``: JSON of other types. ``empty``: zeros, as of a stopped container. ``error``: 500.
        ``gone``: 404. ``conflict``: 409. ``no_cpu``, ``no_memory``: that part is empty. ``rollback``: each answer's
        CPU time is below the one before. ``huge``: the counters are above 2**53.
        """
        _check_kind(kind, FaultKind)
        with self._lock:
            self._world.faults.set(self._get(name).id, Fault(kind, times, seconds))

    def heal(self, name: str) -> None:
        """Let a container's next stats requests be answered well; those that hang go on hanging."""
        with self._lock:
            self._world.faults.clear(self._get(name).id)

    def fault_path(self, path: PathName, kind: PathFaultKind, times: int | None = None) -> None:
        """Let every request of a kind go wrong, ``times`` requests long (None: until ``heal_path``).

        ``hang``: never answered. ``error``: 500. ``forbidden``: 403. ``garbage``: 200, not JSON. ``cut``: the
        connection is closed in mid-body. ``eof``: 200, and the answer ends at once, empty.
        """
        _check_kind(kind, PathFaultKind)
        with self._lock:
            self._world.faults.set(_route(path), Fault(kind, times))

    def heal_path(self, path: PathName) -> None:
        """Let the next requests of a kind be answered well."""
        with self._lock:
            self._world.faults.clear(_route(path))

    def replace_all(self) -> None:
        """Put a new container of the same name and settings in each one's place; no events tell of it."""
        with self._lock:
            self._replace_all()

    def _replace_all(self) -> None:
        world = self._world
        old = list(world.containers.values())
        new = {one.id: replace(one, created_ns=world.clock()) for one in old}
        for one in old:
            world.forget(one)
        for one, copy in zip(old, new.values(), strict=True):
            kind, _, other = copy.network_mode.partition(":")
            copy.network_mode = f"{kind}:{new[other].id}" if other in new else copy.network_mode
            world.put(copy)
            if one.finished_ns == 0 and one.started_ns:
                copy.begin(world.clock(), world.next_pid())


def _check_kind(kind: str, kinds: object) -> None:
    known = get_args(kinds)
    if kind not in known:
        raise ValueError(f"unknown fault {kind!r}: one of {', '.join(known)}")


def _route(path: str) -> str:
    route = ROUTES.get(path, path)
    if route not in (*ROUTES.values(), "inspect", "stats"):
        raise ValueError(f"unknown path {path!r}: one of {', '.join(get_args(PathName))}")
    return route
