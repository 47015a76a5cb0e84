"""A real Prometheus scrapes real containers through each schema. One run of everything for all tests."""

from __future__ import annotations

import contextlib
import math
import re
import tomllib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Daemon
from support.engine import Engine
from support.prometheus import PrometheusServer, promtool

from statspout.catalogue import ENTRIES

DASHBOARDS = Path(__file__).parents[2] / "docs" / "cadvisor-dashboards.toml"
PANELS = [panel for board in tomllib.loads(DASHBOARDS.read_text())["dashboard"] for panel in board["panels"]]
FOUND = [panel for panel in PANELS if not panel.keys() & {"missing", "needs"}]
VARIABLES = {"$host": ".+", "$container": ".+", "$node_id": ".+", "$interval": "1m"}
JOBS = {"own": "own", "cadvisor": "cadvisor", "legacy": "legacy"}

LABELS = {
    "com.docker.swarm.node.id": "n1",
    "com.docker.swarm.service.name": "shop_web",
    "com.docker.compose.project": "shop",
    "com.docker.compose.service": "web",
    "example.team": "red",
    "example.tier": "front",
}
BUSY = "while :; do :; done"
FETCH = "while :; do wget -q -O /dev/null http://{}/x; sleep 0.1; done"
DISK = "dd if=/dev/zero of=/v/x bs=64k count=4 oflag=direct; dd if=/v/x of=/dev/null bs=64k iflag=direct"
WRITE = f"while :; do {DISK}; sleep 0.3; done"


@pytest.fixture(scope="module")
def fleet(shared_engine: Engine) -> Iterator[Engine]:
    """Containers under some load of each kind."""
    run = shared_engine.run
    run("burner", ["sh", "-c", BUSY], nano_cpus=100_000_000, mem_limit="64m", labels=LABELS)
    server = run("server", ["sh", "-c", "head -c 100k /dev/zero >/tmp/x; exec httpd -f -h /tmp"])
    server.reload()
    address = next(iter(server.attrs["NetworkSettings"]["Networks"].values()))["IPAddress"]
    run("fetcher", ["sh", "-c", FETCH.format(address)], labels={"org.label-schema.group": "monitoring"})
    run("writer", ["sh", "-c", WRITE], volumes=["/v"])
    run("sharer", network_mode="container:server")
    yield shared_engine
    shared_engine.remove_started()


@pytest.fixture(scope="module")
def daemons(fleet: Engine) -> Iterator[dict[str, Daemon]]:
    """A daemon for each schema."""
    arguments = ["--repository=prometheus,stdout", "--stdout.format=json", "--interval=1"]
    addresses = ["--prometheus.address=127.0.0.1:0", "--health.address=127.0.0.1:0"]
    with contextlib.ExitStack() as stack:
        started = {
            schema: stack.enter_context(
                Daemon(
                    f"--socket.path={fleet.socket}", *arguments, *addresses,
                    f"--prometheus.schema={schema}", "--prometheus.labels=example.ti*",
                )
            )
            for schema in JOBS
        }  # fmt: skip
        yield started


@pytest.fixture(scope="module")
def prometheus(daemons: dict[str, Daemon]) -> Iterator[PrometheusServer]:
    targets = {schema: address(daemon, "prometheus.address") for schema, daemon in daemons.items()}
    with PrometheusServer(targets | {"itself": address(daemons["own"], "health.address")}) as server:
        yield server


def address(daemon: Daemon, setting: str) -> str:
    line = daemon.wait_for_line(f" {setting}: http://")
    return re.sub(r".*http://", "", line)


def test_every_page_is_scraped_without_error(prometheus: PrometheusServer) -> None:
    prometheus.eventually(lambda: sorted(value for _, value in prometheus.query("up")) == [1, 1, 1, 1])
    targets = prometheus.ask("targets")["activeTargets"]
    assert [target["lastError"] for target in targets] == [""] * 4


