"""The figures of one container, read from its open files. What reads the same as the last time is not parsed again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from statspout.sample import Interface
from statspout.sources.cgroup.files import Entry, Files
from statspout.sources.cgroup.parse import (
    Memory,
    Pair,
    Throttling,
    blkio,
    interfaces,
    io_stat,
    memory_v1,
    memory_v2,
    number,
    throttling_v1,
    throttling_v2,
    value,
)

CPU, THROTTLING, USAGE, MEMORY, BYTES, OPERATIONS, PIDS, NETWORK = range(8)

_V1 = (
    ("cpuacct", "cpuacct.usage"),
    ("cpu", "cpu.stat"),
    ("memory", "memory.usage_in_bytes"),
    ("memory", "memory.stat"),
    ("blkio", "blkio.throttle.io_service_bytes"),
    ("blkio", "blkio.throttle.io_serviced"),
    ("pids", "pids.current"),
)
_V2 = (
    ("cpu", "cpu.stat"),
    None,
    ("memory", "memory.current"),
    ("memory", "memory.stat"),
    ("blkio", "io.stat"),
    None,
    ("pids", "pids.current"),
)
FILES: Mapping[int, tuple[tuple[str, str] | None, ...]] = {1: _V1, 2: _V2}
"""By the version: controller and file of each number but the network's."""

LIMITS = {1: ("memory.limit_in_bytes", "pids.max"), 2: ("memory.max", "pids.max")}
"""By the version: the files with the limits of memory and processes."""

QUOTA = "cpu.cfs_quota_us"
"""The file with the CPU limit on v1, -1 without one."""


Numbers = tuple[int, int | None, Throttling, int | None, Memory, Pair, Pair, int | None]
"""What the files say: version, CPU time in ns, throttling, memory usage and its parts in bytes, bytes and operations of
block I/O, processes. One is made for each sample, and a tuple with names takes half a microsecond more."""


class Network(NamedTuple):
    """The interfaces, and the sums over them: bytes, packets, errors, dropped, received and then sent."""

    interfaces: Mapping[str, Interface] | None = None
    totals: tuple[int | None, ...] = (None,) * 8


_NO_NETWORK = Network()


class Reader:
    """Reads one container, of the interfaces those whose names are ``wanted``; the files are another's to close."""

    __slots__ = (
        "_bytes", "_files", "_io", "_memory", "_memory_of", "_network", "_network_of", "_operations", "_throttling",
        "_throttling_of", "_unlimited", "_v1", "_wanted",
    )  # fmt: skip

    def __init__(self, files: Files, version: int, wanted: Callable[[str], bool]) -> None:
        self._unlimited = False
        self._files = files
        self._v1 = version == 1
        self._wanted = wanted
        self._throttling_of, self._throttling = b"", Throttling()
        self._memory_of, self._memory = b"", Memory()
        self._bytes: tuple[bytes, Pair] = b"", (None, None)
        self._operations: tuple[bytes, Pair] = b"", (None, None)
        self._io: tuple[bytes, tuple[Pair, Pair]] = b"", ((None, None), (None, None))
        self._network_of, self._network = b"", _NO_NETWORK

    def limited(self, limited: bool) -> None:
        """Say whether there is a CPU limit: without one, what v1 says of throttling once is true until there is one."""
        self._unlimited, self._throttling_of = not limited, b""

    def read(self) -> Numbers:
        """What the cgroup's files say now. Gone when they are no more; OSError."""
        return self._read_v1() if self._v1 else self._read_v2()

    def _read_v1(self) -> Numbers:
        read = self._files.read
        total = number(read(CPU, 64))
        if not (self._unlimited and self._throttling_of):
            data = read(THROTTLING, 256)
            if data != self._throttling_of:
                self._throttling_of, self._throttling = data, throttling_v1(data)
        usage = number(read(USAGE, 64))
        data = read(MEMORY, 4096)
        if data != self._memory_of:
            self._memory_of, self._memory = data, memory_v1(data)
        data = read(BYTES, 2048)
        if data != self._bytes[0]:
            self._bytes = data, blkio(data)
        # Without a device in one file there is none in the other.
        data = read(OPERATIONS, 2048) if self._bytes[1][0] is not None else b""
        if data != self._operations[0]:
            self._operations = data, blkio(data)
        pids = number(read(PIDS, 64))
        return 1, total, self._throttling, usage, self._memory, self._bytes[1], self._operations[1], pids

    def _read_v2(self) -> Numbers:
        read = self._files.read
        data = read(CPU, 1024)
        microseconds = value(data, b"usage_usec ")
        total = None if microseconds is None else microseconds * 1000
        throttling = throttling_v2(data)
        usage = number(read(USAGE, 64))
        data = read(MEMORY, 4096)
        if data != self._memory_of:
            self._memory_of, self._memory = data, memory_v2(data)
        data = read(BYTES, 2048)
        if data != self._io[0]:
            self._io = data, io_stat(data)
        moved, operations = self._io[1]
        return 2, total, throttling, usage, self._memory, moved, operations, number(read(PIDS, 64))

    def network(self) -> Network:
        """What net/dev says now of the container's own network namespace."""
        data = self._files.read(NETWORK, 2048)
        if data != self._network_of:
            self._network_of, self._network = data, _network(interfaces(data, self._wanted))
        return self._network


def _network(found: dict[str, Interface] | None) -> Network:
    if not found:
        return _NO_NETWORK
    rows = [
        (i.rx_bytes, i.rx_packets, i.rx_errors, i.rx_dropped, i.tx_bytes, i.tx_packets, i.tx_errors, i.tx_dropped)
        for i in found.values()
    ]
    # All of them are numbers: the kernel's rows have no gaps.
    return Network(MappingProxyType(found), tuple(sum(column) for column in zip(*rows, strict=True)))


def entries_of(version: int, folders: Mapping[str, str], network: Entry | None) -> list[Entry | None]:
    """The files of a container by number. What its kernel or its controllers do not have stays without one.

    Without its CPU there is no container: that file is always among them.
    """
    entries = [_entry(file, folders) for file in FILES[version]]
    for number_, entry in enumerate(entries):
        if number_ != CPU and entry is not None and not os.path.exists(entry[0]):
            entries[number_] = None
    return [*entries, network]


def _entry(file: tuple[str, str] | None, folders: Mapping[str, str]) -> Entry | None:
    return None if file is None or file[0] not in folders else (f"{folders[file[0]]}/{file[1]}", None)
