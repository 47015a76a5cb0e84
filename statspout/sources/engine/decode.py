"""One stats answer of the engine becomes one sample. Pure: bytes and the reading before it go in, a sample comes out.

The formulas are those of the docker command (cli/command/container/stats_helpers.go), but for one thing: what it shows
as 0 because it does not know, is None here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from statspout.errors import BadAnswer
from statspout.sample import ContainerSample, Count, Interface
from statspout.source import Target
from statspout.sources.engine.answers import NOT_DECODED, time_ns

_MOST_OF_HOST = 1.25
"""The two counters are not read at the same instant, so all of a small host can look like a little more."""

NO_LIMIT = 2**62
"""Limits from here on are the kernel's way to say that there is none."""


class CpuUsage(msgspec.Struct):
    """Nanoseconds of CPU time since the container's start."""

    total_usage: Count | None = None
    percpu_usage: list[Count] | None = None


class Throttling(msgspec.Struct):
    """What the CPU limit did; ``throttled_time`` in nanoseconds."""

    periods: Count | None = None
    throttled_periods: Count | None = None
    throttled_time: Count | None = None


class CpuStats(msgspec.Struct):
    """``system_cpu_usage`` is the CPU time of the whole host in nanoseconds, over all CPUs."""

    cpu_usage: CpuUsage = msgspec.field(default_factory=CpuUsage)
    system_cpu_usage: Count | None = None
    online_cpus: Count | None = None
    throttling_data: Throttling | None = None


class MemoryParts(msgspec.Struct):
    """The lines of memory.stat that matter, of cgroup v1 (total_*) and v2; all in bytes."""

    total_inactive_file: Count | None = None
    inactive_file: Count | None = None
    total_cache: Count | None = None
    cache: Count | None = None
    file: Count | None = None
    total_rss: Count | None = None
    rss: Count | None = None
    anon: Count | None = None


class MemoryStats(msgspec.Struct):
    """Bytes."""

    usage: Count | None = None
    limit: Count | None = None
    stats: MemoryParts | None = None


class BlkioEntry(msgspec.Struct):
    """One operation on one device; v1 writes ``Read``, v2 ``read``."""

    op: str = ""
    value: Count = 0


class BlkioStats(msgspec.Struct):
    """Both lists are null where the engine has no figures."""

    io_service_bytes_recursive: list[BlkioEntry] | None = None
    io_serviced_recursive: list[BlkioEntry] | None = None


class PidsStats(msgspec.Struct):
    """Processes and threads."""

    current: Count | None = None
    limit: Count | None = None