def test_it_is_openmetrics_that_was_scraped(prometheus: PrometheusServer) -> None:
    # Only that format says the unit.
    name = "statspout_container_cpu_usage_seconds"
    found = prometheus.eventually(lambda: prometheus.ask("targets/metadata", metric=name))
    assert {(entry["type"], entry["unit"]) for entry in found} == {("counter", "seconds")}


@pytest.mark.parametrize("panel", FOUND, ids=lambda panel: panel["title"])
def test_a_panel_of_a_cadvisor_dashboard_has_data(panel: dict[str, str], prometheus: PrometheusServer) -> None:
    query = filled_in(panel["query"])
    found = prometheus.eventually(lambda: known(prometheus.query(query)))
    assert all(math.isfinite(value) for _, value in found)


@pytest.mark.parametrize("panel", [panel for panel in PANELS if "needs" in panel], ids=lambda panel: panel["title"])
def test_a_panel_about_disks_has_data_where_the_engine_counts_them(
    panel: dict[str, str], prometheus: PrometheusServer, fleet: Engine
) -> None:
    counts = fleet.client.containers.get("writer").stats(stream=False)["blkio_stats"]["io_serviced_recursive"]
    query = filled_in(panel["query"])
    if counts:
        prometheus.eventually(lambda: known(prometheus.query(query)))
    else:
        assert prometheus.query(query) == []


@pytest.mark.parametrize("panel", [panel for panel in PANELS if "missing" in panel], ids=lambda panel: panel["title"])
def test_a_panel_that_is_said_to_have_no_data_has_none(panel: dict[str, str], prometheus: PrometheusServer) -> None:
    prometheus.eventually(lambda: prometheus.query('container_last_seen{job="cadvisor"}'))
    assert known(prometheus.query(filled_in(panel["query"]))) == []


def filled_in(query: str) -> str:
    """As Grafana fills in its variables, with All chosen."""
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    return query


def known(found: list[tuple[dict[str, str], float]]) -> list[tuple[dict[str, str], float]]:
    return [(labels, value) for labels, value in found if not math.isnan(value)]


def test_a_dashboards_figures_are_those_of_the_containers(prometheus: PrometheusServer) -> None:
    query = 'sum(rate(container_cpu_usage_seconds_total{name=~".+"}[10s])) by (name) * 100'
    burning = prometheus.eventually(lambda: steady(prometheus, query))
    assert 5 < burning < 15
    [(_, limit)] = prometheus.query('container_spec_memory_limit_bytes{name="burner"}')
    assert limit == 64 * 1024 * 1024
    throttled = "rate(container_cpu_cfs_throttled_periods_total[10s]) / rate(container_cpu_cfs_periods_total[10s])"
    [(labels, share)] = prometheus.eventually(lambda: known(prometheus.query(throttled)))
    assert labels["name"] == "burner"
    assert 0.5 < share <= 1


def steady(prometheus: PrometheusServer, query: str) -> float | None:
    """The burner's figure, once it is what its limit makes it."""
    found = {labels["name"]: value for labels, value in prometheus.query(query)}.get("burner", 0.0)
    return found if 5 < found < 15 else None


def test_a_shared_network_is_in_no_dashboard_twice(prometheus: PrometheusServer) -> None:
    rows = prometheus.eventually(lambda: prometheus.query('container_network_receive_bytes_total{job="cadvisor"}'))
    names = [labels["name"] for labels, _ in rows]
    assert sorted(names) == ["burner", "fetcher", "server", "writer"]
    assert {labels["interface"] for labels, _ in rows} == {"eth0"}


