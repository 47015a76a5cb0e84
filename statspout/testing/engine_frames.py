"""The JSON of ``/containers/{id}/stats``, field by field as the engine writes it for cgroup v1 and v2."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from statspout.testing.engine_state import SECOND, ZERO_TIME, FakeContainer, Host, rfc3339

HUGE = 1 << 60
"""Added to the counters of the fault ``huge``: more than a double can tell apart."""

NO_LIMIT = (1 << 64) - 1
NO_LIMIT_V1 = (1 << 63) - 4096
DEVICE = {1: (8, 0), 2: (259, 0)}
MTU = 1000
BLOCK = 4096

_encode = msgspec.json.Encoder().encode

_NOT_THROTTLED = msgspec.Raw(b'{"periods":0,"throttled_periods":0,"throttled_time":0}')
_EMPTY_CPU = msgspec.Raw(
    b'{"cpu_usage":{"total_usage":0,"usage_in_kernelmode":0,"usage_in_usermode":0},"throttling_data":'
    + bytes(_NOT_THROTTLED)
    + b"}"
)
_EMPTY: dict[str, str] = {}
_BLKIO_FIELDS = (
    "io_service_bytes_recursive",
    "io_serviced_recursive",
    "io_queue_recursive",
    "io_service_time_recursive",
    "io_wait_time_recursive",
    "io_merged_recursive",
    "io_time_recursive",
    "sectors_recursive",
)
_EMPTY_BLKIO: dict[str, list[Any]] = {key: [] for key in _BLKIO_FIELDS}
_NULL_BLKIO: dict[str, Any] = dict.fromkeys(_BLKIO_FIELDS)
_NO_BLKIO = {1: msgspec.Raw(_encode(_EMPTY_BLKIO)), 2: msgspec.Raw(_encode(_NULL_BLKIO))}

_MEMORY_V2 = """
    active_anon active_file anon anon_thp file file_dirty file_mapped file_writeback inactive_anon inactive_file
    kernel_stack pgactivate pgdeactivate pgfault pglazyfree pglazyfreed pgmajfault pgrefill pgscan pgsteal shmem
    slab slab_reclaimable slab_unreclaimable sock thp_collapse_alloc thp_fault_alloc unevictable
    workingset_activate workingset_nodereclaim workingset_refault
"""
_MEMORY_V1 = """
    active_anon active_file cache dirty inactive_anon inactive_file mapped_file pgfault pgmajfault pgpgin pgpgout
    rss rss_huge unevictable writeback
