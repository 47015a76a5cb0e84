"""The command line, as it is met in a shell: exit codes, what is on stdout, what is on stderr, signals."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from support.daemon import run_program
from support.plugins import BOOK_AND_VAULT, SECRET

from statspout import __version__
from statspout.cmd.main import main
from statspout.instances import shown
from statspout.options import settings_of
from statspout.registry import load
from statspout.settings import Settings
from statspout.testing import FakeEngine

NAMES = ["cache", "db", "web"]
SHIPPED = sorted(load().classes)

PLUGINS = (
    BOOK_AND_VAULT
    + '''
class Numbered(Repository):
    """Take a token that is a number."""
    name = "numbered"
    token: str = option(secret=True, help="The token.")

    def __post_init__(self):
        int(self.token)

    def push(self, batch): ...

class Driver(Repository):
    """Miss something of its own."""
    name = "driver"

    def __post_init__(self):
        raise RuntimeError("there is no driver")

    def push(self, batch): ...

class Wordy(Repository):
    """Say it at length."""
    name = "wordy"

    def __post_init__(self):
        raise ValueError("first\\nsecond")

    def push(self, batch): ...

class Lamp(LiveRepository):
    """Fail to open, at length, with its secret."""
    name = "lamp"
    token: str = option(secret=True, help="The token.")

    def open(self):
        raise OSError(f"no light\\nfor {self.token}")

    def push(self, batch): ...

    def routes(self):
        return []

class Maze(LiveRepository):
    """Have no way through."""
    name = "maze"

    def push(self, batch): ...

    def routes(self):
        raise RuntimeError("no way")
'''
)


@pytest.fixture(autouse=True)
def _our_environment_and_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith(("STATSPOUT_", "DOCKER_"))]:
        monkeypatch.delenv(name)
    logger = logging.getLogger("statspout")
    before = logger.handlers, logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate = before[:2]
    logger.setLevel(before[2])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the plugins and the secret are."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "plugins.py").write_text(PLUGINS)
    (folder / "syntax.py").write_text("def (")
    (folder / "raises.py").write_text("raise ImportError('no module\\nat all')")
    (folder / "exits.py").write_text("import sys\nsys.exit(3)")
    (folder / "secret").write_text(f"{SECRET}\n")
    return folder


@pytest.fixture(scope="module")
def engine() -> Iterator[FakeEngine]:
    with FakeEngine() as engine:
        for name in NAMES:
            engine.add(name, cpu=0.5)
        yield engine


# Wrong settings

PLUGIN = "--plugin={files}/plugins.py:"
WRONG = {
    "unknown flag": (["--intervall=1"], "--intervall: there is no such flag: did you mean --interval?"),
    "unlike every flag": (["--nonsense=1"], "--nonsense: there is no such flag: --help lists them"),
    "unknown short flag": (["-x"], "-x: there is no such flag: --help lists them"),
    "unknown repository": (
        ["--repository=sdtout"],
        "--repository: there is no repository 'sdtout': did you mean stdout?",
    ),
    "no repository": (["--repository=,"], f"--repository: it is empty: one of {', '.join(SHIPPED)} is right"),
    "repository twice": (["--repository=rest,rest"], "--repository: rest is named twice: once is right"),
    "no number": (["--interval=soon"], "--interval: 'soon' is wrong: a number is right"),
    "not a number": (["--interval=nan"], "--interval: 'nan' is wrong: a number is right"),
    "too small": (["--interval=0"], "--interval: 0 is too small: 0.1 or more is right"),
    "no whole number": (["--daemons=1.5"], "--daemons: '1.5' is wrong: a whole number is right"),
    "no value": (["--interval"], "--interval: a value is missing: --interval=VALUE is right"),
    "given twice": (["--interval=1", "--interval=2"], "--interval: it is given twice: once is right"),
    "no choice": (["--mode=tcp"], "--mode: 'tcp' is wrong: socket or http is right"),
    "no level": (["--log.level=loud"], "--log.level: 'loud' is wrong: debug or info or warning or error is right"),
    "no log format": (["--log.format=xml"], "--log.format: 'xml' is wrong: text or json is right"),
    "no bool": (["--once=perhaps"], "--once: 'perhaps' is wrong: true or false is right"),
    "unknown command": (
        ["chek"],
        "there is no command 'chek': check, config, health, listen, repositories, or none, is right",
    ),
    "one argument too many": (["check", "rest"], "unexpected argument 'rest': flags are written --name=value"),
    "no host and port": (
        ["--repository=rest", "--rest.address=nonsense"],
        "--rest.address: 'nonsense' is wrong: host:port",
    ),
    "no port": (
        ["--repository=rest", "--rest.address=127.0.0.1:65536"],
        "--rest.address: '127.0.0.1:65536' is wrong: host:p",
    ),
    "no health port": (
        ["--health.address=8081"],
        "--health.address: '8081' is wrong: host:port such as 127.0.0.1:8080",
    ),
    "not our address": (["--repository=rest", "--rest.address=192.0.2.1:0"], "an address of this machine is right"),
    "no path": (
        ["--repository=rest", "--rest.path=/{name}"],
        "--rest.path: '/{name}' is wrong: a path such as /stats is",
    ),
    "no engine address": (
        ["--mode=http", "--http.address=localhost"],
        "--http.address: 'localhost' is wrong: host:port such",
    ),
    "no socket": (["--socket.path="], "--socket.path: it is empty: a path such as /var/run/docker.sock is right"),
    "no filter": (["--filter.include=nmae=web"], "--filter.include: 'nmae=web' is wrong: did you mean name=web?"),
    "no state": (
        ["--filter.exclude=state=pausd"],
        "--filter.exclude: 'state=pausd' is wrong: did you mean state=paused?",
    ),
    "no configuration": (["--config=/nowhere.toml"], "--config: /nowhere.toml cannot be read: No such file"),
    "no plugin class": (["--plugin=plugins.py"], "--plugin plugins.py: file.py:Class is right"),
    "missing plugin": (["--plugin={files}/missing.py:Book"], "missing.py:Book: there is no file"),
    "missing class": ([PLUGIN + "Bok"], "plugins.py has no Bok, did you mean Book?"),
    "not a repository": ([PLUGIN + "pathlib"], "pathlib is not a subclass of statspout.Repository"),
    "plugin with a wrong syntax": (
        ["--plugin={files}/syntax.py:Book"],
        "syntax.py:Book: it does not import: SyntaxError",
    ),
    "plugin that does not import": (
        ["--plugin={files}/raises.py:Book"],
        "raises.py:Book: it does not import: ImportError",
    ),
    "plugin that exits": (["--plugin={files}/exits.py:Book"], "exits.py:Book: it does not import: SystemExit: 3"),
    "plugin without a setting": (
        [PLUGIN + "Book", "--repository=book"],
        "needs --book.path (or STATSPOUT_BOOK_PATH, or path under [book]",
    ),
    "plugin that does not construct": (
        [PLUGIN + "Driver", "--repository=driver"],
        "repository driver: RuntimeError: there is",
    ),
    "plugin of many words": ([PLUGIN + "Wordy", "--repository=wordy"], "repository wordy: ValueError: first second"),
    "plugin without routes": ([PLUGIN + "Maze", "--repository=maze"], "repository maze: RuntimeError: no way"),
    "plugin that complains of a secret": (
        [PLUGIN + "Numbered", "--repository=numbered", "--numbered.token-file={files}/secret"],
        "repository numbered: ValueError: invalid literal for int() with base 10: '***'",
    ),
    "live plugin that does not open": (
        [PLUGIN + "Lamp", "--repository=lamp", "--lamp.address=127.0.0.1:0", "--lamp.token-file={files}/secret"],
        "repository lamp: OSError: no light for ***",
    ),
    "plugin of too long a name": (
        [f"--plugin={'n' * 300}.py:X"],
        "n.py cannot be read: File name too long",
    ),
    "spool of too long a name": (
        ["--repository=webhook", "--webhook.url=http://x", f"--spool.dir={'n' * 300}"],
        "n cannot be made: File name too long",
    ),
    "missing secret": (
        [PLUGIN + "Vault", "--repository=vault", "--vault.token-file=/nowhere"],
        "--vault.token-file: /nowhere cannot be read: No such file",
    ),
    "secret as a flag": (
        [PLUGIN + "Vault", "--vault.token=x"],
        "--vault.token: there is no such flag: did you mean --vault.to",
    ),
    "equal paths": (
        ["--repository=rest,prometheus", "--rest.path=/metrics"],
        "--rest.address, --prometheus.address: rest and prometheus would both serve /metrics at 127.0.0.1:8080: ano",
    ),
    "equal paths with health": (
        ["--repository=prometheus", "--health.address=127.0.0.1:8080"],
        "--prometheus.address, --health.address: prometheus and health would both serve /metrics at 127.0.0.1:8080: a",
    ),
    "once, and nobody stores": (
        ["--once", "--repository=rest,prometheus"],
        "--once: live values end with the program: a repository that stores, as stdout, is right",
    ),
    "several lines": (["--repository=two\nlines"], "--repository: there is no repository 'two\\nlines': there are"),
}
"""Forty and more: what was given, and what is said of it: which setting, and what would be right."""


def refusal(capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> str:
    """The one line that the program ends with."""
    code = main(arguments)
    out, err = capsys.readouterr()
    assert (code, out) == (2, ""), err
    assert err.startswith("statspout: ")
    assert len(err.splitlines()) == 1, err
    assert SECRET not in err
    return err


@pytest.mark.parametrize(("arguments", "what"), WRONG.values(), ids=WRONG)
def test_each_of_forty_wrong_inputs_is_one_line_and_exit_code_2(
    arguments: list[str], what: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Not str.format: a path may have braces of its own.
    assert what in refusal(capsys, [argument.replace("{files}", str(files)) for argument in arguments])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DOCKER_API_VERSION", "abc"),
        ("STATSPOUT_INTERVAL", "soon"),
        ("STATSPOUT_REPOSITORY", "sdtout"),
        ("STATSPOUT_STDOUT_FORMAT", "xml"),
    ],
)
def test_a_wrong_variable_is_one_line_and_exit_code_2(
    name: str, value: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    line = refusal(capsys, [])
    assert value in line
    assert name in line or name == "STATSPOUT_REPOSITORY"


@pytest.mark.parametrize("taker", ["rest", "prometheus", "health"])
def test_a_port_that_is_taken_is_one_line_and_exit_code_2(taker: str, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        repository = "stdout" if taker == "health" else taker
        address = f"--{taker}.address=127.0.0.1:{other.getsockname()[1]}"
        line = refusal(capsys, [f"--repository={repository}", address])
    assert line.startswith(f"statspout: --{taker}.address: 127.0.0.1:")
    assert "in use" in line


@pytest.mark.parametrize("name", ["no host and port", "equal paths", "no engine address", "once, and nobody stores"])
def test_check_finds_what_a_run_would_find(name: str, engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, what = WRONG[name]
    assert what in refusal(capsys, ["check", f"--socket.path={engine.socket_path}", *arguments])


# The small commands


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command that ends well prints."""
    code = main(arguments)
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    return out