@pytest.mark.parametrize("name", ["burner", "fetcher", "sharer"])
def test_our_own_values_are_those_of_the_same_sample(
    name: str, prometheus: PrometheusServer, daemons: dict[str, Daemon]
) -> None:
    query = f'{{__name__=~"statspout_container_.+",container="{name}",__name__!="statspout_container_info"}}'

    def look() -> tuple[dict[str, float], dict[str, Any]] | None:
        found = {labels["__name__"][len("statspout_container_") :]: value for labels, value in prometheus.query(query)}
        samples = daemons["own"].samples(name)
        when = found.pop("last_sample_time_seconds", 0.0)
        same = [sample for sample in samples if abs(seconds(sample["@timestamp"]) - when) < 1e-5]
        return (found, same[0]) if same and same[0]["cpu_percent"] is not None else None

    found, sample = prometheus.eventually(look)
    assert found.pop("start_time_seconds") == pytest.approx(seconds(sample["started_at"]))
    shown = {
        entry.prometheus: pytest.approx(sample[entry.field] * entry.scale)
        for entry in ENTRIES
        if sample[entry.field] is not None and not (entry.networked and sample["network_shared_with"])
    }
    assert found == shown
    assert {"cpu_usage_ratio", "memory_usage_bytes", "memory_rss_bytes", "cpu_periods_total"} <= found.keys()


def seconds(text: str) -> float:
    """An object's time as seconds since the epoch."""
    moment, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{moment}+00:00").timestamp() + float(f"0.{fraction or 0}")


def test_allowed_labels_are_on_every_series_and_others_join_from_the_info(prometheus: PrometheusServer) -> None:
    query = "statspout_container_pids * on(id) group_left(label_example_team) statspout_container_info"
    found = prometheus.eventually(lambda: prometheus.query(query))
    labels = {labels["container"]: labels for labels, _ in found}
    assert labels["burner"]["label_example_team"] == "red"
    assert labels["burner"]["label_example_tier"] == "front"
    assert "label_example_team" not in labels["writer"]
    [(plain, _)] = prometheus.query('statspout_container_pids{container="burner"}')
    assert [name for name in plain if name.startswith("label_")] == ["label_example_tier"]


def test_cadvisors_labels_are_those_of_dashboards_and_the_allowed_ones(prometheus: PrometheusServer) -> None:
    [(labels, _)] = prometheus.eventually(lambda: prometheus.query('container_memory_rss{name="burner"}'))
    told = {name.removeprefix("container_label_"): value for name, value in labels.items() if "_label_" in name}
    assert told == {
        "com_docker_swarm_node_id": "n1",
        "com_docker_swarm_service_name": "shop_web",
        "com_docker_compose_project": "shop",
        "com_docker_compose_service": "web",
        "example_tier": "front",
    }
    assert labels["id"].startswith("/docker/")
    assert labels["image"].startswith("busybox")


def test_the_go_programs_names_have_right_values(prometheus: PrometheusServer, daemons: dict[str, Daemon]) -> None:
    query = '{job="legacy",container="fetcher"}'

    def look() -> set[str] | None:
        found = {labels["__name__"]: value for labels, value in prometheus.query(query)}
        names = ("cpu_usage_percent", "memory_usage_percent", "tx_bytes", "rx_bytes")
        fields = ("cpu_percent", "mem_percent", "tx_bytes", "rx_bytes")
        rows = [tuple(sample[field] for field in fields) for sample in daemons["legacy"].samples("fetcher")]
        return set(found) if tuple(found.get(name) for name in names) in rows and len(found) == len(names) else None

    assert prometheus.eventually(look) == {"cpu_usage_percent", "memory_usage_percent", "tx_bytes", "rx_bytes"}


@pytest.mark.parametrize("setting", ["prometheus.address", "health.address"])
def test_promtool_finds_nothing_to_complain_about(setting: str, daemons: dict[str, Daemon]) -> None:
    page = daemons["own"].get("/metrics", setting).body
    assert b"statspout_" in page
    assert promtool(page) == ""


def test_nothing_went_wrong_meanwhile(daemons: dict[str, Daemon], prometheus: PrometheusServer) -> None:
    logs = [line for daemon in daemons.values() for line in daemon.log.splitlines()]
    assert [line for line in logs if " INFO " not in line] == []
