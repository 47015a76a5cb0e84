"""A setting's old name goes on working wherever a name may be written, and is said with the one that is right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from statspout import ConfigError, Repository, Sample, main, option
from statspout.config import Config, configure, placed, read
from statspout.options import Options, settings_of
from statspout.registry import check_class


class Paint(Repository):
    """Has settings of every kind that were called otherwise once."""

    name = "paint"
    aliases = ("colours",)
    colour: str = option(default="red", help="Which.", was={"color": "3.0"})
    coats: int = option(default=1, minimum=1, help="How many.", was={"layers": "3.0", "times": "4.0"})
    wet: bool = option(default=False, help="Whether.", was={"moist": "3.0"})
    walls: tuple[str, ...] = option(default=(), help="Where.", was={"sides": "3.0"})
    key: str = option(default="", secret=True, help="Of the shed.", was={"lock": "3.0"})

    def push(self, batch: Sequence[Sample]) -> None: ...


def config(*argv: str, **environ: str) -> Config:
    return configure([*argv], environ, [Paint])


def painted(made: Config) -> Any:
    return made.repositories[0]


P = "--repository=paint"


@pytest.mark.parametrize(
    ("argv", "environ", "field", "value", "said"),
    [
        (["--paint.color=blue"], {}, "colour", "blue", "--paint.color is now --paint.colour"),
        (["-paint.color", "blue"], {}, "colour", "blue", "--paint.color is now --paint.colour"),
        (["--colours.layers=2"], {}, "coats", 2, "--colours.layers is now --paint.coats"),
        (["--paint.moist"], {}, "wet", True, "--paint.moist is now --paint.wet"),
        (["--paint.sides=n", "--paint.sides=s"], {}, "walls", ("n", "s"), "--paint.sides is now --paint.walls"),
        (["--paint.lock-file=KEY"], {}, "key", "hunter22", "--paint.lock-file is now --paint.key-file"),
        ([], {"STATSPOUT_PAINT_COLOR": "x"}, "colour", "x", "STATSPOUT_PAINT_COLOR is now STATSPOUT_PAINT_COLOUR"),
        ([], {"STATSPOUT_PAINT_LOCK": "x9"}, "key", "x9", "STATSPOUT_PAINT_LOCK is now STATSPOUT_PAINT_KEY"),
        (["--config=FILE"], {}, "coats", 7, "FILE: colours.layers is now paint.coats"),
    ],
)
def test_it_works_and_is_said(
    argv: list[str], environ: dict[str, str], field: str, value: Any, said: str, tmp_path: Path
) -> None:
    (tmp_path / "KEY").write_text("hunter22\n")
    (tmp_path / "FILE").write_text("[colours]\nlayers = 7\n")
    there = [part.replace("KEY", f"{tmp_path}/KEY").replace("FILE", f"{tmp_path}/FILE") for part in argv]
    made = config(P, *there, **environ)
    assert getattr(painted(made), field) == value
    assert made.notes == [f"{said.replace('FILE', f'{tmp_path}/FILE')}, and will go with version 3.0"]


def test_of_an_instance_it_is_that_of_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[paint]\ntimes = 3\n[paint.a]\ncolor = "blue"\n')
    made = config("--repository=paint:a", f"--config={tmp_path}/c.toml", "--paint.a.moist=yes")
    assert (painted(made).colour, painted(made).coats, painted(made).wet) == ("blue", 3, True)
    assert made.notes == [
        "--paint.a.moist is now --paint.a.wet, and will go with version 3.0",
        f"{tmp_path}/c.toml: paint.times is now paint.coats, and will go with version 4.0",
        f"{tmp_path}/c.toml: paint.a.color is now paint.a.colour, and will go with version 3.0",
    ]


def test_the_programs_own_settings_have_old_names_likewise() -> None:
    class Own(Options):
        every: float = option(name="poll.every", default=5.0, help="Seconds.", was={"pace": "3.0"})

    given = read(["--pace=2"], {"STATSPOUT_PACE": "3"}, {"": settings_of(Own)})
    assert (given.values, given.origins) == ({"poll.every": 2.0}, {"poll.every": "--pace"})
    assert [line.partition(",")[0] for line in given.renamed] == [
        "--pace is now --poll.every",
        "STATSPOUT_PACE is now STATSPOUT_POLL_EVERY",
    ]


@pytest.mark.parametrize(
    ("argv", "environ", "said"),
    [
        (
            ["--paint.color=a", "--paint.colour=b"],
            {},
            "--paint.colour and --paint.color: they are one setting with two",
        ),
        (
            ["--paint.layers=1", "--paint.times=2"],
            {},
            "--paint.layers and --paint.times: they are one setting with two",
        ),
        ([], {"STATSPOUT_PAINT_WET": "1", "STATSPOUT_PAINT_MOIST": "0"}, "STATSPOUT_PAINT_WET and STATSPOUT_PAINT_MOI"),
        (["--paint.layers=0"], {}, "--paint.layers: 0 is too small: 1 or more is right"),
        (["--paint.lock=x"], {}, "--paint.lock: there is no such flag"),
        (["--paint.colo=x"], {}, "--paint.colo: there is no such flag: did you mean --paint.colour?"),
    ],
)
def test_what_is_wrong_names_what_was_written(argv: list[str], environ: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(P, *argv, **environ)
    assert str(caught.value).startswith(said)


def test_what_only_the_start_finds_wrong_names_the_old_one_too() -> None:
    made = config(P, "--paint.color=blue", "--paint.layers=2")
    with pytest.raises(ConfigError, match=r"^--paint\.color, --paint\.layers: blue needs more$"), placed(made.given):
        raise ConfigError("--paint.colour, --paint.coats: blue needs more")


def test_both_names_with_one_value_are_one_setting() -> None:
    assert painted(config(P, "--paint.color=a", "--paint.colour=a")).colour == "a"


def test_the_new_name_goes_before_the_old_one_where_it_stands_before_it() -> None:
    made = config(P, "--paint.colour=a", STATSPOUT_PAINT_COLOR="b")
    assert painted(made).colour == "a"
    assert len(made.notes) == 1


def test_help_and_the_printed_file_have_only_the_new_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"], repositories=[Paint]) == 0
    assert main(["config", P, "--paint.color=blue"], repositories=[Paint]) == 0
    out = capsys.readouterr().out
    assert "--paint.colour" in out
    assert 'colour = "blue"' in out
    assert not {"color", "layers", "moist"} & set(out.replace(".", " ").split())


def test_check_has_it_as_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "--demo", P, "--paint.color=blue"], repositories=[Paint])
    note = "note          --paint.color is now --paint.colour, and will go with version 3.0"
    assert note in capsys.readouterr().out.splitlines()


def test_a_variable_that_is_nearly_an_old_name_is_not_led_to_it() -> None:
    [note] = config(P, STATSPOUT_PAINT_COLOUUR="x").notes
    assert note == "STATSPOUT_PAINT_COLOUUR is no setting: did you mean STATSPOUT_PAINT_COLOUR?"


def test_an_old_name_that_is_anothers_is_a_mistake_of_the_class() -> None:
    class Twice(Repository):
        name = "twice"
        a: str = option(default="", help="One.")
        b: str = option(default="", help="Another.", was={"a": "3.0"})

        def push(self, batch: Sequence[Sample]) -> None: ...

    with pytest.raises(ConfigError, match="two settings would share the variable STATSPOUT_TWICE_A"):
        check_class(Twice, "twice")


@pytest.mark.parametrize("was", ["old", {"Old Name": "3.0"}, {"old": ""}])
def test_an_old_name_has_the_version_it_goes_with(was: Any) -> None:
    with pytest.raises(TypeError, match="are right"):
        option(help="Any.", was=was)
