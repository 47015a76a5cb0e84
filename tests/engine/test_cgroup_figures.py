"""Both collectors look at the same containers under load: their figures for ten seconds agree within one percent."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from support.daemon import Daemon
from support.engine import Engine
from support.kernel import seconds_of

pytestmark = pytest.mark.alone

WINDOW = 10.0
SERVING = ("--repository=rest,stdout", "--stdout.format=json", "--rest.address=127.0.0.1:0", "--interval=1")
BURN = ["sh", "-c", "while :; do :; done"]
FILL = [
    "sh", "-c",
    "head -c 20m /dev/zero >/m/kept; while :; do head -c 20m /dev/zero >/m/x; sleep 0.05; rm /m/x; sleep 0.05; done",
]  # fmt: skip
WRITE = ["sh", "-c", "while :; do dd if=/dev/zero of=/v/x bs=64k count=50 oflag=direct 2>/dev/null; sleep 0.1; done"]
SERVE = ["sh", "-c", "head -c 300k /dev/zero >/tmp/x; exec httpd -f -h /tmp"]
FETCH = ["sh", "-c", "while :; do wget -q -O /dev/null http://$PEER/x; sleep 0.1; done"]
COUNTERS = (
    "cpu_seconds_total", "cpu_periods_total", "throttled_periods_total", "throttled_seconds_total", "rx_bytes",
    "rx_packets", "tx_bytes", "tx_packets", "blkio_read_bytes", "blkio_write_bytes", "blkio_read_ops",
    "blkio_write_ops",
)  # fmt: skip
SAME = (
    "online_cpus", "mem_limit", "pids", "pids_limit", "state", "health", "restarts", "network_shared_with", "host",
    "rx_errors", "rx_dropped", "tx_errors", "tx_dropped", "started_at", "image", "Labels", "id",
)  # fmt: skip


@pytest.fixture(scope="module")
def both(shared_engine: Engine) -> Iterator[tuple[Daemon, Daemon]]:
    """Both collectors over the same containers under load, after a window of ten seconds."""
    engine = shared_engine
    engine.run("burner", BURN, nano_cpus=150_000_000)
    engine.run("second", BURN, nano_cpus=500_000_000)
    engine.run("filler", FILL, tmpfs={"/m": ""}, mem_limit="256m", pids_limit=50)
    engine.run("keeper", ["sh", "-c", "head -c 90m /dev/zero >/m/x; exec sleep 1000000"], tmpfs={"/m": ""})
    engine.run("writer", WRITE, volumes=["/v"])
    server = engine.run("server", SERVE)
    server.reload()
    peer = server.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    engine.run("talker", FETCH, environment={"PEER": peer})
    engine.run("sharer", network_mode="container:talker")
    engine.run("hermit", network_mode="none")
    engine.run("native", network_mode="host", labels={"a.b": "c"})
    engine.run("guest", network_mode="container:native")
    where = f"--socket.path={engine.socket}"
    with (
        Daemon(where, *SERVING, "--collector=engine") as by_engine,
        Daemon(where, *SERVING, "--collector=cgroup") as by_kernel,
    ):
        for daemon in (by_engine, by_kernel):
            for name in NAMES:
                daemon.eventually(partial(covered, daemon, name), 3 * WINDOW)
        yield by_engine, by_kernel
    engine.remove_started()


LEAST = {
    "throttled_seconds_total": 0.15,
    "cpu_seconds_total": 0.02,
    "cpu_periods_total": 2,
    "throttled_periods_total": 2,
}
"""What does not count as growth: a scheduler period, and a few packets that the bridge sends to all."""

UNEVEN = ("filler", "writer", "server", "talker", "sharer")
NAMES = ("burner", "second", "filler", "keeper", "writer", "server", "talker", "sharer", "hermit", "native", "guest")


def slope(samples: list[dict[str, Any]], field: str) -> float | None:
    """Units a second over the samples' window; None without a number."""
    first, last = samples[0], samples[-1]
    if first[field] is None:
        assert {sample[field] for sample in samples} == {None}
        return None
    return float((last[field] - first[field]) / (seconds_of(last) - seconds_of(first)))


def covered(daemon: Daemon, name: str) -> bool:
    """Whether the samples with a CPU percentage are of the whole window by now: a loaded machine takes longer."""
    found = daemon.samples(name)[1:]
    return len(found) > 1 and seconds_of(found[-1]) - seconds_of(found[0]) >= WINDOW + 1


