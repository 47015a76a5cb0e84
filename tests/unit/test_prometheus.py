"""The exposition of the current values, read back with the official parser."""

from __future__ import annotations

import time

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.swarm import LABELS, SHOWN
from support.web import served

from statspout import Container, ContainerSample, Latest
from statspout.catalogue import ENTRIES, Entry
from statspout.repositories.prometheus import Prometheus
from statspout.testing import sample, samples

PREFIX = "statspout_container_"


def page(*current: ContainerSample) -> bytes:
    repository = Prometheus()
    repository.open()
    if current:
        repository.push(current)
    return repository.exposition()


def series(text: bytes) -> dict[str, list[tuple[dict[str, str], float]]]:
    """The series by name, without the prefix."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for one in family.samples:
            found.setdefault(one.name.removeprefix(PREFIX), []).append((one.labels, one.value))
    return found


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.field)
def test_every_entry_of_the_catalogue_is_a_series_in_base_units(entry: Entry) -> None:
    one = sample()
    labels = {"host": "node-1", "container": "web", "id": one.container.id[:12]}
    [(found, value)] = series(page(one))[entry.prometheus]
    assert found == labels
    assert value == pytest.approx(getattr(one, entry.field) * entry.scale)


def test_each_family_comes_once_with_its_help_and_kind() -> None:
    families = list(text_string_to_metric_families(page(*samples(3)).decode()))
    kinds = {family.name.removeprefix(PREFIX): (family.type, family.documentation) for family in families}
    assert len(kinds) == len(families) == len(ENTRIES) + 3
    for entry in ENTRIES:
        assert kinds[entry.prometheus.removesuffix("_total")] == (entry.kind, entry.prometheus_help or entry.help)


def test_info_says_what_the_container_is() -> None:
    one = sample(network_shared_with="db", health="starting")
    [(labels, value)] = series(page(one))["info"]
    assert value == 1
    assert labels == {
        "host": "node-1",
        "container": "web",
        "id": one.container.short_id,
        "image": "nginx:1.27",
        "compose_project": "shop",
        "compose_service": "web",
        "state": "running",
        "health": "starting",
        "network_shared_with": "db",
        "label_com_docker_compose_project": "shop",
        "label_com_docker_compose_service": "web",
    }


def test_info_says_which_task_of_swarm_the_container_is() -> None:
    [(labels, _)] = series(page(sample(labels=LABELS)))["info"]
    assert {name: value for name, value in labels.items() if name.startswith("swarm_")} == SHOWN


def test_times_are_seconds_since_the_epoch() -> None:
    found = series(page(sample(time_ns=1_500_000_000_250_000_000, started_at=1_400_000_000_500_000_000)))
    assert found["last_sample_time_seconds"][0][1] == 1_500_000_000.25
    assert found["start_time_seconds"][0][1] == 1_400_000_000.5


def test_what_is_unknown_has_no_series() -> None:
    bare = ContainerSample(time_ns=1, host="h", container=Container(id="a" * 64, name="bare"))
    assert series(page(bare)).keys() == {"info", "last_sample_time_seconds"}


def test_zero_is_a_value() -> None:
    assert series(page(sample(restarts=0)))["restarts_total"][0][1] == 0


def test_a_shared_network_is_counted_once() -> None:
    found = series(page(sample("db", rx_bytes=7), sample("sidecar", rx_bytes=7, network_shared_with="db")))
    assert [(labels["container"], value) for labels, value in found["network_receive_bytes_total"]] == [("db", 7)]
    assert len(found["memory_usage_bytes"]) == 2


def test_no_two_series_are_the_same() -> None:
    found = series(page(*samples(5), sample("web-0", id="f" * 64, time_ns=2**62), sample("x", network_shared_with="y")))
    for name, all_of_it in found.items():
        labels = [tuple(sorted(labels.items())) for labels, _ in all_of_it]
        assert len(set(labels)) == len(labels), name


def test_awkward_names_come_back_as_they_were() -> None:
    names = ['say "hi"', "two\nlines", "back\\slash", "é漢🐳"]
    found = series(page(*(sample(name, image=name) for name in names)))
    assert sorted(labels["container"] for labels, _ in found["pids"]) == sorted(names)
    assert sorted(labels["image"] for labels, _ in found["info"]) == sorted(names)


def test_large_counters_are_written_in_full() -> None:
    assert b" 18446744073709551615\n" in page(sample(rx_bytes=2**64 - 1))


def test_labels_follow_a_rename_and_a_change_of_health() -> None:
    repository = Prometheus()
    one = sample("old", id="a" * 64)
    for changed in (one, sample("new", id="a" * 64), sample("new", id="a" * 64, health="unhealthy")):
        repository.push([changed])
        [(labels, _)] = series(repository.exposition())["info"]
        assert (labels["container"], labels["health"]) == (changed.container.name, changed.health)


def test_a_series_goes_with_its_container_and_its_labels_are_forgotten() -> None:
    repository = Prometheus()
    repository.push(samples(3))
    assert len(series(repository.exposition())["pids"]) == 3
    repository.clear(samples(3)[0].container)
    assert len(series(repository.exposition())["pids"]) == 2
    assert len(repository._labels) == 2


def test_a_stale_series_goes() -> None:
    repository = Prometheus()
    clock = iter((0.0, 14.9, 15.1))
    repository.latest = Latest(5, lambda: next(clock))
    repository.push([sample()])
    assert "pids" in series(repository.exposition())
    assert "pids" not in series(repository.exposition())


def test_it_is_served_at_metrics_in_the_text_format() -> None:
    repository = Prometheus()
    repository.push([sample()])
    with served(repository.routes()) as client:
        answer = client.ask("/metrics")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert answer.body == repository.exposition()


def test_a_scrape_of_a_thousand_containers_does_not_hold_the_loop() -> None:
    repository = Prometheus()
    repository.push(samples(1000))
    repository.exposition()
    began = time.thread_time()
    repository.exposition()
    assert time.thread_time() - began < 0.25
