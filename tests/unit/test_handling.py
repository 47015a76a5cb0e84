"""Which samples a repository gets, and which of their fields: each repository as its settings say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from statspout import Choice, ConfigError, ContainerSample, Interface, Metric, Sample
from statspout.catalogue import ENTRIES
from statspout.delivery.live import Live
from statspout.handling import Selection
from statspout.repositories.rest import Rest
from statspout.shapes import rest_object
from statspout.testing import metric, sample

WEB = sample("web-1", image="nginx:1.27", labels={"tier": "test"}, state="running")
METRIC = Metric(time_ns=1, host="h", key="k", name="n", kind="gauge", value=1)


def selection(**choice: Any) -> Selection:
    return Selection(Choice(**choice), "influxdb")


@pytest.mark.parametrize(
    ("choice", "taken"),
    [
        ({}, True),
        ({"include": ("web-*",)}, True),
        ({"include": ("db*",)}, False),
        ({"exclude": ("image=nginx",)}, False),
        ({"include": ("web-*",), "exclude": ("label=tier=test",)}, False),
        ({"include": ("state=paused",)}, False),
        ({"include": ("web-*", "label=tier=prod")}, False),
    ],
)
def test_containers_are_chosen_as_the_filters_do(choice: dict[str, Any], taken: bool) -> None:
    assert selection(**choice).takes(WEB) is taken


def test_a_rename_and_a_pause_are_seen() -> None:
    chosen = selection(exclude=("db", "state=paused"))
    same = {"id": "1" * 64}
    seen = [sample("web", **same), sample("db", **same), sample("web", state="paused", **same), sample("web", **same)]
    assert [chosen.takes(one) for one in seen for _ in range(2)] == [True, True, False, False, False, False, True, True]


@pytest.mark.parametrize(
    ("choice", "taken"), [({}, True), ({"include": ("web-*",)}, False), ({"fields": ("pids",)}, True)]
)
def test_what_is_about_no_container_is_taken_unless_containers_are_asked_for(
    choice: dict[str, Any], taken: bool
) -> None:
    assert selection(**choice).takes(METRIC) is taken
    assert selection(**choice).narrow([METRIC]) == [METRIC]


@pytest.mark.parametrize(
    ("choice", "taken"),
    [
        ({"include": ("web-*",)}, True),
        ({"include": ("db*",)}, False),
        ({"exclude": ("label=tier=test",)}, False),
        ({"fields": ("pids",)}, True),
    ],
)
def test_what_an_application_reports_follows_its_container(choice: dict[str, Any], taken: bool) -> None:
    assert selection(**choice).takes(metric(container=WEB.container)) is taken


def test_what_an_application_reports_follows_the_state_its_container_was_last_in() -> None:
    chosen, paused = selection(exclude=("state=paused",)), msgspec.structs.replace(WEB, state="paused")
    one = metric(container=WEB.container)
    assert [chosen.takes(each) for each in (one, WEB, one, paused, one, one, WEB, one)] == [
        True, True, True, False, False, False, True, True,
    ]  # fmt: skip


def known(one: Sample) -> set[str]:
    assert isinstance(one, ContainerSample)
    names = [*(entry.field for entry in ENTRIES), "networks", "state", "health"]
    return {name for name in names if getattr(one, name) is not None}


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        (("mem_usage",), {"mem_usage"}),
        (("cpu_p*", "state"), {"cpu_percent", "cpu_periods_total", "state"}),
        (("uptime_seconds", "pids"), {"uptime_seconds", "pids"}),
        (("networks",), {"networks"}),
    ],
)
def test_only_the_fields_that_are_asked_for_are_handed_on(fields: tuple[str, ...], left: set[str]) -> None:
    whole = sample(networks={"eth0": Interface(rx_bytes=1)}, cpu_periods_total=5)
    (narrowed,) = selection(fields=fields).narrow([whole])
    assert known(narrowed) == left
    assert {point.name for point in narrowed.points()} == left - {"networks", "state"}
    assert len(known(whole)) > 20, "the sample itself is whole: others get it too"


def test_without_a_word_the_sample_itself_is_handed_on() -> None:
    assert selection().narrow([WEB])[0] is WEB
    assert selection(fields=("*",)).narrow([WEB])[0] is WEB


def test_a_narrowed_sample_has_the_shape_of_any() -> None:
    whole = rest_object(WEB)
    narrowed = rest_object(selection(fields=("mem_usage",)).narrow([WEB])[0])  # type: ignore[arg-type]  # it is one
    assert list(narrowed) == list(whole)
    assert (narrowed["mem_usage"], narrowed["cpu_percent"], narrowed["uptime_seconds"]) == (
        whole["mem_usage"],
        None,
        None,
    )


def test_a_live_repository_chooses_too() -> None:
    live = Live(Rest(handling=Choice(include=("web-*",), fields=("pids",))))
    live.start()
    live.put([WEB])
    live.put([sample("db")])
    (shown,) = live.repository.latest.samples()
    assert (shown.container.name, known(shown)) == ("web-1", {"pids"})
    assert (live.books.collected, live.books.filtered, live.books.delivered) == (2, 1, 1)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"include": ("nmae=web",)}, "--influxdb.include: 'nmae=web' is wrong: did you mean name=web?"),
        ({"exclude": ("",)}, "--influxdb.exclude: '' is wrong: "),
        ({"fields": ("cpu_precent",)}, "--influxdb.fields: there is no field 'cpu_precent': did you mean cpu_percent?"),
        ({"fields": ("zzz*",)}, "--influxdb.fields: there is no field 'zzz*': there are cpu_percent, "),
    ],
)
def test_what_can_match_nothing_is_a_wrong_setting(choice: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        selection(**choice)
    assert str(caught.value).startswith(said)
