"""statspout listen as it is met in a shell: the daemon's own lines checked by it, and what Ctrl-C does."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Daemon, run_program
from support.influxdb import free_port

from statspout.client.dialects import DIALECTS


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_the_daemon_sends_its_server_would_take(dialect: Any) -> None:
    address = f"127.0.0.1:{free_port()}"
    daemon = [sys.executable, "-m", "statspout", "--demo", "--once", "--repository=statsd"]
    told = [f"--statsd.address={address}", f"--statsd.dialect={dialect}"]
    done = run_program(
        "listen", "--validate", f"--dialect={dialect}", f"--address={address}", "--search-for=cpu_percent",
        "--timeout=60", "--", *daemon, *told, timeout=120,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "malformed" not in done.err
    assert all("|g" in line or "|c" in line or "|C" in line for line in done.out.splitlines())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_its_command_and_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "statsd.sock"
    command = ["sh", "-c", "echo begun $$ >&2; exec sleep 60"]
    with Daemon("listen", "--timeout=0", f"--address=unix://{path}", "--", *command) as listening:
        pid = listening.wait_for_line("begun").split()[-1]
        listening.signal(number)
        assert listening.wait() == 128 + number
        assert listening.log.splitlines()[1:] == [f"begun {pid}"]
    assert not path.exists()
    assert not Path("/proc", pid).exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_is_to_be_ignored_does_not_end_it(number: signal.Signals) -> None:
    ignoring = ["sh", "-c", f'trap "" {int(number)}; exec "$@"', "sh"]  # as nohup has it, or a script's &
    sending = "import os; from statspout.client import StatsD"
    sending += f"; os.kill(os.getppid(), {int(number)}); StatsD(period=0, dialect='etsy').count('a')"
    listening = [sys.executable, "-m", "statspout", "listen", "--timeout=60", "--", sys.executable, "-c", sending]
    done = subprocess.run([*ignoring, *listening], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr.splitlines()[1:]) == (0, "a:1|c\n", [])


ENDLESS = """
import contextlib, socket, sys
print(flush=True)
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.connect(("127.0.0.1", int(sys.argv[1])))
while True:
    with contextlib.suppress(ConnectionRefusedError):
        sender.send(b"a:1|c\\n" * 5000)
"""


@pytest.mark.parametrize("command", [[], ["--", "sleep", "1"]])
def test_it_ends_with_what_it_waited_for_though_senders_never_pause(command: list[str]) -> None:
    port = free_port()
    command_of_sender = [sys.executable, "-c", ENDLESS, str(port)]
    senders = [subprocess.Popen(command_of_sender, stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for sender in senders:
            assert sender.stdout is not None
            sender.stdout.readline()
        done = run_program("listen", "--timeout=2", f"--address=127.0.0.1:{port}", *command)
    finally:
        for sender in senders:
            sender.kill()
            sender.communicate()
    assert (done.code, done.out.splitlines()[0]) == (0, "a:1|c")
