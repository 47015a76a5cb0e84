"""The examples do what they say, run as a reader would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import Daemon

from statspout.registry import load
from statspout.testing import FakeEngine

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def engine() -> Iterator[FakeEngine]:
    with FakeEngine() as engine:
        engine.add("calm", cpu=0.1)
        engine.add("busy", cpu=0.9)
        yield engine


def example(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("STATSPOUT_", "DOCKER_"))}
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environ)


def test_a_program_of_ones_own_has_its_repository_among_the_shipped_ones() -> None:
    listed = example("custom_main.py", "repositories").stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["NAME", *sorted([*load().classes, "shout"])]
    assert "--shout.above" in example("custom_main.py", "--help").stdout
    assert "above = 80.0" in example("custom_main.py", "config").stdout
    wrong = example("custom_main.py", "--shout.above=-1")
    assert (wrong.returncode, wrong.stderr) == (2, "statspout: --shout.above: -1 is too small: 0 or more is right\n")


def test_a_program_of_ones_own_runs_with_both(engine: FakeEngine) -> None:
    arguments = ["--repository=shout,rest", "--shout.above=50", "--interval=1", "--rest.address=127.0.0.1:0"]
    with Daemon(
        f"--socket.path={engine.socket_path}", *arguments, program=[str(EXAMPLES / "custom_main.py")]
    ) as daemon:
        daemon.eventually(lambda: "busy USES 90 %!" in daemon.out)
        assert sorted(daemon.stats()) == ["busy", "calm"]
        assert daemon.terminate() == 0
        assert "calm" not in daemon.out


def test_an_application_has_the_numbers_in_its_own_loop(engine: FakeEngine) -> None:
    done = example("embed.py", engine.socket_path)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"busy (89|90|91) %\ncalm (9|10|11) %\n", done.stdout), done.stdout


def test_a_web_application_counts_in_memory_and_the_page_sums_it_up(tmp_path: Path) -> None:
    page = (EXAMPLES.parent / "docs/mmap-stats.md").read_text()
    code = page.partition("summed up over all files:\n\n")[2].partition("\n\n    Counter({")[0].replace("\n    ", "\n")
    environ = {**os.environ, "MMSTATS_PATH": str(tmp_path)}
    with subprocess.Popen([sys.executable, EXAMPLES / "webstats.py"], env=environ) as application:
        try:
            until, out = time.monotonic() + 60, ""
            while out.count(".status.") < 4 or ": 0" in out:
                assert time.monotonic() < until, out
                command = [sys.executable, "-c", code.strip()]
                out = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout
        finally:
            application.kill()
    assert sorted(eval(out, {"Counter": dict})) == [f"web.stats.status.{first}XX" for first in (2, 3, 4, 5)]
    assert len(list(tmp_path.glob("webstats.py-*.mmstats"))) == 4
