"""Both formats: what a server reads is what we meant."""

from __future__ import annotations

import math

import pytest
from support.formats import PARSERS

from statspout.exposition import (
    OPENMETRICS,
    TEXT,
    Family,
    Format,
    Histogram,
    encode,
    head,
    label_string,
    render,
    series,
    with_label,
)

AWKWARD = ('say "hi"', "two\nlines", "back\\slash", "\\n", 'end\\"', "é漢🐳", "a=b,c{d}", "tab\tand\rreturn")


FAMILIES = [
    Family("up", "gauge", "Whether it is up.", [({}, 1)]),
    Family("busy_seconds_total", "counter", "Time so far.", [({"to": "a"}, 3), ({"to": "b"}, 0.5)]),
    Family("build_info", "info", "The version.", [({"version": "1"}, 1)]),
]


def parsed(page: bytes, format: Format = TEXT) -> dict[str, list[tuple[dict[str, str], float]]]:  # noqa: A002
    families = PARSERS[format](page.decode())
    return {family.name: [(sample.labels, sample.value) for sample in family.samples] for family in families}


def test_a_page_is_exactly_this() -> None:
    assert render(FAMILIES) == (
        b"# HELP up Whether it is up.\n# TYPE up gauge\nup 1\n"
        b"# HELP busy_seconds_total Time so far.\n# TYPE busy_seconds_total counter\n"
        b'busy_seconds_total{to="a"} 3\nbusy_seconds_total{to="b"} 0.5\n'
        b'# HELP build_info The version.\n# TYPE build_info gauge\nbuild_info{version="1"} 1\n'
    )


def test_a_page_of_openmetrics_is_exactly_this() -> None:
    assert render(FAMILIES, OPENMETRICS) == (
        b"# TYPE up gauge\n# HELP up Whether it is up.\nup 1\n"
        b"# TYPE busy_seconds counter\n# UNIT busy_seconds seconds\n# HELP busy_seconds Time so far.\n"
        b'busy_seconds_total{to="a"} 3\nbusy_seconds_total{to="b"} 0.5\n'
        b'# TYPE build info\n# HELP build The version.\nbuild_info{version="1"} 1\n'
        b"# EOF\n"
    )


def test_a_histogram_is_exactly_this_in_both_formats() -> None:
    late = Histogram("late_seconds", "How late.", (0.5, 1, 10), [({}, (3, 0, 2, 1), 17.25)])
    lines = (
        b'late_seconds_bucket{le="0.5"} 3\nlate_seconds_bucket{le="1.0"} 3\nlate_seconds_bucket{le="10.0"} 5\n'
        b'late_seconds_bucket{le="+Inf"} 6\nlate_seconds_count 6\nlate_seconds_sum 17.25\n'
    )
    assert render([late]) == b"# HELP late_seconds How late.\n# TYPE late_seconds histogram\n" + lines
    assert render([late], OPENMETRICS) == (
        b"# TYPE late_seconds histogram\n# UNIT late_seconds seconds\n# HELP late_seconds How late.\n"
        + lines + b"# EOF\n"
    )  # fmt: skip


@pytest.mark.parametrize("format", PARSERS)
def test_a_histogram_is_what_the_official_parsers_read(format: Format) -> None:  # noqa: A002
    page = render([Histogram("late_seconds", "How late.", (0.001, 2.5), [({}, (0, 1, 2), 9.0)])], format)
    assert parsed(page, format)["late_seconds"] == [
        ({"le": "0.001"}, 0), ({"le": "2.5"}, 1), ({"le": "+Inf"}, 3), ({}, 3), ({}, 9.0),
    ]  # fmt: skip


def test_a_page_of_nothing_is_a_page() -> None:
    assert (render([]), render([], OPENMETRICS)) == (b"", b"# EOF\n")


@pytest.mark.parametrize(
    ("format", "content_type"),
    [
        (TEXT, "text/plain; version=0.0.4; charset=utf-8"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
def test_a_content_type_is_exactly_this(format: Format, content_type: str) -> None:  # noqa: A002
    assert format.content_type == content_type


@pytest.mark.parametrize("format", PARSERS)
@pytest.mark.parametrize("text", AWKWARD)
def test_a_label_value_comes_back_as_it_was(text: str, format: Format) -> None:  # noqa: A002
    page = render([Family("up", "gauge", "Up.", [({"name": text}, 1)])], format)
    assert parsed(page, format) == {"up": [({"name": text}, 1.0)]}


@pytest.mark.parametrize("format", PARSERS)
@pytest.mark.parametrize("text", ["two\nlines", "back\\slash", 'a "quote"', "\\n", 'end\\"'])
def test_a_help_text_comes_back_as_it_was(text: str, format: Format) -> None:  # noqa: A002
    page = render([Family("up", "gauge", text, [])], format)
    assert [family.documentation for family in PARSERS[format](page.decode())] == [text]


@pytest.mark.parametrize("labels", [{}, {"a": "x"}, {"a": "}"}])
@pytest.mark.parametrize("text", [*AWKWARD, ""])
def test_a_label_put_behind_others_is_as_if_it_had_been_there(labels: dict[str, str], text: str) -> None:
    assert with_label(label_string(labels), "name", text) == label_string({**labels, "name": text})


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


@pytest.mark.parametrize(
    ("name", "kind"), [("samples", "counter"), ("samples_total", "gauge"), ("build", "info"), ("build_total", "info")]
)
def test_counters_and_nothing_else_end_in_total(name: str, kind: str) -> None:
    with pytest.raises(ValueError, match=name):
        head(name, kind, "Samples.")  # type: ignore[arg-type]  # from the table above


def test_half_a_surrogate_pair_costs_one_character_not_the_page() -> None:
    assert encode(["up\udc80 1\n"]) == b"up? 1\n"


def test_a_family_without_series_still_says_what_it_is() -> None:
    assert render([Family("up", "gauge", "Up.", [])]) == b"# HELP up Up.\n# TYPE up gauge\n"
