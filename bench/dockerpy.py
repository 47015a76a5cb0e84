"""The usual way in Python, for comparison: docker-py, a pool of 20 threads, one line a sample on stdout."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import docker


def main() -> None:
    """Sample every container of the engine at argv[1] every argv[2] seconds until killed."""
    client = docker.APIClient(base_url=f"unix://{sys.argv[1]}", version="auto")
    interval = float(sys.argv[2])
    before: dict[str, tuple[int, int]] = {}

    def sample(container: dict[str, str]) -> str:
        stats = client.stats(container["Id"], stream=False, one_shot=True)
        cpu = stats["cpu_stats"]
        now = (cpu["cpu_usage"]["total_usage"], cpu["system_cpu_usage"])
        old = before.get(container["Id"], now)
        before[container["Id"]] = now
        passed = now[1] - old[1]
        percent = (now[0] - old[0]) / passed * cpu["online_cpus"] * 100 if passed else 0.0
        memory = stats["memory_stats"]["usage"] - stats["memory_stats"]["stats"].get("inactive_file", 0)
        network = stats.get("networks", {}).get("eth0", {})
        return f"{container['Id'][:12]} {percent:.2f}% {memory} {network.get('rx_bytes')}/{network.get('tx_bytes')}"

    containers = client.containers()
    with ThreadPoolExecutor(20) as pool:
        while True:
            began = time.monotonic()
            print("\n".join(pool.map(sample, containers)), flush=True)
            time.sleep(max(0.0, interval - (time.monotonic() - began)))


if __name__ == "__main__":
    main()
