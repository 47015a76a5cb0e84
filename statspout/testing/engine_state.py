"""What a simulated engine knows: its settings, its containers and the faults that are set."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal

Rate = float | Callable[[float], float]
"""Units a second, or a function of the seconds since the container started that gives them."""

Level = float | Callable[[float], float]
"""Bytes, or a function of the seconds since the container started that gives them."""

State = Literal["created", "running", "paused", "exited", "removed"]

SECOND = 1_000_000_000
MIB = 1 << 20
GIB = 1 << 30
ZERO_TIME = "0001-01-01T00:00:00Z"
FIRST_PID = 4242


@lru_cache(maxsize=64)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def rfc3339(ns: int) -> str:
    """Write a time in ns since the epoch as Go does: UTC, ns without trailing zeros; 0 is Go's zero time."""
    if not ns:
        return ZERO_TIME
    second, rest = divmod(ns, SECOND)
    return f"{_second(second)}.{rest:09d}".rstrip("0").rstrip(".") + "Z"


def version_tuple(version: str) -> tuple[int, ...]:
    """Turn ``1.41`` into ``(1, 41)``; what does not begin with a number counts as 0."""
    return tuple(_leading_number(part) for part in version.split("."))


def _leading_number(text: str) -> int:
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    return int(digits or 0)


class Counter:
    """A total that grows by a rate: the rate's integral since the start."""

    __slots__ = ("_at", "_last", "_rate", "total")

    def __init__(self, rate: Rate) -> None:
        self.total = 0.0
        self._at = 0.0
        self.follow(rate)

    def follow(self, rate: Rate) -> None:
        """Grow by another rate (units a second) from now on."""
        self._rate = rate
        self._last = rate(self._at) if callable(rate) else rate

    def advance(self, to: float) -> None:
        """Add what came in until ``to`` (seconds since the start): by the trapezoid rule if the rate is a function."""
        before = self._last
        if callable(self._rate):
            self._last = self._rate(to)
        self.total += (before + self._last) / 2 * (to - self._at)
        self._at = to

    def skip(self, to: float) -> None:
        """Let the time until ``to`` (seconds since the start) pass without growing."""
        self._at = to
        self.follow(self._rate)


@dataclass(kw_only=True, eq=False)
class FakeContainer:
    """One simulated container: read it freely, change it through its engine.

    Times are ns since the epoch (0: never), sizes bytes, rates units a second, ``cpu`` cores.
    """

    name: str
    image: str = "busybox:latest"
    labels: dict[str, str] = field(default_factory=dict)
    cpu: Rate = 0.1
    memory: Level = 20 * MIB
    cache: int = 5 * MIB
    memory_limit: int = 0
    rx_rate: Rate = 1000.0
    tx_rate: Rate = 1000.0
    read_rate: Rate = 0.0
    write_rate: Rate = 0.0
    pids: int = 3
    pids_limit: int | None = None
    network_mode: str = "bridge"
    health: str | None = None
    created_ns: int = 0

    id: str = field(init=False, default_factory=lambda: secrets.token_hex(32))
    state: State = field(init=False, default="created")
    started_ns: int = field(init=False, default=0)
    finished_ns: int = field(init=False, default=0)
    exit_code: int = field(init=False, default=0)
    restart_count: int = field(init=False, default=0)
    pid: int = field(init=False, default=0)
    max_usage: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self.max_usage = 0
        self._counters = {which: Counter(getattr(self, which)) for which in RATES}
        self._cpu, self._rx, self._tx, self._read, self._write = self._counters.values()
        self._cpu_before = 0.0

    @property
    def running(self) -> bool:
        """Whether its processes exist: also while it is paused."""
        return self.state in ("running", "paused")

    @property
    def cpu_ns(self) -> int:
        """CPU time used since the start, as of the last ``advance``, in ns."""
        return int(self._cpu.total * SECOND)

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes received and sent since the start, as of the last ``advance``."""
        return int(self._rx.total), int(self._tx.total)

    @property
    def disk(self) -> tuple[int, int]:
        """Bytes read from and written to a block device since the start, as of the last ``advance``."""
        return int(self._read.total), int(self._write.total)

    def working_set(self, now: int) -> int:
        """Memory in use without the page cache, in bytes, at ``now`` (ns)."""
        memory = self.memory
        return int(memory((now - self.started_ns) / SECOND) if callable(memory) else memory)

    def advance(self, now: int) -> None:
        """Bring every counter up to ``now`` (ns); a clock that went back changes nothing."""
        self._cpu_before = self._cpu.total
        seconds = (now - self.started_ns) / SECOND
        for counter in self._counters.values():
            if seconds < counter._at:
                return
            if self.state == "running":
                counter.advance(seconds)
            else:
                counter.skip(seconds)

    def roll_back(self) -> None:
        """Set the CPU counter to half of what it was before the last ``advance``, as an engine that lost its books."""
        self._cpu.total = self._cpu_before / 2

    def begin(self, now: int, pid: int) -> None:
        """Start at ``now`` (ns): every counter begins at 0."""
        self.state, self.started_ns, self.pid = "running", now, pid
        self._reset()

    def finish(self, now: int, exit_code: int) -> None:
        """End at ``now`` (ns)."""
        self.state, self.finished_ns, self.pid, self.exit_code = "exited", now, 0, exit_code

    def change(self, now: int, changes: dict[str, object]) -> None:
        """Set attributes at ``now`` (ns); the counters keep their totals and grow by the new rates."""
        if self.running:
            self.advance(now)
        for which, value in changes.items():
            setattr(self, which, value)
        for which, counter in self._counters.items():
            if which in changes:
                counter.follow(getattr(self, which))


RATES = ("cpu", "rx_rate", "tx_rate", "read_rate", "write_rate")


@dataclass(frozen=True, kw_only=True)
class Host:
    """The machine and the engine that are simulated; sizes in bytes, ``boot_ns`` in ns since the epoch."""

    name: str
    version: str
    api_version: str
    min_api_version: str
    cgroup: Literal[1, 2]
    cpus: int
    memory: int
    boot_ns: int

    @cached_property
    def release(self) -> tuple[int, ...]:
        """The engine's version as numbers."""
        return version_tuple(self.version)

    def system_cpu_ns(self, now: int) -> int:
        """CPU time of all cores together since the machine started, in ns."""
        return self.cpus * max(now - self.boot_ns, 0)