"""


DIRECT_ONE_SHOT_SINCE = (25,)
"""From this release on one-shot stats do not wait for the collector, and at first carry no ``name`` and ``id``."""

NAMED_ONE_SHOT_SINCE = (29,)
OS_TYPE_SINCE = (29,)


class Before(NamedTuple):
    """The reading before this one: its time in ns, and its ``cpu_stats``."""

    read_ns: int
    cpu_stats: dict[str, Any]


@lru_cache(maxsize=4096)
def _memory_v2(working_set: int, cache: int, limit: int) -> msgspec.Raw:
    stats = dict.fromkeys(_MEMORY_V2.split(), 0)
    stats |= {"anon": working_set, "inactive_anon": working_set, "file": cache, "inactive_file": cache}
    return msgspec.Raw(_encode({"usage": working_set + cache, "stats": stats, "limit": limit}))


@lru_cache(maxsize=4096)
def _memory_v1(working_set: int, cache: int, limit: int, own_limit: int, max_usage: int) -> msgspec.Raw:
    stats = dict.fromkeys(_MEMORY_V1.split(), 0)
    stats |= {"rss": working_set, "active_anon": working_set, "cache": cache, "inactive_file": cache}
    totals = {f"total_{key}": value for key, value in stats.items()}
    limits = dict.fromkeys(("hierarchical_memory_limit", "hierarchical_memsw_limit"), own_limit or NO_LIMIT_V1)
    every = dict(sorted((stats | totals | limits).items()))
    body = {"usage": working_set + cache, "max_usage": max_usage, "stats": every, "limit": limit}
    return msgspec.Raw(_encode(body))


def _memory_stats(container: FakeContainer, host: Host, now: int) -> msgspec.Raw:
    working_set, cache = container.working_set(now), container.cache
    limit = min(container.memory_limit or host.memory, host.memory)
    if host.cgroup == 2:
        return _memory_v2(working_set, cache, limit)
    container.max_usage = max(container.max_usage, working_set + cache)
    return _memory_v1(working_set, cache, limit, container.memory_limit, container.max_usage)


def cpu_stats(container: FakeContainer, host: Host, now: int, more: int = 0) -> dict[str, Any]:
    """Build ``cpu_stats`` of a container that was advanced to ``now`` (ns); ``more`` ns are added to what it used."""
    total = container.cpu_ns + more
    usage: dict[str, Any] = {"total_usage": total}
    if host.cgroup == 1:
        share, rest = divmod(total, host.cpus)
        usage["percpu_usage"] = [share + rest, *[share] * (host.cpus - 1)]
    usage["usage_in_kernelmode"] = kernel = total * 3 // 10
    usage["usage_in_usermode"] = total - kernel
    return {
        "cpu_usage": usage,
        "system_cpu_usage": host.system_cpu_ns(now) + more,
        "online_cpus": host.cpus,
        "throttling_data": _NOT_THROTTLED,
    }


def _operations(host: Host, read: int, write: int) -> list[dict[str, Any]]:
    major, minor = DEVICE[host.cgroup]
    values = {"read": read, "write": write}
    if host.cgroup == 1:
        both = read + write
        values = {"Read": read, "Write": write, "Sync": both, "Async": 0, "Discard": 0, "Total": both}
    return [{"major": major, "minor": minor, "op": op, "value": value} for op, value in values.items()]


def _blkio_stats(container: FakeContainer, host: Host, more: int) -> msgspec.Raw | dict[str, Any]:
    read, write = container.disk
    if not (read or write or more):
        return _NO_BLKIO[host.cgroup]
    transferred = _operations(host, read + more, write + more)
    if host.cgroup == 2:
        return _NULL_BLKIO | {"io_service_bytes_recursive": transferred}
    operations = _operations(host, -(-read // BLOCK), -(-write // BLOCK))
    return _EMPTY_BLKIO | {
        "io_service_bytes_recursive": transferred,
        "io_serviced_recursive": operations,
    }


def _interface(owner: FakeContainer, more: int) -> dict[str, int]:
    received, sent = owner.traffic
    return {
        "rx_bytes": received + more,
        "rx_packets": -(-received // MTU),
        "rx_errors": 0,
        "rx_dropped": 0,
        "tx_bytes": sent + more,
        "tx_packets": -(-sent // MTU),
        "tx_errors": 0,
        "tx_dropped": 0,
    }


def _pids_stats(container: FakeContainer, host: Host) -> dict[str, int]:
    limit = container.pids_limit or (NO_LIMIT if host.cgroup == 2 else 0)
    return {"current": container.pids, "limit": limit} if limit else {"current": container.pids}


def frame(
    container: FakeContainer,
    host: Host,
    now: int,
    network: FakeContainer | None,
    *,
    before: Before | None = None,
    one_shot: bool = False,
    fault: str = "",
) -> tuple[bytes, Before]:
    """Build one answer at ``now`` (ns), and what the next one compares itself with."""
    container.advance(now)
    more = HUGE if fault == "huge" else 0
    cpu = cpu_stats(container, host, now, more)
    body: dict[str, Any] = {
        "read": rfc3339(now),
        "preread": rfc3339(before.read_ns) if before else ZERO_TIME,
        "pids_stats": _pids_stats(container, host),
        "blkio_stats": _blkio_stats(container, host, more),
        "num_procs": 0,
        "storage_stats": _EMPTY,
        "cpu_stats": _EMPTY_CPU if fault == "no_cpu" else cpu,
        "precpu_stats": before.cpu_stats if before else _EMPTY_CPU,
        "memory_stats": _EMPTY if fault == "no_memory" else _memory_stats(container, host, now),
    }
    if not (one_shot and DIRECT_ONE_SHOT_SINCE <= host.release < NAMED_ONE_SHOT_SINCE):
        body |= _identity(container, host)
    if network:
        body["networks"] = {"eth0": _interface(network, more)}
    return _encode(body), Before(now, cpu)


def _identity(container: FakeContainer, host: Host) -> dict[str, str]:
    identity = {"name": f"/{container.name}", "id": container.id}
    return identity if host.release < OS_TYPE_SINCE else identity | {"os_type": "linux"}


def empty_frame(container: FakeContainer, host: Host) -> bytes:
    """Build the answer for a container that does not run: zeros, and Go's zero time."""
    return _encode(
        {
            "read": ZERO_TIME,
            "preread": ZERO_TIME,
            "pids_stats": _EMPTY,
            "blkio_stats": _NULL_BLKIO,
            "num_procs": 0,
            "storage_stats": _EMPTY,
            "cpu_stats": _EMPTY_CPU,
            "precpu_stats": _EMPTY_CPU,
            "memory_stats": _EMPTY,
        }
        | _identity(container, host)
    )


def wrong_types_frame(container: FakeContainer, now: int) -> bytes:
    """Build an answer that is JSON, but of other types than the engine's."""
    return _encode(
        {
            "read": now // SECOND,
            "pids_stats": {"current": "three"},
            "blkio_stats": {"io_service_bytes_recursive": "none"},
            "cpu_stats": {"cpu_usage": [1, 2, 3], "system_cpu_usage": "much", "online_cpus": None},
            "precpu_stats": 0,
            "memory_stats": [],
            "name": {"name": container.name},
            "id": 1,
            "networks": ["eth0"],
        }
    )
