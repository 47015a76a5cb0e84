"""Engines that come late and restart, and containers that change, seen from outside through the daemon."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.daemon import Daemon, run_program
from support.engine import OwnEngine, starting
from support.standstill import running_time

AT_ONCE = 1.0
SERVING = ("--repository=rest", "--rest.address=127.0.0.1:0", "--interval=1")


def watching(engine: OwnEngine, *arguments: str) -> Daemon:
    return Daemon(f"--socket.path={engine.socket}", *SERVING, *arguments)


def shows(daemon: Daemon, *names: str) -> Callable[[], bool]:
    """Whether REST has these containers and no other."""
    return lambda: sorted(daemon.stats()) == sorted(names)


def known(daemon: Daemon, name: str, **values: Any) -> Callable[[], dict[str, Any] | None]:
    """What REST says of the container, once it says these values of it."""

    def look() -> dict[str, Any] | None:
        shown: dict[str, Any] | None = daemon.stats().get(name)
        return shown if shown is not None and values.items() <= shown.items() else None

    return look


# Engines


def test_it_may_start_before_its_engine(own_engine: OwnEngine) -> None:
    own_engine.dockerd.stop()
    with watching(own_engine) as daemon:
        it_lives_without_an_engine(daemon)
        own_engine.dockerd.start()
        own_engine.run("early")
        daemon.eventually(shows(daemon, "early"))
        assert daemon.terminate() == 0
        assert len(daemon.log.splitlines()) < 12, daemon.log


def test_it_outlives_its_engine(own_engine: OwnEngine) -> None:
    own_engine.run("mortal")
    own_engine.run("phoenix", restart_policy={"Name": "always"})
    with watching(own_engine) as daemon:
        daemon.eventually(shows(daemon, "mortal", "phoenix"))
        before = daemon.stats()["phoenix"]
        own_engine.dockerd.stop()
        daemon.eventually(shows(daemon), AT_ONCE)
        it_lives_without_an_engine(daemon)
        own_engine.dockerd.start()
        own_engine.run("newcomer")
        daemon.eventually(shows(daemon, "phoenix", "newcomer"))
        assert daemon.stats()["phoenix"]["started_at"] > before["started_at"]
        assert "Traceback" not in daemon.log


def it_lives_without_an_engine(daemon: Daemon) -> None:
    daemon.wait_for_line("is not there")
    time.sleep(0.5)
    assert daemon.running
    assert daemon.stats() == {}


def test_containers_that_outlive_their_engine_are_followed_as_before(make_engine: Callable[..., OwnEngine]) -> None:
    engine = make_engine(args=("--live-restore",))
    engine.run("survivor", ["sh", "-c", "while :; do sleep 0.01; done"])
    with watching(engine, "--collector=engine") as daemon:
        before = daemon.eventually(lambda: daemon.stats().get("survivor"))
        engine.dockerd.kill()
        daemon.eventually(shows(daemon))
        engine.dockerd.start()
        after = daemon.eventually(lambda: daemon.stats().get("survivor"))
        same = ("id", "started_at", "host")
        assert [after[key] for key in same] == [before[key] for key in same]
        assert after["cpu_seconds_total"] > before["cpu_seconds_total"]


# Containers, over HTTP


@pytest.fixture(scope="module")
def engine() -> Iterator[OwnEngine]:
    """One engine that also listens on TCP, for the rest of this file."""
    with starting(tcp=True, args=("--debug",)) as engine:
        yield engine


@pytest.fixture(scope="module")
def by_http(engine: OwnEngine) -> tuple[str, ...]:
    return (
        "--mode=http",
        f"--http.address=127.0.0.1:{engine.dockerd.tcp_port}",
        "--ignore=hidden,other",
        "--filter.exclude=label=role=batch,image=*secret*",
    )


@pytest.fixture(scope="module")
def daemon(engine: OwnEngine, by_http: tuple[str, ...]) -> Iterator[Daemon]:
    with Daemon(*by_http, "--repository=rest,stdout", "--stdout.format=json", *SERVING[1:]) as daemon:
        daemon.wait_for_line(f"engine http://127.0.0.1:{engine.dockerd.tcp_port}: 0 ")
        yield daemon


@pytest.fixture
def run(engine: OwnEngine, daemon: Daemon) -> Iterator[Callable[..., Any]]:
    """Starts containers that go with the test."""
    yield engine.run
    engine.remove_started()
    daemon.eventually(shows(daemon))


@pytest.fixture
def subject(run: Callable[..., Any], daemon: Daemon) -> Any:
    """A container that REST shows."""
    container = run("subject", mem_limit="64m")
    daemon.eventually(known(daemon, "subject", state="running"))
    return container


def test_a_container_that_pauses_says_so_and_goes_on_afterwards(subject: Any, daemon: Daemon) -> None:
    subject.pause()
    daemon.eventually(known(daemon, "subject", state="paused"))
    subject.unpause()
    daemon.eventually(known(daemon, "subject", state="running"))


def test_a_renamed_container_has_its_new_name_from_the_next_sample_on(subject: Any, daemon: Daemon) -> None:
    subject.rename("renamed")
    shown = daemon.eventually(known(daemon, "renamed", id=subject.id), timeout=3)
    assert shown["cpu_percent"] is not None
    assert shows(daemon, "renamed")()


def test_a_changed_limit_is_seen(subject: Any, daemon: Daemon) -> None:
    daemon.eventually(known(daemon, "subject", mem_limit=64 * 2**20))
    subject.update(mem_limit="48m", memswap_limit="96m")
    daemon.eventually(known(daemon, "subject", mem_limit=48 * 2**20))


def test_a_restarted_container_is_a_new_run_without_a_cpu_percent_at_first(subject: Any, daemon: Daemon) -> None:
    started = daemon.stats()["subject"]["started_at"]
    daemon.eventually(lambda: of_run(daemon, subject.id, started)[1:])
    subject.restart()
    daemon.eventually(lambda: daemon.stats().get("subject", {}).get("started_at", started) != started)
    again = daemon.stats()["subject"]["started_at"]
    daemon.eventually(lambda: of_run(daemon, subject.id, again)[1:])
    first, second, *_ = of_run(daemon, subject.id, again)
    assert again > started
    assert (first["cpu_percent"], second["cpu_percent"] is None) == (None, False)
    assert shows(daemon, "subject")()


def of_run(daemon: Daemon, container: str, started: str) -> list[dict[str, Any]]:
    """The samples of one run of one container."""
    return [s for s in daemon.samples() if (s["id"], s["started_at"]) == (container, started)]


@pytest.mark.parametrize("how", ["kill", "stop", "remove"])
def test_a_container_that_ends_is_gone_at_once(how: str, subject: Any, daemon: Daemon) -> None:
    getattr(subject, how)(**{"force": True} if how == "remove" else {})
    ended = running_time()
    daemon.eventually(shows(daemon))
    assert running_time() - ended < AT_ONCE
    assert daemon.get("/stats/subject").status == 404


def test_a_container_that_ends_and_starts_again_is_back(subject: Any, daemon: Daemon) -> None:
    subject.stop()
    daemon.eventually(shows(daemon))
    subject.start()
    daemon.eventually(shows(daemon, "subject"))


def test_an_ignored_name_is_never_shown(run: Callable[..., Any], subject: Any, daemon: Daemon) -> None:
    hidden = run("hidden")
    run("seen")
    daemon.eventually(shows(daemon, "seen", "subject"))
    hidden.rename("found")
    daemon.eventually(shows(daemon, "seen", "subject", "found"))
    subject.rename("other")
    daemon.eventually(shows(daemon, "seen", "found"))
    assert daemon.samples("hidden") == daemon.samples("other") == []


def test_who_is_left_out_is_never_asked_for(
    run: Callable[..., Any], engine: OwnEngine, subject: Any, daemon: Daemon
) -> None:
    left_out = [
        run("batch", labels={"role": "batch"}),
        run("quiet", labels={"statspout.enable": "false"}),
    ]
    daemon.eventually(lambda: len(daemon.samples("subject")) >= 3)
    asked = re.findall(r"/containers/(\w+)/stats", engine.dockerd.log.read_text())
    assert subject.id in asked
    assert not {container.id for container in left_out} & set(asked)


def test_who_joins_a_network_names_its_owner_from_the_first_sample_on(run: Callable[..., Any], daemon: Daemon) -> None:
    run("owner")
    guest = run("guest", network_mode="container:owner")
    daemon.eventually(lambda: daemon.samples("guest")[1:])
    assert {s["network_shared_with"] for s in daemon.samples("guest") if s["id"] == guest.id} == {"owner"}


def test_who_joins_a_network_names_its_renamed_owner(run: Callable[..., Any], daemon: Daemon) -> None:
    owner = run("owner")
    run("guest", network_mode="container:owner")
    daemon.eventually(shows(daemon, "owner", "guest"))
    owner.rename("landlord")
    daemon.eventually(known(daemon, "guest", network_shared_with="landlord"), timeout=4)


def test_containers_that_come_and_go_quickly_leave_nothing_behind(run: Callable[..., Any], daemon: Daemon) -> None:
    for number in range(5):
        run(f"brief-{number}", ["true"])
    run("last")
    daemon.eventually(shows(daemon, "last"))


def test_once_is_one_line_of_each_container_with_its_cpu(run: Callable[..., Any], by_http: tuple[str, ...]) -> None:
    for name in ("one", "two", "hidden"):
        run(name)
    done = run_program(*by_http, "--once", "--stdout.format=json")
    samples = [json.loads(line) for line in done.out.splitlines()]
    assert (done.code, sorted(sample["name"] for sample in samples)) == (0, ["one", "two"])
    assert all(sample["cpu_percent"] is not None for sample in samples)


def test_sigterm_ends_a_run_well_in_time(run: Callable[..., Any], by_http: tuple[str, ...]) -> None:
    run("subject")
    with Daemon(*by_http, *SERVING) as daemon:
        daemon.eventually(shows(daemon, "subject"))
        assert daemon.terminate(timeout=12) == 0


def test_nothing_of_it_was_trouble(daemon: Daemon) -> None:
    assert [line for line in daemon.log.splitlines() if " INFO " not in line] == []
