"""What Podman's answers in Docker's words mean: what they carry only for form's sake is taken out of them."""

from __future__ import annotations

import msgspec

from statspout.sample import Interface
from statspout.sources.engine.decode import Reading, Stats, cpus_of

_ONE_FOR_ALL = "network"
"""The interface under which Podman 4 gives the sum of all; bytes are all that it counts there."""


def corrected(stats: Stats, reading: Reading, network_mode: str | None) -> tuple[Stats, Reading]:
    """The statistics and the reading without what Podman does not know, or knows as something else.

    Its ``system_cpu_usage`` is that of a cgroup, not of the host: a percentage is measured against wall clock times
    CPUs, so that 100 is one core. Throttling is always 0, and so are the packets of version 4; with the host's network,
    or none, everything is.
    """
    cpus = cpus_of(stats.cpu_stats)
    stats.cpu_stats.throttling_data = None
    stats.networks = _networks(stats.networks, network_mode)
    system = None if cpus is None else reading.time_ns * cpus
    return stats, msgspec.structs.replace(reading, system=system)


def _networks(networks: dict[str, Interface] | None, mode: str | None) -> dict[str, Interface] | None:
    if networks is None or mode in ("host", "none"):
        return None
    return {
        name: Interface(rx_bytes=one.rx_bytes, tx_bytes=one.tx_bytes) if name == _ONE_FOR_ALL else one
        for name, one in networks.items()
    }
