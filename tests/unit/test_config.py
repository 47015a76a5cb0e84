"""Flags and variables become settings; what is wrong is one line that names it and says what is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from statspout import ConfigError
from statspout.config import configure, placed
from statspout.registry import load
from statspout.settings import Settings

SHIPPED = sorted(load().classes)

PLUGIN = '''
from typing import Literal
from statspout import Repository, option

class Graphite(Repository):
    """Write to Graphite."""
    name = "graphite"
    aliases = ("carbon",)
    host: str = option(help="Carbon host.")
    port: int = option(default=2003, minimum=1, help="Carbon port.")
    mode: Literal["line", "pickle"] = option(default="line", help="Protocol.")
    token: str = option(default="", secret=True, help="A token.")

    def push(self, batch): ...
'''


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    path = tmp_path / "plugin.py"
    path.write_text(PLUGIN)
    return f"{path}:Graphite"


def settings(*argv: str, **environ: str) -> Settings:
    return configure(argv, environ).settings


@pytest.mark.parametrize(
    ("argv", "field", "value"),
    [
        (["--interval=3"], "interval", 3.0),
        (["-interval=3"], "interval", 3.0),
        (["--interval", "3"], "interval", 3.0),
        (["--ignore=nginx, kibana"], "ignore", ("nginx", "kibana")),
        (["--ignore=a", "--ignore=b,c"], "ignore", ("a", "b", "c")),
        (["--repository=rest,prometheus"], "repository", ("rest", "prometheus")),
        (["--socket.path=/x"], "socket_path", "/x"),
        (["-mode=http", "-http.address=localhost:4243"], "http_address", "localhost:4243"),
        (["--daemons=10"], "daemons", 10),
        (["--once"], "once", True),
        (["--once=false"], "once", False),
        ([], "daemons", None),
    ],
)
def test_flags_are_read(argv: list[str], field: str, value: Any) -> None:
    assert getattr(settings(*argv), field) == value


def test_a_flag_goes_before_a_variable_and_a_variable_before_the_default() -> None:
    environ = {"STATSPOUT_INTERVAL": "7", "STATSPOUT_LOG_LEVEL": ""}
    assert settings(**environ).interval == 7
    assert settings("--interval=3", **environ).interval == 3
    assert settings(**environ).log_level == "info"


def test_a_plugins_options_are_settings_like_any_other(plugin: str) -> None:
    argv = [f"--plugin={plugin}", "--repository=carbon", "--graphite.host=a", "--carbon.port=9"]
    (repository,) = configure(argv, {"STATSPOUT_CARBON_MODE": "pickle"}).repositories
    assert [getattr(repository, name) for name in ("host", "port", "mode")] == ["a", 9, "pickle"]


def test_a_secret_comes_from_a_file_or_the_environment_and_is_never_shown(plugin: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter22\n")
    argv = [f"--plugin={plugin}", "--repository=graphite", "--graphite.host=a"]
    for extra, environ in (
        ([f"--graphite.token-file={tmp_path / 'token'}"], {}),
        ([], {"STATSPOUT_GRAPHITE_TOKEN": "hunter22"}),
        ([], {"STATSPOUT_GRAPHITE_TOKEN_FILE": str(tmp_path / "token")}),
    ):
        (repository,) = configure([*argv, *extra], environ).repositories
        assert repository.token == "hunter22"  # type: ignore[attr-defined]  # the plugin's own field
        assert "hunter22" not in repr(repository)


def test_an_option_of_a_repository_that_is_not_selected_is_no_error() -> None:
    assert configure(["--rest.path=/x"], {"STATSPOUT_PROMETHEUS_ADDRESS": ":8080"}).repositories[0].name == "stdout"


G = ["--repository=graphite", "--graphite.host=a"]


@pytest.mark.parametrize(
    ("argv", "environ", "said"),
    [
        (["--intervall=3"], {}, "--intervall: there is no such flag: did you mean --interval?"),
        (["--interval=3x"], {}, "--interval: '3x' is wrong: a number is right"),
        (["--interval=nan"], {}, "--interval: 'nan' is wrong: a number is right"),
        (["--interval=0.05"], {}, "--interval: 0.05 is too small: 0.1 or more is right"),
        (["--interval"], {}, "--interval: a value is missing: --interval=VALUE is right"),
        (["--interval=1", "--interval=2"], {}, "--interval: it is given twice: once is right"),
        (["--daemons=0"], {}, "--daemons: 0 is too small: 1 or more is right"),
        (["--daemons=many"], {}, "--daemons: 'many' is wrong: a whole number is right"),
        (["--mode=tls"], {}, "--mode: 'tls' is wrong: socket or http is right"),
        (["--once=maybe"], {}, "--once: 'maybe' is wrong: true or false is right"),
        (["nginx"], {}, "unexpected argument 'nginx': flags are written --name=value"),
        ([], {"STATSPOUT_INTERVAL": "abc"}, "STATSPOUT_INTERVAL: 'abc' is wrong: a number is right"),
        ([], {"STATSPOUT_ONCE": "maybe"}, "STATSPOUT_ONCE: 'maybe' is wrong: true or false is right"),
        (["--repository=rst"], {}, "there is no repository 'rst': did you mean rest?"),
        (["--repository=zzz"], {}, "there is no repository 'zzz': there are "),
        (["--repository=,"], {}, f"--repository: it is empty: one of {', '.join(SHIPPED)} is right"),
        (["--repository=rest,rest"], {}, "--repository: rest is named twice: once is right"),
        (["--plugin=x"], {}, "--plugin x: file.py:Class is right"),
        (["--plugin=/nowhere/x.py:X"], {}, "there is no file /nowhere/x.py"),
        (
            ["PLUGIN", "--repository=graphite"],
            {},
            "repository graphite needs --graphite.host (or STATSPOUT_GRAPHITE_HOST, or host under [graphite] in a -",
        ),
        (["PLUGIN", *G, "--graphite.port=0"], {}, "--graphite.port: 0 is too small"),
        (["PLUGIN", *G, "--carbon.port=x"], {}, "--carbon.port: 'x' is wrong: a whole number is right"),
        (
            ["PLUGIN", *G, "--graphite.token=x"],
            {},
            "--graphite.token: there is no such flag: did you mean --graphite.token-file?",
        ),
        (["PLUGIN", *G, "--graphite.token-file=/nope"], {}, "/nope cannot be read: No such file or directory"),
        (["PLUGIN", *G], {"STATSPOUT_GRAPHITE_PORT": "1", "STATSPOUT_CARBON_PORT": "2"}, "one setting with two values"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(plugin: str, argv: list[str], environ: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configure([f"--plugin={plugin}" if part == "PLUGIN" else part for part in argv], environ)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("argv", "environ", "note"),
    [
        ([], {}, None),
        ([], {"STATSPOUT_TEST_INSTALLED": "1", "STATSPOUT_ACME_URL": "x"}, None),
        (["--http.address=a:1"], {}, None),
        (["--mode=socket", "--http.address=a:1"], {}, "--http.address has no effect with --mode=socket"),
        (["--mode=http", "--socket.path=/x"], {}, "--socket.path has no effect with --mode=http"),
        (["--demo", "--socket.path=/x"], {}, "--socket.path has no effect with --demo"),
        (["--mode=http", "--http.address=a:1"], {"DOCKER_HOST": "x"}, None),
        (["--demo", "--docker.host=unix:///x"], {}, "--docker.host has no effect with --demo"),
        (["--spool.max-age=1d"], {}, "--spool.max-age has no effect without --spool.dir"),
        (["--listen.statsd-interval=5"], {}, "--listen.statsd-interval has no effect without --listen.statsd"),
        (["--spool.max-age=1d", "--spool.dir=/x"], {}, None),
        (["--rest.path=/x"], {}, "--rest.path has no effect: rest is not in --repository"),
        (["--rest.path=/x", "--repository=rest"], {}, None),
        ([], {"STATSPOUT_REST_PATH": "/x"}, None),
        (
            ["--docker.host=tcp://me:pa55@node:2376"],
            {},
            "--docker.host: everybody can read the password in a command line: STATSPOUT_DOCKER_HOST or",
        ),
        ([], {"STATSPOUT_DOCKER_HOST": "tcp://me:pa55@node:2376"}, None),
        (
            [],
            {"STATSPOUT_REPOSITROY": "rest"},
            "STATSPOUT_REPOSITROY is no setting: did you mean STATSPOUT_RE",
        ),
        (
            [],
            {"STATSPOUT_REST_PATH_FILE": "x"},
            "STATSPOUT_REST_PATH_FILE is no setting: did you mean STATSPOUT_REST",
        ),
        ([], {"STATSPOUT_INFLUXDB_TOKEN_FILE": ""}, None),
    ],
)
def test_what_has_no_effect_is_said(argv: list[str], environ: dict[str, str], note: str | None) -> None:
    notes = configure(argv, environ).notes
    assert len(notes) == (note is not None)
    assert note is None or note in notes[0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"interval": -1}, "--interval: -1 is too small"),
        ({"interval": "1"}, "--interval: '1' is wrong: a number is right"),
        ({"interval": float("nan")}, "--interval: nan is wrong: a number is right"),
        ({"ignore": "web"}, "--ignore: 'web' is wrong: a list of texts is right"),
        ({"mode": "htpt"}, "--mode: 'htpt' is wrong: socket or http is right"),
        ({"daemons": True}, "--daemons: true is wrong: a whole number is right"),
    ],
)
def test_settings_given_in_code_are_held_to_the_same(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings(**given)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("--rest.address, --graphite.port: both", "STATSPOUT_REST_ADDRESS, --carbon.port: both"),
        ("--graphite.port, --interval: odd", "--carbon.port, --interval: odd"),
        ("--plugin x.py:X: it does not import", "STATSPOUT_PLUGIN x.py:X: it does not import"),
        ("--rest.address: taken: --graphite.port is right", "STATSPOUT_REST_ADDRESS: taken: --graphite.port is right"),
        ("nobody's fault: --graphite.port", "nobody's fault: --graphite.port"),
        ("--interval is odd", "--interval is odd"),
    ],
)
def test_each_flag_that_an_error_begins_with_is_told_by_where_it_was_written(
    plugin: str, error: str, said: str
) -> None:
    environ = {"STATSPOUT_PLUGIN": plugin, "STATSPOUT_REST_ADDRESS": ":1"}
    given = configure(["--repository=rest", "--carbon.port=9"], environ).given
    with pytest.raises(ConfigError) as caught, placed(given):
        raise ConfigError(error)
    assert str(caught.value) == said


def outcome(argv: list[str], environ: dict[str, str], *, every: bool) -> list[str]:
    """What a command line comes to, as far as a user sees it."""
    try:
        config = configure(argv, environ, every=every)
    except ConfigError as error:
        return [str(error)]
    return [repr(config.settings), *map(repr, config.repositories), *config.notes]


@pytest.mark.parametrize(
    "given",
    [
        "",
        "--repository=rest,prometheus --rest.path=/x",
        "--repository=influxdb:a,influxdb:b --influxdb.a.url=http://x:1 --influxdb.b.database=y",
        "--repository=influx --influx.url=http://x:1",
        "--mongo.address=x:1 --interval=7",
        "--repository=webhook",
        "--repository=rest,rest",
        "--repository=nosuch",
        "--repository=http",
        "--repository=",
        "--stdout.fromat=json",
        "--rest.adress=x",
        "--intervall=7",
        "--health.path=1",
        "--host.fields=x",
        "STATSPOUT_HEALTH_PATH=x",
        "--nosuch.flag=x",
        "--ignore --interval=3",
        "--plugin=nosuch.py:X",
        "stray",
        "STATSPOUT_REST_ADRESS=x",
        "STATSPOUT_REST_PORT=x --repository=rest",
        "STATSPOUT_INFLUXDB_TIMEOUT=x",
        "STATSPOUT_INTERVALL=7",
        "STATSPOUT_=x",
        "STATSPOUT_GRAPHITE_PORT=x",
    ],
)
def test_what_is_not_mentioned_may_be_left_out_for_nobody_can_tell(given: str) -> None:
    words = given.split()
    environ = dict(word.split("=", 1) for word in words if word.startswith("STATSPOUT_"))
    argv = [word for word in words if not word.startswith("STATSPOUT_")]
    assert outcome(argv, environ, every=False) == outcome(argv, environ, every=True)


@pytest.mark.parametrize(
    "text", ["", "interval = 7", "[rest]\npath = '/x'", "[rest]\npth = 1", "[nosuch]\nx = 1", "intervall = 7",
             "[influxdb.far]\nurl = 'http://x:1'", "[health]\npath = 1", "plugin = ['nosuch.py:X']",
             "repository = 'rest'"]
)  # fmt: skip
def test_nor_can_they_by_a_file(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(text)
    argv = [f"--config={tmp_path}/c.toml"]
    assert outcome(argv, {}, every=False) == outcome(argv, {}, every=True)


def test_what_is_not_mentioned_is_left_out() -> None:
    found = configure(["--repository=rest"], {"STATSPOUT_PROMETHEUS_SCHEMA": "legacy"}, every=False).registry
    assert sorted(found.classes) == ["prometheus", "rest"]
