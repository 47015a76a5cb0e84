"""Two real engines side by side, watched by one daemon."""

from __future__ import annotations

import re
from collections.abc import Callable

from support.daemon import Daemon
from support.engine import Engine, OwnEngine
from support.standstill import stood_still

BURN = ["sh", "-c", "while :; do sleep 0.01; done"]


def skipped(daemon: Daemon, name: str) -> float:
    page = daemon.get("/metrics", "health.address").body.decode()
    found = re.search(rf'statspout_ticks_skipped_total{{engine="{name}"}} (\S+)', page)
    assert found is not None
    return float(found[1])


def test_one_of_two_real_engines_is_killed_and_the_other_goes_on(
    engine: Engine, make_engine: Callable[..., OwnEngine]
) -> None:
    other, before = make_engine(), stood_still()
    near, far = engine.run("several-near", BURN), other.run("several-far", BURN)
    with Daemon(
        f"--engine=near=unix://{engine.socket}", f"--engine=far=unix://{other.socket}", "--interval=1",
        "--filter.include=several-*", "--repository=rest", "--rest.address=127.0.0.1:0", "--health.address=127.0.0.1:0",
    ) as daemon:  # fmt: skip
        daemon.eventually(lambda: len(daemon.stats()) == 2)
        shown = daemon.stats()
        assert {(each["id"], each["host"]) for each in shown.values()} == {(near.id, "near"), (far.id, "far")}
        daemon.eventually(lambda: all(each["cpu_percent"] is not None for each in daemon.stats().values()))
        other.dockerd.kill()
        daemon.wait_for_line("engine far is not there")
        then = daemon.stats()["several-near"]["@timestamp"]
        daemon.eventually(lambda: daemon.stats()["several-near"]["@timestamp"] > then, 3)
        assert daemon.get("/readyz", "health.address").status == 200
        assert skipped(daemon, "near") <= stood_still() - before
        other.dockerd.start()
        daemon.wait_for_line("engine far is there")
        assert daemon.terminate() == 0
