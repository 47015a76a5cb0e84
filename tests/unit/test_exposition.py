"""The text format: what a server reads is what we meant."""

from __future__ import annotations

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from statspout.exposition import Family, encode, head, label_string, render, series

AWKWARD = ('say "hi"', "two\nlines", "back\\slash", "\\n", 'end\\"', "é漢🐳", "a=b,c{d}", "tab\tand\rreturn")


def parsed(page: bytes) -> dict[str, list[tuple[dict[str, str], float]]]:
    families = text_string_to_metric_families(page.decode())
    return {family.name: [(sample.labels, sample.value) for sample in family.samples] for family in families}


def test_a_page_is_exactly_this() -> None:
    page = render(
        [
            Family("up", "gauge", "Whether it is up.", [({}, 1)]),
            Family("samples_total", "counter", "Samples so far.", [({"to": "a"}, 3), ({"to": "b"}, 0.5)]),
        ]
    )
    assert page == (
        b"# HELP up Whether it is up.\n# TYPE up gauge\nup 1\n"
        b"# HELP samples_total Samples so far.\n# TYPE samples_total counter\n"
        b'samples_total{to="a"} 3\nsamples_total{to="b"} 0.5\n'
    )


@pytest.mark.parametrize("text", AWKWARD)
def test_a_label_value_comes_back_as_it_was(text: str) -> None:
    page = render([Family("up", "gauge", "Up.", [({"name": text}, 1)])])
    assert parsed(page) == {"up": [({"name": text}, 1.0)]}


@pytest.mark.parametrize("text", ["two\nlines", "back\\slash", 'a "quote"', "\\n"])
def test_a_help_text_comes_back_as_it_was(text: str) -> None:
    page = render([Family("up", "gauge", text, [])])
    assert [family.documentation for family in text_string_to_metric_families(page.decode())] == [text]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (True, "1"),
        (2**53 + 1, "9007199254740993"),
        (2**64 - 1, "18446744073709551615"),
        (10**16, "10000000000000000"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (1487073601.123456789, repr(1487073601.123456789)),
    ],
)
def test_a_number_is_written_without_loss(value: float, written: str) -> None:
    assert series("x", ["{}"], [value]) == [f"x{{}} {written}\n"]


@pytest.mark.parametrize("unknown", [None, math.nan, math.inf, -math.inf])
def test_what_is_unknown_is_not_written(unknown: float | None) -> None:
    assert series("x", ['{a="1"}', '{a="2"}'], [unknown, 7]) == ['x{a="2"} 7\n']


def test_a_scale_brings_a_value_to_its_base_unit() -> None:
    assert series("x_ratio", [""], [20.0], 0.01) == ["x_ratio 0.2\n"]


def test_a_label_without_a_value_is_left_out() -> None:
    assert label_string({"a": "", "b": "x"}) == '{b="x"}'
    assert label_string({"a": ""}) == ""


@pytest.mark.parametrize(("name", "kind"), [("samples", "counter"), ("samples_total", "gauge")])
def test_counters_and_nothing_else_end_in_total(name: str, kind: str) -> None:
    with pytest.raises(ValueError, match=name):
        head(name, kind, "Samples.")  # type: ignore[arg-type]  # from the table above


def test_half_a_surrogate_pair_costs_one_character_not_the_page() -> None:
    assert encode(["up\udc80 1\n"]) == b"up? 1\n"


def test_a_family_without_series_still_says_what_it_is() -> None:
    assert render([Family("up", "gauge", "Up.", [])]) == b"# HELP up Up.\n# TYPE up gauge\n"
