"""The simulated engine, seen through docker-py: an independent client of the real one's API."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest
import requests
from support.standstill import PATIENCE, running_time

from statspout.testing.engine import FakeEngine, demo_engine
from statspout.testing.engine_documents import human_duration

MIB = 1 << 20
START = 1_800_000_000


class Clock:
    """A clock that only moves when told."""

    def __init__(self) -> None:
        self.ns = START * 10**9

    def __call__(self) -> int:
        return self.ns

    def pass_by(self, seconds: float) -> None:
        self.ns += int(seconds * 10**9)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(clock: Clock) -> Iterator[FakeEngine]:
    with FakeEngine(clock=clock) as engine:
        yield engine


@pytest.fixture
def client(engine: FakeEngine) -> Iterator[docker.DockerClient]:
    with connected(engine) as client:
        yield client


def connected(
    engine: FakeEngine, timeout: float = 5, **options: Any
) -> contextlib.AbstractContextManager[docker.DockerClient]:
    return contextlib.closing(docker.DockerClient(base_url=engine.address, timeout=timeout, **options))


def one_shot(client: docker.DockerClient, name: str) -> dict[str, Any]:
    return client.api.stats(name, stream=False, one_shot=True)  # type: ignore[no-any-return]  # docker-py is untyped


def past_events(client: docker.DockerClient, clock: Clock, **options: Any) -> list[dict[str, Any]]:
    clock.pass_by(10)
    options = {"since": START, "until": START + 5} | options
    return list(client.events(decode=True, **options))


def actions(events: list[dict[str, Any]]) -> list[str]:
    return [event["Action"] for event in events]


def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    return condition()


def raw(engine: FakeEngine, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(engine.socket_path)
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


# List and inspect


def test_lists_running_containers_newest_first(engine: FakeEngine, client: docker.DockerClient) -> None:
    engine.add("web", image="nginx:1.27", labels={"tier": "front"})
    engine.add("db")
    engine.add("old", started=False)
    db, web = client.api.containers()
    assert (db["Names"], web["Names"]) == (["/db"], ["/web"])
    assert web["Id"] == engine.containers["web"].id
    assert (web["Image"], web["Labels"], web["State"]) == ("nginx:1.27", {"tier": "front"}, "running")
    assert web["HostConfig"]["NetworkMode"] == "bridge"


def test_list_honours_all_and_filters(engine: FakeEngine, client: docker.DockerClient) -> None:
    engine.add("web", labels={"tier": "front"})
    engine.add("db")
    engine.pause("db")
    engine.add("old", started=False)

    def names(**options: Any) -> list[str]:
        return sorted(container.name for container in client.containers.list(**options))

    assert names() == ["db", "web"]
    assert names(all=True) == ["db", "old", "web"]
    assert names(filters={"status": ["paused", "created"]}) == ["db", "old"]
    assert names(filters={"label": "tier=front"}) == ["web"]
    assert names(filters={"name": "^/d"}) == ["db"]


def test_a_filter_that_is_not_simulated_is_refused(client: docker.DockerClient) -> None:
    with pytest.raises(docker.errors.APIError, match="invalid filter 'volume'"):
        client.containers.list(filters={"volume": "data"})


def test_status_is_worded_as_by_the_engine(engine: FakeEngine, client: docker.DockerClient, clock: Clock) -> None:
    engine.add("web", health="healthy")
    engine.add("slow", health="starting")
    engine.add("db")
    engine.add("job")
    clock.pass_by(3)
    engine.pause("db")
    engine.die("job", exit_code=2)
    clock.pass_by(60)
    words = {entry["Names"][0]: entry["Status"] for entry in client.api.containers(all=True)}
    assert words == {
        "/web": "Up About a minute (healthy)",
        "/slow": "Up About a minute (health: starting)",
        "/db": "Up About a minute (Paused)",
        "/job": "Exited (2) About a minute ago",
    }


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.9, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (14 * 86400, "2 weeks"),
        (60 * 86400, "2 months"),
        (730 * 86400, "2 years"),
    ],
)
def test_durations_are_worded_as_by_go_units(seconds: float, words: str) -> None:
    assert human_duration(seconds) == words


def test_inspects_by_name_id_and_prefix(engine: FakeEngine, client: docker.DockerClient, clock: Clock) -> None:
    clock.pass_by(0.25)
    web = engine.add("web", image="nginx:1.27", memory_limit=64 * MIB, pids_limit=50, health="healthy")
    for reference in ("web", web.id, web.id[:12]):
        found = client.api.inspect_container(reference)
        assert (found["Id"], found["Name"], found["Config"]["Image"]) == (web.id, "/web", "nginx:1.27")
    assert found["State"]["StartedAt"] == "2027-01-15T08:00:00.25Z"
    assert found["State"]["Health"]["Status"] == "healthy"
    assert found["State"]["Pid"] == web.pid > 0
    assert (found["HostConfig"]["Memory"], found["HostConfig"]["PidsLimit"]) == (64 * MIB, 50)


def test_an_unknown_container_is_not_found(client: docker.DockerClient) -> None:
    for ask in (client.api.inspect_container, lambda name: one_shot(client, name)):
        with pytest.raises(docker.errors.NotFound, match="No such container: nope"):
            ask("nope")


# Stats


def test_counters_are_integrals_of_the_rates(engine: FakeEngine, client: docker.DockerClient, clock: Clock) -> None:
    engine.add("web", cpu=0.5, rx_rate=1000, tx_rate=200, read_rate=50, write_rate=7)
    before = one_shot(client, "web")
    clock.pass_by(10)
    stats = one_shot(client, "web")
    assert stats["cpu_stats"]["cpu_usage"]["total_usage"] == 5 * 10**9
    assert stats["cpu_stats"]["system_cpu_usage"] - before["cpu_stats"]["system_cpu_usage"] == 4 * 10 * 10**9
    assert (stats["networks"]["eth0"]["rx_bytes"], stats["networks"]["eth0"]["tx_bytes"]) == (10_000, 2000)
    device = {"major": 259, "minor": 0}
    assert stats["blkio_stats"]["io_service_bytes_recursive"] == [
        device | {"op": "read", "value": 500},
        device | {"op": "write", "value": 70},
    ]


def test_a_rate_may_be_a_function_of_time(engine: FakeEngine, client: docker.DockerClient, clock: Clock) -> None:
    engine.add("web", cpu=lambda seconds: seconds / 10, memory=lambda seconds: seconds * MIB, cache=0)
    for _ in range(4):
        clock.pass_by(1)
        stats = one_shot(client, "web")
    assert stats["cpu_stats"]["cpu_usage"]["total_usage"] == pytest.approx(0.8 * 10**9)
    assert stats["memory_stats"]["usage"] == 4 * MIB


def test_a_stats_answer_without_one_shot_gives_the_cpu_percent_that_was_set() -> None:
    with FakeEngine(cpus=2) as engine, connected(engine) as client:
        engine.add("web", cpu=0.5)
        stats = client.containers.get("web").stats(stream=False)
    now, before = stats["cpu_stats"], stats["precpu_stats"]
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    percent = used / (now["system_cpu_usage"] - before["system_cpu_usage"]) * now["online_cpus"] * 100
    assert percent == pytest.approx(50, rel=0.01)
    assert stats["preread"] < stats["read"]
    assert stats["name"] == "/web"


def test_stats_stream_a_frame_a_second(engine: FakeEngine, client: docker.DockerClient, clock: Clock) -> None:
    engine.add("web", cpu=0.5)
    frames = client.api.stats("web", stream=True, decode=True)
    first = next(frames)
    clock.pass_by(1)
    second = next(frames)
    assert first["preread"] == "0001-01-01T00:00:00Z"
    assert second["preread"] == first["read"] == "2027-01-15T08:00:00Z"
    assert second["precpu_stats"] == first["cpu_stats"]
    assert second["cpu_stats"]["cpu_usage"]["total_usage"] == 5 * 10**8
    frames.close()


def test_memory_is_the_working_set_and_inactive_cache(engine: FakeEngine, client: docker.DockerClient) -> None:
    engine.add("web", memory=30 * MIB, cache=4 * MIB, memory_limit=64 * MIB)
    engine.add("free")
    memory = one_shot(client, "web")["memory_stats"]
    assert memory["usage"] - memory["stats"]["inactive_file"] == 30 * MIB
    assert memory["limit"] == 64 * MIB
    assert "max_usage" not in memory
    assert one_shot(client, "free")["memory_stats"]["limit"] == 8 << 30


def test_a_cgroup_v1_engine_answers_in_its_own_shape(clock: Clock) -> None:
    with FakeEngine(cgroup=1, clock=clock) as engine, connected(engine) as client:
        engine.add("web", cpu=1, memory=30 * MIB, write_rate=1000)
        idle = one_shot(client, "web")["blkio_stats"]
        clock.pass_by(2)
        stats = one_shot(client, "web")
    assert set(map(json.dumps, idle.values())) == {"[]"}
    assert sum(stats["cpu_stats"]["cpu_usage"]["percpu_usage"]) == 2 * 10**9
    written = {entry["op"]: entry["value"] for entry in stats["blkio_stats"]["io_service_bytes_recursive"]}
    assert written == {"Read": 0, "Write": 2000, "Sync": 2000, "Async": 0, "Discard": 0, "Total": 2000}
    memory = stats["memory_stats"]
    assert memory["usage"] - memory["stats"]["total_inactive_file"] == 30 * MIB
    assert memory["max_usage"] == memory["usage"]
    assert stats["pids_stats"] == {"current": 3}


def test_cgroup_v2_leaves_out_what_it_lacks(engine: FakeEngine, client: docker.DockerClient) -> None:
    engine.add("web")
    engine.add("limited", pids_limit=50)
    stats = one_shot(client, "web")
    assert set(stats["blkio_stats"].values()) == {None}
    assert "percpu_usage" not in stats["cpu_stats"]["cpu_usage"]
    assert stats["pids_stats"] == {"current": 3, "limit": 2**64 - 1}
    assert one_shot(client, "limited")["pids_stats"] == {"current": 3, "limit": 50}


@pytest.mark.parametrize(("version", "named"), [("20.10.24", True), ("28.2.2", False), ("29.0.0", True)])
def test_one_shot_answers_of_engines_25_to_28_carry_no_name(version: str, named: bool) -> None:
    with FakeEngine(version=version) as engine, connected(engine) as client:
        engine.add("web")
        stats = one_shot(client, "web")
    assert ("name" in stats, "id" in stats) == (named, named)
    assert "system_cpu_usage" not in stats["precpu_stats"]


def test_an_engine_before_25_answers_one_shot_once_a_second() -> None:
    with FakeEngine(version="24.0.9", api_version="1.43") as engine, connected(engine) as client:
        engine.add("web")
        began = running_time()
        one_shot(client, "web")
        took, first = running_time() - began, time.monotonic()
        one_shot(client, "web")
    assert took < 0.5 < time.monotonic() - first


def test_a_client_before_1_41_gets_no_one_shot(engine: FakeEngine) -> None:
    engine.add("web")
    with connected(engine, version="1.40", timeout=0.3) as client, pytest.raises(requests.exceptions.ReadTimeout):
        client.api._result(client.api._get(client.api._url("/containers/web/stats?stream=0&one-shot=1")), True)


def test_stream_and_one_shot_exclude_each_other(engine: FakeEngine) -> None:
    engine.add("web")
    answer = raw(engine, b"GET /containers/web/stats?one-shot=1 HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"cannot have stream=true and one-shot=true" in answer


def test_network_modes_resolve_as_on_a_real_engine(
    engine: FakeEngine, client: docker.DockerClient, clock: Clock
) -> None:
    web = engine.add("web", rx_rate=500)
    engine.add("sidecar", network_mode="container:web", rx_rate=9)
    engine.add("host", network_mode="host")
    engine.add("none", network_mode="none")
    clock.pass_by(2)
    assert one_shot(client, "sidecar")["networks"] == one_shot(client, "web")["networks"]
    assert one_shot(client, "sidecar")["networks"]["eth0"]["rx_bytes"] == 1000
    assert all("networks" not in one_shot(client, name) for name in ("host", "none"))
    assert client.api.inspect_container("sidecar")["HostConfig"]["NetworkMode"] == f"container:{web.id}"
    engine.die("web")
    assert one_shot(client, "sidecar")["read"] == "0001-01-01T00:00:00Z"


def test_a_stopped_container_answers_zeros(engine: FakeEngine, client: docker.DockerClient) -> None:
    engine.add("web")
    engine.die("web")
    stats = one_shot(client, "web")
    assert stats["read"] == stats["preread"] == "0001-01-01T00:00:00Z"
    assert stats["cpu_stats"]["cpu_usage"]["total_usage"] == 0
    assert stats["memory_stats"] == {}
    assert stats["name"] == "/web"
    assert engine.answers == []


def test_a_restart_begins_at_zero_with_a_new_start(
    engine: FakeEngine, client: docker.DockerClient, clock: Clock
) -> None:
    web = engine.add("web", cpu=1)
    before, pid = web.started_ns, web.pid
    clock.pass_by(100)
    engine.restart_container("web")
    clock.pass_by(1)
    assert one_shot(client, "web")["cpu_stats"]["cpu_usage"]["total_usage"] == 10**9
    assert (web.started_ns - before, web.restart_count) == (100 * 10**9, 1)
    assert web.pid != pid


def test_a_paused_container_stands_still(engine: FakeEngine, client: docker.DockerClient, clock: Clock) -> None:
    engine.add("web", cpu=1)
    clock.pass_by(1)
    engine.pause("web")
    clock.pass_by(5)
    assert one_shot(client, "web")["cpu_stats"]["cpu_usage"]["total_usage"] == 10**9
    engine.unpause("web")
    clock.pass_by(1)
    assert one_shot(client, "web")["cpu_stats"]["cpu_usage"]["total_usage"] == 2 * 10**9


def test_an_update_changes_the_rates_from_now_on(engine: FakeEngine, client: docker.DockerClient, clock: Clock) -> None:
    engine.add("web", cpu=1)
    clock.pass_by(1)
    engine.update("web", cpu=0.25, memory=7 * MIB, cache=0)
    clock.pass_by(4)
    stats = one_shot(client, "web")
    assert stats["cpu_stats"]["cpu_usage"]["total_usage"] == 2 * 10**9
    assert stats["memory_stats"]["usage"] == 7 * MIB
    with pytest.raises(TypeError, match="'cpus'"):
        engine.update("web", cpus=1)  # type: ignore[call-arg]  # the point


# Events


def test_events_tell_a_life(engine: FakeEngine, client: docker.DockerClient, clock: Clock) -> None:
    web = engine.add("web", image="nginx:1.27", labels={"tier": "front"})
    engine.pause("web")
    engine.unpause("web")
    engine.stop_container("web")
    engine.start_container("web")
    engine.remove("web")
    events = past_events(client, clock)
    assert actions(events) == ["create", "start", "pause", "unpause", "kill", "die", "stop", "start", "die", "destroy"]
    assert {event["Actor"]["ID"] for event in events} == {web.id}
    assert events[1]["Actor"]["Attributes"] == {"image": "nginx:1.27", "name": "web", "tier": "front"}
    assert (events[1]["Type"], events[1]["scope"]) == ("container", "local")
    assert (events[1]["time"], events[1]["timeNano"]) == (START, START * 10**9)
    assert events[-2]["Actor"]["Attributes"]["exitCode"] == "137"


def test_events_arrive_while_one_listens(engine: FakeEngine, client: docker.DockerClient) -> None:
    events = client.events(decode=True)
    engine.add("web")
    engine.die("web", exit_code=3)
    seen = [next(events) for _ in range(3)]
    assert actions(seen) == ["create", "start", "die"]
    assert seen[2]["Actor"]["Attributes"]["exitCode"] == "3"
    events.close()


def test_a_rename_tells_both_names(engine: FakeEngine, client: docker.DockerClient, clock: Clock) -> None:
    engine.add("web", emit=False)
    engine.rename("web", "site")
    (event,) = past_events(client, clock)
    assert event["Actor"]["Attributes"] == {"image": "busybox:latest", "name": "site", "oldName": "/web"}
    assert list(engine.containers) == ["site"]
    assert client.containers.get("site").name == "site"


@pytest.mark.parametrize(
    ("filters", "seen"),
    [
        ({"type": "container", "event": ["start", "die"]}, ["start", "die", "start"]),
        ({"type": "network"}, []),
        ({"container": "web"}, ["create", "start", "die"]),
        ({"label": "tier=front", "event": "die"}, ["die"]),
        ({"image": "nginx"}, ["create", "start", "die"]),
    ],
)
def test_events_honour_filters(
    engine: FakeEngine, client: docker.DockerClient, clock: Clock, filters: dict[str, Any], seen: list[str]
) -> None:
    engine.add("web", image="nginx:1.27", labels={"tier": "front"})
    engine.die("web")
    engine.add("db")
    assert actions(past_events(client, clock, filters=filters)) == seen


def test_exec_and_health_events_are_filtered_by_their_beginning(
    engine: FakeEngine, client: docker.DockerClient, clock: Clock
) -> None:
    engine.add("web", health="healthy", emit=False)
    engine.exec_storm(8)
    engine.update("web", health="unhealthy")
    storm = actions(past_events(client, clock))
    assert storm[:4] == [
        "exec_create: /bin/sh -c true",
        "exec_start: /bin/sh -c true",
        "exec_die",
        "health_status: healthy",
    ]
    assert len(storm) == 9
    health = past_events(client, clock, filters={"event": "health_status"})
    assert actions(health) == ["health_status: healthy"] * 2 + ["health_status: unhealthy"]


def test_since_reaches_back_256_events(engine: FakeEngine, client: docker.DockerClient, clock: Clock) -> None:
    engine.add("web")
    engine.exec_storm(300)
    clock.pass_by(1)
    engine.die("web")
    assert len(past_events(client, clock)) == 256
    assert actions(past_events(client, clock, since=START + 1)) == ["die"]


@pytest.mark.parametrize(("api_version", "legacy"), [("1.51", True), ("1.52", False)])
def test_legacy_event_fields_end_with_api_1_52(clock: Clock, api_version: str, legacy: bool) -> None:
    with FakeEngine(api_version=api_version, clock=clock) as engine, connected(engine) as client:
        web = engine.add("web")
        event = past_events(client, clock)[0]
    expected = ("create", web.id, "busybox:latest") if legacy else (None, None, None)
    assert tuple(event.get(key) for key in ("status", "id", "from")) == expected


def test_dropped_events_leave_the_list_true(engine: FakeEngine, client: docker.DockerClient, clock: Clock) -> None:
    engine.drop_events = True
    engine.add("web")
    engine.drop_events = False
    engine.add("db", emit=False)
    assert past_events(client, clock) == []
    assert [container.name for container in client.containers.list()] == ["db", "web"]


def test_cut_events_ends_open_streams_only(engine: FakeEngine, client: docker.DockerClient) -> None:
    events = client.events(decode=True)
    engine.cut_events()
    assert list(events) == []
    events = client.events(decode=True)
    engine.add("web")
    assert next(events)["Action"] == "create"
    events.close()


# Faults


@pytest.mark.parametrize("kind", ["hang", "hang_headers", "hang_body"])
def test_a_hung_container_never_answers_and_others_do(engine: FakeEngine, kind: Any) -> None:
    engine.add("web")
    engine.add("db")
    engine.fault("web", kind)
    with connected(engine, timeout=0.1) as client:
        with pytest.raises((requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError)):
            one_shot(client, "web")
        assert one_shot(client, "db")["pids_stats"]
    assert until(lambda: engine.stats_in_flight == 0)


@pytest.mark.parametrize(("kind", "status"), [("error", 500), ("gone", 404), ("conflict", 409)])
def test_a_fault_may_be_an_error_answer(
    engine: FakeEngine, client: docker.DockerClient, kind: Any, status: int
) -> None:
    engine.add("web")
    engine.fault("web", kind, times=1)
    with pytest.raises(docker.errors.APIError) as caught:
        one_shot(client, "web")
    assert caught.value.status_code == status
    assert one_shot(client, "web")["pids_stats"]


@pytest.mark.parametrize("kind", ["garbage", "cut"])
def test_a_fault_may_break_the_body(engine: FakeEngine, client: docker.DockerClient, kind: Any) -> None:
    engine.add("web")
    engine.fault("web", kind)
    with pytest.raises((requests.exceptions.JSONDecodeError, requests.exceptions.ChunkedEncodingError)):
        one_shot(client, "web")
    engine.heal("web")
    assert one_shot(client, "web")["pids_stats"]


@pytest.mark.parametrize(
    ("kind", "holds"),
    [
        ("wrong_types", lambda stats: isinstance(stats["memory_stats"], list)),
        ("empty", lambda stats: stats["read"] == "0001-01-01T00:00:00Z"),
        ("no_cpu", lambda stats: "system_cpu_usage" not in stats["cpu_stats"]),
        ("no_memory", lambda stats: stats["memory_stats"] == {}),
        ("huge", lambda stats: stats["networks"]["eth0"]["rx_bytes"] > 2**53),
        ("huge", lambda stats: stats["cpu_stats"]["cpu_usage"]["total_usage"] > 2**53),
    ],
)
def test_a_fault_may_change_the_reading(
    engine: FakeEngine, client: docker.DockerClient, kind: Any, holds: Callable[[dict[str, Any]], bool]
) -> None:
    engine.add("web")
    engine.fault("web", kind)
    assert holds(one_shot(client, "web"))


def test_rollback_makes_each_cpu_reading_smaller(engine: FakeEngine, client: docker.DockerClient, clock: Clock) -> None:
    engine.add("web", cpu=1)
    clock.pass_by(1000)
    readings = [one_shot(client, "web")["cpu_stats"]["cpu_usage"]["total_usage"]]
    engine.fault("web", "rollback")
    for _ in range(3):
        clock.pass_by(1)
        readings.append(one_shot(client, "web")["cpu_stats"]["cpu_usage"]["total_usage"])
    assert readings == sorted(readings, reverse=True)
    assert len(set(readings)) == 4


def test_slow_and_latency_delay_the_answer(engine: FakeEngine, client: docker.DockerClient) -> None:
    engine.add("web")
    engine.latency = 0.05
    engine.fault("web", "slow", seconds=0.1)
    began, running = time.monotonic(), running_time()
    one_shot(client, "web")
    assert time.monotonic() - began >= 0.15
    assert running_time() - running < 1


def test_an_unknown_fault_is_refused_at_once(engine: FakeEngine) -> None:
    engine.add("web")
    with pytest.raises(ValueError, match="unknown fault 'hung'"):
        engine.fault("web", "hung")  # type: ignore[arg-type]  # the point
    with pytest.raises(ValueError, match="unknown path '/stats'"):
        engine.fault_path("/stats", "hang")  # type: ignore[arg-type]  # the point


@pytest.mark.parametrize("path", ["/_ping", "/version", "/info", "/containers/json", "/events", "inspect", "stats"])
def test_every_route_can_fail(engine: FakeEngine, client: docker.DockerClient, path: Any) -> None:
    engine.add("web")
    url = {"inspect": "/containers/web/json", "stats": "/containers/web/stats"}.get(path, path)
    engine.fault_path(path, "forbidden", times=1)
    assert client.api.get(f"{client.api.base_url}{url}").status_code == 403
    engine.fault_path(path, "error")
    assert client.api.get(f"{client.api.base_url}{url}").status_code == 500
    engine.heal_path(path)
    assert client.api.get(f"{client.api.base_url}{url}", stream=True).status_code == 200


def test_a_route_can_hang_cut_and_babble(engine: FakeEngine) -> None:
    with connected(engine, timeout=0.1) as client:
        engine.fault_path("/containers/json", "hang", times=1)
        with pytest.raises(requests.exceptions.ReadTimeout):
            client.api.containers()
        engine.fault_path("/containers/json", "cut", times=1)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            client.api.containers()
        engine.fault_path("/containers/json", "garbage", times=1)
        with pytest.raises(requests.exceptions.JSONDecodeError):
            client.api.containers()
        assert client.api.containers() == []


def test_eof_ends_every_event_stream_at_once(engine: FakeEngine, client: docker.DockerClient) -> None:
    engine.fault_path("/events", "eof")
    assert [list(client.events(decode=True)) for _ in range(3)] == [[], [], []]
    assert len(engine.requests_of("events")) == 3


# Coming and going


def test_down_cuts_and_removes_and_up_comes_back_at_the_same_place(
    engine: FakeEngine, client: docker.DockerClient
) -> None:
    web, address = engine.add("web"), engine.address
    events = client.events(decode=True)
    engine.down()
    assert not Path(engine.socket_path).exists()
    assert list(events) == []
    with pytest.raises(requests.exceptions.ConnectionError):
        client.ping()
    engine.up()
    assert engine.address == address
    assert client.containers.get("web").id == web.id


def test_an_engine_restart_forgets_events_and_may_replace_containers(
    engine: FakeEngine, client: docker.DockerClient, clock: Clock
) -> None:
    web, job = engine.add("web"), engine.add("job", network_mode="container:web")
    engine.die("job")
    engine.restart(keep=True)
    assert engine.containers == {"web": web, "job": job}
    engine.restart()
    new = engine.containers
    assert new["web"].id != web.id
    assert (new["web"].state, new["job"].state) == ("running", "created")
    assert new["job"].network_mode == f"container:{new['web'].id}"
    assert past_events(client, clock) == []


def test_start_and_stop_may_be_called_again() -> None:
    engine = FakeEngine()
    engine.stop()
    engine.start()
    engine.start()
    path = Path(engine.socket_path)
    engine.stop()
    engine.stop()
    assert not path.parent.exists()
    with engine, connected(engine) as client:
        assert client.ping()


def test_it_listens_on_tcp_too() -> None:
    with FakeEngine(tcp=True) as engine, connected(engine) as client:
        assert engine.address == f"http://{engine.http_address}"
        engine.down()
        engine.up()
        assert client.ping()


def test_it_listens_where_it_is_told_and_takes_over_a_dead_socket(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with FakeEngine(socket_path=str(path)) as engine, connected(engine) as client:
        assert engine.address == f"unix://{path}"
        assert client.ping()
    assert not path.exists()


def test_no_thread_stays_behind() -> None:
    before = threading.active_count()
    for _ in range(3):
        with FakeEngine() as engine, connected(engine) as client:
            client.ping()
    assert threading.active_count() == before


# HTTP


def test_a_client_negotiates_the_version(engine: FakeEngine) -> None:
    with connected(engine, version="auto") as client:
        assert client.api._version == "1.50"
        assert client.version()["Version"] == "28.2.2"
        assert client.info()["CgroupVersion"] == "2"
    ping = raw(engine, b"HEAD /_ping HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert b"\r\nApi-Version: 1.50\r\n" in ping
    assert b"\r\nServer: Docker/28.2.2 (linux)\r\n" in ping
    assert b"\r\nOstype: linux\r\n" in ping
    assert ping.endswith(b"Content-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("1.99", "client version 1.99 is too new. Maximum supported API version is 1.50"),
        ("1.30", "client version 1.30 is too old. Minimum supported API version is 1.44, please upgrade"),
    ],
)
def test_a_version_out_of_range_is_refused(version: str, message: str) -> None:
    with FakeEngine(min_api_version="1.44") as engine, connected(engine, version=version) as client:
        with pytest.raises(docker.errors.APIError, match=message) as caught:
            client.containers.list()
        assert caught.value.status_code == 400


def test_only_reading_is_answered(engine: FakeEngine, client: docker.DockerClient) -> None:
    engine.add("web")
    with pytest.raises(docker.errors.APIError, match="only answers GET and HEAD, not POST") as caught:
        client.containers.get("web").stop()
    assert caught.value.status_code == 405
    assert engine.requests[-1].method == "POST"
    with pytest.raises(docker.errors.NotFound, match="page not found"):
        client.images.get("busybox")


def test_pipelined_requests_are_answered_in_order(engine: FakeEngine) -> None:
    engine.add("web")
    engine.latency = 0.02
    paths = ["/containers/web/stats?stream=0&one-shot=1", "/_ping", "/nope"]
    requests_ = b"".join(b"GET %b HTTP/1.1\r\nHost: d\r\n\r\n" % path.encode() for path in paths)
    answer = raw(engine, requests_ + b"GET /_ping HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"404", b"200"]
    assert answer.endswith(b"OK")


# What was asked of it


def test_requests_and_answers_are_logged(engine: FakeEngine, client: docker.DockerClient, clock: Clock) -> None:
    web = engine.add("web")
    for _ in range(2):
        one_shot(client, "web")
        clock.pass_by(1)
    assert engine.answers == [(web.id, START * 10**9), (web.id, (START + 1) * 10**9)]
    request = engine.requests_of("stats")[-1]
    assert (request.method, request.path.partition("?")[0]) == ("GET", "/v1.50/containers/web/stats")
    assert request.bytes_answered > 1000
    assert abs(request.time - time.monotonic()) < 60


def test_the_log_is_bounded() -> None:
    with FakeEngine(maxlen=3) as engine, connected(engine) as client:
        for _ in range(5):
            client.ping()
        assert len(engine.requests) == 3


def test_stats_in_flight_are_counted(engine: FakeEngine) -> None:
    engine.add("web")
    engine.fault("web", "hang")
    connections = [socket.socket(socket.AF_UNIX) for _ in range(5)]
    for connection in connections:
        connection.connect(engine.socket_path)
        connection.sendall(b"GET /containers/web/stats?stream=0&one-shot=1 HTTP/1.1\r\n\r\n")
    assert until(lambda: engine.stats_in_flight == 5)
    for connection in connections:
        connection.close()
    assert until(lambda: engine.stats_in_flight == 0)
    assert engine.max_stats_in_flight == 5


# The demo and the program


def test_the_demo_is_a_small_shop() -> None:
    engine = demo_engine()
    with engine, connected(engine) as client:
        containers = client.containers.list()
        assert len(containers) == 5
        assert {c.labels["com.docker.compose.project"] for c in containers} == {"shop"}
        assert all(one_shot(client, c.name)["memory_stats"]["usage"] > 10 * MIB for c in containers)


def test_a_repeated_action_runs_while_the_engine_does() -> None:
    engine = FakeEngine()
    engine.every(0.01, lambda: engine.exec_storm(1) if engine.containers else engine.add("web"))
    assert engine.containers == {}
    with engine:
        assert until(lambda: "web" in engine.containers)


def test_the_program_says_its_address_and_ends_on_sigterm(tmp_path: Path) -> None:
    path = tmp_path / "s"
    command = [sys.executable, "-m", "statspout.testing.engine", "--containers", "7", "--socket", str(path)]
    with subprocess.Popen([*command, "--churn", "50"], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout
        address = program.stdout.readline().strip()
        with contextlib.closing(docker.DockerClient(base_url=address)) as client:
            before = {container["Id"] for container in client.api.containers()}
            assert until(lambda: {container["Id"] for container in client.api.containers()} != before)
        assert len(before) == 7
        program.send_signal(signal.SIGTERM)
    assert program.returncode == 0
    assert not path.exists()
