"""The schemas of the Prometheus page: both formats, read back with the official parsers, over all kinds of records."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from support.formats import PARSERS

from statspout import Container, ContainerSample, Interface
from statspout.exposition import OPENMETRICS, TEXT, Format
from statspout.repositories.prometheus import Prometheus
from statspout.repositories.prometheus_schemas import SCHEMAS
from statspout.testing import sample, samples

DASHBOARDS = Path(__file__).parents[2] / "docs" / "cadvisor-dashboards.toml"
PANELS = [panel for board in tomllib.loads(DASHBOARDS.read_text())["dashboard"] for panel in board["panels"]]
CADVISOR_NAMES = {metric.name for table in SCHEMAS["cadvisor"].tables for metric in table.metrics}
BARE = ContainerSample(time_ns=1, host="h", container=Container(id="a" * 64, name="bare"))
ODD_LABELS = MappingProxyType(
    {"": "", "empty": "", "größe": "ü", "9": "x", "x" * 300: "y", "a.b": "1", "a_b": "2", "id": "i"}
    | {"__name__": "n", "le": "0.5", "quantile": "q", "name": "z", "cpu": "c", "interface": "i"}
)
ODD_NAMES = ['say "hi"', "two\nlines", "back\\slash", "é漢🐳", "half\udc80", "", "a,b={}"]
PAGES: dict[str, Sequence[ContainerSample]] = {
    "none": [],
    "one": [sample()],
    "many": samples(5),
    "bare": [BARE],
    "odd names": [sample(name, image=name, host=name, id=f"{i:064}") for i, name in enumerate(ODD_NAMES)],
    "odd labels": [sample(labels=ODD_LABELS), sample("none", labels={})],
    "huge": [sample(rx_bytes=2**64, cpu_seconds_total=1e300, pids=2**70, networks={"e\n0": Interface(rx_bytes=2**70)})],
    "not finite": [sample(cpu_percent=float("nan"), cpu_seconds_total=float("inf"))],
    "hosts": [sample("a", host="one"), sample("b", host="two", online_cpus=None), sample("c", host="two")],
}


def page(current: Sequence[ContainerSample], chosen: Format = TEXT, **options: Any) -> str:
    repository = Prometheus(**options)
    repository.push(current)
    return repository.exposition(chosen).decode()


def series(text: str, chosen: Format = TEXT) -> list[tuple[str, dict[str, str], float]]:
    return [(one.name, one.labels, one.value) for family in PARSERS[chosen](text) for one in family.samples]


def values(current: Sequence[ContainerSample], **options: Any) -> dict[str, float]:
    """The value of each name, where there is one series of it."""
    found = series(page(current, **options))
    counts = Counter(name for name, _, _ in found)
    return {name: value for name, _, value in found if counts[name] == 1}


@pytest.mark.parametrize("labels", [(), ("*",)], ids=["no labels", "all labels"])
@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("current", PAGES.values(), ids=PAGES.keys())
def test_both_formats_say_the_same_and_nothing_twice(
    current: Sequence[ContainerSample], schema: str, labels: tuple[str, ...]
) -> None:
    text, openmetrics = (series(page(current, each, schema=schema, labels=labels), each) for each in PARSERS)
    assert text == openmetrics
    keys = Counter((name, frozenset(labels.items())) for name, labels, _ in text)
    assert not keys or max(keys.values()) == 1
    assert bool(text) == bool(current) or (schema == "legacy" and current[0] is BARE)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_each_family_comes_once_with_its_help_and_kind(schema: str) -> None:
    families = list(PARSERS[OPENMETRICS](page(samples(3), OPENMETRICS, schema=schema)))
    expected = {
        metric.name.removesuffix("_total").removesuffix("_info"): (metric.kind, metric.help)
        for table in SCHEMAS[schema].tables
        for metric in table.metrics
    }
    assert len(families) == len(expected)
    assert {family.name: (family.type, family.documentation) for family in families} == expected


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_unit_is_said_where_the_name_ends_in_it(schema: str) -> None:
    families = PARSERS[OPENMETRICS](page([sample()], OPENMETRICS, schema=schema))
    units = {family.name: family.unit for family in families}
    said = {unit for unit in units.values() if unit}
    assert said <= {"seconds", "bytes", "ratio"}
    assert all(unit or not name.endswith(("_seconds", "_bytes", "_ratio")) for name, unit in units.items())


def test_legacy_is_the_four_gauges_of_the_go_program_with_right_values() -> None:
    text = page([sample(cpu_percent=20.5, mem_percent=9.5, tx_bytes=2020, rx_bytes=1010)], schema="legacy")
    assert text.splitlines() == [
        "# HELP cpu_usage_percent Current CPU usage percent.",
        "# TYPE cpu_usage_percent gauge",
        'cpu_usage_percent{container="web"} 20.5',
        "# HELP memory_usage_percent Current memory usage percent.",
        "# TYPE memory_usage_percent gauge",
        'memory_usage_percent{container="web"} 9.5',
        "# HELP tx_bytes TX Bytes Total.",
        "# TYPE tx_bytes gauge",
        'tx_bytes{container="web"} 2020',
        "# HELP rx_bytes RX Bytes Total.",
        "# TYPE rx_bytes gauge",
        'rx_bytes{container="web"} 1010',
    ]


@pytest.mark.parametrize("turned", [False, True])
def test_legacy_shows_the_newer_of_two_containers_of_one_name(turned: bool) -> None:
    older = sample(id="a" * 64, started_at=1, time_ns=9, tx_bytes=1)
    newer = sample(id="b" * 64, started_at=2, time_ns=5, tx_bytes=2)
    current = [newer, older] if turned else [older, newer]
    assert values(current, schema="legacy")["tx_bytes"] == 2


def test_cadvisor_has_its_names_and_units() -> None:
    one = sample(
        time_ns=2 * 10**9, started_at=10**9, cpu_seconds_total=3.5, mem_usage=4, mem_usage_raw=5, mem_cache=6,
        mem_rss=7, mem_limit=8, blkio_read_bytes=9, blkio_write_bytes=10, blkio_read_ops=11, blkio_write_ops=12,
        pids=13, pids_limit=14, cpu_periods_total=15, throttled_periods_total=16, throttled_seconds_total=0.17,
        online_cpus=18,
    )  # fmt: skip
    found = values([one], schema="cadvisor")
    assert {name: value for name, value in found.items() if "_network_" not in name} == {
        "container_last_seen": 2,
        "container_start_time_seconds": 1,
        "container_cpu_usage_seconds_total": 3.5,
        "container_memory_working_set_bytes": 4,
        "container_memory_usage_bytes": 5,
        "container_memory_cache": 6,
        "container_memory_rss": 7,
        "container_spec_memory_limit_bytes": 8,
        "container_fs_reads_bytes_total": 9,
        "container_fs_writes_bytes_total": 10,
        "container_fs_reads_total": 11,
        "container_fs_writes_total": 12,
        "container_threads": 13,
        "container_threads_max": 14,
        "container_cpu_cfs_periods_total": 15,
        "container_cpu_cfs_throttled_periods_total": 16,
        "container_cpu_cfs_throttled_seconds_total": 0.17,
        "container_health_state": 1,
        "machine_cpu_cores": 18,
    }


def test_cadvisor_names_a_container_as_it_does() -> None:
    one = sample(labels={"com.docker.swarm.service.name": "shop", "team": "red", "secret": "no"})
    found = {name: labels for name, labels, _ in series(page([one], schema="cadvisor", labels=("team",)))}
    base = {"id": f"/docker/{one.container.id}", "name": "web", "image": "nginx:1.27", "host": "node-1"}
    base |= {"container_label_com_docker_swarm_service_name": "shop", "container_label_team": "red"}
    assert found["container_memory_rss"] == base
    assert found["container_cpu_usage_seconds_total"] == base | {"cpu": "total"}
    assert found["container_network_receive_bytes_total"] == base | {"interface": "eth0"}
    assert found["machine_cpu_cores"] == {"host": "node-1"}


def test_cadvisor_has_a_network_series_for_each_interface_of_its_own() -> None:
    networks = {"eth0": Interface(rx_bytes=1, tx_dropped=2), "eth1": Interface(rx_bytes=3)}
    text = page(
        [sample(networks=networks), sample("x", networks=networks, network_shared_with="web")], schema="cadvisor"
    )
    found = {(name, labels["interface"]): value for name, labels, value in series(text) if "_network_" in name}
    assert found == {
        ("container_network_receive_bytes_total", "eth0"): 1,
        ("container_network_receive_bytes_total", "eth1"): 3,
        ("container_network_transmit_packets_dropped_total", "eth0"): 2,
    }


@pytest.mark.parametrize(("health", "state"), [("healthy", 1), ("unhealthy", 0), ("starting", 0), (None, None)])
def test_cadvisors_health_is_known_or_absent(health: str | None, state: int | None) -> None:
    assert values([sample(health=health)], schema="cadvisor").get("container_health_state") == state


@pytest.mark.parametrize("periods", [0, None])
def test_cadvisor_has_no_throttling_of_who_has_no_limit(periods: int | None) -> None:
    found = values([sample(cpu_periods_total=periods)], schema="cadvisor")
    assert not [name for name in found if "_cfs_" in name]


def test_cadvisors_cores_are_the_hosts() -> None:
    found = series(page(PAGES["hosts"], schema="cadvisor"))
    cores = {labels["host"]: value for name, labels, value in found if name == "machine_cpu_cores"}
    assert cores == {"one": 4, "two": 4}


@pytest.mark.parametrize(
    ("schema", "prefix"), [("own", "label_"), ("cadvisor", "container_label_"), ("legacy", "label_")]
)
def test_allowed_labels_are_on_every_series_of_a_container(schema: str, prefix: str) -> None:
    one = sample(labels={"team": "red", "other": "x"})
    found = series(page([one], schema=schema, labels=("team",)))
    with_team = [labels.get(f"{prefix}team") for name, labels, _ in found if name != "machine_cpu_cores"]
    assert set(with_team) == {"red"}
    assert {name for name, labels, _ in found if f"{prefix}other" in labels} == (
        {"statspout_container_info"} if schema == "own" else set()
    )


def test_a_label_has_one_name_on_the_info_and_on_the_other_series() -> None:
    one = sample(labels={"a.b": "rest", "a_b": "allowed"})
    found = {name: labels for name, labels, _ in series(page([one], labels=("a_b",)))}
    assert found["statspout_container_pids"]["label_a_b"] == "allowed"
    info = found["statspout_container_info"]
    assert (info["label_a_b"], info["label_a_b_2"]) == ("allowed", "rest")


def test_a_page_is_made_without_a_web_server() -> None:
    code = "import sys; from statspout.repositories.prometheus import Prometheus; Prometheus().exposition()"
    code += "; assert not {'starlette', 'uvicorn', 'prometheus_client'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_what_is_said_of_a_dashboards_panel_follows_from_the_names_it_asks_for(panel: dict[str, str]) -> None:
    asked = set(re.findall(r"\b(?:container|machine|node|cadvisor)_\w+(?=[\s{\[)-]|$)", panel["query"]))
    absent = {name for name in asked if not name.startswith("container_label_")} - CADVISOR_NAMES
    assert asked
    assert bool(absent or 'id="/"' in panel["query"]) == ("missing" in panel)


def test_the_dashboards_are_enough_to_tell_something() -> None:
    assert len({panel["query"] for panel in PANELS if "missing" not in panel}) >= 20
