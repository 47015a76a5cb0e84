"""One container that is read from the kernel: found by its process, opened, read, closed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from statspout.errors import Unreadable
from statspout.sample import ContainerSample
from statspout.source import Target
from statspout.sources.cgroup.decode import Limits, sample_of
from statspout.sources.cgroup.files import Budget, Entry, Files, Gone, Kept, Reopened
from statspout.sources.cgroup.host import Host
from statspout.sources.cgroup.parse import number
from statspout.sources.cgroup.places import place_of
from statspout.sources.cgroup.reader import LIMITS, QUOTA, Network, Reader, entries_of
from statspout.sources.engine.decode import Reading

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

_NO_NETWORK = Network()


class Roots(NamedTuple):
    """Where the kernel's file systems are mounted, as texts: /proc, and /sys/fs/cgroup."""

    proc: str
    cgroup: str


class Opened:
    """The open files of one run of one container; Unreadable when they cannot be opened.

    ``any_interface``: the engine names interfaces as it likes, so all but the loopback are the container's.
    """

    __slots__ = ("_budget", "_files", "_has_network", "_limits", "_place", "_reader", "_taken", "before", "read_at")

    def __init__(self, target: Target, roots: Roots, budget: Budget, any_interface: bool = False) -> None:
        self.before: Reading | None = None
        self.read_at = 0
        """When it was last read, in monotonic nanoseconds; 0 before the first time."""
        self._budget = budget
        self._limits: Limits | None = None
        if not target.pid:
            raise Unreadable("the engine does not say which process is its first")
        try:
            # What is opened through this folder is of this process, also after its number went to another one.
            process = os.open(f"{roots.proc}/{target.pid}", _FOLDER)
        except OSError as error:
            raise Unreadable(_not_there(roots, error)) from error
        keep = False
        try:
            self._place = place_of(_cgroup_of(process), target.container.id, roots.cgroup)
            network = ("net/dev", process) if _has_own_network(target, process, roots) else None
            self._has_network = network is not None
            entries = entries_of(self._place.version, self._place.folders, network)
            self._files, self._taken, keep = _opened(entries, process, budget)
        except OSError as error:
            raise Unreadable(f"{error.filename or 'its files'}: {error.strerror}") from error
        finally:
            if not keep:
                os.close(process)
        self._reader = Reader(self._files, self._place.version, _wanted(target, any_interface))

    @property
    def version(self) -> int:
        """The version of the cgroup interface."""
        return self._place.version

    @property
    def kept(self) -> bool:
        """Whether its files stay open; if not, they are opened each time."""
        return isinstance(self._files, Kept)

    def sample(self, target: Target, host: Host, name: str, now: int, clock: int) -> ContainerSample:
        """Read it. ``now`` is monotonic, in ns; with ``clock`` added it is since the epoch. Gone, or OSError."""
        limits = self._limits
        if limits is None:
            limits = self._limits = self._read_limits(host)
        numbers = self._reader.read()
        total, pids = numbers[1], numbers[-1]
        if pids == 0:
            # Its last process ended; with the engine gone, nobody takes the cgroup away.
            raise Gone
        network = self._reader.network() if self._has_network else _NO_NETWORK
        system = host.system_at(now)
        reading = Reading(now + clock, total or None, now if system is None else system, system is None)
        before, self.before, self.read_at = self.before, reading, now
        return sample_of(numbers, network, limits, reading, before, host.cpus, target, name)

    def forget_limits(self) -> None:
        """They may have changed: read them again before the next sample."""
        self._limits = None

    def close(self) -> None:
        """Close its files, now."""
        self._files.close()
        self._budget.give(self._taken)
        self._taken = 0

    def _read_limits(self, host: Host) -> Limits:
        memory, pids = LIMITS[self._place.version]
        folders = self._place.folders
        most = _limit(folders.get("memory"), memory)
        # As the engine has it: without a limit, the host's memory is one.
        if host.memory is not None and "memory" in folders:
            most = host.memory if most is None else min(most, host.memory)
        self._reader.limited(self.version == 2 or _limit(folders.get("cpu"), QUOTA) != -1)
        return Limits(most, _limit(folders.get("pids"), pids))


def _opened(entries: list[Entry | None], process: int, budget: Budget) -> tuple[Files, int, bool]:
    """The files, how many descriptors they have of the budget, and whether that of the process is one of them."""
    count = sum(entry is not None for entry in entries)
    if budget.take(count):
        try:
            return Kept(entries), count, False
        except OSError:
            budget.give(count)
            raise
    if budget.take(1):
        try:
            return Reopened(entries, process), 1, True
        except OSError:
            budget.give(1)
            raise
    raise Unreadable(f"the limit of {budget.limit} open files (RLIMIT_NOFILE) is reached")


def _cgroup_of(process: int) -> str:
    descriptor = os.open("cgroup", os.O_RDONLY | os.O_CLOEXEC, dir_fd=process)
    with open(descriptor, encoding="utf-8", errors="replace") as file:
        return file.read()


def _limit(folder: str | None, name: str) -> int | None:
    if folder is None:
        return None
    try:
        descriptor = os.open(f"{folder}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    # Not as a file object, which takes five calls of the kernel for one line.
    try:
        return number(os.read(descriptor, 64))
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _not_there(roots: Roots, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"its process is not in {roots.proc}: the engine, or its process ids, are elsewhere"
    return f"{roots.proc} of its process: {error.strerror}"


def _has_own_network(target: Target, process: int, roots: Roots) -> bool:
    """Whether the network of its process is no other's than a container's: of the host's there are no figures."""
    mode = target.network_mode or ""
    if mode in ("host", "none"):
        return False
    if mode and not mode.startswith(("container:", "ns:")):
        return True
    # Whose network it joined may in turn have joined the host's.
    try:
        # These are one file within a namespace. To read ns/net itself takes privileges that root may lack.
        return os.stat("net/dev", dir_fd=process).st_ino != os.stat(f"{roots.proc}/1/net/dev").st_ino
    except OSError:
        return False


def _wanted(target: Target, any_interface: bool) -> Callable[[str], bool]:
    """Which interfaces are the engine's: what is made inside of a container, as by a VPN, the engine does not count."""
    if any_interface:
        return lambda name: name != "lo"
    named = frozenset(target.interfaces)
    return lambda name: name.startswith("eth") or name in named
