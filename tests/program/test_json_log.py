"""With ``--log.format=json``, whatever the daemon writes on stderr is one object a line, whoever it comes from."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Daemon, run_program

from statspout.loglines import ABOUT
from statspout.testing import FakeEngine

ALWAYS = {"time", "level", "logger", "message"}
KEYS = [*ALWAYS, *ABOUT, "traceback"]

TROUBLE = '''
import asyncio, logging, threading, warnings
from statspout import Repository

class Odd:
    def __del__(self):
        raise ValueError("at its end")

class Trouble(Repository):
    """Whatever foreign code can do to a log."""
    name = "trouble"
    flush_interval = 0

    def push(self, batch):
        logging.getLogger("theirs").warning("of %s\\nand more", "a library")
        logging.getLogger("theirs").error("of %d", "no number")
        warnings.warn("this is old", stacklevel=1)
        threading.Thread(target=lambda: 1 / 0, name="side").start()
        Odd()
        raise RuntimeError("no\\nstore")

class Loose(Repository):
    """A task that nobody waits for."""
    name = "loose"
    flush_interval = 0

    async def push(self, batch):
        async def fails():
            raise LookupError("unheard")
        asyncio.create_task(fails())
'''


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """What a daemon wrote that met every kind of trouble, from its start to its end."""
    plugin = tmp_path_factory.mktemp("plugin") / "trouble.py"
    plugin.write_text(TROUBLE)
    with FakeEngine() as engine, socket.create_server(("127.0.0.1", 0)) as nobody:
        for name in ("web", "db"):
            engine.add(name)
        engine.fault("db", "error")
        flags = [f"--plugin={plugin}:Trouble,{plugin}:Loose", "--repository=trouble,loose,influxdb:far,rest"]
        flags += [f"--influxdb.far.url=http://127.0.0.1:{nobody.getsockname()[1]}", "--influxdb.far.database=x"]
        flags += ["--influxdb.far.timeout=0.5", "--rest.address=127.0.0.1:0", "--interval=1", "--collector=engine"]
        with Daemon(
            f"--socket.path={engine.socket_path}", "--log.format=json", *flags, environ={"STATSPOUT_REPOSITROY": "x"}
        ) as daemon:
            for text in ("container db", "influxdb:far: open failed", "trouble: push failed", "unheard", "thread side"):
                daemon.wait_for_line(text)
            engine.stop()
            daemon.wait_for_line("the engine is not there")
            daemon.terminate()
            yield [json.loads(line) for line in daemon.log.splitlines()]


def one(lines: list[dict[str, Any]], text: str) -> dict[str, Any]:
    """The first line with this in its message."""
    return next(line for line in lines if text in line["message"])


def test_every_line_is_an_object_with_the_documented_keys_in_their_order(lines: list[dict[str, Any]]) -> None:
    for line in lines:
        assert line.keys() >= ALWAYS
        assert list(line) == [key for key in ("time", "level", "logger", "message", *KEYS[4:]) if key in line]
        assert all(isinstance(value, str) and value for value in line.values())
    documented = Path(__file__).parents[2].joinpath("docs/operating.md").read_text()
    assert [key for key in KEYS if f"| `{key}` |" not in documented] == []


@pytest.mark.parametrize(
    ("text", "level", "logger", "about"),
    [
        ("STATSPOUT_REPOSITROY is no setting", "warning", "statspout", {}),
        ("repository influxdb:far: ", "info", "statspout", {"repository": "influxdb:far"}),
        (
            "container db: ",
            "warning",
            "statspout.collector",
            {"engine": "unix:", "container": "db", "error": "Refused: "},
        ),
        ("the engine is not there", "warning", "statspout.discovery", {"engine": "unix:", "error": "EngineDown: "}),
        (
            "influxdb:far: open failed",
            "warning",
            "statspout.delivery",
            {"repository": "influxdb:far", "error": "RepositoryError: "},
        ),
        ("trouble: push failed", "error", "statspout.delivery", {"repository": "trouble", "error": "RuntimeError: no"}),
        ("of a library\nand more", "warning", "theirs", {"repository": "trouble"}),
        ("of %d (its arguments do not fit", "error", "theirs", {"repository": "trouble"}),
        ("UserWarning: this is old (", "warning", "py.warnings", {"repository": "trouble"}),
        ("the thread side ended", "error", "py.threads", {"error": "ZeroDivisionError: "}),
        ("xception ignored in", "error", "py.unraisable", {"repository": "trouble", "error": "ValueError: at its end"}),
        ("Task exception was never retrieved", "error", "asyncio", {"error": "LookupError: unheard"}),
        ("SIGTERM", "info", "statspout", {}),
    ],
)
def test_a_line_says_whom_it_is_about(
    text: str, level: str, logger: str, about: dict[str, str], lines: list[dict[str, Any]]
) -> None:
    line = one(lines, text)
    assert (line["level"], line["logger"]) == (level, logger)
    assert {key: line[key][: len(about.get(key, ""))] for key in ABOUT if key in line} == about


def test_a_traceback_is_in_its_line(lines: list[dict[str, Any]]) -> None:
    for text in ("trouble: push failed", "the thread side ended", "Task exception was never retrieved"):
        assert one(lines, text)["traceback"].startswith("Traceback (most recent call last):\n")


@pytest.mark.parametrize("way", ["flag", "variable", "file", "file and flag", "broken file"])
def test_a_wrong_setting_is_such_a_line_too(way: str, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[log\n" if way == "broken file" else 'intervall = 1\n[log]\nformat = "json"\n')
    flags = {
        "flag": ["--log.format=json", "--interval=x"],
        "variable": ["--repository=nosuch"],
        "file": [f"--config={file}"],
        "file and flag": [f"--config={file}", "--log.format=text"],
        "broken file": [f"--config={file}", "-log.format", "json"],
    }[way]
    done = run_program(*flags, environ={"STATSPOUT_LOG_FORMAT": "json"} if way == "variable" else {})
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    if way == "file and flag":
        assert done.err.startswith(f"statspout: {file}: intervall: ")
    else:
        line = json.loads(done.err)
        assert (line.keys(), line["level"], line["logger"]) == (ALWAYS, "error", "statspout")
