"""What was counted is counted once, whatever becomes of the files that it was in."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statspout.sources.apps.mmap.totals import KEEP, Counted, Totals

SERIES = ("", "web", "hits")


def counted(id_: Hashable, hits: int, folds: int | None = None, process: Hashable = 1, command: str = "web") -> Counted:
    return Counted(id_, process, "", command, {"hits": hits}, folds)


def last(*looks: list[Counted]) -> int | None:
    """The total of the last of these looks, each of which finds some files."""
    totals = Totals()
    found: dict[tuple[str, str, str], int] = {}
    for files in looks:
        found = totals.update(files)
    return found.get(SERIES)


CASES = {
    "it is the sum of all files": (8, [counted("a", 5), counted("b", 3, process=2)]),
    "it grows with them": (9, [counted("a", 5)], [counted("a", 9)]),
    "a program that was restarted begins where it ended": (7, [counted("a", 5)], [counted("b", 2, process=2)]),
    "also with the same process id, as in a container": (7, [counted("a", 5)], [counted("b", 2)]),
    "and when it has counted more than before": (11, [counted("a", 5)], [counted("b", 6)]),
    "also after a time without it": (7, [counted("a", 5)], [], [counted("b", 2)]),
    "what a killed one left is counted once": (7, [counted("a", 5)], [counted("a", 5), counted("b", 2)]),
    "also when it is cleaned up": (8, [counted("a", 5), counted("b", 2)], [counted("b", 3)]),
    "a counter that was set back goes on": (6, [counted("a", 5)], [counted("a", 1)]),
    "a thread that ends leaves its counts": (
        8,
        [counted("a", 5), counted("t", 3)],
        [counted("a", 5), counted("f", 3, 2)],
    ),
    "and what it counted since": (9, [counted("a", 5), counted("t", 3)], [counted("a", 5), counted("f", 4, 2)]),
    "the next one, too": (10, [counted("f", 3, 2), counted("t", 4)], [counted("f", 10, 4)]),
    "a thread's statistics that were removed are not forgotten": (
        8,
        [counted("a", 5), counted("t", 3)],
        [counted("a", 5)],
    ),
    "nor where others ended meanwhile": (
        12,
        [counted("a", 5), counted("t", 3), counted("f", 4, 2)],
        [counted("a", 5), counted("f", 4, 4)],
    ),
    "while counts are moved all is as it was": (
        8,
        [counted("f", 3, 2), counted("t", 5)],
        [counted("f", 8, 3), counted("t", 5)],
    ),
    "and then as it is": (
        9,
        [counted("f", 3, 2), counted("t", 5)],
        [counted("f", 8, 3), counted("t", 5)],
        [counted("f", 9, 4)],
    ),
    "a restart with the same process id whose threads ended at once": (
        7,
        [counted("a", 5), counted("f", 1, 2)],
        [counted("g", 1, 2)],
    ),
    "a file that comes back is not counted again": (9, [counted("a", 5)], [], [counted("a", 9)]),
    "also beside one that was there all the time": (
        13,
        [counted("a", 5), counted("b", 3, process=2)],
        [counted("b", 4, process=2)],
        [counted("a", 6), counted("b", 7, process=2)],
    ),
    "nor is what one of its threads has left meanwhile": (
        9,
        [counted("a", 5), counted("t", 3)],
        [],
        [counted("a", 5), counted("f", 4, 2)],
    ),
    "one that came and went twice": (7, [counted("a", 5)], [], [counted("a", 6)], [], [counted("a", 7)]),
    "but one that only has its inode is another": (
        11,
        [counted("a", 5)._replace(unique=False)],
        [],
        [counted("a", 6)._replace(unique=False)],
    ),
    "other programs have totals of their own": (5, [counted("a", 5), counted("b", 3, command="db")]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_total_is_what_was_counted(case: str) -> None:
    expected, *looks = CASES[case]
    assert last(*looks) == expected  # type: ignore[arg-type]  # the rest of a tuple whose first is a number


def test_without_a_file_there_is_no_total() -> None:
    assert last([counted("a", 5)], []) is None


def test_a_file_that_is_there_and_cannot_be_read_has_what_it_had() -> None:
    totals = Totals()
    other, thread = counted("b", 3, process=2), counted("t", 2)
    totals.update([counted("a", 5)._replace(unique=False), thread, other])
    for _ in range(2):
        assert totals.update([thread, other], there={"a"})[SERIES] == 10
    assert totals.update([counted("f", 2, 2), other], there={"a"})[SERIES] == 10
    assert totals.update([counted("a", 6)._replace(unique=False), counted("f", 2, 2), other])[SERIES] == 11


def test_who_goes_on_for_another_has_its_totals_but_for_what_is_a_level_now() -> None:
    totals = [Totals() for _ in range(3)]
    both = Counted("a", 1, "", "web", {"hits": 5, "level": 7})
    totals[0].update([both, counted("b", 3, process=2)])
    totals[0].update([both])
    totals[1].follow(totals[0], lambda name: name == "level")
    assert totals[1].update([counted("a", 6), counted("b", 4, process=2)]) == {SERIES: 10}
    totals[2].follow(totals[1], lambda name: False)
    assert totals[2].update([both._replace(counters={"hits": 6, "level": 8})]) == {SERIES: 10, ("", "web", "level"): 8}


def test_what_was_forgotten_is_not_taken_back() -> None:
    now = [0.0]
    totals = Totals(clock=lambda: now[0])
    both = Counted("a", 1, "", "web", {"hits": 5, "others": 1})
    totals.update([both])
    totals.update([counted("b", 2, process=2)])
    now[0] = KEEP  # nobody has the others any more, and hits go on
    totals.update([counted("b", 2, process=2)])
    assert totals.update([both, counted("b", 2, process=2)]) == {SERIES: 7, ("", "web", "others"): 1}


def test_what_moves_while_it_is_read_neither_raises_a_total_nor_makes_it_fall() -> None:
    totals = Totals()
    totals.update([counted("f", 3, 2), counted("t", 5)])
    gone_already = totals.update([counted("f", 3, 2)], settled=False)  # the file of the process was read before
    assert gone_already[SERIES] == 8
    assert totals.update([counted("f", 8, 4)])[SERIES] == 8


def test_a_total_is_forgotten_an_hour_after_its_last_file() -> None:
    now = [0.0]
    totals = Totals(clock=lambda: now[0])
    totals.update([counted("a", 5)])
    totals.update([])
    now[0] = KEEP
    totals.update([])
    assert totals.update([counted("b", 1)])[SERIES] == 1


def test_only_so_many_totals_without_a_file_are_remembered() -> None:
    totals = Totals(most=10)
    for number in range(100):
        totals.update([Counted(number, number, "", "web", {f"made.up.{number}": 1})])
    assert len(totals._past) <= 11
    assert len(totals._ended) <= 10
    assert len(totals._gone) <= 10


@dataclass
class Process:
    """A program as the client writes its files: a thread's counts go to the process's file when it ends."""

    number: int
    ids: Iterator[int]
    threads: dict[int, int] = field(default_factory=dict)
    folded: tuple[int, int, int] | None = None

    def count(self, thread: int, hits: int) -> None:
        names = list(self.threads)
        if not names or thread >= len(names):
            self.threads[next(self.ids)] = hits
        else:
            self.threads[names[thread]] += hits

    def end(self, thread: int) -> None:
        names = list(self.threads)
        if thread < len(names) and (hits := self.threads.pop(names[thread])):
            id_, sum_, folds = self.folded or (next(self.ids), 0, 0)
            self.folded = id_, sum_ + hits, folds + 2

    def files(self) -> list[Counted]:
        files = [counted(id_, hits, process=self.number) for id_, hits in self.threads.items()]
        return files + ([counted(self.folded[0], *self.folded[1:], process=self.number)] if self.folded else [])


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("count"), st.integers(0, 1), st.integers(0, 3), st.integers(1, 5)),
        st.tuples(st.just("end"), st.integers(0, 1), st.integers(0, 3), st.just(0)),
        st.tuples(st.sampled_from(["restart", "away", "back"]), st.integers(0, 1), st.just(0), st.just(0)),
        st.tuples(st.just("look"), st.just(0), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_whatever_threads_and_programs_do_all_that_was_seen_is_counted_once(
    steps: list[tuple[str, int, int, int]],
) -> None:
    ids, numbers = count(), count(2)
    processes = [Process(0, ids), Process(1, ids)]
    totals, seen, ended, away = Totals(), [0, 0], 0, {0: False, 1: False}

    def look() -> None:
        files = {which: process.files() for which, process in enumerate(processes) if not away[which]}
        for which, own in files.items():
            seen[which] = sum(file.counters["hits"] for file in own)
        truth = ended + sum(seen)
        assert totals.update([file for own in files.values() for file in own]).get(SERIES, truth) == truth

    for what, which, thread, hits in steps:
        process = processes[which]
        if what == "count":
            process.count(thread, hits)
        elif what == "end":
            # While all files are away, nothing tells the first one for ended threads from that of a later process.
            if not away[which] or process.folded is not None:
                process.end(thread)
        elif what == "restart":
            # What it counted since it was last looked at went with it: so it is looked at first.
            look()
            ended += seen[which]
            seen[which] = 0
            processes[which] = Process(next(numbers), ids)
        elif what == "look":
            look()
        else:
            look()
            away[which] = what == "away"
            look()
