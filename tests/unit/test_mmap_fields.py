"""The fields of a model: what is read of them, what stands in the file, and what they refuse."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from support.mmstats import Laid, laid

from statspout.client.mmap import (
    AverageField,
    BaseMmStats,
    BoolField,
    ByteField,
    CounterField,
    DoubleField,
    FloatField,
    IntField,
    MmStatsReader,
    MovingAverageField,
    ShortField,
    StaticDoubleField,
    StaticFloatField,
    StaticInt64Field,
    StaticTextField,
    StaticUInt64Field,
    StaticUIntField,
    StringField,
    TimerField,
    UInt64Field,
    UIntField,
    UShortField,
)  # fmt: skip

ticks = count(10.0, 0.5)


class Every(BaseMmStats):
    counter = CounterField()
    average = AverageField(label="avg")
    moving = MovingAverageField(size=3)
    timer = TimerField(size=2, timer=lambda: next(ticks))
    uint64 = UInt64Field()
    uint = UIntField()
    int_ = IntField(label="int")
    ushort = UShortField()
    short = ShortField()
    byte = ByteField()
    float_ = FloatField(label="float")
    double = DoubleField()
    bool_ = BoolField(label="bool", initial=True)
    string = StringField(size=10)
    sfloat = StaticFloatField(value=0.5)
    sdouble = StaticDoubleField(value=lambda: 2.5)
    suint = StaticUIntField(value=7)
    sint64 = StaticInt64Field(value=-8)
    suint64 = StaticUInt64Field(value=2**64 - 1)
    stext = StaticTextField(value="Länge ❤")


@pytest.fixture
def stats(tmp_path: Path) -> Iterator[Every]:
    stats = Every(path=str(tmp_path), label_prefix="x.")
    yield stats
    stats.remove()


def seen(stats: BaseMmStats) -> dict[str, Any]:
    """What a reader of the file sees."""
    return {label.removeprefix("x."): value for label, value in MmStatsReader.from_file(stats.filename)}


def by_hand(written: dict[str, tuple[int, tuple[object, ...]]]) -> bytes:
    two = [
        ("counter", "Q"),
        ("avg", "d"),
        ("moving", "d"),
        ("timer", "d"),
        ("uint64", "Q"),
        ("uint", "I"),
        ("int", "i"),
    ]
    two += [("ushort", "H"), ("short", "h")]
    fields = {label: Laid(f"x.{label}".encode(), code, 0, (0, 0)) for label, code in two}
    fields["byte"] = Laid(b"x.byte", "b", 0xFF, (0,))
    fields["float"] = Laid(b"x.float", "f", 0, (0, 0))
    fields["double"] = Laid(b"x.double", "d", 0, (0, 0))
    fields["bool"] = Laid(b"x.bool", "?", 0xFF, (True,))
    fields["string"] = Laid(b"x.string", "10s", 0, (b"", b""))
    for label, code, value in [("sfloat", "f", 0.5), ("sdouble", "d", 2.5), ("suint", "I", 7), ("sint64", "q", -8)]:
        fields[label] = Laid(f"x.{label}".encode(), code, 0xFF, (value,))
    fields["suint64"] = Laid(b"x.suint64", "Q", 0xFF, (2**64 - 1,))
    fields["stext"] = Laid(b"x.stext", "256s", 0xFF, ("Länge ❤".encode(),))
    for label, (buffer, values) in written.items():
        fields[label] = fields[label]._replace(buffer=buffer, values=values)
    return laid(fields.values(), "=")


def test_a_new_file_is_what_the_table_says(stats: Every) -> None:
    assert Path(stats.filename).read_bytes() == by_hand({})
    assert stats.size == 4096


def test_what_was_written_is_what_the_table_says(stats: Every) -> None:
    stats.counter.incr()
    stats.counter.incr(4)
    for value in (1, 2, 6):
        stats.average.add(value)
    stats.moving.add(4)
    stats.uint64, stats.uint, stats.int_, stats.ushort, stats.short = 2**64 - 1, 2**32 - 1, -(2**31), 65535, -32768
    stats.byte, stats.float_, stats.double, stats.bool_ = -128, 0.25, math.inf, False
    stats.string, stats.string = "hello", "hi"
    with stats.timer:
        pass
    assert Path(stats.filename).read_bytes() == by_hand(
        {
            "counter": (0, (1, 5)), "avg": (1, (3.0, 1.5)), "moving": (1, (4.0, 0.0)), "timer": (1, (0.5, 0.0)),
            "uint64": (1, (2**64 - 1, 0)), "uint": (1, (2**32 - 1, 0)), "int": (1, (-(2**31), 0)),
            "ushort": (1, (65535, 0)), "short": (1, (-32768, 0)), "byte": (0xFF, (-128,)), "float": (1, (0.25, 0)),
            "double": (1, (math.inf, 0)), "bool": (0xFF, (False,)), "string": (0, (b"hello", b"hi")),
        }
    )  # fmt: skip


NUMBERS: list[tuple[str, str, object]] = [
    ("uint64", "uint64", 2**63), ("uint", "uint", 5), ("int_", "int", -5), ("ushort", "ushort", 6), ("byte", "byte", 7),
    ("short", "short", -6), ("float_", "float", 0.5), ("double", "double", -2.25), ("bool_", "bool", False),
    ("string", "string", "❤"), ("double", "double", 3), ("uint", "uint", True),
]  # fmt: skip


@pytest.mark.parametrize(("name", "label", "value"), NUMBERS)
def test_a_value_that_is_set_is_read_as_it_is_by_the_writer_and_by_others(
    stats: Every, name: str, label: str, value: object
) -> None:
    for _ in range(3):  # into one buffer, and the other
        setattr(stats, name, value)
        assert getattr(stats, name) == value
        assert seen(stats)[label] == value


def test_a_float_of_32_bits_is_read_as_it_was_kept(stats: Every) -> None:
    stats.float_ = 1.1
    assert stats.float_ == seen(stats)["float"] == 1.100000023841858


WHOLE = [("uint64", 0, 2**64 - 1), ("uint", 0, 2**32 - 1), ("int_", -(2**31), 2**31 - 1), ("ushort", 0, 65535),
         ("short", -32768, 32767), ("byte", -128, 127)]  # fmt: skip


@pytest.mark.parametrize(("name", "least", "most"), WHOLE)
def test_a_whole_number_out_of_range_is_an_error_that_names_the_field_and_changes_nothing(
    stats: Every, name: str, least: int, most: int
) -> None:
    for value in (least, most):
        setattr(stats, name, value)
        assert getattr(stats, name) == value
    label = "x." + name.rstrip("_")
    for wrong in (least - 1, most + 1, 10**30):
        with pytest.raises(
            ValueError, match=f"{label}: .* out of range: a whole number from {least} to {most} is right"
        ):
            setattr(stats, name, wrong)
    for none in (1.5, "1", None, b"1"):
        with pytest.raises(TypeError, match=rf"{label}: .* of type {type(none).__name__}: a whole number"):
            setattr(stats, name, none)
    assert getattr(stats, name) == most


WRONG: list[tuple[Callable[[Every], object], type[Exception], str]] = [
    (lambda s: setattr(s, "float_", 1e39), ValueError, "x.float: 1e[+]39 is out of range: a number of up to 3.4e38"),
    (lambda s: setattr(s, "float_", -(10**400)), ValueError, "x.float: .* is out of range"),
    (lambda s: setattr(s, "float_", "1"), TypeError, "x.float: '1' is of type str: a number of up to 3.4e38 is right"),
    (lambda s: setattr(s, "double", "1"), TypeError, "x.double: '1' is of type str: a number is right"),
    (lambda s: setattr(s, "double", 10**400), ValueError, "x.double: .* is out of range"),
    (lambda s: setattr(s, "string", 5), TypeError, "x.string: 5 is of type int: a text is right"),
    (lambda s: setattr(s, "string", "a\0b"), ValueError, "x.string: .* has a NUL"),
    (lambda s: setattr(s, "string", b"\xff"), ValueError, "x.string: .* is no UTF-8"),
    (lambda s: setattr(s, "string", "\ud800"), ValueError, "x.string: .* is no UTF-8"),
    (lambda s: s.counter.incr(-1), ValueError, "x.counter: -1 is out of range: a whole number from 0"),
    (lambda s: s.counter.incr(0.5), TypeError, "x.counter: 0.5 is of type float"),  # type: ignore[arg-type]
    (lambda s: s.counter.incr("1"), TypeError, "x.counter: '1' is of type str"),  # type: ignore[arg-type]
    (lambda s: setattr(s.counter, "value", -1), ValueError, "x.counter: -1 is out of range"),
    (lambda s: setattr(s.counter, "value", 2**64), ValueError, "x.counter: .* is out of range"),
    (lambda s: s.average.add("1"), TypeError, "x.avg: '1' is of type str: a number is right"),  # type: ignore[arg-type]
    (lambda s: s.average.add(math.nan), ValueError, "x.avg: nan is out of range"),
    (lambda s: s.average.add(math.inf), ValueError, "x.avg: inf is out of range"),
    (lambda s: s.moving.add(math.nan), ValueError, "x.moving: nan is out of range"),
    (lambda s: s.moving.add("1"), TypeError, "x.moving: '1' is of type str"),  # type: ignore[arg-type]
    (lambda s: s.timer.stop(), RuntimeError, "x.timer: stop without a start"),
    (lambda s: setattr(s, "counter", 5), AttributeError, r"counter cannot be assigned to: counter.incr\(\) is right"),
    (lambda s: setattr(s, "average", 5), AttributeError, "average cannot be assigned to: average.add"),
    (lambda s: setattr(s, "moving", 5), AttributeError, "moving cannot be assigned to"),
    (lambda s: setattr(s, "timer", 5), AttributeError, "timer cannot be assigned to"),
    (lambda s: setattr(s, "suint", 5), AttributeError, "suint cannot be assigned to: it is what it was"),
]


@pytest.mark.parametrize(("wrong", "error", "text"), WRONG)
def test_what_a_field_cannot_have_is_an_error_that_names_it_and_changes_nothing(
    stats: Every, wrong: Callable[[Every], object], error: type[Exception], text: str
) -> None:
    before = Path(stats.filename).read_bytes()
    with pytest.raises(error, match=text):
        wrong(stats)
    assert Path(stats.filename).read_bytes() == before
    stats.average.add(2)
    assert (stats.average.value, stats.counter.value) == (2, 0)


def test_a_counter_counts_and_begins_at_0_again_behind_64_bits(stats: Every) -> None:
    stats.counter.value = 2**64 - 2
    stats.counter.incr()
    assert stats.counter.value == seen(stats)["counter"] == 2**64 - 1
    stats.counter.incr(3)
    assert stats.counter.value == seen(stats)["counter"] == 2
    stats.counter.incr(-2)
    stats.counter.incr(2**65 + 5)
    assert stats.counter.value == seen(stats)["counter"] == 5


def test_the_old_name_of_incr_still_counts(stats: Every) -> None:
    with pytest.deprecated_call(match="incr is its name"):
        stats.counter.inc()
    with pytest.deprecated_call():
        stats.counter.inc(n=2)
    assert seen(stats)["counter"] == 3


def test_an_average_is_of_all_and_a_moving_one_of_the_last(stats: Every) -> None:
    for value in (1e16, 1, 1, 4):
        stats.moving.add(value)
    assert stats.moving.value == seen(stats)["moving"] == 2.0  # of three; what is no more in it has left nothing behind
    for number in (10.5, -2, 1, 4):
        stats.average.add(number)
    assert stats.average.value == seen(stats)["avg"] == 13.5 / 4
    for _ in range(3):
        stats.moving.add(1e308)  # whose sum is infinite
    assert stats.moving.value == pytest.approx(1e308)


def test_a_timer_has_the_mean_of_the_last_and_the_latest(stats: Every) -> None:
    assert (stats.timer.value, stats.timer.last) == (0.0, 0.0)
    with stats.timer as timing:
        assert not timing.done
        assert timing.elapsed == 0.5
        assert stats.timer.last == 1.0
    assert timing.done
    assert timing.elapsed == stats.timer.last == stats.timer.value == seen(stats)["timer"] == 1.5
    stats.timer.start()
    stats.timer.stop()
    assert (stats.timer.last, stats.timer.value) == (0.5, 1.0)
    with pytest.raises(KeyError), stats.timer:
        raise KeyError
    assert (stats.timer.last, stats.timer.value) == (0.5, 0.5)


def test_timers_may_be_nested_and_run_in_many_tasks_at_once(stats: Every) -> None:
    with stats.timer as outer, stats.timer as inner:
        pass
    assert inner.elapsed < outer.elapsed

    async def work(rests: int) -> float:
        with stats.timer as timing:
            for _ in range(rests):
                await asyncio.sleep(0)
                next(ticks)
        return timing.elapsed

    async def both() -> tuple[float, float]:
        return await asyncio.gather(work(9), work(1))

    long, short = asyncio.run(both())
    assert long > 4.5 > short


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("❤" * 11, "❤❤❤"),
        ("0123456789", "0123456789"),
        ("01234567890", "0123456789"),
        ("012345678é", "012345678"),
        ("", ""),
        (b"bytes", "bytes"),
        ("é".encode() * 9, "é" * 5),
    ],
)
def test_a_text_is_cut_between_two_characters(stats: Every, text: str, kept: str) -> None:
    stats.string = "xxxxxxxxxx"
    stats.string = text
    assert stats.string == seen(stats)["string"] == kept


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: StaticUIntField(), "value must be set"),
        (lambda: MovingAverageField(size=0), "size 0: 1 and more are right"),
        (lambda: TimerField(size=0), "size 0: 1 and more are right"),
        (lambda: StringField(size=0), "size 0: 1 and more are right"),
    ],
)
def test_a_field_that_can_never_be_is_an_error_at_once(make: Callable[[], object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (StaticUIntField("a", -1), "a: -1: "),
        (StaticInt64Field("a", 2**63), "a: 9223372036854775808: "),
        (StaticInt64Field("a", lambda: 1.5), "a: 1.5: "),  # type: ignore[arg-type,return-value]
        (StaticFloatField("a", 1e300), r"a: 1e\+300: "),
        (StaticTextField("a", "é" * 129), "a: 258 bytes: up to 256 are right"),
        (StaticTextField("a", "b\0c"), "a: .* has a NUL"),
    ],
)
def test_a_static_value_that_its_type_cannot_have_is_an_error_and_leaves_no_file(
    tmp_path: Path, field: object, text: str
) -> None:
    model = type("Wrong", (BaseMmStats,), {"a": field})
    with pytest.raises(ValueError, match=text):
        model(path=str(tmp_path))
    assert list(tmp_path.iterdir()) == []
