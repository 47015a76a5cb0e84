"""The tools for statistics files as they are installed, on files of real processes that count, fork and are killed."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority
from support.daemon import Daemon
from support.mmstats import Laid, laid
from support.terminal import Terminal
from support.tools import Writer, environment, run_tool, tool
from support.web import Client

THREE = """
stats.requests.incr(3); stats.took.add(0.5); stats.up = True; stats.note = "\\x1b[31m<b>"
def work():
    stats.requests.incr(20); time.sleep(600)
for _ in range(2): threading.Thread(target=work, daemon=True).start()
while sum(f"-{os.getpid()}-" in name for name in os.listdir(os.environ["MMSTATS_PATH"])) < 3: time.sleep(0.01)
"""
"""A process with three threads that count, each in a file of its own."""


def where(folder: Path) -> dict[str, str]:
    return {"MMSTATS_PATH": str(folder)}


def slurped(folder: Path) -> list[dict[str, Any]]:
    done = run_tool("slurpstats", "--json", environ=where(folder))
    assert done.err == ""
    return [told["stats"] for told in json.loads(done.out)]


def test_slurpstats_shows_what_a_process_and_its_threads_count(tmp_path: Path) -> None:
    with Writer(tmp_path, THREE) as writer:
        told = slurped(tmp_path)
        assert sorted(stats["web.stats.requests"] for stats in told) == [3, 20, 20]
        assert {stats["web.stats.sys.pid"] for stats in told} == {writer.pid}
        assert len({stats["web.stats.sys.tid"] for stats in told}) == 3
        text = run_tool("slurpstats", environ=where(tmp_path)).out
    assert text.count("==> ") == 3
    assert "  web.stats.note               \\x1b[31m<b>\n" in text


@pytest.mark.parametrize("arguments", [["slurpstats"], ["slurpstats", "--watch=0.05"], ["pollstats", "-d0.05", "x"]])
def test_who_has_read_enough_ends_them_quietly(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.mmstats").write_bytes(laid([Laid(b"label%d" % n, "Q", 1, (n, 0)) for n in range(5000)]))
    command = [tool(arguments[0]), *arguments[1:]]
    with subprocess.Popen(
        command, env=environment(where(tmp_path)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (0, b"")


COUNTING = """
def work():
    while True: stats.requests.incr(); time.sleep(0.01)
threading.Thread(target=work, daemon=True).start()
"""


def requests(screen: Sequence[str]) -> list[str]:
    return [line for line in screen if line.startswith("  web.stats.requests")]


@pytest.mark.parametrize("command", ["slurpstats", "pollstats -c 1 web.stats.requests", "cleanstats -n"])
@pytest.mark.parametrize(("closed", "code"), [(">&-", 0), ("2>&-", 0), (">&- 2>&-", 0), ("</dev/null >/dev/full", 1)])
def test_output_that_goes_nowhere_is_no_traceback(closed: str, code: int, command: str, tmp_path: Path) -> None:
    with Writer(tmp_path, "stats.requests.incr(5)"):
        line = f"{tool(command.split()[0])} {command.partition(' ')[2]} '{tmp_path}/*.mmstats' {closed}"
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False)
        assert len(list(tmp_path.iterdir())) == 1


def test_a_watch_on_a_terminal_changes_in_place_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    with Writer(tmp_path, COUNTING), Terminal(columns=60, lines=8) as terminal:
        terminal.type(f"clear; MMSTATS_PATH={tmp_path} {tool('slurpstats')} --watch=0.05")
        terminal.until(lambda: (now := terminal.screen)[0].startswith("==> /") and now[6] == "... 18 more lines")
        terminal.resize(100, 30)
        shown = terminal.until(lambda: requests(terminal.screen))
        terminal.until(lambda: (now := requests(terminal.screen)) and now != shown)
        terminal.until(lambda: terminal.screen[0].startswith("==> /"))
        terminal.press("C-c")
        terminal.until(lambda: terminal.ended and terminal.as_found)


def test_a_watch_goes_on_while_files_come_and_go_and_ends_with_0_by_ctrl_c(tmp_path: Path) -> None:
    command = [tool("slurpstats"), "--json", "--watch=0.02"]
    with subprocess.Popen(command, env=environment(where(tmp_path)), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == []
        with Writer(tmp_path, "stats.requests.incr(5)"):
            # Its file is there before its number is.
            while [told["stats"]["web.stats.requests"] for told in json.loads(process.stdout.readline())] != [5]:
                pass
        while json.loads(process.stdout.readline()):
            pass
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(60) == 0


def test_pollstats_counts_each_once_while_threads_end_and_processes_begin_anew(tmp_path: Path) -> None:
    storm = """
