"""What applications report on the page that Prometheus scrapes, read back with the official parsers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import pytest
from prometheus_client import Metric as Family
from support.formats import PARSERS

from statspout import ContainerSample, Metric, Rejected, Summary
from statspout.exposition import OPENMETRICS, TEXT
from statspout.repositories.prometheus import Prometheus
from statspout.repositories.prometheus_schemas.application import quantile_of
from statspout.testing import metric, metrics, sample

WEB = sample().container
OURS = {"host": "node-1", "container": "web", "id": WEB.short_id}
OWN = {**OURS, "env": "prod"}
Found = dict[str, list[tuple[dict[str, str], float]]]


def showing(*reported: Metric, **settings: Any) -> Prometheus:
    repository = Prometheus(**settings)
    repository.open()
    for one in reported:
        repository.push([one])
    return repository


def families(repository: Prometheus) -> list[Family]:
    """Those of applications; both formats have the same."""
    found, strict = (list(PARSERS[each](repository.exposition(each).decode())) for each in (TEXT, OPENMETRICS))
    same = [[sample[:3] for family in each for sample in family.samples] for each in (found, strict)]
    assert same[0] == same[1]
    return [family for family in found if not family.name.startswith("statspout_container")]


def series(repository: Prometheus) -> Found:
    found: Found = {}
    for family in families(repository):
        for one in family.samples:
            found.setdefault(one.name, []).append((one.labels, one.value))
    return found


def test_each_kind_has_its_family_and_its_type() -> None:
    shown = showing(*(one for one in metrics() if one.kind != "text"))
    assert {family.name: (family.type, family.documentation) for family in families(shown)} == {
        "shop_counter_delta": ("counter", "Counted by applications as shop.counter_delta."),
        "shop_counter": ("counter", "Counted by applications as shop.counter_total."),
        "shop_gauge": ("gauge", "Reported by applications as shop.gauge."),
        "shop_set": ("gauge", "Reported by applications as shop.set."),
        "shop_timer_seconds": ("summary", "Measured by applications as shop.timer."),
        "shop_histogram": ("summary", "Measured by applications as shop.histogram."),
    }


def test_a_counter_adds_up_and_a_total_is_as_it_was_reported() -> None:
    shown = showing(*[metric("orders", value=0.5), metric("requests", "counter_total", value=7)] * 3)
    assert series(shown) == {"orders_total": [(OWN, 1.5)], "requests_total": [(OWN, 7.0)]}


def test_a_gauge_and_a_set_are_the_latest() -> None:
    shown = showing(metric("g", "gauge", value=1), metric("g", "gauge", value=-2.5), metric("s", "set", value=3))
    assert series(shown) == {"g": [(OWN, -2.5)], "s": [(OWN, 3.0)]}


def test_a_timer_is_a_summary_in_seconds_whose_sum_and_count_add_up() -> None:
    found = series(showing(*[metric("t", "timer")] * 2))
    quantiles = {labels["quantile"]: value for labels, value in found["t_seconds"]}
    assert quantiles == {"0.5": 0.02, "0.95": 0.04, "0.999": 0.04}
    assert (found["t_seconds_sum"], found["t_seconds_count"]) == ([(OWN, 0.2)], [(OWN, 8.0)])


@pytest.mark.parametrize(
    ("kind", "unit", "name", "total"),
    [
        ("timer", "s", "x_seconds", 100.0),
        ("timer", "us", "x_seconds", 1e-4),
        ("timer", "", "x", 100.0),
        ("histogram", "", "x", 100.0),
        ("histogram", "ms", "x", 100.0),
    ],
)
def test_only_the_unit_of_a_timer_that_is_known_is_changed(
    kind: Literal["timer", "histogram"], unit: str, name: str, total: float
) -> None:
    [(_, found)] = series(showing(metric("x", kind, unit=unit)))[f"{name}_sum"]
    assert found == pytest.approx(total)


def test_what_a_senders_sampling_left_a_fraction_of_is_a_whole_count() -> None:
    third = Summary(count=10 / 3, sum=30.0, min=9.0, max=9.0, mean=9.0, stdev=0.0)
    assert series(showing(*[metric("h", "histogram", value=third)] * 3))["h_count"] == [(OWN, 10.0)]


def test_a_summary_with_values_below_zero_has_no_sum_and_no_such_quantile() -> None:
    odd = Summary(count=2, sum=-1.0, min=-2.0, max=1.0, mean=-0.5, stdev=1.5, percentiles={"50": -2.0, "95": 1.0})
    found = series(showing(metric("h", "histogram", value=odd)))
    assert found == {"h": [({**OWN, "quantile": "0.95"}, 1.0)], "h_count": [(OWN, 2.0)]}


@pytest.mark.parametrize(
    ("percentile", "quantile"),
    [
        ("50", "0.5"),
        ("99.9", "0.999"),
        ("100", "1"),
        ("0", "0"),
        ("33.333", "0.33333"),
        ("101", None),
        ("-10", None),
        ("x", None),
        ("", None),
        ("nan", None),
    ],
)
def test_a_percentile_is_a_quantile(percentile: str, quantile: str | None) -> None:
    assert quantile_of(percentile) == quantile


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("orders.placed", "orders_placed"),
        ("a-b c/d", "a_b_c_d"),
        ("app:x", "app:x"),
        ("2fast", "_2fast"),
        ("", "_"),
        ("é", "_"),
        ("jobs_total", "jobs_total"),
        ("x_count", "x_count"),
        ("new\nline", "new_line"),
    ],
)
def test_a_name_is_made_one_of_prometheus(name: str, shown: str) -> None:
    assert list(series(showing(metric(name, "gauge")))) == [shown]


@pytest.mark.parametrize(
    ("name", "shown"), [("jobs_total", "jobs_total"), ("_total", "__total"), ("jobs", "jobs_total")]
)
def test_a_counter_ends_in_total_once(name: str, shown: str) -> None:
    assert list(series(showing(metric(name)))) == [shown]


def test_a_timer_that_says_seconds_says_it_once() -> None:
    assert "x_seconds_count" in series(showing(metric("x_seconds", "timer")))


def test_tags_are_labels_and_none_takes_the_place_of_ours() -> None:
    tags = {"host": "h", "id": "i", "quantile": "q", "le": "l", "__name__": "n", "a-b": "1", "a.b": "2", "no": ""}
    tags |= {"exported_host": "e", "text": 'say "hi"\\\n🐳'}
    [(labels, _)] = series(showing(metric("g", "gauge", tags=tags)))["g"]
    assert labels == {
        **OURS, "exported_host": "e", "exported_host_2": "h", "exported_id": "i", "exported_quantile": "q",
        "exported_le": "l", "exported__name__": "n", "a_b": "1", "a_b_2": "2", "no": "true", "text": 'say "hi"\\\n🐳',
    }  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "labels", "of_nobody"),
    [
        ("own", {**OURS, "label_team": "red"}, {"host": "node-1"}),
        (
            "cadvisor",
            {
                "id": f"/docker/{WEB.id}",
                "name": "web",
                "image": WEB.image,
                "host": "node-1",
                "container_label_team": "red",
            },
            {"host": "node-1"},
        ),
        ("legacy", {"container": "web", "label_team": "red"}, {}),
    ],
)
def test_the_sender_has_the_labels_that_containers_have(
    schema: str, labels: dict[str, str], of_nobody: dict[str, str]
) -> None:
    team = sample(labels={"team": "red", "other": "x"}).container
    shown = showing(
        metric("g", "gauge", tags={}, container=team), metric("n", "gauge", tags={}, container=None),
        schema=schema, labels=("team",),
    )  # fmt: skip
    assert series(shown) == {"g": [(labels, 2.5)], "n": [(of_nobody, 2.5)]}


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (metric("x"), metric("x", "gauge")),
        (metric("x", "gauge"), metric("x")),
        (metric("a.b", "gauge"), metric("a_b", "timer", unit="")),
        (metric("x", "timer"), metric("x_seconds_count", "gauge")),
        (metric("x_sum", "gauge"), metric("x", "histogram")),
        (metric("x_total", "gauge"), metric("x")),
        (metric("x"), metric("x_created", "gauge")),
    ],
)
def test_of_two_kinds_that_come_to_one_name_the_first_has_it(first: Metric, later: Metric) -> None:
    shown = showing(first)
    before = series(shown)
    with pytest.raises(Rejected, match=r"comes to the name .* which is in the way of the"):
        shown.push([later])
    assert series(shown) == before


def test_two_metrics_with_the_same_labels_are_not_mixed() -> None:
    shown = showing(metric("a.b", "gauge", value=1))
    with pytest.raises(Rejected, match="a-b comes to the series a_b with the same labels as another metric"):
        shown.push([metric("a-b", "gauge", value=2)])
    shown.push([metric("a-b", "gauge", value=3, tags={"env": "test"})])
    assert [value for _, value in series(shown)["a_b"]] == [1, 3]


@pytest.mark.parametrize(
    ("schema", "name", "kind"),
    [
        ("own", "statspout.container.pids", "gauge"),
        ("own", "statspout.container.restarts", "counter_delta"),
        ("cadvisor", "machine_cpu_cores", "gauge"),
        ("legacy", "tx_bytes", "gauge"),
        ("own", "statspout_container", "set"),
    ],
)
def test_a_name_of_our_own_is_nobody_elses(schema: Any, name: str, kind: Any) -> None:
    with pytest.raises(Rejected, match="which is one of statspout's own"):
        showing(metric(name, kind), schema=schema)


@pytest.mark.parametrize(
    "bad",
    [
        metric("x", "text"),
        metric("x", "gauge", value="text"),
        metric("x", value=-1),
        metric("x", "counter_total", value=-1),
        metric("x", "gauge", value=math.nan),
        metric("x", "gauge", value=math.inf),
        metric("x", value=10**400),
        metric("x", "timer", value=5),
        metric("x", "gauge", value=metric("t", "timer").value),
        metric("x", "timer", value=Summary(count=1, sum=math.nan, min=1.0, max=1.0, mean=1.0, stdev=0.0)),
    ],
    ids=repr,
)
def test_what_prometheus_has_no_place_for_is_rejected_and_costs_nothing(bad: Metric) -> None:
    shown = showing(metric("y"))
    with pytest.raises(Rejected):
        shown.push([bad])
    assert list(series(shown)) == ["y_total"]


def test_counts_that_no_double_can_hold_have_no_series_and_cost_no_page() -> None:
    huge = Summary(count=1e308, sum=1e308, min=1.0, max=1.0, mean=1.0, stdev=0.0)
    batch = [metric("c", value=int(1e308)), metric("f", value=1e308), metric("h", "histogram", value=huge), metric("y")]
    assert list(series(showing(*batch * 2))) == ["y_total"]


class At:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def timed(monkeypatch: pytest.MonkeyPatch, reported: Sequence[Metric]) -> tuple[Prometheus, At]:
    """A repository of which the series know the time from us."""
    shown, clock = Prometheus(), At()
    monkeypatch.setattr(shown.reported, "_clock", clock)
    for one in reported:
        shown.push([one])
    return shown, clock


def test_silence_ends_what_is_current_at_once_and_what_adds_up_after_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, clock = timed(monkeypatch, [metric("c"), metric("g", "gauge"), metric("t", "timer")])
    clock.now = 15.0
    assert list(series(shown)) == ["c_total", "t_seconds_sum", "t_seconds_count"]
    clock.now = 3600.0
    assert list(series(shown)) == []


def test_a_name_is_free_when_its_last_series_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, clock = timed(monkeypatch, [metric("x", "gauge")])
    clock.now = 15.0
    assert series(shown) == {}
    shown.push([metric("x", value=3)])
    assert series(shown) == {"x_total": [(OWN, 3.0)]}


def test_a_container_that_is_renamed_takes_its_series_along() -> None:
    shown = showing(metric("c", value=2))
    shown.push([metric("c", value=3, key=metric("c").key, container=sample("new", id=WEB.id).container)])
    assert series(shown) == {"c_total": [({**OWN, "container": "new"}, 3.0)]}


@pytest.mark.parametrize(
    ("schema", "new"),
    [("own", sample(started_at=2)), ("legacy", sample(id="f" * 64)), ("legacy", sample(started_at=2))],
)
def test_another_run_takes_the_place_of_one_that_is_gone(schema: str, new: ContainerSample) -> None:
    shown = showing(metric("c", value=2), schema=schema)
    later = metric("c", value=3, container=new.container, key="another")
    with pytest.raises(Rejected, match="with the same labels as another metric"):
        shown.push([later])
    shown.clear(WEB)
    shown.push([later])
    assert [value for _, value in series(shown)["c_total"]] == [3]


def test_containers_and_applications_are_on_one_page() -> None:
    shown = showing(metric("c"))
    shown.push([sample()])
    page = shown.exposition().decode()
    assert "statspout_container_pids{" in page
    assert page.index("statspout_container_pids") < page.index("c_total{")
