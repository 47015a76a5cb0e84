"""The program as it is run: one sample of everybody, signals, what is on stdout and what is on stderr."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import Daemon, Finished, run_program
from support.plugins import BOOK_AND_VAULT, ENDLESS, SECRET
from support.standstill import running_time

from statspout.testing import FakeEngine

NAMES = ["cache", "db", "web"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the plugins and the secret are."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "plugins.py").write_text(BOOK_AND_VAULT)
    (folder / "secret").write_text(f"{SECRET}\n")
    return folder


@pytest.fixture(scope="module")
def engine() -> Iterator[FakeEngine]:
    with FakeEngine() as engine:
        for name in NAMES:
            engine.add(name, cpu=0.5)
        yield engine


@pytest.fixture(scope="module", autouse=True)
def no_engine() -> Iterator[Daemon]:
    """``--once`` where no engine is. It is patient, so it begins before the first test."""
    with Daemon("--once", "--socket.path=/nowhere/docker.sock") as daemon:
        yield daemon


@pytest.fixture(scope="module", autouse=True)
def full_disk(engine: FakeEngine) -> Iterator[Daemon]:
    """``--once`` whose output cannot be written. It tries for long, so it begins before the first test too."""
    with Path("/dev/full").open("wb") as full, running(engine, "--once", stdout=full.fileno()) as daemon:
        yield daemon


def running(engine: FakeEngine, *arguments: str, stdout: int | None = None) -> Daemon:
    return Daemon(f"--socket.path={engine.socket_path}", *arguments, stdout=stdout)


def once(engine: FakeEngine, *arguments: str) -> Finished:
    return run_program("-once", f"-socket.path={engine.socket_path}", *arguments)


def test_once_prints_every_container_once_with_its_cpu(engine: FakeEngine) -> None:
    done = once(engine, "-stdout.format=json", "-ignore=db,other")
    samples = [json.loads(line) for line in done.out.splitlines()]
    assert (done.code, sorted(sample["name"] for sample in samples)) == (0, ["cache", "web"])
    assert all(sample["cpu_percent"] == pytest.approx(50, abs=5) for sample in samples)


def test_once_prints_the_others_when_a_container_hangs() -> None:
    with FakeEngine() as engine:
        engine.add("well")
        engine.add("ill")
        engine.fault("ill", "error")
        done = once(engine)
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()] == ["[well]"]
    assert "container ill: 500" in done.err


def test_once_without_containers_prints_nothing_and_says_so() -> None:
    with FakeEngine() as engine:
        done = once(engine)
    assert (done.code, done.out) == (0, "")
    assert "no running container" in done.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_with_exit_code_0_and_whole_lines(number: signal.Signals, engine: FakeEngine) -> None:
    with running(engine, "--interval=1", "--stdout.format=json") as daemon:
        daemon.eventually(lambda: len(daemon.samples()) >= 2 * len(NAMES))
        daemon.signal(number)
        assert daemon.wait() == 0
        assert daemon.out.endswith("\n")
        assert {sample["name"] for sample in daemon.samples()} == set(NAMES)
        assert f"INFO {number.name}" in daemon.log


def test_logs_go_to_stderr_only(engine: FakeEngine) -> None:
    with running(engine, "--log.level=debug", "--interval=60") as daemon:
        daemon.eventually(lambda: daemon.out.count("\n") == len(NAMES))
        daemon.terminate()
        assert all(line.startswith("[") and " UTC} CPU: --, " in line for line in daemon.out.splitlines())
        assert "DEBUG" in daemon.log


def book(files: Path, path: Path, seconds: float) -> list[str]:
    return [
        f"--plugin={files}/plugins.py:Book", "--repository=book", f"--book.path={path}", f"--book.seconds={seconds}"
    ]  # fmt: skip


def test_what_is_queued_at_a_signal_is_delivered(files: Path, tmp_path: Path) -> None:
    path, names = tmp_path / "book", [f"c{i}" for i in range(10)]
    with FakeEngine() as engine:
        for name in names:
            engine.add(name)
        go = tmp_path / "go"
        flags = [*book(files, path, 0), f"--book.go={go}", "--health.address=127.0.0.1:0", "--interval=60"]
        with running(engine, *flags) as daemon:
            daemon.eventually(lambda: figure(daemon, "statspout_collected_total") == len(names) and path.exists())
            assert "stored" not in path.read_text()
            daemon.signal(signal.SIGTERM)
            daemon.wait_for_line("stopping")
            go.touch()
            assert daemon.wait() == 0
    stored = [line.split()[1] for line in path.read_text().splitlines() if line.startswith("stored")]
    assert sorted(stored) == names


@pytest.mark.parametrize("name", ["stubborn", "threaded"])
def test_a_call_that_does_not_end_cannot_keep_the_program(name: str, engine: FakeEngine, tmp_path: Path) -> None:
    plugin = tmp_path / "endless.py"
    plugin.write_text(ENDLESS)
    with running(engine, f"--plugin={plugin}:{name.title()}", f"--repository={name}") as daemon:
        daemon.eventually(lambda: f"{name} begins" in daemon.out)
        assert daemon.terminate(timeout=10) == 0


def test_a_second_signal_ends_it_at_once(engine: FakeEngine, files: Path, tmp_path: Path) -> None:
    path = tmp_path / "book"
    with running(engine, *book(files, path, 60)) as daemon:
        daemon.eventually(lambda: path.exists() and "begun" in path.read_text())
        daemon.signal(signal.SIGTERM)
        daemon.wait_for_line("stopping")
        daemon.signal(signal.SIGTERM)  # what `timeout` sends at once is the first signal once more
        time.sleep(0.7)
        began = running_time()
        # As a shell says it: ended by signal 15.
        assert daemon.terminate() == 128 + signal.SIGTERM
        assert running_time() - began < 1


def test_a_reader_that_leaves_ends_it_quietly(engine: FakeEngine) -> None:
    read, write = os.pipe()
    with running(engine, "--interval=1", stdout=write) as daemon:
        os.close(write)
        with os.fdopen(read, "rb") as head:
            assert head.readline().startswith(b"[")
        assert daemon.wait() == 0
        assert "closed by its reader" in daemon.log
        assert "Traceback" not in daemon.log
        assert not {"WARNING", "ERROR"} & set(daemon.log.split())


def test_a_plugin_that_fails_is_told_of_in_few_lines_without_its_secret(engine: FakeEngine, files: Path) -> None:
    plugin = [f"--plugin={files}/plugins.py:Vault", "--repository=vault", f"--vault.token-file={files}/secret"]
    with running(engine, *plugin, "--interval=1", "--health.address=127.0.0.1:0") as daemon:
        daemon.eventually(lambda: failures(daemon) >= 3)
        told = [line for line in daemon.log.splitlines() if " vault: " in line and " INFO " not in line]
        assert "RuntimeError: who are you, ***?" in told[0]
        assert len(told) <= 4
        assert daemon.log.count("Traceback") == 1
        assert SECRET not in daemon.log
        assert daemon.running


def failures(daemon: Daemon) -> int:
    """How often a push failed, as the daemon itself says."""
    return figure(daemon, "statspout_repository_failures_total")


def figure(daemon: Daemon, name: str) -> int:
    """What the daemon says of its one repository under this name."""
    page = daemon.get("/metrics", "health.address").body.decode()
    return int(next(line for line in page.splitlines() if line.startswith(f"{name}{{")).split()[-1])


# What began first


def test_once_without_an_engine_is_one_error_and_exit_code_1(no_engine: Daemon) -> None:
    assert no_engine.wait() == 1
    errors = [line for line in no_engine.log.splitlines() if " ERROR " in line]
    assert (no_engine.out, len(errors)) == ("", 1)
    assert "unix:///nowhere/docker.sock" in errors[0]
    assert "Traceback" not in no_engine.log


def test_once_whose_output_is_lost_is_exit_code_1(full_disk: Daemon) -> None:
    assert full_disk.wait() == 1, full_disk.log


def test_a_hundred_containers_take_35_mb_with_stdout_rest_and_prometheus_together() -> None:
    with FakeEngine() as engine:
        for number in range(100):
            engine.add(f"c{number}")
        addresses = ["--rest.address=127.0.0.1:0", "--prometheus.address=127.0.0.1:0"]
        with running(engine, "--repository=stdout,rest,prometheus", "--interval=1", *addresses) as daemon:
            daemon.eventually(lambda: daemon.out.count("\n") >= 300)
            daemon.eventually(lambda: len(daemon.stats()) == 100)
            assert daemon.get("/metrics", "prometheus.address").status == 200
            assert memory_of(daemon) <= 35_000_000


def memory_of(daemon: Daemon) -> int:
    """Bytes, what is shared with other processes counted by its share."""
    rollup = Path(f"/proc/{daemon.pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
