"""What a tree of files comes to is what the engine's answer with the same numbers comes to; nothing else is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.kernel import open_files
from support.trees import ID, PID, Tree, target

from statspout.errors import Unreadable
from statspout.sample import ContainerSample
from statspout.source import Target
from statspout.sources.cgroup.container import Opened
from statspout.sources.cgroup.files import Budget, Gone
from statspout.sources.cgroup.host import Host
from statspout.sources.engine.decode import Reading, read_stats, sample_of

NOW, EPOCH = 5_000_000_000, 1_795_341_596_000_000_000
SYSTEM = 818_500_000_000_000
NETWORKS = {
    "eth0": {
        "rx_bytes": 1048576,
        "rx_packets": 1024,
        "rx_errors": 1,
        "rx_dropped": 2,
        "tx_bytes": 524288,
        "tx_packets": 512,
        "tx_errors": 3,
        "tx_dropped": 4,
    }
}
ETH1 = dict.fromkeys(NETWORKS["eth0"], 0) | {
    "rx_bytes": 2**32,
    "rx_packets": 100,
    "tx_bytes": 200,
    "tx_packets": 2,
}
MEMORY = {1: ("total_inactive_file", "total_cache", "total_rss"), 2: ("inactive_file", "file", "anon")}


def opened(tree: Tree, what: Target | None = None, budget: Budget | None = None) -> Opened:
    return Opened(what or target(), tree.roots, budget or Budget())


def sample(tree: Tree, what: Target | None = None, **options: Any) -> ContainerSample:
    one, host = opened(tree, what, **options), Host(tree.roots.proc, 1.0)
    try:
        return read(one, host, what)
    finally:
        one.close()
        host.close()


def read(one: Opened, host: Host, what: Target | None = None, now: int = NOW) -> ContainerSample:
    host.look()
    host.at = now
    return one.sample(what or target(), host, "node", now, EPOCH)


def answer(version: int, **changes: Any) -> bytes:
    """The engine's answer about a container with the trees' numbers."""
    operations = [{"op": "read", "value": 6}, {"op": "write", "value": 8}]
    body: dict[str, Any] = {
        "read": "2026-11-22T10:00:01Z",
        "cpu_stats": {
            "cpu_usage": {"total_usage": 12_500_000_000},
            "system_cpu_usage": SYSTEM,
            "online_cpus": 2,
            "throttling_data": {"periods": 40, "throttled_periods": 3, "throttled_time": 250_000_000},
        },
        "memory_stats": {
            "usage": 104857600,
            "limit": 268435456,
            "stats": dict(zip(MEMORY[version], (10485760, 41943040, 52428800), strict=True)),
        },
        "blkio_stats": {
            "io_service_bytes_recursive": [{"op": "read", "value": 4097}, {"op": "write", "value": 8194}],
            "io_serviced_recursive": operations,
        },
        "pids_stats": {"current": 7, "limit": 512},
        "networks": NETWORKS,
    }
    return json.dumps(body | changes).encode()


def by_engine(body: bytes, what: Target | None = None) -> ContainerSample:
    found = read_stats(body)
    assert found is not None
    return sample_of(*found, None, what or target(), "node")


TREES: dict[str, tuple[int, dict[str, Any]]] = {
    "v1-cgroupfs": (1, {}),
    "v1-systemd": (1, {"networks": NETWORKS | {"eth1": ETH1}}),
    "v2-systemd": (2, {}),
    "v2-cgroupfs": (2, {"pids_stats": {"current": 7, "limit": 2**64 - 1}}),
    "nested": (2, {}),
    "namespaced": (2, {}),
}


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("few_descriptors", [False, True])
def test_a_sample_is_what_the_engines_would_be(name: str, few_descriptors: bool) -> None:
    version, changes = TREES[name]
    expected = by_engine(answer(version, **changes))
    if name == "v2-cgroupfs":  # has no limit: the host's memory is one
        used = 104857600 - 10485760
        expected = msgspec.structs.replace(expected, mem_limit=8 * 2**30, mem_percent=used * 100 / (8 * 2**30))
    budget = Budget()
    if few_descriptors:
        budget.take(budget._left - 1)
    assert sample(Tree(name), budget=budget) == expected


def test_without_its_controllers_a_rootless_container_has_no_number_of_theirs() -> None:
    got = sample(Tree("rootless"))
    assert (got.cpu_seconds_total, got.mem_usage, got.pids) == (12.5, 94371840, 7)
    absent = ("cpu_periods_total", "throttled_periods_total", "throttled_seconds_total", "blkio_read_bytes")
    assert [getattr(got, name) for name in (*absent, "blkio_write_bytes", "blkio_read_ops")] == [None] * 6


def test_cpu_percent_is_the_engines_formula_from_our_own_reading_before(tmp_path: Path) -> None:
    tree = Tree("v1-cgroupfs", tmp_path)
    one, host = opened(tree), Host(tree.roots.proc, 1.0)
    assert read(one, host).cpu_percent is None
    # 0.6 s of CPU while both CPUs passed a second: 100 ticks of 10 ms each.
    tree.file("cpuacct.usage").write_text("13100000000\n")
    stat = tree.path / "proc/stat"
    stat.write_text(stat.read_text().replace("80000", "80200", 1))
    assert read(one, host, now=NOW + 1).cpu_percent == pytest.approx(60.0)
    one.close()
    host.close()


def test_below_a_second_the_clock_is_the_measure_of_cpu(tmp_path: Path) -> None:
    tree = Tree("v2-systemd", tmp_path)
    one, host = opened(tree), Host(tree.roots.proc, 0.1)
    host.look()
    assert one.sample(target(), host, "node", NOW, EPOCH).cpu_percent is None
    cpu = tree.file("cpu.stat")
    cpu.write_text(cpu.read_text().replace("usage_usec 12500000", "usage_usec 12550000"))
    got = one.sample(target(), host, "node", NOW + 100_000_000, EPOCH)
    assert got.cpu_percent == pytest.approx(50.0)
    assert got.online_cpus == 2
    one.close()
    host.close()


# Files that change, vanish, or are cut while they are read

CUT = {
    "cpuacct.usage": ("cpu_seconds_total", "cpu_periods_total", "throttled_seconds_total"),
    "cpu.stat": ("throttled_seconds_total",),
    "memory.usage_in_bytes": ("mem_usage_raw", "mem_cache", "mem_percent"),
    "memory.stat": ("mem_cache", "mem_rss"),
    "blkio.throttle.io_service_bytes": ("blkio_read_bytes", "blkio_write_bytes", "blkio_read_ops"),
    "blkio.throttle.io_serviced": ("blkio_read_ops", "blkio_write_ops"),
    "pids.current": ("pids",),
    "net/dev": ("rx_bytes", "tx_packets", "networks"),
}


@pytest.mark.parametrize("name", CUT)
def test_a_file_that_is_empty_takes_its_own_numbers_away_and_no_others(name: str, tmp_path: Path) -> None:
    tree = Tree("v1-cgroupfs", tmp_path)
    one, host = opened(tree), Host(tree.roots.proc, 1.0)
    before = read(one, host)
    text = tree.file(name).read_text()
    tree.file(name).write_text("")
    got = read(one, host, now=NOW + 1)
    assert [getattr(got, field) for field in CUT[name]] == [None] * len(CUT[name])
    assert sum(getattr(got, f) is not None for f in before.__struct_fields__) > 20
    tree.file(name).write_text(text)
    assert msgspec.structs.replace(read(one, host), cpu_percent=None) == before
    one.close()
    host.close()


def test_a_container_whose_process_ended_is_gone_whoever_has_its_paths_now(tmp_path: Path) -> None:
    tree = Tree("v1-cgroupfs", tmp_path)
    budget = Budget()
    budget.take(budget._left - 1)
    one, host = opened(tree, budget=budget), Host(tree.roots.proc, 1.0)
    read(one, host)
    process = tree.path / "proc" / str(PID)
    process.rename(tmp_path / "ended")
    (tmp_path / "ended" / "cgroup").unlink()
    process.mkdir()
    (process / "cgroup").write_text(f"1:cpuacct:/docker/{ID}\n")
    with pytest.raises(Gone):
        read(one, host)
    one.close()
    host.close()


def test_a_container_without_a_process_is_gone_though_its_cgroup_is_left(tmp_path: Path) -> None:
    tree = Tree("v1-cgroupfs", tmp_path)
    one, host = opened(tree), Host(tree.roots.proc, 1.0)
    tree.file("pids.current").write_text("0\n")
    with pytest.raises(Gone):
        read(one, host)
    one.close()
    host.close()


# Whose files they are


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": "f" * 64}, "its process here is not the container's"),
        ({"pid": 1}, "/cgroup: No such file"),
        ({"pid": 7}, "its process is not in "),
        ({"pid": None}, "does not say which process"),
        ({"id": ID[:12]}, "its process here is not the container's"),
    ],
)
def test_a_process_that_is_not_proven_to_be_the_containers_is_not_read(change: dict[str, Any], said: str) -> None:
    tree = Tree("v1-cgroupfs")
    with pytest.raises(Unreadable) as caught:
        opened(tree, target(**change))
    assert said in str(caught.value) or said.removeprefix("/") in str(caught.value)
    assert open_files(tree.path) == 0


def test_folders_that_are_not_there_are_an_error_and_no_zeros(tmp_path: Path) -> None:
    tree = Tree("v2-systemd", tmp_path)
    tree.folders()[0].rename(tmp_path / "elsewhere")
    with pytest.raises(Unreadable, match="its cgroup is not under"):
        opened(tree)


@pytest.mark.parametrize(
    ("mode", "joins_host", "known"),
    [
        ("bridge", False, True),
        ("shop_default", False, True),
        ("host", False, False),
        ("none", False, False),
        (f"container:{'e' * 64}", False, True),
        (f"container:{'e' * 64}", True, False),
        (None, True, False),
    ],
)
def test_the_hosts_network_is_no_containers(mode: str | None, joins_host: bool, known: bool, tmp_path: Path) -> None:
    tree = Tree("v2-systemd", tmp_path)
    if joins_host:
        net = tree.file("net/dev")
        net.unlink()
        net.hardlink_to(tree.path / "proc/1/net/dev")
    got = sample(tree, target(network_mode=mode, shared_with="other"))
    assert (got.rx_bytes is not None, got.networks is not None) == (known, known)
    assert got.network_shared_with == "other"


def test_interfaces_made_inside_are_not_counted_but_those_that_were_given_names_are() -> None:
    tree = Tree("v1-cgroupfs")
    named = sample(tree, target(interfaces=("tun0",)))
    assert named.networks is not None
    assert (sorted(named.networks), named.rx_bytes) == (["eth0", "tun0"], 1048576 + 999)
    assert sorted(sample(tree).networks or ()) == ["eth0"]


def test_limits_are_read_again_when_they_are_to_be(tmp_path: Path) -> None:
    tree = Tree("v1-cgroupfs", tmp_path)
    one, host = opened(tree), Host(tree.roots.proc, 1.0)
    read(one, host)
    tree.file("memory.limit_in_bytes").write_text("9223372036854771712\n")
    tree.file("pids.max").write_text("max\n")
    assert (read(one, host).mem_limit, read(one, host).pids_limit) == (268435456, 512)
    one.forget_limits()
    assert (read(one, host).mem_limit, read(one, host).pids_limit) == (8 * 2**30, None)
    one.close()
    host.close()


def test_without_a_cpu_limit_throttling_is_read_once_and_with_one_each_time(tmp_path: Path) -> None:
    tree = Tree("v1-cgroupfs", tmp_path)
    quota, stat = tree.file("cpu.cfs_quota_us"), tree.file("cpu.stat")
    quota.write_text("-1\n")
    one, host = opened(tree), Host(tree.roots.proc, 1.0)
    assert read(one, host).throttled_periods_total == 3
    quota.write_text("50000\n")
    stat.write_text("nr_periods 41\nnr_throttled 4\nthrottled_time 5\n")
    one.forget_limits()
    assert read(one, host).throttled_periods_total == 4
    stat.write_text("nr_periods 42\nnr_throttled 5\nthrottled_time 5\n")
    assert read(one, host).throttled_periods_total == 5
    one.close()
    host.close()


def test_a_reading_against_the_clock_is_not_measured_against_one_of_the_host() -> None:
    tree = Tree("v1-cgroupfs")
    one, host = opened(tree), Host(tree.roots.proc, 1.0)
    one.before = Reading(1, 1, 1, wall_clock=True)
    assert read(one, host).cpu_percent is None
    one.close()
    host.close()
