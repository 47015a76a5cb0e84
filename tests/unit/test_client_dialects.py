"""What lines of each dialect look like, by the pieces that a sender puts together."""

from __future__ import annotations

import pytest

from statspout.client.dialects import DIALECTS, change_gauge, clean, number, series, set_gauge


@pytest.mark.parametrize(
    ("dialect", "places"),
    [
        ("statspout", ("a.b", "|#k:v:w,z:1")),
        ("dogstatsd", ("a.b", "|#k:v:w,z:1")),
        ("gostatsd", ("a.b", "|#k:v:w,z:1")),
        ("statsd_exporter", ("a.b", "|#k:v:w,z:1")),
        ("etsy", ("a.b;k=v_w;z=1", "")),
        ("telegraf", ("a.b,k=v_w,z=1", "")),
        ("librato", ("a.b#k=v_w,z=1", "")),
        ("signalfx", ("a.b[k=v_w,z=1]", "")),
        ("brubeck", ("a.b.k.v_w.z.1", "")),
        ("flux", ("a.b.k.v_w.z.1", "")),
    ],
)
def test_tags_have_their_place_in_every_dialect(dialect: str, places: tuple[str, str]) -> None:
    assert series(DIALECTS[dialect], "a.b", {"z": "1", "k": "v:w"}) == places
    assert series(DIALECTS[dialect], "a.b", {}) == ("a.b", "")


def test_every_dialect_has_its_test() -> None:
    (mark,) = (m for m in test_tags_have_their_place_in_every_dialect.pytestmark)  # type: ignore[attr-defined]
    assert {name for name, _ in mark.args[1]} == set(DIALECTS)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("evil", ["a:b", "a|b", "a\nb", "a b", "a,b", "a#b", "a;b", "a=b", "a[b]", "a@b", "a\x00b"])
def test_nothing_that_is_given_can_end_a_line_or_begin_another_part_of_it(dialect: str, evil: str) -> None:
    head, tail = series(DIALECTS[dialect], evil, {evil: evil, "k": evil})
    line = f"{head}:1|c{tail}"
    assert not set(line) & set("\n \x00")
    assert head.count(":") == head.count("|") == 0
    assert line.split("|")[:2] == [f"{head}:1", "c"]
    assert len(line.split("|")) == (3 if tail else 2)


@pytest.mark.parametrize(
    ("tags", "tail"),
    [
        ({"flag": ""}, "|#flag"),
        ({"": "x"}, ""),
        ({"a b": "x y"}, "|#a_b:x_y"),
        ({"n": 5}, "|#n:5"),
        ({"k": "é"}, "|#k:é"),
    ],
)
def test_tags_behind_the_value_may_be_flags(tags: dict[str, str], tail: str) -> None:
    assert series(DIALECTS["dogstatsd"], "a", tags) == ("a", tail)
    pairs = {key: value for key, value in tags.items() if key and value}
    assert bool(pairs) == ("=" in series(DIALECTS["telegraf"], "a", tags)[0])


class Real(float):
    """A float that writes itself in its own way, as some do."""

    def __repr__(self) -> str:
        return f"Real({float(self)})"

    def __add__(self, other: float) -> Real:
        return Real(float(self) + other)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (-7, "-7"), (True, "1"), (1.0, "1"), (-0.0, "0"), (0.1, "0.1"), (1e21, "1" + 21 * "0"),
        (1.5e-7, "0.00000015"),
        (2**63, "9223372036854775808"), (123456789.123, "123456789.123"), (Real(2.5), "2.5"),
        (-1e-300, "-0." + 299 * "0" + "1"),
    ],
)  # fmt: skip
def test_a_number_is_written_exactly_and_without_an_exponent(value: float, text: str) -> None:
    assert number(value) == text
    assert float(text) == float(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_no_number(value: float) -> None:
    with pytest.raises(ValueError, match="is not a number that can be sent"):
        number(value)


@pytest.mark.parametrize(
    ("dialect", "value", "line"),
    [
        ("statspout", 5, "g:5|g"), ("statspout", -5, "g:0|g\ng:-5|g"), ("etsy", -0.5, "g:0|g\ng:-0.5|g"),
        ("dogstatsd", -5, "g:-5|g"), ("gostatsd", -5, "g:-5|g"), ("telegraf", 0.0, "g:0|g"), ("brubeck", -0.0, "g:0|g"),
    ],
)  # fmt: skip
def test_a_gauge_is_set_whatever_its_sign(dialect: str, value: float, line: str) -> None:
    assert set_gauge(DIALECTS[dialect], "g", "", value) == line


def test_a_gauge_is_changed_by_a_signed_value_always() -> None:
    assert [change_gauge("g", "|#k:v", change) for change in (3, -3, 0, -0.0, 0.5)] == [
        "g:+3|g|#k:v", "g:-3|g|#k:v", "g:+0|g|#k:v", "g:+0|g|#k:v", "g:+0.5|g|#k:v",
    ]  # fmt: skip


def test_a_name_keeps_only_what_every_server_takes() -> None:
    assert clean("a.b-c_D9 é/:|@#,;=[]\n") == "a.b-c_D9_"
