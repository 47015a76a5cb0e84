"""REST over a real socket: the objects people's programs read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.swarm import LABELS, SHOWN
from support.web import Client, served

from statspout import ConfigError, Container, ContainerSample, Interface
from statspout.catalogue import DERIVED
from statspout.repositories.rest import Rest
from statspout.shapes import rest_object, rfc3339, to_json
from statspout.testing import sample

BARE = ContainerSample(time_ns=0, host="h", container=Container(id="b" * 64, name="bare"))

FIRST = ["@timestamp", "name", "cpu_percent", "mem_usage", "mem_percent", "tx_bytes", "rx_bytes", "Labels"]
FIRST += ["id", "image", "host", "started_at", "compose_project", "compose_service"]
FIRST += ["swarm_stack", "swarm_service", "swarm_task"]


@contextmanager
def serving(*current: ContainerSample, **options: Any) -> Iterator[tuple[Client, Rest]]:
    repository = Rest(**options)
    repository.open()
    if current:
        repository.push(current)
    with served(repository.routes()) as client:
        yield client, repository


def test_an_object_has_the_seeds_keys_first_then_every_field() -> None:
    found = rest_object(sample())
    fields = {*ContainerSample.__struct_fields__, *DERIVED} - {"time_ns", "container"}
    assert list(found)[: len(FIRST)] == FIRST
    assert set(found) == fields | set(FIRST)
    assert found["@timestamp"] == "2017-02-14T12:00:01.123456789Z"
    assert found["started_at"] == "2017-02-14T11:00:01.123456789Z"
    assert (found["cpu_percent"], found["mem_usage"], found["Labels"]["com.docker.compose.project"]) == (
        20.0,
        104857600,
        "shop",
    )


def test_an_object_says_which_task_of_swarm_it_is_about() -> None:
    found = rest_object(sample(labels=LABELS))
    assert {key: value for key, value in found.items() if key.startswith("swarm_")} == SHOWN


def test_what_is_unknown_is_null() -> None:
    known = {key for key, value in rest_object(BARE).items() if value is not None}
    assert known == {"@timestamp", "name", "Labels", "id", "image", "host"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_is_infinite_or_nan(value: float) -> None:
    assert rest_object(sample(cpu_percent=value))["cpu_percent"] is None


@pytest.mark.parametrize("huge", [2**53 + 1, 2**63, 2**64 - 1, 2**70])
def test_large_integers_stay_exact(huge: int) -> None:
    assert json.loads(to_json(rest_object(sample(rx_bytes=huge))))["rx_bytes"] == huge


def test_networks_are_an_object_of_objects() -> None:
    networks = rest_object(sample(networks={"eth0": Interface(rx_bytes=1)}))["networks"]
    assert networks["eth0"] == dict.fromkeys(Interface.__struct_fields__) | {"rx_bytes": 1}


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (1487073601123456789, "2017-02-14T12:00:01.123456789Z"),
        (951782400 * 10**9 - 1, "2000-02-28T23:59:59.999999999Z"),
    ],
)
def test_times_have_nine_digits_of_a_second(time_ns: int, text: str) -> None:
    assert rfc3339(time_ns) == text


def test_half_a_surrogate_pair_does_not_cost_the_answer() -> None:
    assert json.loads(to_json(["ok", "half\udc80"])) == ["ok", "half\udc80"]


def test_the_path_gives_an_array_by_name() -> None:
    with serving(sample("web"), BARE) as (client, _):
        answer = client.ask("/stats")
    assert [one["name"] for one in answer.json()] == ["bare", "web"]
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["cache-control"] == "no-store"


def test_nothing_is_an_empty_array() -> None:
    with serving() as (client, _):
        assert client.ask("/stats").body == b"[]"


def test_one_container_is_found_by_name_id_or_short_id() -> None:
    one = sample("say hi")
    with serving(one, BARE) as (client, _):
        for name in ("say%20hi", one.container.id, one.container.short_id):
            assert client.ask(f"/stats/{name}").json() == rest_object(one)


def test_an_unknown_container_is_not_found() -> None:
    with serving(BARE) as (client, _):
        answer = client.ask("/stats/x")
    assert (answer.status, answer.json()) == (404, {"error": "no container 'x'"})


def test_a_cleared_container_is_gone_and_a_newer_run_of_it_stays() -> None:
    old, new = sample("web", started_at=1), sample("web", started_at=2)
    with serving(old) as (client, repository):
        repository.push([new])
        repository.clear(old.container)
        assert len(client.ask("/stats").json()) == 1
        repository.clear(new.container)
        assert client.ask("/stats").json() == []


@pytest.mark.parametrize(
    ("given", "path"),
    [("", "/"), ("/", "/"), ("stats", "/stats"), ("/stats/", "/stats"), ("a/b", "/a/b"), ("/v1.0", "/v1.0")],
)
def test_a_path_is_put_right(given: str, path: str) -> None:
    with serving(BARE, path=given) as (client, repository):
        assert repository.path == path
        assert len(client.ask(path).json()) == 1
        assert client.ask(f"{path.rstrip('/')}/bare").json()["name"] == "bare"


@pytest.mark.parametrize("path", ["/{x}", "/a b", "/a?b", "/a#b", "/a\n"])
def test_a_path_that_cannot_be_is_a_config_error(path: str) -> None:
    with pytest.raises(ConfigError, match=r"--rest\.path: .* is wrong: a path such as /stats is right"):
        Rest(path=path)
