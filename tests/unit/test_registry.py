"""Repositories are found, and broken ones are told in one line before anything runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from statspout import ConfigError, LiveRepository, Repository, Sample, option
from statspout.options import settings_of
from statspout.registry import RESERVED, Registry, check_class, load, load_plugin, load_shipped


class Good(Repository):
    """Good."""

    name = "good"

    def push(self, batch: Sequence[Sample]) -> None: ...


def test_the_shipped_repositories_are_found_through_entry_points() -> None:
    registry = load()
    assert {"stdout", "rest", "prometheus"} <= set(registry.classes)
    assert not registry.broken


def test_each_of_them_is_in_the_module_of_its_name() -> None:
    for name, cls in load().classes.items():
        found = load_shipped([name])
        assert found is not None
        assert found.classes == {name: cls}


@pytest.mark.parametrize("name", ["graphite", "influx", "influxdb_api", "Rest", "", "..config"])
def test_what_does_not_come_with_statspout_is_not_taken_for_it(name: str) -> None:
    assert load_shipped(["rest", name]) is None


def test_a_module_that_cannot_be_imported_is_left_to_who_tells_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymongo", None)
    monkeypatch.delitem(sys.modules, "statspout.repositories.mongodb_collection", raising=False)
    assert load_shipped(["mongodb_collection"]) is None


def test_two_of_one_name_clash_at_once() -> None:
    registry = Registry()
    registry.add(Good, "one")
    with pytest.raises(ConfigError, match="there is a repository 'good' already"):
        registry.add(Good, "two")


@pytest.mark.parametrize("name", [*sorted(RESERVED), "Big", "with space", "", "1st"])
def test_reserved_and_malformed_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        check_class(type("Bad", (Good,), {"name": name}), "test")


def test_mixed_methods_are_refused() -> None:
    async def push(self: Repository, batch: Sequence[Sample]) -> None: ...

    def close(self: Repository) -> None: ...

    with pytest.raises(ConfigError, match="all def or all async def"):
        check_class(type("Mixed", (Good,), {"push": push, "close": close}), "test")


def test_a_class_without_push_is_refused() -> None:
    with pytest.raises(ConfigError, match="Lacking lacks push"):
        check_class(type("Lacking", (Repository,), {"name": "lacking"}), "test")


def test_a_live_repository_has_routes() -> None:
    with pytest.raises(ConfigError, match=r"subclass of statspout\.LiveRepository"):
        check_class(type("Fake", (Good,), {"live": True}), "test")
    assert settings_of(LiveRepository)[0].field == "address"


def test_an_unselected_broken_package_hurts_nobody() -> None:
    registry = Registry(broken={"acme": "ImportError: no module named acme"})
    registry.add(Good, "test")
    assert registry.find("good") is Good
    with pytest.raises(ConfigError, match="acme cannot be used: ImportError"):
        registry.find("acme")


@pytest.mark.parametrize(
    ("source", "spec", "said"),
    [
        ("import nosuchmodule", "X", "it does not import: ModuleNotFoundError: No module named 'nosuchmodule' (line 1"),
        ("x = (", "X", "it does not import: SyntaxError"),
        ("raise RuntimeError('two\\nlines')", "X", "RuntimeError: two lines (line 1 of plugin.py)"),
        ("class Graphite: ...", "Graphit", "has no Graphit, did you mean Graphite?"),
        ("class X: ...", "X", "X is not a subclass of statspout.Repository"),
    ],
)
def test_a_plugin_that_does_not_load_is_one_clear_line(tmp_path: Path, source: str, spec: str, said: str) -> None:
    (tmp_path / "plugin.py").write_text(source)
    with pytest.raises(ConfigError) as caught:
        load_plugin(f"{tmp_path / 'plugin.py'}:{spec}")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_options_are_constructor_arguments_with_inherited_ones_first() -> None:
    class Child(Good):
        """Child."""

        name = "child"
        port: int = option(default=1, help="Port.")
        max_size: float | None = option(default=None, help="Size.")

    assert Child(port=5).port == 5
    assert [s.name for s in settings_of(Child, "child")] == ["child.port", "child.max-size"]
    assert [s.env for s in settings_of(Child, "child")] == ["STATSPOUT_CHILD_PORT", "STATSPOUT_CHILD_MAX_SIZE"]


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"batch_size": 0}, "batch_size 0 is wrong"),
        ({"flush_interval": -1}, "flush_interval -1 is wrong"),
        ({"accepts": [Sample]}, "a tuple of record types is right"),
        (
            {"path": option(default=Path(), help="x"), "__annotations__": {"path": Path}},
            "the setting path is of",
        ),
    ],
)
def test_what_would_break_the_framework_is_refused(attributes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_class(type("Bad", (Good,), {"name": "bad", **attributes}), "test")


def test_an_init_of_its_own_is_refused_where_it_is_written() -> None:
    with pytest.raises(TypeError, match="write __post_init__"):
        type("Own", (Good,), {"__init__": lambda self: None})
