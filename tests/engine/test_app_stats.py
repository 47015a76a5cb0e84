"""docs/app-stats.md's example, as a reader would run it: in a container of the image, beside a daemon on its host."""

from __future__ import annotations

import re
from pathlib import Path

from support.daemon import Daemon
from support.engine import Engine

SHOP = Path(__file__).parents[2] / "examples" / "shop.py"


def test_an_applications_numbers_stand_next_to_its_containers_cpu(engine: Engine, image: str) -> None:
    with Daemon(
        f"--socket.path={engine.socket}", "--interval=1", "--repository=prometheus",
        "--prometheus.address=127.0.0.1:0", "--listen.statsd=127.0.0.1:0",
    ) as daemon:  # fmt: skip
        address = daemon.wait_for_line("listen.statsd: udp://").partition("udp://")[2].partition(",")[0]
        engine.run(
            "shop", ["/shop.py"], image=image, entrypoint="python3", network_mode="host",
            environment={"STATSPOUT_CLIENT_STATSD": address},
            volumes={str(SHOP): {"bind": "/shop.py", "mode": "ro"}},
        )  # fmt: skip
        daemon.eventually(lambda: {"cpu", "orders", "queue", "checkout"} <= shown(daemon))


def shown(daemon: Daemon) -> set[str]:
    """What the page has of the container called shop."""
    page = daemon.get("/metrics", "prometheus.address").body.decode()
    names = {
        "cpu": "statspout_container_cpu_usage_ratio",
        "orders": "shop_orders_total",
        "queue": "shop_queue",
        "checkout": "shop_checkout_seconds_count",
    }
    return {what for what, name in names.items() if re.search(rf'^{name}{{[^}}]*container="shop"', page, re.MULTILINE)}