@dataclass(slots=True)
class Fault:
    """What goes wrong, how many more times (None: always), and for how many seconds where that matters."""

    kind: str
    times: int | None = None
    seconds: float = 1.0


class Faults:
    """Which fault is set for which container id or route."""

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}

    def set(self, key: str, fault: Fault) -> None:
        """Let what ``key`` names fail from now on."""
        self._faults[key] = fault

    def clear(self, key: str) -> None:
        """Let what ``key`` names work again."""
        self._faults.pop(key, None)

    def take(self, key: str) -> Fault | None:
        """Return the fault for one request, and count it."""
        fault = self._faults.get(key)
        if fault is None or fault.times is None:
            return fault
        fault.times -= 1
        if fault.times <= 0:
            del self._faults[key]
        return fault if fault.times >= 0 else None


class AmbiguousPrefixError(LookupError):
    """More than one container's id begins like this."""


class LostNetworkError(LookupError):
    """The container whose network this one shares does not run."""


class World:
    """Everything the simulated engine's answers are made of. Whoever reads or changes it holds ``lock``."""

    def __init__(self, host: Host, clock: Callable[[], int], latency: float) -> None:
        self.host = host
        self.clock = clock
        self.latency = latency
        self.lock = threading.RLock()
        self.faults = Faults()
        self.containers: dict[str, FakeContainer] = {}
        self._by_id: dict[str, FakeContainer] = {}
        self._pid = FIRST_PID

    def next_pid(self) -> int:
        """Return a process id that no container had."""
        self._pid += 1
        return self._pid

    def put(self, container: FakeContainer) -> None:
        """Make a container known."""
        self.containers[container.name] = container
        self._by_id[container.id] = container

    def forget(self, container: FakeContainer) -> None:
        """Make a container unknown."""
        container.state = "removed"
        del self.containers[container.name], self._by_id[container.id]
        self.faults.clear(container.id)

    def rename(self, container: FakeContainer, name: str) -> None:
        """Know a container by another name, in its old place."""
        old = container.name
        container.name = name
        self.containers = {name if key == old else key: value for key, value in self.containers.items()}

    def find(self, reference: str) -> FakeContainer | None:
        """Find a container by id, name or the beginning of its id, in this order."""
        found = self._by_id.get(reference) or self.containers.get(reference.removeprefix("/"))
        return found or self._by_prefix(reference)

    def _by_prefix(self, prefix: str) -> FakeContainer | None:
        found = [container for key, container in self._by_id.items() if prefix and key.startswith(prefix)]
        if len(found) > 1:
            raise AmbiguousPrefixError(prefix)
        return found[0] if found else None

    def network_of(self, container: FakeContainer, now: int) -> FakeContainer | None:
        """Return whose network a container uses at ``now`` (ns), brought up to date; None: it has none of its own."""
        owner: FakeContainer | None = container
        while owner and owner.network_mode.startswith("container:"):
            owner = self.find(owner.network_mode.removeprefix("container:"))
        if owner is None or not owner.running:
            raise LostNetworkError(container.network_mode)
        if owner.network_mode in ("none", "host"):
            return None
        if owner is not container:
            owner.advance(now)
        return owner
