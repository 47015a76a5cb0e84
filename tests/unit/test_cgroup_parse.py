"""The kernel's files as numbers: the right one, or none, wherever a file was cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.trees import Tree

from statspout.sources.cgroup.host import read_stat
from statspout.sources.cgroup.parse import (
    blkio,
    interfaces,
    io_stat,
    memory_v1,
    memory_v2,
    number,
    throttling_v1,
    throttling_v2,
)

V1, V2 = Tree("v1-cgroupfs"), Tree("v2-systemd")


def everything(name: str) -> bool:
    return True


def parts(value: Any) -> list[Any]:
    return [leaf for part in value for leaf in parts(part)] if isinstance(value, tuple) else [value]


@pytest.mark.parametrize(
    ("parse", "tree", "name"),
    [
        (number, V1, "cpuacct.usage"),
        (memory_v1, V1, "memory.stat"),
        (memory_v2, V2, "memory.stat"),
        (throttling_v1, V1, "cpu.stat"),
        (throttling_v2, V2, "cpu.stat"),
        (blkio, V1, "blkio.throttle.io_service_bytes"),
        (blkio, V1, "blkio.throttle.io_serviced"),
    ],
)
def test_a_file_that_is_cut_anywhere_gives_the_right_numbers_or_none(
    parse: Callable[[bytes], Any], tree: Tree, name: str
) -> None:
    data = tree.file(name).read_bytes()
    whole = parts(parse(data))
    assert None not in whole
    for end in range(len(data)):
        for got, right in zip(parts(parse(data[:end])), whole, strict=True):
            assert got in (None, right)
    assert parts(parse(b"")) == [None] * len(whole)


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_line_that_is_cut_leaves_no_sum_without_it(cut: int) -> None:
    assert io_stat(V2.file("io.stat").read_bytes()[:-cut]) == ((None, None), (None, None))
    assert interfaces(V1.file("net/dev").read_bytes()[:-cut], everything) is None


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"0\n", 0),
        (b"9223372036854771712\n", 2**63 - 4096),
        (b"18446744073709551615\n", 2**64 - 1),
        (b"max\n", None),
        (b"12", None),
        (b"", None),
        (b"\n", None),
        (b"-1\n", -1),
    ],
)
def test_a_single_number(data: bytes, value: int | None) -> None:
    assert number(data) == value


@pytest.mark.parametrize(
    ("data", "pair"),
    [
        (b"Total 0\n", (None, None)),
        (b"", (None, None)),
        (b"8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3\n", (1, 2)),
        (b"8:0 Read 0\n8:0 Write 0\n8:0 Total 0\nTotal 0\n", (0, 0)),
    ],
)
def test_no_device_is_no_number_and_an_idle_one_is_0(data: bytes, pair: tuple[int | None, int | None]) -> None:
    assert blkio(data) == pair


@pytest.mark.parametrize("data", [b"", b"8:0 \n", b"253:0 \n8:16 \n"])
def test_devices_without_figures_are_none_on_v2(data: bytes) -> None:
    assert io_stat(data) == ((None, None), (None, None))


def test_counters_of_interfaces_keep_their_64_bits() -> None:
    found = interfaces(Tree("v1-systemd").file("net/dev").read_bytes(), lambda name: name.startswith("eth"))
    assert found is not None
    assert sorted(found) == ["eth0", "eth1"]
    assert found["eth1"].rx_bytes == 2**32
    assert (found["eth0"].rx_errors, found["eth0"].rx_dropped) == (1, 2)
    assert (found["eth0"].tx_packets, found["eth0"].tx_errors, found["eth0"].tx_dropped) == (512, 3, 4)


def test_a_counter_that_fills_its_column_is_read() -> None:
    data = b"Inter-|\n face |\neth0:18446744073709551615 2 3 4 0 0 0 0 9 10 11 12 0 0 0 0\n"
    found = interfaces(data, everything)
    assert found is not None
    assert (found["eth0"].rx_bytes, found["eth0"].tx_bytes) == (2**64 - 1, 9)


def test_the_hosts_cpu_time_is_without_what_was_stolen() -> None:
    cpus, system = read_stat((V1.path / "proc/stat").read_bytes())
    assert (cpus, system) == (2, (1000 + 50 + 500 + 80000 + 250 + 30 + 20) * 10_000_000)


@pytest.mark.parametrize("data", [b"", b"cpu  1 2 3", b"cpu  1 2\n", b"intr 5\n"])
def test_a_host_that_says_nothing_is_unknown(data: bytes) -> None:
    assert read_stat(data) == (None, None)