def work():
    for _ in range(10): stats.requests.incr(); time.sleep(0.001)
for _ in range(40):
    threads = [threading.Thread(target=work) for _ in range(5)]
    [t.start() for t in threads]; [t.join() for t in threads]
"""
    command = [tool("pollstats"), "--json", "--delay=0.02", "web.stats.requests"]
    with subprocess.Popen(command, env=environment(where(tmp_path)), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        changes = [changed(process.stdout.readline())]
        with Writer(tmp_path, storm), Writer(tmp_path, storm):
            while sum(changes) < 2 * 40 * 5 * 10:
                changes.append(changed(process.stdout.readline()))
            changes += [changed(process.stdout.readline()) for _ in range(10)]
        process.send_signal(signal.SIGINT)
        changes += map(changed, process.stdout.read().splitlines())
        assert process.wait(60) == 0
    assert min(changes) >= 0
    assert sum(changes) == 2 * 40 * 5 * 10


def changed(line: str) -> float:
    """What a line of pollstats says of the counter; 0 where it knows nothing."""
    change: float | None = json.loads(line)["fields"]["web.stats.requests"]
    return change or 0


def test_cleanstats_removes_what_a_killed_process_left_and_nothing_of_the_living(tmp_path: Path) -> None:
    with Writer(tmp_path, THREE), Writer(tmp_path, THREE) as killed:
        killed.kill()
        done = run_tool("cleanstats", "--dry-run", environ=where(tmp_path))
        assert done.out.splitlines()[-1] == "Would remove 3  -  3 alive"
        done = run_tool("cleanstats", environ=where(tmp_path))
        assert done.out.splitlines()[-1] == "Removed 3  -  3 alive"
        assert done.out.count(f"PID {killed.pid} not found. Deleting {tmp_path}/") == 3
        assert len(slurped(tmp_path)) == 3
    assert list(tmp_path.iterdir()) == []
    assert run_tool("cleanstats", environ=where(tmp_path)).out == "Removed 0  -  0 alive\n"


AS_NOBODY = """
import gettext, locale, os, shutil, sys  # what is loaded later could not be: it is root's
from statspout.cmd import cleanstats, slurpstats
from statspout.client.mmap import model, reader
os.setuid(65534)
sys.exit(cleanstats.main(sys.argv[1:]))
"""


def test_cleanstats_leaves_a_living_process_of_another_user_alone(tmp_path: Path) -> None:
    if os.getuid():
        pytest.skip("needs another user: run it as root")
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents[:-2]:
        folder.chmod(folder.stat().st_mode | 0o055)
    with Writer(tmp_path, "stats.requests.incr()") as writer:
        # As another library has it, too: its files are not locked.
        fields = [Laid(b"sys.pid", "I", 255, (writer.pid,)), Laid(b"sys.created", "d", 255, (time.time(),))]
        (tmp_path / "other.mmstats").write_bytes(laid(fields))
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, f"{tmp_path}/*"], capture_output=True, text=True, check=False
        )
        assert (done.stdout, done.stderr) == ("Removed 0  -  2 alive\n", "")


def test_children_of_a_fork_are_known_by_their_own_ids(tmp_path: Path) -> None:
    fork = """
child = os.fork()
if child == 0:
    stats.requests.incr(7); os.kill(os.getpid(), 9)
os.waitpid(child, 0); stats.requests.incr(1)
"""
    with Writer(tmp_path, fork) as parent:
        counted = {stats["web.stats.sys.pid"] == parent.pid: stats["web.stats.requests"] for stats in slurped(tmp_path)}
        assert counted == {True: 1, False: 7}
        assert run_tool("cleanstats", environ=where(tmp_path)).out.splitlines()[-1] == "Removed 1  -  1 alive"


class Mmash(Daemon):
    """The server on a free port of the loopback."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        environ = environment(where(folder))
        super().__init__("--address=127.0.0.1:0", *arguments, environ=environ, program=(tool("mmash"),))

    def client(self, context: ssl.SSLContext | None = None) -> Client:
        found = re.search(r"127\.0\.0\.1:(\d+)$", self.wait_for_line(" address: http"))
        assert found is not None
        return Client(int(found[1]), context)


