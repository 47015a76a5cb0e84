"""Signals at odd moments: from the first moment on they come to what is documented, and never to a traceback."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from support.daemon import Daemon

from statspout.testing import FakeEngine

AT_IMPORT = """
import os, sys
from statspout.cmd import entry
number, left = int(sys.argv.pop(1)), int(sys.argv.pop(1))
def imported(event, _):
    global left
    left -= event == "import"
    if event == "import" and left == 0:
        os.kill(os.getpid(), number)
sys.addaudithook(imported)
sys.exit(entry.main())
"""
"""The program, which sends itself a signal when it has loaded so many modules."""

SIGHUP, SIGTERM, SIGINT = signal.SIGHUP, signal.SIGTERM, signal.SIGINT


@pytest.fixture(scope="module")
def engine() -> Iterator[FakeEngine]:
    with FakeEngine() as engine:
        engine.add("web")
        yield engine


def caught(pid: int) -> set[signal.Signals]:
    """The signals that the process acts on itself."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = int(next(line for line in status.splitlines() if line.startswith("SigCgt:")).split()[1], 16)
    return {number for number in signal.Signals if mask & 1 << (number - 1)}


def wait_until_caught(daemon: Daemon) -> None:
    """Until Python has run the first lines of ours; what comes before them is not ours to decide."""
    while SIGHUP not in caught(daemon.pid):
        assert daemon.running
        time.sleep(0.0002)


def quiet(daemon: Daemon) -> bool:
    return not any(word in daemon.log for word in ("Traceback", "ERROR", "CRITICAL", "Exception"))


@pytest.mark.parametrize("left", [1, 5, 20, 100, 250])
def test_a_hang_up_while_it_loads_is_remembered(left: int, engine: FakeEngine) -> None:
    flags = [str(int(SIGHUP)), str(left), f"--socket.path={engine.socket_path}", "--repository=stdout"]
    with Daemon(*flags, program=("-c", AT_IMPORT)) as daemon:
        daemon.wait_for_line("reloaded: nothing is other than before")
        assert daemon.terminate() == 0
        assert quiet(daemon)


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
@pytest.mark.parametrize("left", [1, 10, 50, 200])
def test_a_word_to_end_while_it_loads_ends_it_as_ever(number: signal.Signals, left: int, engine: FakeEngine) -> None:
    for flag, code in (("--interval=1", 0), ("--once", 1)):
        flags = [str(int(number)), str(left), f"--socket.path={engine.socket_path}", flag]
        with Daemon(*flags, program=("-c", AT_IMPORT)) as daemon:
            assert daemon.wait() == code
            assert quiet(daemon)


def test_hang_ups_without_a_pause_from_the_first_moment_on_do_not_keep_it_from_running(engine: FakeEngine) -> None:
    with Daemon(f"--socket.path={engine.socket_path}", "--stdout.format=json") as daemon:
        wait_until_caught(daemon)
        until = time.monotonic() + 2
        while time.monotonic() < until:
            daemon.signal(SIGHUP)
            time.sleep(0.001)
        daemon.eventually(lambda: daemon.samples("web"))
        daemon.wait_for_line("reloaded: ")
        assert daemon.terminate() == 0
        assert quiet(daemon)


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_a_word_to_end_at_any_moment_of_the_start_is_exit_code_0(number: signal.Signals, engine: FakeEngine) -> None:
    for delay in (0, 0.005, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5):
        with Daemon(f"--socket.path={engine.socket_path}") as daemon:
            wait_until_caught(daemon)
            time.sleep(delay)
            daemon.signal(number)
            assert (daemon.wait(), delay) == (0, delay)
            assert quiet(daemon)


def test_who_reads_its_configuration_from_a_pipe_that_stays_empty_can_be_ended(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with Daemon(f"--config={tmp_path / 'pipe'}") as daemon:
        wait_until_caught(daemon)
        time.sleep(0.5)
        assert daemon.terminate(timeout=2) == 0
        assert daemon.log == ""


def test_a_command_ends_by_the_signal_as_any_program_does(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for number, code in ((SIGTERM, -SIGTERM), (SIGHUP, -SIGHUP), (SIGINT, 130)):
        for delay in (0.0, 0.8):
            with Daemon("check", f"--config={tmp_path / 'pipe'}") as daemon:
                wait_until_caught(daemon)
                time.sleep(delay)
                daemon.signal(number)
                assert (daemon.wait(), delay) == (code, delay)
                assert quiet(daemon)


def test_signals_while_it_ends_change_nothing(engine: FakeEngine) -> None:
    with Daemon(f"--socket.path={engine.socket_path}", "--stdout.format=json") as daemon:
        daemon.eventually(lambda: daemon.samples("web"))
        while daemon.running:
            for number in (SIGTERM, SIGHUP, SIGINT):
                daemon.signal(number)
            time.sleep(0.0005)
        # What Python does when all of ours is over, it does with the signals as the system has them.
        assert daemon.wait() in (0, -SIGTERM, -SIGINT)
        assert quiet(daemon)


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_what_is_closed_at_the_start_is_no_traceback_and_gets_no_file_of_ours(
    closed: tuple[int, ...], engine: FakeEngine
) -> None:
    shut = "".join(f"os.close({place});" for place in closed)
    code = f"import os, sys; {shut} os.execv(sys.executable, [sys.executable, '-m', 'statspout', *sys.argv[1:]])"
    for words in ("--help", "--version", "health --health.address=127.0.0.1:1"):
        with Daemon(*words.split(), program=("-c", code)) as daemon:
            assert daemon.wait() == int(words.startswith("health"))
            assert "Traceback" not in daemon.log
            assert "refused" not in daemon.out
    flags = [f"--socket.path={engine.socket_path}", "--repository=webhook", "--webhook.url=http://127.0.0.1:1"]
    with Daemon(*flags, program=("-c", code)) as daemon:
        wait_until_caught(daemon)
        for place in closed:
            daemon.eventually(partial(_leads_to, daemon, place, os.devnull))


def _leads_to(daemon: Daemon, place: int, where: str) -> bool:
    link = Path(f"/proc/{daemon.pid}/fd/{place}")
    with suppress(FileNotFoundError):
        return str(link.readlink()) == where
    return False


def test_nothing_is_loaded_before_the_signals_are_held() -> None:
    code = "import sys; import statspout.cmd.entry; print(*(name for name in sys.modules if 'statspout' in name))"
    with Daemon(program=("-c", code)) as daemon:
        assert daemon.wait() == 0
        assert daemon.out.split() == ["statspout", "statspout.cmd", "statspout.signals", "statspout.cmd.entry"]
