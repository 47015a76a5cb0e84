"""What Podman's answers in Docker's words mean: what they carry only for form's sake is taken out of them."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from statspout.sample import Interface
from statspout.sources.engine.decode import Reading, Stats

_ONE_FOR_ALL = "network"
"""The interface under which Podman 4 gives the sum of all; bytes are all that it counts there."""

_MENDED = (4, 4)
"""The first version in which received and sent are not each other there (its pull request 16628)."""


def corrected(stats: Stats, reading: Reading, network_mode: str | None, version: str) -> tuple[Stats, Reading]:
    """The statistics and the reading without what Podman of this version does not know, or knows as something else.

    Its ``system_cpu_usage`` is that of a cgroup, not of the host: a percentage is measured against the clock. (Not
    against the clock times the CPUs: they are those of the container, and may change.) Throttling is always 0, and so
    are the packets of version 4; with the host's network, or none, everything is.
    """
    stats.cpu_stats.throttling_data = None
    stats.networks = None if network_mode in ("host", "none") else _networks(stats.networks, version)
    return stats, msgspec.structs.replace(reading, system=reading.time_ns, wall_clock=True)


def _networks(networks: dict[str, Interface] | None, version: str) -> dict[str, Interface] | None:
    if not networks or _ONE_FOR_ALL not in networks:
        return networks
    numbers, total = _numbers(version), networks[_ONE_FOR_ALL]
    if numbers is None:
        return None
    rx, tx = (total.rx_bytes, total.tx_bytes) if numbers >= _MENDED else (total.tx_bytes, total.rx_bytes)
    return {**networks, _ONE_FOR_ALL: Interface(rx_bytes=rx, tx_bytes=tx)}


@lru_cache
def _numbers(version: str) -> tuple[int, int] | None:
    """Major and minor; None for what is no version, as where a proxy forbids to ask."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else None