class Stats(msgspec.Struct):
    """GET /containers/ID/stats."""

    read: str = ""
    cpu_stats: CpuStats = msgspec.field(default_factory=CpuStats)
    memory_stats: MemoryStats = msgspec.field(default_factory=MemoryStats)
    blkio_stats: BlkioStats = msgspec.field(default_factory=BlkioStats)
    pids_stats: PidsStats = msgspec.field(default_factory=PidsStats)
    networks: dict[str, Interface] | None = None


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What the next sample's CPU percentage is measured from; times in nanoseconds.

    ``system`` is the CPU time of the host over all its CPUs, or, with ``wall_clock``, the time of the clock.
    """

    time_ns: int
    total: int | None
    system: int | None
    wall_clock: bool = False


_decoder = msgspec.json.Decoder(Stats)


def read_stats(body: bytes) -> tuple[Stats, Reading] | None:
    """The answer and its reading; None when the container was not running, for then it has neither time nor numbers."""
    try:
        stats = _decoder.decode(body)
    except NOT_DECODED as error:
        raise BadAnswer(f"stats: {error}") from error
    moment = time_ns(stats.read)
    if moment is None:
        return None
    cpu = stats.cpu_stats
    # An engine without figures for the CPU leaves zeros; no container that ran has used exactly none.
    return stats, Reading(moment, cpu.cpu_usage.total_usage or None, cpu.system_cpu_usage or None)


def rolled_back(before: Reading, after: Reading) -> bool:
    """Whether the CPU counter went back: the container was started anew between the two."""
    return before.total is not None and after.total is not None and after.total < before.total


def sample_of(stats: Stats, reading: Reading, before: Reading | None, target: Target, host: str) -> ContainerSample:
    """The sample that ``stats`` comes to; ``before`` is the reading before it of the same run of the container."""
    cpu, memory = stats.cpu_stats, stats.memory_stats
    throttling = cpu.throttling_data if reading.total is not None else None
    used, limit = memory_used(memory), _limit(memory.limit)
    rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped = _totals(stats.networks)
    blkio = stats.blkio_stats
    return ContainerSample(
        time_ns=reading.time_ns,
        host=host,
        container=target.container,
        cpu_percent=cpu_percent(before, reading, cpus_of(cpu)),
        cpu_seconds_total=None if reading.total is None else reading.total / 1e9,
        online_cpus=cpus_of(cpu),
        cpu_periods_total=throttling.periods if throttling else None,
        throttled_periods_total=throttling.throttled_periods if throttling else None,
        throttled_seconds_total=_seconds(throttling.throttled_time) if throttling else None,
        mem_usage=used,
        mem_usage_raw=memory.usage or None,
        mem_cache=memory_cache(memory),
        mem_rss=memory_rss(memory),
        mem_limit=limit,
        mem_percent=None if used is None or limit is None else used * 100 / limit,
        rx_bytes=rx_bytes,
        rx_packets=rx_packets,
        rx_errors=rx_errors,
        rx_dropped=rx_dropped,
        tx_bytes=tx_bytes,
        tx_packets=tx_packets,
        tx_errors=tx_errors,
        tx_dropped=tx_dropped,
        networks=MappingProxyType(stats.networks) if stats.networks else None,
        network_shared_with=target.shared_with,
        blkio_read_bytes=_operations(blkio.io_service_bytes_recursive, "read"),
        blkio_write_bytes=_operations(blkio.io_service_bytes_recursive, "write"),
        blkio_read_ops=_operations(blkio.io_serviced_recursive, "read"),
        blkio_write_ops=_operations(blkio.io_serviced_recursive, "write"),
        pids=stats.pids_stats.current or None,
        pids_limit=_limit(stats.pids_stats.limit),
        state=target.state,
        health=target.health,
        restarts=target.restarts,
    )


def cpu_percent(before: Reading | None, after: Reading, cpus: int | None) -> float | None:
    """CPU in use between two readings; one core is 100. Source: calculateCPUPercentUnix of the docker command.

    None without a reading before, when the host's clock did not advance, when the counter went back, or when it came
    from where it had gone back to: no container uses more than the host has.
    """
    if before is None or (cpus is None and not after.wall_clock):
        return None
    if before.total is None or before.system is None or after.total is None or after.system is None:
        return None
    used, passed = after.total - before.total, after.system - before.system
    cores, all_of_host = (1, passed * (cpus or math.inf)) if after.wall_clock else (cpus or 1, passed)
    if used < 0 or passed <= 0 or used > all_of_host * _MOST_OF_HOST:
        return None
    return used / passed * cores * 100


def cpus_of(cpu: CpuStats) -> int | None:
    """CPUs of the host that are online; engines before API 1.27 list the usage per CPU instead."""
    return cpu.online_cpus or len(cpu.cpu_usage.percpu_usage or ()) or None


def memory_used(memory: MemoryStats) -> int | None:
    """Usage without the inactive file cache. Source: calculateMemUsageUnixNoCache of the docker command.

    Without a usage, the anonymous memory; None without either, as where the memory controller is off.
    """
    parts = memory.stats or MemoryParts()
    if not memory.usage:
        return parts.anon or None
    for inactive in (parts.total_inactive_file, parts.inactive_file):
        if inactive is not None and inactive < memory.usage:
            return memory.usage - inactive
    return memory.usage


def memory_cache(memory: MemoryStats) -> int | None:
    """The file cache: ``total_cache`` of cgroup v1, ``file`` of v2."""
    if memory.stats is None or not memory.usage:
        return None
    parts = memory.stats
    return next((part for part in (parts.total_cache, parts.file, parts.cache) if part is not None), None)


def memory_rss(memory: MemoryStats) -> int | None:
    """Anonymous memory: ``total_rss`` of cgroup v1, ``anon`` of v2. Source: setMemoryStats of cAdvisor."""
    parts = memory.stats or MemoryParts()
    found = next((part for part in (parts.total_rss, parts.anon, parts.rss) if part is not None), None)
    return found if memory.usage else found or None


def _limit(limit: int | None) -> int | None:
    return limit if limit and limit < NO_LIMIT else None


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e9


_NOTHING = (None,) * 8


def _totals(networks: Mapping[str, Interface] | None) -> tuple[int | None, ...]:
    """The counters summed over the interfaces. One interface, as almost always, is taken as it is."""
    if not networks:
        return _NOTHING
    rows = [_counters(interface) for interface in networks.values()]
    return rows[0] if len(rows) == 1 else tuple(map(_sum, zip(*rows, strict=True)))


def _counters(i: Interface) -> tuple[int | None, ...]:
    return i.rx_bytes, i.rx_packets, i.rx_errors, i.rx_dropped, i.tx_bytes, i.tx_packets, i.tx_errors, i.tx_dropped


def _sum(values: tuple[int | None, ...]) -> int | None:
    """A total of which one part is unknown is unknown."""
    return None if None in values else sum(value for value in values if value is not None)


def _operations(entries: list[BlkioEntry] | None, operation: str) -> int | None:
    """The sum over all devices of the operations with that word; None where the engine has no figures.

    An empty list is no figure: kernels that do not count this give it to containers that wrote, too.
    """
    if not entries:
        return None
    total = 0
    for entry in entries:
        if entry.op.lower() == operation:
            total += entry.value
    return total
