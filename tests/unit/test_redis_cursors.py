"""Where we are in a label's history, and what a label and its entries are as metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statspout.sources.apps.redis.cursors import Answer, Cursor
from statspout.sources.apps.redis.metrics import Metrics, Series, series_of
from statspout.sources.apps.redis.reader import Entry


class Label:
    """A label in Redis, of which ``history`` entries are kept."""

    def __init__(self, history: int = 1000) -> None:
        self.history = history
        self.total = 0
        self.entries: list[bytes] = []

    def add(self, *times: float) -> None:
        for time in times:
            self.total += 1
            self.entries = [b"%r;%d;" % (time, self.total), *self.entries][: self.history]

    def answer(self, start: int, end: int) -> Answer:
        last = self.entries[0].partition(b";")[0] if self.entries else None
        return Answer(self.total, last, len(self.entries), start, self.entries[start : end + 1])


def told(cursor: Cursor, label: Label) -> tuple[list[float], int]:
    """The times of what is new, and how many are missed."""
    found: list[bytes] = []
    missed = 0
    for _ in range(100):
        answer = label.answer(*cursor.wanted(label.total))
        news = cursor.news(answer)
        if news is not None:
            missed += news.missed
            found += (entry.text for entry in cursor.told(answer, news))
        if cursor.count == label.total:
            break
    return [float(entry.partition(b";")[0]) for entry in found], missed


def test_each_entry_is_told_once_and_the_rest_is_missed() -> None:
    label, cursor = Label(5), Cursor()
    label.add(1, 2, 3)
    assert told(cursor, label) == ([1, 2, 3], 0)
    assert told(cursor, label) == ([], 0)
    label.add(*range(4, 14))
    assert told(cursor, label) == ([9, 10, 11, 12, 13], 5)


@pytest.mark.parametrize("more", [0, 1, 2, 10])
def test_another_series_is_told_from_its_beginning_whatever_its_times_are(more: int) -> None:
    cursor, before, after = Cursor(), Label(), Label()
    before.add(10, 11, 12)
    told(cursor, before)
    after.add(9, 11.5, *range(20, 20 + more))
    assert told(cursor, after) == ([9, 11.5, *range(20, 20 + more)], 0)


@pytest.mark.parametrize("more", [0, 1, 5, 50])
def test_an_older_state_of_the_same_series_brings_only_what_came_behind_it(more: int) -> None:
    cursor, label, older = Cursor(), Label(), Label()
    label.add(*range(20))
    older.add(*range(12))
    told(cursor, label)
    older.add(*range(100, 100 + more))
    assert told(cursor, older) == (list(range(100, 100 + more)), 0)


def test_of_equal_times_each_has_a_number_over_a_restart_too() -> None:
    cursor, label = Cursor(), Label()
    numbers = []
    for times in ([1, 1], [1, 2, 2]):
        label.add(*times)
        answer = label.answer(*cursor.wanted(label.total))
        news = cursor.news(answer)
        assert news is not None
        numbers += [entry.alike for entry in cursor.told(answer, news)]
        cursor = Cursor.from_place(cursor.place)
    assert numbers == [0, 1, 2, 0, 1]


@given(
    history=st.integers(1, 40),
    steps=st.lists(st.tuples(st.sampled_from(["add", "look", "anew", "restart"]), st.integers(1, 30)), max_size=30),
)
def test_whatever_happens_nothing_is_told_twice_and_the_books_balance(
    history: int, steps: Sequence[tuple[str, int]]
) -> None:
    label, cursor, time = Label(history), Cursor(), 0
    seen: list[float] = []
    missed = 0
    for what, count in [*steps, ("look", 0)]:
        if what == "restart":
            cursor = Cursor.from_place(cursor.place)
            continue
        if what != "add":
            found, gone = told(cursor, label)
            seen, missed = [*seen, *found], missed + gone
        if what == "anew":
            label = Label(history)
        if what != "look":
            # Of another series so much has to be there that it is known for another.
            more = min(count, history) if what == "anew" else count
            label.add(*range(time, time + more))
            time += more
        if what == "anew":
            found, gone = told(cursor, label)
            seen, missed = [*seen, *found], missed + gone
    assert len(set(seen)) == len(seen)
    assert len(seen) + missed == time


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("a", Series("a", {})),
        ("a;k=v,k2=v=2", Series("a", {"k": "v", "k2": "v=2"})),
        ("a;k=", Series("a", {"k": ""})),
        ("a;k", Series("a;k", {})),
        ("a;=v", Series("a;=v", {})),
        ("a;", Series("a;", {})),
        (";k=v", Series(";k=v", {})),
        ("errors__EXC:ValueError", Series("errors__EXC:ValueError", {})),
    ],
)
def test_a_label_is_a_name_with_tags_or_as_a_whole_a_name(label: str, expected: Series) -> None:
    assert series_of(label) == expected


@pytest.mark.parametrize("text", [b"", b"1", b"x;1;", b"1;x;", b"1;nan;", b"nan;1;", b"1;inf;", b"1e300;1;", b";;;"])
def test_what_is_no_record_is_counted(text: bytes) -> None:
    assert Metrics("N").of([Entry("x", text, None)], "h") == ([], 1)


def test_a_metric_has_its_labels_identity_and_a_time_of_its_own() -> None:
    records = ((b"1.5;7;", None), (b"1.5;8;abc", b"\xff"))
    entries = [Entry("x;k=v", text, context, alike) for alike, (text, context) in enumerate(records)]
    first, second = Metrics("N").of(entries, "h")[0]
    assert (first.key, first.name, first.tags, first.value) == ("redis/N/x;k=v", "x", {"k": "v"}, 7.0)
    assert (first.time_ns, second.time_ns) == (1_500_000_000, 1_500_000_001)
    assert isinstance(first.value, float)
    assert (first.context, second.context) == (None, "�")
    assert math.isclose(float(str(second.value)), 8)
