"""Container labels become tags only when they are allowed, under names that cannot break or clash."""

from __future__ import annotations

import re
from types import MappingProxyType

import pytest

from statspout import ConfigError, Container
from statspout.labels import LabelTags
from statspout.repositories.prometheus import Prometheus

ODD = {
    "": "no name",
    "empty": "",
    "größe": "ü",
    "9lives": "cat",
    "x" * 300: "long",
    "a.b": "dot",
    "a_b": "line",
    "a-b": "dash",
    "id": "theirs",
    "__name__": "n",
    "le": "l",
    "q": 'say "hi"\n',
}


def container(**labels: str) -> Container:
    return Container(id="a" * 64, name="web", labels=MappingProxyType(labels))


@pytest.mark.parametrize(
    ("allowed", "told"),
    [
        ((), set()),
        (("team",), {"team"}),
        (("com.docker.compose.*",), {"com.docker.compose.project", "com.docker.compose.service"}),
        (("com.docker.compose.[a-p]*", "team"), {"com.docker.compose.project", "team"}),
        (("tea?",), {"team"}),
        (("Team", "eam", "tea"), set()),
        ((" team ",), {"team"}),
        (("*",), {"com.docker.compose.project", "com.docker.compose.service", "team", "comxdocker"}),
    ],
)
def test_only_what_is_allowed_is_told(allowed: tuple[str, ...], told: set[str]) -> None:
    labels = dict.fromkeys(("com.docker.compose.project", "com.docker.compose.service", "team", "comxdocker"), "x")
    names = {re.sub("[^a-z]", "_", name) for name in told}
    assert LabelTags(allowed).of(container(**labels)).keys() == names


@pytest.mark.parametrize("prefix", ["", "label_"])
def test_every_name_is_one_that_databases_take(prefix: str) -> None:
    tags = LabelTags(["*"], prefix=prefix).of(container(**ODD))
    assert all(re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", name) and name.startswith(prefix) for name in tags)
    assert sorted(tags.values()) == sorted(value for value in ODD.values() if value)


def test_names_that_come_to_one_are_numbered_in_order_of_the_labels() -> None:
    labels = {"a_b": "line", "a.b": "dot", "a-b": "dash", "a_b_2": "own"}
    expected = {"a_b": "dash", "a_b_2": "dot", "a_b_3": "line", "a_b_2_2": "own"}
    assert LabelTags(["*"]).of(container(**labels)) == expected
    assert LabelTags(["*"]).of(container(**dict(reversed(labels.items())))) == expected


def test_a_series_own_labels_keep_their_names() -> None:
    tags = LabelTags(["*"], taken={"id", "host", "host_2"}).of(container(id="x", host="y"))
    assert tags == {"id_2": "x", "host_3": "y"}


def test_names_stay_as_they_are_for_who_can_write_any() -> None:
    tags = LabelTags(["*"], taken={"id"}, verbatim=True).of(container(**{"a.b": "1", "größe": "2", "id": "3"}))
    assert tags == {"a.b": "1", "größe": "2", "id_2": "3"}


def test_the_rest_is_everything_else_and_takes_no_name_of_the_allowed() -> None:
    tags = LabelTags(["a_b"], prefix="label_")
    one = container(**{"a_b": "allowed", "a.b": "other", "z": ""})
    assert tags.of(one) == {"label_a_b": "allowed"}
    assert tags.rest(one) == {"label_a_b_2": "other"}


def test_tags_are_made_once_for_a_run_and_anew_for_the_next() -> None:
    tags, first, second = LabelTags(["*"]), container(team="red"), container(team="blue")
    assert tags.of(first) is tags.of(first)
    assert tags.of(second) == {"team": "blue"}


def test_tags_cannot_be_changed_for_others() -> None:
    with pytest.raises(TypeError):
        LabelTags(["*"]).of(container(team="red"))["team"] = "blue"  # type: ignore[index]  # the point


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statspout.labels._MOST_KEPT", 3)
    tags = LabelTags(["*"])
    for number in range(10):
        assert tags.of(Container(id=f"{number}", name="x", labels={"n": f"{number}"})) == {"n": f"{number}"}
        assert len(tags._kept) <= 3


@pytest.mark.parametrize("bad", ["", "  ", "team=red", "team[ab"])
def test_a_bad_pattern_is_one_line_that_names_the_setting(bad: str) -> None:
    with pytest.raises(ConfigError, match=r"^--prometheus\.labels: .* is right$"):
        Prometheus(labels=("team", bad))
