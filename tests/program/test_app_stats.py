"""From an application's client to a repository, all of it real: the story that flux's stats API got wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.daemon import Daemon

from statspout.client import StatsD

JOBS = 20_000
STATES = ("depend", "priority", "sched", "run", "cleanup", "inactive")
STUCK = {"sched": 100, "run": 7}
"""Every so many jobs stay in that state for good."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("story")
    with Daemon(
        "--demo", "--interval=1", "--repository=rest", "--rest.address=127.0.0.1:0",
        f"--listen.statsd=tcp://127.0.0.1:0,unix://{folder}/statsd.sock",
    ) as daemon:  # fmt: skip
        yield daemon


def last_state(job: int) -> str:
    return next((state for state, every in STUCK.items() if job % every == 0), STATES[-1])


def run(client: StatsD, job: int) -> None:
    """The job passes through its states: with each it is one more there, and one less where it was."""
    before = ""
    for state in STATES:
        client.gauge_inc(state)
        if before:
            client.gauge_dec(before)
        before = state
        if state == last_state(job):
            return


def served(daemon: Daemon, prefix: str) -> list[dict[str, Any]]:
    return [one for one in json.loads(daemon.get("/app-stats").body) if one["metric"].startswith(prefix)]


def levels(daemon: Daemon, prefix: str) -> dict[str, float]:
    return {one["metric"].removeprefix(prefix): one["value"] for one in served(daemon, prefix)}


def two_intervals_pass(daemon: Daemon, prefix: str) -> None:
    """In which nothing happens, of the listener's intervals and of the client's periods."""
    seen: set[str] = set()

    def look() -> bool:
        seen.add(served(daemon, prefix)[0]["@timestamp"])
        return len(seen) >= 3

    daemon.eventually(look)


@pytest.mark.parametrize(("transport", "period"), [("tcp", 0), ("tcp", 0.2), ("unix", 0.2)])
def test_20000_jobs_leave_every_states_level_exact(daemon: Daemon, transport: str, period: float) -> None:
    address = daemon.wait_for_line(f"listen.statsd: {transport}://").partition("listen.statsd: ")[2].partition(",")[0]
    prefix = f"{transport}.{'aggregated' if period else 'immediate'}."
    with StatsD(address, prefix=prefix, period=period) as client:
        for batch in range(2):
            jobs = range(batch * JOBS // 2, (batch + 1) * JOBS // 2)
            for job in jobs:
                run(client, job)
                if period == 0 and job % 100 == 0:
                    assert client.flush(20)  # who is faster than the listener has to wait for it, or to lose
            assert client.flush(20)
            expected = dict.fromkeys(STATES, 0)
            for job in range(jobs.stop):
                expected[last_state(job)] += 1
            daemon.eventually(lambda expected=expected: levels(daemon, prefix) == expected)  # type: ignore[misc]
            two_intervals_pass(daemon, prefix)
            assert levels(daemon, prefix) == expected
        assert client.lost == {}


def test_the_last_words_of_a_program_that_ends_are_heard(daemon: Daemon) -> None:
    address = daemon.wait_for_line("listen.statsd: unix://").partition("listen.statsd: ")[2].partition(",")[0]
    client = StatsD(address, period=60)
    client.count("last.words", 3)
    client.close()
    daemon.eventually(lambda: levels(daemon, "last.") == {"words": 3})