def test_mmash_serves_what_a_process_counts_now_and_ends_by_a_signal(tmp_path: Path) -> None:
    with Mmash(tmp_path) as mmash:
        client = mmash.client()
        assert client.ask("/stats/").json() == {"stats": []}
        with Writer(tmp_path, THREE):
            assert client.ask("/stats/web.stats.requests?exact=1&aggr=sum").json() == {"web.stats.requests": 43}
            assert sorted(client.ask("/stats/web.stats.requests").json()["web.stats.requests"]) == [3, 20, 20]
            assert len(client.ask("/files/").json()["files"]) == 3
        assert client.ask("/stats/").json() == {"stats": []}
        assert mmash.terminate() == 0
        assert [line.split(" ", 3)[2:] for line in mmash.log.splitlines()][1:] == []


def test_mmash_answers_by_https_and_only_who_sends_the_token(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    (tmp_path / "token").write_text("5f1c-token\n")
    tls = [f"--web.tls-cert={authority.cert('server')}", f"--web.tls-key={authority.key('server')}"]
    with Mmash(tmp_path, *tls, f"--web.token-file={tmp_path / 'token'}") as mmash:
        client = mmash.client(ssl.create_default_context(cafile=str(authority.ca)))
        assert [client.ask(path).status for path in ("/", "/graph/", "/mmash.js", "/stats/")] == [401] * 4
        assert client.ask("/stats/", headers={"Authorization": "Bearer 5f1c-token"}).status == 200
        assert "5f1c-token" not in mmash.log


def test_mmash_says_what_is_wrong_with_its_address_in_one_line(tmp_path: Path) -> None:
    with Mmash(tmp_path) as mmash:
        address = f"127.0.0.1:{mmash.client().port}"
        done = run_tool("mmash", f"--address={address}", environ=where(tmp_path))
        assert (done.code, done.err) == (
            2,
            f"mmash: --address: {address} cannot be listened on: address already in use: another port is right\n",
        )


ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/mmap-tools.md").read_text()


def shown(command: str) -> str:
    """What the page shows under a command, of which this is the beginning."""
    found = re.search(rf"^    \$ {re.escape(command)}.*\n((?:    (?!\$ ).*\n)+)", PAGE, re.MULTILINE)
    assert found is not None
    return re.sub(r"^    ", "", found[1], flags=re.MULTILINE)


def shape(text: str) -> str:
    """The text without what is another one each time; columns and spaces stay."""
    text = re.sub(r"/tmp/\S*/(?=webstats)", "/tmp/", text)
    text = re.sub(r"(python\.version) .*", r"\1", text)
    text = re.sub(r" +\d+(?= (?:\||$))", lambda found: "#" * len(found[0]), text, flags=re.MULTILINE)  # a column
    return re.sub(r"\d+(\.\d+)?", "0", text)


def counted(folder: Path) -> list[int]:
    return [stats["web.stats.status.2XX"] for stats in slurped(folder)]


@pytest.fixture
def webstats(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The program of the page, once all of its threads count, and its folder."""
    command = [sys.executable, str(ROOT / "examples/webstats.py")]
    with subprocess.Popen(command, env=environment(where(tmp_path))) as process:
        try:
            while len(list(tmp_path.glob("*.mmstats"))) < 4 or min(sorted(counted(tmp_path))[1:]) == 0:
                assert process.poll() is None
            yield process, tmp_path
        finally:
            process.kill()


def test_the_page_shows_what_slurpstats_and_pollstats_print(webstats: tuple[subprocess.Popen[bytes], Path]) -> None:
    _, folder = webstats
    first = run_tool("slurpstats", environ=where(folder)).out.split("\n\n")[0]
    assert shape(first) == shape(shown("slurpstats").rstrip("\n"))
    arguments = re.findall(r"\$ pollstats (.*)", PAGE)[0].split()
    polled = run_tool("pollstats", "-d0.05", *arguments, environ=where(folder)).out
    assert shape(polled) == shape(shown("pollstats"))


def test_the_page_shows_what_mmash_answers(webstats: tuple[subprocess.Popen[bytes], Path]) -> None:
    with Mmash(webstats[1]) as mmash:
        client = mmash.client()
        for path in re.findall(r"curl -s 'http://[\d.:]+(/.*)'", PAGE):
            told = client.ask(path).body.decode() + "\n"
            assert re.sub(r"\d+", "0", told) == re.sub(r"\d+", "0", shown(f"curl -s 'http://127.0.0.1:5002{path}'"))


def test_the_page_shows_what_cleanstats_prints(webstats: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, folder = webstats
    process.kill()
    process.wait()
    assert shape(run_tool("cleanstats", environ=where(folder)).out) == shape(shown("cleanstats"))
