"""The kernel's numbers become one sample: the same one as the engine's answer does, see ``engine/decode.py``."""

from __future__ import annotations

from typing import NamedTuple

from statspout.sample import ContainerSample
from statspout.source import Target
from statspout.sources.cgroup.parse import Throttling
from statspout.sources.cgroup.reader import Network, Numbers
from statspout.sources.engine.decode import NO_LIMIT, Reading, cpu_percent


class Limits(NamedTuple):
    """Bytes of memory, and processes; None without one."""

    memory: int | None
    pids: int | None


_UNTHROTTLED = Throttling()


def sample_of(
    numbers: Numbers,
    network: Network,
    limits: Limits,
    reading: Reading,
    before: Reading | None,
    cpus: int | None,
    target: Target,
    host: str,
) -> ContainerSample:
    """The sample; ``before`` is the reading before it of the same run of the container."""
    version, _, throttling, usage, memory, moved, operations, pids = numbers
    inactive, cache, anonymous = memory
    total = reading.total
    periods, throttled, throttled_seconds = _UNTHROTTLED if total is None else throttling
    used: int | None
    if usage:
        used = usage if inactive is None or inactive >= usage else usage - inactive
    else:
        # Without the memory controller there is nothing, or, on v2, the anonymous memory.
        usage, cache, anonymous = None, None, anonymous or None
        used = anonymous if version == 2 else None
    limit, pids_limit = limits
    if limit is not None and not 0 < limit < NO_LIMIT:
        limit = None
    if before is not None and before.wall_clock != reading.wall_clock:
        before = None
    rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped = network.totals
    return ContainerSample(
        time_ns=reading.time_ns,
        host=host,
        container=target.container,
        cpu_percent=cpu_percent(before, reading, cpus),
        cpu_seconds_total=None if total is None else total / 1e9,
        online_cpus=cpus,
        cpu_periods_total=periods,
        throttled_periods_total=throttled,
        throttled_seconds_total=throttled_seconds,
        mem_usage=used,
        mem_usage_raw=usage,
        mem_cache=cache,
        mem_rss=anonymous,
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
        networks=network.interfaces,
        network_shared_with=target.shared_with,
        blkio_read_bytes=moved[0],
        blkio_write_bytes=moved[1],
        blkio_read_ops=operations[0],
        blkio_write_ops=operations[1],
        pids=pids or None,
        pids_limit=pids_limit if pids_limit and pids_limit < NO_LIMIT else None,
        state=target.state,
        health=target.health,
        restarts=target.restarts,
    )
