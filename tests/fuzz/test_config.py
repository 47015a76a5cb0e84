"""Configuration by somebody's hand: it is taken, or wrong in one line; nothing else ends a start."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from support.fuzz import anything, inputs, mutated, tried

from statspout import ConfigError
from statspout.config import configure
from statspout.options import settings_of
from statspout.settings import Settings

FILE = b"""interval = 3
repository = "stdout, rest, influxdb:one"
ignore = ["a,b", "c"]
filter.exclude = "image=nginx"
[rest]
path = "/x"
[influxdb.one]
url = "http://127.0.0.1:1"
database = "d"
[log]
format = "json"
[listen]
statsd = ["127.0.0.1:0"]
"""
TOML = (
    b"\n",
    b"=",
    b"[",
    b"]",
    b'"',
    b"'",
    b"1",
    b"inf",
    b"nan",
    b"true",
    b"{",
    b"}",
    b",",
    b".",
    b"\\",
    b"#",
    b"\xff",
    b"\x00",
)
NAMES = sorted({setting.name for setting in settings_of(Settings)} - {"config", "plugin"})
folder = tempfile.TemporaryDirectory(prefix="statspout-fuzz-")


def configured(argv: list[str], environ: dict[str, str]) -> None:
    """It is, or a ConfigError of one line with something in it."""
    try:
        assert configure(argv, environ).repositories
    except ConfigError as error:
        assert str(error)
        assert "\n" not in str(error)


@inputs(120)
@given(mutated([FILE], TOML) | st.binary(max_size=99))
def test_any_file_is_a_configuration_or_one_line_of_error(text: bytes) -> None:
    tried("configuration files")
    path = Path(folder.name, "statspout.toml")
    path.write_bytes(text)
    configured([f"--config={path}"], {})


TEXT = st.text(st.characters(exclude_characters="\0"), max_size=12) | anything.map(repr) | st.sampled_from(
    ("", "-1", "0", "1e999", "nan", "1_0", "127.0.0.1:99999", "[::1", "rest,rest", "influxdb:", ",", "\n", "x" * 5000)
)  # fmt: skip


@inputs(60)
@given(st.lists(st.tuples(st.sampled_from(NAMES), TEXT), min_size=1, max_size=3))
def test_any_value_of_a_flag_is_right_or_one_line_of_error(values: list[tuple[str, str]]) -> None:
    tried("flags")
    configured([f"--{name}={value}" for name, value in values], {})


@inputs(40)
@given(st.lists(TEXT, min_size=1, max_size=3))
def test_any_argument_is_understood_or_one_line_of_error(argv: list[str]) -> None:
    tried("flags")
    configured([text for text in argv if not text.lstrip("-").startswith(("plugin", "config", "h"))], {})


@inputs(250)
@given(st.dictionaries(st.sampled_from(NAMES), TEXT, min_size=1, max_size=3))
def test_any_variable_is_right_or_one_line_of_error(values: dict[str, str]) -> None:
    tried("variables")
    configured([], {f"STATSPOUT_{name.upper().replace('.', '_').replace('-', '_')}": values[name] for name in values})
