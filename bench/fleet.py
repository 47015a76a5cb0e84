"""A real engine of the benchmark's own with containers that do nothing, and what the engine itself costs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from measuring import ROOT, below, cpu_of, told

sys.path.insert(0, str(ROOT / "tests"))

from support.dockerd import Dockerd, why_no_dockerd
from support.engine import OwnEngine
from support.images import ensure_busybox

WITHOUT_NETWORK = 0.1
"""The share of containers that have no network; the rest are at the engine's bridge."""


class Fleet:
    """The containers, and the engine that runs them."""

    def __init__(self, engine: OwnEngine, count: int) -> None:
        self.engine = engine
        self.socket = str(engine.socket)
        networks = ["none" if i < count * WITHOUT_NETWORK else "bridge" for i in range(count)]
        with ThreadPoolExecutor(4) as pool:
            started = list(pool.map(self._start, range(count), networks))
        self.ids = [container.id for container in started]
        self.pids = [int(engine.client.api.inspect_container(each)["State"]["Pid"]) for each in self.ids]

    def _start(self, number: int, network: str) -> Any:
        return self.engine.run(f"bench-{number}", network_mode=network)

    def engine_pids(self) -> set[int]:
        """dockerd, containerd and the shims; not what runs in the containers."""
        shims = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in self.pids}
        return below([self.engine.dockerd.pid]) | shims | _containerds()

    def engine_cpu(self) -> float:
        """CPU seconds of the engine so far."""
        return cpu_of(self.engine_pids())


def _containerds() -> set[int]:
    """An engine beside others may have the machine's containerd; what that does for others is in the idle figure."""
    return {int(path.parent.name) for path in Path("/proc").glob("[0-9]*/comm") if path.read_text() == "containerd\n"}


@contextmanager
def fleet(count: int) -> Iterator[Fleet]:
    """Start an engine with ``count`` containers; both are gone afterwards."""
    if why := why_no_dockerd():
        raise SystemExit(f"a real Docker engine is needed ({why}): run scripts/setup-engine as root on Debian")
    told(f"starting an engine with {count} containers")
    with Dockerd() as dockerd, closing(OwnEngine(dockerd)) as engine:
        ensure_busybox(engine.client)
        made = Fleet(engine, count)
        try:
            yield made
        finally:
            told("removing the containers")
            engine.remove_started()