@pytest.mark.parametrize("flag", ["--help", "-h", "-help"])
def test_help_shows_every_setting(
    flag: str, files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    words = printed(capsys, flag, f"--plugin={files}/plugins.py:Vault").split()
    everywhere = shown(load([f"{files}/plugins.py:Vault"])).values()
    settings = [*settings_of(Settings), *(setting for group in everywhere for setting in group)]
    assert len(settings) > 15
    assert [setting.flag for setting in settings if setting.flag not in words] == []


@pytest.mark.parametrize("command", ["check", "config", "health", "listen", "repositories"])
def test_the_help_of_a_command_is_about_it_and_fits_a_screen(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, command, "--help")
    assert text.startswith(f"Usage: statspout {command} [OPTIONS]")
    assert len(text.splitlines()) < 24


def test_help_is_a_word_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "help", "check") == printed(capsys, "check", "--help")
    assert printed(capsys, "help") == printed(capsys, "--help")


def test_version_is_the_packages_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "--version") == printed(capsys, "-version") == f"statspout {__version__}\n"


def test_repositories_lists_what_can_be_selected(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [line.split() for line in printed(capsys, "repositories").splitlines()]
    assert [row[0] for row in rows] == ["NAME", *SHIPPED]
    with_plugin = printed(capsys, "repositories", f"--plugin={files}/plugins.py:Book")
    assert "book        -        Note each sample in a file" in with_plugin


def test_check_says_what_would_run(engine: FakeEngine, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(
        capsys,
        "check", f"-socket.path={engine.socket_path}", "-interval=3", "-repository=rest,vault",
        f"--plugin={files}/plugins.py:Vault", f"--vault.token-file={files}/secret",
    )  # fmt: skip
    lines = [line.split(maxsplit=1) for line in shown.splitlines()]
    assert lines[0] == ["interval", "3 s"]
    assert [line[1] for line in lines if line[0] == "repository"][1] == "vault: vault.token=***"
    assert lines[-1][0] == "engine"
    assert lines[-1][1].endswith("3 running containers")
    assert SECRET not in shown


def test_check_without_an_engine_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--socket.path=/nowhere/docker.sock"]) == 1
    assert "engine        unix:///nowhere/docker.sock: No such file" in capsys.readouterr().out


def test_the_installed_command_and_the_module_are_the_same_program() -> None:
    command = [str(Path(sys.executable).with_name("statspout")), "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == run_program("--version").out


def test_its_process_is_called_as_docs_operating_says_to_look_for_it() -> None:
    assert "pkill -HUP -x statspout" in (Path(__file__).parents[2] / "docs/operating.md").read_text()
    command = [str(Path(sys.executable).with_name("statspout")), "--demo"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as program:
        assert program.stderr is not None
        program.stderr.readline()  # it runs
        assert Path(f"/proc/{program.pid}/comm").read_text() == "statspout\n"
        program.terminate()


def test_a_fault_of_our_own_is_told_with_its_traceback_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> int:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("statspout.program.run_daemon", fails)
    assert main(["--demo"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "CRITICAL it ends by a fault of its own: RuntimeError('unforeseen')\n    Traceback" in err


WITH_PYDANTIC = """
import sys, pydantic
from statspout.config import configure
found = configure(sys.argv[1:], {})
print(found.settings.interval, found.settings.ignore, found.settings.demo, found.settings.web_token)
"""


def test_a_program_that_has_loaded_pydantic_reads_the_same_flags(tmp_path: Path) -> None:
    # The parser checks what our converters made by it, where it is there.
    (tmp_path / "token").write_text("5f1c")
    flags = ["--interval=3", "--ignore=a,b", "--demo", f"--web.token-file={tmp_path / 'token'}"]
    done = subprocess.run([sys.executable, "-c", WITH_PYDANTIC, *flags], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("3.0 ('a', 'b') True 5f1c\n", "")