def in_window(daemon: Daemon, name: str) -> list[dict[str, Any]]:
    found = daemon.samples(name)[1:]
    assert seconds_of(found[-1]) - seconds_of(found[0]) >= WINDOW
    return found


@pytest.mark.parametrize("name", NAMES)
def test_both_have_the_same_facts_and_know_the_same(name: str, both: tuple[Daemon, Daemon]) -> None:
    by_engine, by_kernel = (in_window(daemon, name)[-1] for daemon in both)
    assert {key: by_kernel[key] for key in SAME} == {key: by_engine[key] for key in SAME}
    assert {k for k, v in by_kernel.items() if v is None} == {k for k, v in by_engine.items() if v is None}
    assert sorted(by_kernel["networks"] or ()) == sorted(by_engine["networks"] or ())


def at(samples: list[dict[str, Any]], field: str, moment: float) -> float:
    """The counter at that moment, between two samples."""
    later = next(number for number, sample in enumerate(samples) if seconds_of(sample) >= moment)
    before, after = samples[later - 1], samples[later]
    share = (moment - seconds_of(before)) / (seconds_of(after) - seconds_of(before))
    return float(before[field] + share * (after[field] - before[field]))


def grown(field: str, both: list[list[dict[str, Any]]]) -> tuple[float, float]:
    """By how much each counter grew over the same ten seconds, for a load is not the same in all of them."""
    begins = max(seconds_of(samples[0]) for samples in both) + 0.001
    ends = min(seconds_of(samples[-1]) for samples in both)
    first, second = (at(samples, field, ends) - at(samples, field, begins) for samples in both)
    return first, second


@pytest.mark.parametrize("field", COUNTERS)
@pytest.mark.parametrize("name", NAMES)
def test_counters_grow_alike_within_one_percent(name: str, field: str, both: tuple[Daemon, Daemon]) -> None:
    samples = [in_window(daemon, name) for daemon in both]
    if samples[0][-1][field] is None:
        assert samples[1][-1][field] is None
        return
    by_engine, by_kernel = grown(field, samples)
    least = LEAST.get(field, 500)
    if name in UNEVEN:
        # Which part of a burst is before a sample's time and which after is known to a tenth of a second at each end.
        least = max(least, 0.2 * max(slope([*pair], field) or 0 for pair in pairwise(samples[0])))
    assert by_kernel == pytest.approx(by_engine, rel=0.01, abs=least)


@pytest.mark.parametrize("name", ["burner", "second"])
def test_cpu_percent_is_the_same_within_one_percent(name: str, both: tuple[Daemon, Daemon]) -> None:
    by_engine, by_kernel = grown("cpu_percent", [summed(in_window(daemon, name)) for daemon in both])
    assert by_kernel == pytest.approx(by_engine, rel=0.01)
    assert by_kernel > 10 * WINDOW, "it was to burn"


def summed(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The samples with percent times seconds so far in place of the percentage, which is of the time before each."""
    total, result = 0.0, [samples[0] | {"cpu_percent": 0.0}]
    for before, after in pairwise(samples):
        total += after["cpu_percent"] * (seconds_of(after) - seconds_of(before))
        result.append(after | {"cpu_percent": total})
    return result


@pytest.mark.parametrize("name", ["burner", "keeper", "hermit", "native"])
@pytest.mark.parametrize("field", ["mem_usage", "mem_usage_raw", "mem_cache", "mem_rss", "mem_percent"])
def test_memory_that_keeps_still_is_the_same_within_one_percent(
    name: str, field: str, both: tuple[Daemon, Daemon]
) -> None:
    by_engine, by_kernel = (in_window(daemon, name)[-1][field] for daemon in both)
    assert by_kernel == pytest.approx(by_engine, rel=0.01, abs=64 * 1024 if field != "mem_percent" else 0.001)


def test_loads_were_loads(both: tuple[Daemon, Daemon]) -> None:
    samples = in_window(both[1], "talker")
    filled = [sample["mem_usage"] for sample in in_window(both[1], "filler")]
    assert min(filled) > 15 * 2**20
    assert max(filled) > min(filled)
    assert (slope(samples, "rx_bytes") or 0) > 1_000_000
    assert (slope(in_window(both[1], "burner"), "throttled_seconds_total") or 0) > 0.1
