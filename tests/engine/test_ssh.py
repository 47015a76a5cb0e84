"""A real engine behind a real sshd: one ssh process carries everything, comes back, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import Daemon, run_program
from support.engine import Engine
from support.sshd import Sshd
from support.standstill import PATIENCE

SERVING = ("--repository=rest", "--rest.address=127.0.0.1:0", "--interval=1")


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with Sshd(tmp_path_factory.mktemp("sshd")) as sshd:
        yield sshd


def far(engine: Engine) -> str:
    return f"--docker.host=ssh://engine-host{engine.socket}"


def test_samples_come_through_one_ssh_process_that_comes_back(engine: Engine, sshd: Sshd) -> None:
    for number in range(5):
        engine.run(f"web-{number}")
    names = [f"web-{number}" for number in range(5)]
    with Daemon(far(engine), *SERVING, environ=sshd.environ) as daemon:
        daemon.wait_for_line(f"from engine ssh://engine-host{engine.socket} (docker.host)")
        daemon.eventually(lambda: sorted(daemon.stats()) == names)
        (client,) = sshd.clients()
        os.kill(client, signal.SIGKILL)
        killed = time.time_ns()
        daemon.eventually(lambda: sshd.clients() not in ([], [client]))
        newer = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(killed // 10**9 + 1))
        daemon.eventually(lambda: all(shown["@timestamp"] > newer for shown in daemon.stats().values()))
        assert daemon.terminate() == 0
    assert sshd.clients() == []


def test_a_daemon_that_is_killed_takes_its_ssh_with_it(engine: Engine, sshd: Sshd) -> None:
    with Daemon(far(engine), *SERVING, environ=sshd.environ) as daemon:
        daemon.eventually(sshd.clients)
        daemon.wait_for_line("0 containers to sample")
        daemon.signal(signal.SIGKILL)
        daemon.wait()
        deadline = time.monotonic() + PATIENCE
        while sshd.clients():
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_what_is_wrong_is_one_line_in_sshs_own_words(engine: Engine, sshd: Sshd, tmp_path: Path) -> None:
    path = engine.socket
    wrong = {
        f"ssh://engine-host{path}x": "(as when there is no engine at that socket over there",
        f"ssh://nobody@engine-host{path}": "ssh: nobody@127.0.0.1: Permission denied (publickey).",
        "ssh://nowhere.invalid": "invalid: ssh: Could not resolve hostname nowhere.invalid",
        "ssh://engine-host:1": ":1: ssh: connect to host 127.0.0.1 port 1: Connection refused",
    }
    for url, said in wrong.items():
        done = run_program("check", f"--docker.host={url}", environ=sshd.environ | {"TMPDIR": str(tmp_path)})
        assert (done.code, done.err.count("\n")) == (1, 0), done.err
        assert said in done.out.splitlines()[-1]
        once = run_program("--once", f"--docker.host={url}", environ=sshd.environ | {"TMPDIR": str(tmp_path)})
        assert once.code == 1
        assert list(tmp_path.iterdir()) == []
    without = run_program("check", f"--docker.host=ssh://engine-host{path}", environ={"PATH": str(tmp_path)})
    assert "there is no ssh program here: install an OpenSSH client" in without.out


def test_an_ssh_that_gets_nowhere_is_waited_for_no_longer_than_an_engine_and_leaves_nothing(sshd: Sshd) -> None:
    with Daemon("--docker.host=ssh://stuck-host", *SERVING, environ=sshd.environ) as daemon:
        daemon.eventually(sshd.stuck)
        daemon.wait_for_line("the engine is not there: ssh://stuck-host: no connection within 5 s")
        assert daemon.terminate() == 0
    assert sshd.stuck() == []
