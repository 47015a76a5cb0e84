"""A file says what flags can say; what is wrong in it is one line with the file and the key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from statspout import ConfigError, Repository
from statspout.cmd.main import main
from statspout.config import Config, configure, understand
from statspout.options import option
from statspout.program import run


class Graphite(Repository):
    """Write to Graphite."""

    name = "graphite"
    aliases = ("carbon",)
    host: str = option(help="Carbon host.")
    port: int = option(default=2003, minimum=1, help="Carbon port.")
    paths: tuple[str, ...] = option(default=("a", 'b "c"\\\n'), help="Paths.")
    token: str = option(default="", secret=True, help="A token.")
    share: float | None = option(default=None, help="A share.")

    def push(self, batch: Any) -> None: ...


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "statspout.toml"


def loaded(file: Path, text: str, *argv: str, **environ: str) -> Config:
    file.write_text(text)
    return configure([f"--config={file}", *argv], environ, [Graphite])


def test_every_kind_of_setting_is_read_from_the_file(file: Path) -> None:
    text = """
        interval = 3
        repository = "graphite, rest"
        ignore = ["a,b", "c"]
        filter.exclude = "image=nginx"
        [graphite]
        host = "a"
        port = 9
        share = 1
        [rest]
        path = "/x"
        [log]
        format = "json"
    """
    config = loaded(file, text)
    settings, (graphite, rest) = config.settings, config.repositories
    assert (settings.interval, settings.ignore, settings.filter_exclude) == (3.0, ("a,b", "c"), ("image=nginx",))
    assert settings.log_format == "json"
    assert isinstance(graphite, Graphite)
    assert (graphite.host, graphite.port, graphite.share) == ("a", 9, 1.0)
    assert rest.path == "/x"  # type: ignore[attr-defined]  # the repository's own field


def test_a_flag_goes_before_a_variable_that_goes_before_the_file_that_goes_before_the_default(file: Path) -> None:
    text = 'interval = 2\ndaemons = 2\nignore = ["file"]\n'
    settings = loaded(file, text, "--interval=4", STATSPOUT_INTERVAL="3", STATSPOUT_DAEMONS="3").settings
    assert (settings.interval, settings.daemons, settings.ignore, settings.once) == (4, 3, ("file",), False)


def test_a_variable_may_name_the_file_and_a_flag_another(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    file.write_text("interval = 2")
    other.write_text("interval = 3")
    environ = {"STATSPOUT_CONFIG": str(other)}
    assert configure([], environ).settings.interval == 3
    assert configure([f"--config={file}"], environ).settings.interval == 2


def test_a_file_may_name_the_plugin_whose_settings_it_has(file: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "ink.py"
    plugin.write_text(
        "from statspout import Repository, option\n\n"
        "class Ink(Repository):\n    name = 'ink'\n    colour: str = option(help='A colour.')\n"
        "    def push(self, batch): ...\n"
    )
    config = loaded(file, f'plugin = "{plugin}:Ink"\nrepository = "ink"\nink.colour = "red"\n')
    assert config.repositories[0].colour == "red"  # type: ignore[attr-defined]  # the plugin's own field


def test_a_secret_may_be_in_the_file_or_in_a_file_that_it_names(file: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter22\n")
    for line in ('token = "hunter22"', f'token-file = "{tmp_path / "token"}"'):
        config = loaded(file, f'repository = "graphite"\n[graphite]\nhost = "a"\n{line}\n')
        assert config.repositories[0].token == "hunter22"  # type: ignore[attr-defined]  # the class's own field
        assert "hunter22" not in repr(config.repositories)


def test_a_secret_in_a_file_for_everybody_is_noted(file: Path) -> None:
    text = '[graphite]\ntoken = "hunter22"\n'
    file.touch(mode=0o644)
    (note,) = loaded(file, text).notes
    assert "graphite.token: it is a secret, and everybody can read this file" in note
    assert "hunter22" not in note
    file.chmod(0o640)
    assert loaded(file, text).notes == []


WRONG = {
    "no TOML": ("interval = ", "it is not TOML: Invalid value"),
    "twice": ("interval = 1\ninterval = 2\n", "it is not TOML: Cannot overwrite a value (at line 2"),
    "unknown key": ("intervall = 3", "intervall: there is no such setting: did you mean interval?"),
    "unknown key in a table": ("[rest]\npahts = '/x'", "rest.pahts: there is no such setting: did you mean rest.path?"),
    "underscore": ("[graphite]\ntoken_file = 'x'", "graphite.token_file: there is no such setting: did you mean graph"),
    "unknown table": ("[grafite]\nbucket = 'x'", "did you mean the table [graphite]?"),
    "unknown everything": (
        "[zzz]\nqqq = 1",
        "zzz.qqq: there is no such setting: there are the tables carbon, cgroup, docker",
    ),
    "unlike every key": (
        "[rest]\nqqq = 1",
        "rest.qqq: there is no such setting: [rest] has address, app-path, exclude, fields, include, path",
    ),
    "a file of a file": ("config = 'x'", "config: there is no such setting"),
    "text for a number": ("interval = '3'", "interval: '3' is wrong: a number is right"),
    "number for a text": ("[host]\nname = 3.5", "host.name: 3.5 is wrong: a text is right"),
    "flag for a number": ("daemons = true", "daemons: true is wrong: a whole number is right"),
    "more digits than a number has": (
        "interval = 1" + "0" * 400,
        "interval: a number of so many digits is wrong: a num",
    ),
    "fewer than the least number": (
        "daemons = -1" + "0" * 400,
        "daemons: a number of so many digits is too small: 1 or",
    ),
    "more digits than are read": ("daemons = " + "1" * 5000, "it is not TOML: Exceeds the limit"),
    "nested too deeply": ("a = " + "[" * 100_000, "it is nested too deeply"),
    "a value for a table": ("rest = '/x'", "rest: it is a table, not a value: [rest] is right"),
    "tables for a table": ("[[rest]]\npath = '/x'", "rest: it is a table, not a value: [rest] is right"),
    "no plugin": ("plugin = '/nope.py:X'", "plugin /nope.py:X: there is no file /nope.py"),
    "fraction": ("daemons = 1.5", "daemons: 1.5 is wrong: a whole number is right"),
    "infinite": ("interval = inf", "interval: inf is wrong: a number is right"),
    "text for a flag": ("once = 'yes'", "once: 'yes' is wrong: true or false is right"),
    "too small": ("interval = 0", "interval: 0 is too small: 0.1 or more is right"),
    "no choice": ("[log]\nlevel = 'loud'", "log.level: 'loud' is wrong: debug or info or warning or error is right"),
    "no texts": ("ignore = [1, 'a']", "ignore: [1, 'a'] is wrong: a list of texts is right"),
    "a table for a value": ("[interval]\nx = 1", "interval.x: there is no such setting"),
    "a date": ("[host]\nname = 2026-01-01", "host.name: datetime.date(2026, 1, 1) is wrong: a text is right"),
    "two spellings": ("graphite.port = 1\ncarbon.port = 2", "they are one setting with two values: give one"),
    "unknown repository": ("repository = 'rst'", "repository: there is no repository 'rst': did you mean rest?"),
    "no path": (
        "repository = 'rest'\nrest.path = '/{x}'",
        "rest.path: '/{x}' is wrong: a path such as /stats is right",
    ),
    "no secret": ("[graphite]\ntoken = true", "graphite.token: the value is wrong: a text is right"),
    "no secret file": ("[graphite]\ntoken-file = '/nope'", "graphite.token-file: /nope cannot be read: No such file"),
    "no path of a secret": (
        "[graphite]\ntoken-file = 3",
        "graphite.token-file: 3 is wrong: the path of a file is right",
    ),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_line_with_the_file_and_the_key(file: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(file, text)
    assert str(caught.value).startswith(f"{file}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("/nope.toml", "--config: /nope.toml cannot be read: No such file"),
        ("/", "--config: / cannot be read: Is a dir"),
        ("/dev/zero", "--config: /dev/zero cannot be read: it is a device: a file is right"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(where: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        configure([f"--config={where}"], {})


def test_a_file_may_begin_with_a_mark_and_end_its_lines_as_others_do(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfinterval = 3\r\n[rest]\r\npath = '/x'\r\n")
    assert configure([f"--config={file}"], {}).settings.interval == 3


def test_a_file_without_end_is_not_read_to_its_end(file: Path) -> None:
    with file.open("wb") as image:
        image.truncate(2**40)
    with pytest.raises(ConfigError, match=f"--config: {file} is larger than 4 MiB"):
        configure([f"--config={file}"], {})


def test_a_file_that_is_not_text_is_one_line(file: Path) -> None:
    file.write_bytes(b"interval = 3 # \xff\n")
    with pytest.raises(ConfigError, match="it is not UTF-8 text"):
        configure([f"--config={file}"], {})


def test_what_only_the_start_finds_wrong_is_said_with_the_file_too(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("repository = 'rest'\nrest.address = 'nonsense'\n")
    assert main([f"--config={file}"]) == 2
    assert capsys.readouterr().err.startswith(f"statspout: {file}: rest.address: 'nonsense' is wrong: ")


# `statspout config`


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["config", *arguments], repositories=[Graphite]) == 0
    return capsys.readouterr().out


def test_what_config_prints_has_every_setting_and_changes_nothing(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(capsys)
    every = [s for group in understand([], {}, [Graphite]).groups.values() for s in group if s.name != "config"]
    keys = re.findall(r"^#?([\w-]+) =|^\[(\w+)\]", text, re.MULTILINE)
    assert len(every) == sum(bool(key) for key, _ in keys)
    assert all(setting.help in text for setting in every)
    assert loaded(file, text).given.values.keys() == {"config"}


def test_its_defaults_are_the_defaults_when_they_are_not_comments_any_more(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = re.sub(r"^#([\w-]+ = )", r"\1", printed(capsys), flags=re.MULTILINE)
    text = re.sub(r"^[a-z-]+-file = .*", "", text, flags=re.MULTILINE)
    given = loaded(file, text).given.values
    every = [s for group in understand([], {}, [Graphite]).groups.values() for s in group if s.name != "config"]
    assert {s.name: s.default for s in every if not (s.required or s.secret or s.default is None)} == {
        name: value for name, value in given.items() if name != "config"
    }


def test_it_prints_what_is_given_but_no_secret(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATSPOUT_CARBON_TOKEN", "hunter22")
    file.write_text("interval = 2\n[graphite]\nport = 9\n")
    text = printed(capsys, f"--config={file}", "--graphite.host=a", "--rest.path=/y")
    assert "hunter22" not in text
    assert tomllib.loads(text) == {
        "interval": 2.0, "rest": {"path": "/y"}, "graphite": {"host": "a", "port": 9},
        **{empty: {} for empty in tomllib.loads(text) if empty not in ("interval", "rest", "graphite")},
    }  # fmt: skip


def test_whatever_a_plugin_says_of_itself_is_a_comment(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Wordy(Repository):
        name = "wordy"
        token: str = option(default="a-default", secret=True, help="Two\nlines\n= of help.")

        def push(self, batch: Any) -> None: ...

    assert main(["config"], repositories=[Wordy]) == 0
    text = capsys.readouterr().out
    assert "# Two lines = of help." in text
    assert "a-default" not in text
    file.write_text(text)
    assert configure([f"--config={file}"], {}, [Wordy]).settings.interval == 5


def test_what_toml_cannot_hold_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATSPOUT_REST_PATH", "/\udcff")
    assert main(["config"]) == 2
    assert capsys.readouterr().err == "statspout: STATSPOUT_REST_PATH: it is not UTF-8 text, which TOML is\n"


def test_help_knows_the_plugins_of_the_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = Path(__file__).parents[2] / "examples" / "graphite.py"
    file.write_text(f'plugin = "{plugin}:Graphite"')
    assert main(["--help", f"--config={file}"]) == 0
    assert "--graphite.port" in capsys.readouterr().out


def test_in_code_what_only_the_command_line_reads_is_refused() -> None:
    for name in ("config", "plugin", "repository"):
        with pytest.raises(ConfigError, match=f"--{name}: only the command line reads it"):
            run([Graphite(host="a")], **{name: "x"})


def test_an_amount_and_a_token_of_digits_may_be_numbers(file: Path) -> None:
    given = loaded(file, "[spool]\ndir = '/x'\nmax-bytes = 65536\n[graphite]\ntoken = 1234").given.values
    assert (given["spool.max-bytes"], given["graphite.token"]) == ("65536", "1234")


def test_a_secret_that_is_empty_is_a_wrong_setting(file: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"graphite.token-file: /dev/null is empty: a file with the secret in it is right"
    ):
        loaded(file, "[graphite]\ntoken-file = '/dev/null'")
