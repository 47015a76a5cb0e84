"""Several repositories at once, several of a kind, each with settings of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from statspout import Choice, ConfigError, Handling, Repository, Sample, option
from statspout.config import Config, configure, placed
from statspout.daemon import Daemon
from statspout.repository import name_of
from statspout.settings import Settings


class Depot(Repository):
    """Has what a repository can have: an alias, a required setting, a secret, a setting with a dash."""

    name = "depot"
    aliases = ("dep",)
    url: str = option(help="Where.")
    token: str = option(default="", help="How.", secret=True)
    tls_ca: str = option(default="", help="By whom.")
    ca: str = option(default="", help="By whom else.")
    size: int = option(default=1, help="How much.", minimum=1)

    def __post_init__(self) -> None:
        if self.url == "bad":
            raise ConfigError("--depot.url: 'bad' is wrong: a good one is right")

    def push(self, batch: Sequence[Sample]) -> None: ...


class Own(Repository):
    """Has a setting that every repository has, for itself."""

    name = "own"
    include: int = option(default=7, help="A number.")

    def push(self, batch: Sequence[Sample]) -> None: ...


def config(*argv: str, **environ: str) -> Config:
    return configure([*argv], environ, [Depot, Own])


def depots(*argv: str, **environ: str) -> dict[str, tuple[str, str, int]]:
    found: Sequence[Any] = config(*argv, **environ).repositories
    return {name_of(one): (one.url, one.token, one.size) for one in found}


def test_two_of_a_kind_have_settings_of_their_own_and_share_the_rest() -> None:
    argv = ["--repository=depot:a,dep:b", "--depot.size=5", "--depot.a.url=x", "--dep.b.url=y", "--depot.b.size=6"]
    got = depots(*argv, STATSPOUT_DEPOT_TOKEN="t", STATSPOUT_DEPOT_B_TOKEN="u")
    assert got == {"depot:a": ("x", "t", 5), "depot:b": ("y", "u", 6)}


def test_one_without_a_name_may_stand_beside_them() -> None:
    assert depots("--repository=depot,depot:b", "--depot.url=x") == {"depot": ("x", "", 1), "depot:b": ("x", "", 1)}


def test_a_file_has_a_table_for_each(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    file = tmp_path / "statspout.toml"
    file.write_text(
        f"""
        repository = ["depot:a", "depot:b"]
        [depot]
        url = "x"
        [depot.a]
        token-file = "{tmp_path}/secret"
        include = ["web-*"]
        [dep.b]
        size = 9
        """
    )
    assert depots(f"--config={file}") == {"depot:a": ("x", "s3cret", 1), "depot:b": ("x", "", 9)}
    first, second = config(f"--config={file}").repositories
    assert isinstance(first.handling, Handling)
    assert first.handling.include == ("web-*",)
    assert second.handling is None


def test_a_table_of_an_instance_that_does_not_run_may_stay(tmp_path: Path) -> None:
    file = tmp_path / "statspout.toml"
    file.write_text('[depot]\nurl = "x"\n[depot.a]\nsize = 2\n[dep.far]\nsize = 3\ntoken-file = "/nowhere"\n')
    assert depots(f"--config={file}", "--repository=depot:a") == {"depot:a": ("x", "", 2)}
    notes = config(f"--config={file}", "--repository=depot:a").notes
    assert notes == ["[dep.far] has no effect: dep:far is not in --repository"]
    assert config(f"--config={file}", "--repository=stdout").notes == [], "all of them may be switched off for a while"
    file.write_text("[depot.far]\nsise = 3\n")
    with pytest.raises(ConfigError, match=r"depot.far.sise: there is no such setting"):
        config(f"--config={file}", "--repository=stdout")


def test_each_is_handled_as_its_settings_say() -> None:
    argv = ["--repository=depot:a,depot:b,rest", "--depot.url=x", "--depot.batch-size=7", "--depot.b.batch-size=8"]
    a, b, rest = config(*argv, "--depot.b.exclude=db,web", "--rest.fields=pids", "--rest.include=web").repositories
    assert isinstance(a.handling, Handling)
    assert isinstance(b.handling, Handling)
    assert (a.handling.batch_size, b.handling.batch_size, b.handling.exclude) == (7, 8, ("db", "web"))
    assert type(rest.handling) is Choice
    assert (rest.handling.fields, rest.handling.include) == (("pids",), ("web",))


def test_a_setting_of_the_class_goes_before_one_that_all_have() -> None:
    (own,) = config("--repository=own", "--own.include=9", "--own.exclude=db").repositories
    assert isinstance(own, Own)
    assert own.include == 9
    assert own.handling is not None
    assert (own.handling.include, own.handling.exclude) == ((), ("db",))


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (
            ["--repository=depot:a"],
            "repository depot:a needs --depot.a.url (or STATSPOUT_DEPOT_A_URL, or url under [depot.a] in",
        ),
        (
            ["--repository=depot:a,depot:a"],
            "--repository: depot:a is named twice: once is right, or depot:a and depot:b",
        ),
        (["--repository=depot:a,dep:a"], "--repository: dep:a is named twice"),
        (
            ["--repository=depot:"],
            "--repository: depot:: the instance '' is wrong: a lower-case word such as 'backup' is",
        ),
        (["--repository=depot:A-b"], "--repository: depot:A-b: the instance 'A-b' is wrong"),
        (["--repository=depto:a"], "--repository: there is no repository 'depto': did you mean depot?"),
        (["--repository=depot:tls"], "--repository: depot:tls: "),
        (
            ["--repository=depot:a", "--depot.a.ulr=x"],
            "--depot.a.ulr: there is no such flag: did you mean --depot.a.url?",
        ),
        (
            ["--repository=depot:a", "--depot.b.url=x"],
            "--depot.b.url: there is no such flag: did you mean --depot.a.url?",
        ),
        (["--repository=depot:a", "--depot.a.url=bad"], "--depot.a.url: 'bad' is wrong: a good one is right"),
        (["--repository=depot:a", "--depot.url=bad"], "--depot.url: 'bad' is wrong"),
        (
            ["--repository=depot:a", "--depot.url=x", "--depot.a.size=0"],
            "--depot.a.size: 0 is too small: 1 or more is right",
        ),
        (
            ["--repository=depot:a", "--depot.url=x", "--depot.a.batch-size=9999999"],
            "--depot.a.batch-size: 9999999 is too large",
        ),
        (["--repository=rest", "--rest.batch-size=3"], "--rest.batch-size: there is no such flag: did you mean"),
    ],
)
def test_what_is_wrong_is_one_line(argv: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(*argv)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_instances_in_code_are_told_apart_by_their_names() -> None:
    daemon = Daemon(
        Settings(demo=True), [Depot(url="x"), Depot(url="x", instance="b", handling=Handling(batch_size=3))]
    )
    assert [route.name for route in daemon.router.routes] == ["depot", "depot:b"]


def test_what_only_the_start_finds_wrong_names_where_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "statspout.toml"
    file.write_text('repository = ["depot:a"]\n[depot]\nurl = "x"\n[depot.a]\nfields = "nope"\n')
    made = config(f"--config={file}")
    with pytest.raises(ConfigError) as caught, placed(made.given):
        Daemon(Settings(demo=True), made.repositories)
    assert str(caught.value).startswith(f"{file}: depot.a.fields: there is no field 'nope'")


@pytest.mark.parametrize(
    ("repositories", "said"),
    [
        (
            [Depot(url="x"), Depot(url="y")],
            "there is a repository 'depot' already: another name, or instance=, is needed",
        ),
        ([Depot(url="x", instance="A b")], "the instance 'A b' is wrong"),
        ([Depot(url="x", handling=Choice())], "handling=Choice"),
        ([Depot(url="x", handling=Handling(queue_bytes="much"))], "--depot.queue-bytes: 'much' is wrong"),
        ([Depot(url="x", handling=Handling(include=("a=b",)))], "--depot.include: 'a=b' is wrong"),
    ],
)
def test_what_is_wrong_in_code_is_one_line(repositories: list[Repository], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Daemon(Settings(demo=True), repositories)
    assert said in str(caught.value)
