"""The client in programs that end, fork, and start others."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator

import pytest
from support.lines import Sink, StreamSink


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


def run(code: str, address: str, *, expect: int = 0) -> str:
    """Run the code with a client ``c`` of the address that sums up for long; what it said on stderr."""
    begin = "import os, signal, sys\nfrom statspout.client import StatsD\nc = StatsD(period=60)\n"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-c", begin + code],
            env={**os.environ, "STATSPOUT_CLIENT_STATSD": address},
            cwd=folder, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == expect, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("end", "code"),
    [("", 0), ("sys.exit(3)", 3), ("raise KeyError", 1), ("os.kill(os.getpid(), signal.SIGINT)", -2)],
)
def test_what_is_pending_is_sent_at_the_end_of_the_program(sink: Sink, end: str, code: int) -> None:
    run(f"c.count('a'); c.timing('t', 5)\n{end}", sink.address, expect=code)
    assert sink.packets() == ["a:1|c\nt:5|ms"]


@pytest.mark.parametrize("period", [0, 60])
def test_the_end_of_the_program_waits_until_tcp_has_taken_all(period: float) -> None:
    with StreamSink() as sink:
        said = run(f"c.set_period({period})\nfor n in range(500): c.count(f'n{{n}}')", sink.address)
        assert sink.text() == "".join(f"n{n}:1|c\n" for n in range(500))
    assert said == ""


def test_a_name_is_looked_up_before_the_end_of_the_program(sink: Sink) -> None:
    run("c.count('a')", f"localhost:{sink.address.rpartition(':')[2]}")
    assert sink.packets() == ["a:1|c"]


def test_a_program_ends_though_its_server_never_takes_anything() -> None:
    with StreamSink() as sink:
        # Nothing becomes too old to be told meanwhile, however long that takes.
        begin = "from statspout.client import channel\nchannel.STALE = 600\n"
        said = run(f"{begin}for n in range(20000): c.count(f'n{{n:01000}}'); c.flush(0)", sink.address)
    assert said.count("\n") == 2
    assert "counted as full" in said
    assert "counted as unsent" in said


def test_a_child_sends_its_own_and_nothing_of_its_parent(sink: Sink) -> None:
    run(
        """
c.count('parent'); c.gauge_inc('g', 5); c.timing('t', 1); c.count('bad', float('nan'))
for number in range(3):
    if os.fork() == 0:
        assert c._outbox._thread is None and c.lost == {}, (c._outbox._thread, c.lost)
        c.count('child'); c.gauge_inc('g', 1)
        sys.exit()
    os.wait()
c.count('parent')
""",
        sink.address,
    )
    assert Counter(sink.packets()) == {"child:1|c\ng:+1|g": 3, "parent:2|c\ng:+5|g\nt:1|ms": 1}


def test_a_child_has_its_own_socket_and_its_own_thread(sink: Sink) -> None:
    run(
        """
def told():                    # by the client's own thread, at the end of a period
    out = c._outbox
    while out._active or out._awake or out._folding.locked(): pass
c.set_period(0.01); c.count('a'); told()
before = c._outbox.channel._socket
if os.fork() == 0:
    assert c._outbox.channel._socket is not before and before.fileno() == -1
    c.count('b'); told()
    os._exit(0)
c.count('c'); told()
assert os.wait()[1] == 0
""",
        sink.address,
    )
    assert sorted(sink.packets()) == ["a:1|c", "b:1|c", "c:1|c"]


def test_a_child_has_no_part_in_a_connection_that_its_parent_was_about_to_close() -> None:
    with StreamSink() as stream:
        run(
            """
def connections(): return [n for n in os.listdir('/proc/self/fd') if 'socket' in os.path.realpath('/proc/self/fd/' + n)]
c.count('a'); c.flush(); c.set_period(0)
while len(c._outbox.channel._backlog) < 4000: c.count('a' * 1000)    # until the server, which reads nothing, is full
c.set_address(None)
assert len(connections()) == 1
if os.fork() == 0:
    assert connections() == []
    os._exit(0)
assert os.wait()[1] == 0
c.close(0)
""",
            stream.address,
        )


def test_a_fork_in_the_middle_of_many_threads_leaves_the_child_able_to_report(sink: Sink) -> None:
    run(
        f"""
import threading
c.set_address('127.0.0.1:9')   # where nobody reads what the parent says
c.set_period(0)
over = False
def work():
    while not over: c.count('x'); c.gauge_inc('y'); c.flush()
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
for _ in range(30):
    if os.fork() == 0:
        signal.alarm(50)       # a lock that the parent's thread had would be for good
        c.set_address('{sink.address}')
        c.count('child'); c.close()
        os._exit(0)
    assert os.wait()[1] == 0
over = True
for thread in threads: thread.join()
""",
        sink.address,
    )
    assert sink.packets() == ["child:1|c"] * 30


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_of_multiprocessing_sends_what_is_pending_at_its_end(sink: Sink, method: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "program.py")  # noqa: PTH118 - one path in one line
        with open(program, "w") as file:  # noqa: PTH123
            file.write(
                "import multiprocessing, sys\n"
                "from statspout.client import StatsD\n"
                "c = StatsD(period=60)\n"
                "def work(name): c.count(name)\n"
                "if __name__ == '__main__':\n"
                f"    context = multiprocessing.get_context('{method}')\n"
                "    p = context.Process(target=work, args=('child',)); p.start(); p.join(); sys.exit(p.exitcode)\n"
            )
        environ = {**os.environ, "STATSPOUT_CLIENT_STATSD": sink.address}
        subprocess.run([sys.executable, program], env=environ, check=True, timeout=60)
    assert sink.packets() == ["child:1|c"]


def test_a_program_that_was_started_reports_for_itself(sink: Sink) -> None:
    run(
        "c.count('parent')\nimport subprocess\n"
        "other = 'from statspout.client import StatsD; StatsD().count(\"other\")'\n"
        "subprocess.run([sys.executable, '-c', other], check=True)",
        sink.address,
    )
    assert sink.packets() == ["other:1|c", "parent:1|c"]
