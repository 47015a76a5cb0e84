"""The queue before a repository: in order, bounded, and nothing in it is counted twice or forgotten."""

from __future__ import annotations

import random
import time
import tracemalloc

import msgspec
import pytest

from statspout import Container, ContainerSample, Interface, Metric, Sample
from statspout.delivery.queue import Batch, Queue, Segment, weight, weight_of
from statspout.delivery.sizing import Sizing
from statspout.sample import MetricKind
from statspout.testing import metric, sample, samples


class Journal:
    """Notes what it is told; keeps what is on disk."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.kept: list[Segment] = []

    def began(self, segment: Segment) -> None:
        self.told.append("began")

    def changed(self, segment: Segment) -> None:
        self.told.append(f"changed to {len(segment.samples)}")

    def ended(self, segment: Segment) -> None:
        self.told.append("ended")

    def keeps(self, segment: Segment) -> bool:
        if segment.row:
            self.kept.append(segment)
        return bool(segment.row)


def filled(count: int, *, segment: int = 4, limit: int = 1000, journal: Journal | None = None) -> Queue:
    queue = Queue(limit, segment=segment, journal=journal)
    for one in samples(count):
        queue.put([one])
    return queue


def taken(queue: Queue, most: int) -> Batch:
    batch = queue.take(most)
    assert isinstance(batch, Batch)
    return batch


def everything(queue: Queue) -> list[Sample]:
    found: list[Sample] = []
    while queue:
        found += taken(queue, 3).samples
        queue.finish()
    return found


@pytest.mark.parametrize(("most", "sizes"), [(1, [1] * 10), (3, [3, 1, 3, 3]), (4, [4, 4, 2]), (9, [8, 2]), (99, [10])])
def test_a_batch_is_whole_segments_or_a_part_of_one(most: int, sizes: list[int]) -> None:
    queue, found = filled(10), []
    while queue:
        found.append(len(taken(queue, most)))
        queue.finish()
    assert found == sizes


def test_what_is_given_back_comes_again_in_its_order_without_what_is_done_with() -> None:
    queue = filled(10)
    taken(queue, 9)
    assert queue.give_back({0, 5, 7}) == 0
    assert everything(queue) == [one for i, one in enumerate(samples(10)) if i not in {0, 5, 7}]


def test_a_part_that_is_given_back_goes_before_the_rest_of_its_segment() -> None:
    queue = filled(4)
    taken(queue, 3)
    queue.give_back({1})
    assert everything(queue) == [samples(4)[i] for i in (0, 2, 3)]


def test_its_counts_are_those_of_what_is_in_it_whatever_is_done() -> None:
    chance, queue = random.Random(1), Queue(50, segment=7)
    for one in samples(2000):
        queue.put([one])
        if chance.random() < 0.2:
            size = len(taken(queue, chance.randint(1, 20)))
            queue.finish() if chance.random() < 0.5 else queue.give_back(set(chance.sample(range(size), size // 2)))
        waiting = [sample for segment in queue.segments() for sample in segment.samples]
        assert queue.samples == len(queue) == len(waiting) <= 50
        assert queue.bytes == sum(map(weight, waiting)) == sum(segment.bytes for segment in queue.segments())


def test_the_batch_in_flight_is_counted_and_not_dropped() -> None:
    queue = filled(4, limit=4)
    taken(queue, 4)
    assert sum(queue.put([one]) for one in samples(4)) == 0
    assert (len(queue), queue.samples) == (8, 4)
    assert queue.give_back() == 4


def test_bytes_are_a_bound_too_and_one_sample_always_has_room() -> None:
    each = weight(sample())
    queue = Queue(1000, 3 * each)
    assert sum(queue.put([one]) for one in samples(10)) == 7
    assert Queue(1000, 1).put([sample()]) == 0


def churned(queue: Queue, *what: Sample | str) -> list[ContainerSample]:
    """Samples of containers by these names, and after ``-name`` the word that one is gone; returns the samples."""
    found = []
    for one in what:
        assert isinstance(one, str)
        made = sample(one.removeprefix("-"), id=one.removeprefix("-") * 64)
        if one.startswith("-"):
            assert queue.put_clear(made.container)
        else:
            queue.put([made])
            found.append(made)
    return found


def drained(queue: Queue, most: int = 99) -> list[str]:
    """What is taken: names of a batch, or ``-name``."""
    found = []
    while queue:
        head = queue.take(most)
        if isinstance(head, Batch):
            found.append("".join(one.container.name for one in head.samples if one.container))
            queue.finish()
        else:
            found.append(f"-{head.name}")
    return found


@pytest.mark.parametrize(
    ("put", "most", "taken"),
    [
        (["a", "b", "-a", "c", "-b", "d"], 99, ["abcd", "-a", "-b"]),
        (["-a", "b", "-c", "d"], 99, ["-a", "bd", "-c"]),
        (["a", "b", "-a", "c", "d"], 3, ["ab", "-a", "cd"]),
        (["a", "-a", "b", "a", "-b", "c"], 99, ["a", "-a", "bac", "-b"]),
        (["a", "-a", "a", "-a"], 99, ["a", "-a", "a", "-a"]),
    ],
)
def test_no_sample_waits_for_word_of_another_container_and_that_comes_in_its_order(
    put: list[str], most: int, taken: list[str]
) -> None:
    """A whole segment is taken or none of it, and none of a later run of who is gone."""
    queue = Queue(1000)
    churned(queue, *put)
    assert drained(queue, most) == taken


def test_who_takes_the_name_of_one_that_is_gone_comes_behind_the_word_of_it() -> None:
    """A repository that knows containers by name would clear the living one."""
    queue = Queue(1000)
    old, new = (sample("web", id=letter * 64) for letter in "ab")
    queue.put([old])
    queue.put_clear(old.container)
    queue.put([new])
    assert drained(queue) == ["web", "-web", "web"]


def test_what_is_given_back_goes_before_word_of_its_containers() -> None:
    queue = Queue(1000)
    churned(queue, "a", "b", "-a", "c", "-b")
    assert len(taken(queue, 99)) == 3
    churned(queue, "d")
    queue.give_back()
    assert drained(queue) == ["abcd", "-a", "-b"]


def test_word_that_no_sample_is_left_before_is_next_but_behind_what_comes_back() -> None:
    queue = Queue(2)
    churned(queue, "a", "-a", "b", "-b", "c", "d")
    assert queue.begins_with_clear
    assert (queue.take(9), queue.begins_with_clear) == (sample("a", id="a" * 64).container, True)
    batch = [queue.take(9), queue.take(9)][1]
    assert isinstance(batch, Batch)
    churned(queue, "-c", "e", "f", "g")
    queue.give_back()
    assert drained(queue) == ["-c", "fg"]


def test_word_that_was_overtaken_by_an_overflow_is_behind_the_batch_that_comes_back() -> None:
    queue = Queue(3)
    churned(queue, "a")
    taken(queue, 9)
    churned(queue, "-a", "b", "c", "d", "e")
    assert queue.begins_with_clear
    queue.finish()
    assert drained(queue) == ["-a", "cde"]
    churned(queue, "a")
    taken(queue, 9)
    churned(queue, "-a", "b", "-b")
    queue.give_back()
    assert drained(queue) == ["ab", "-a", "-b"]


def test_word_of_the_gone_has_half_of_the_memory_at_most_and_samples_make_room() -> None:
    queue = Queue(1000, 20 * weight(sample()))
    many = [sample(f"web-{i}", id=f"{i:064}", labels={"a": "b"}).container for i in range(100)]
    for one in samples(20):
        queue.put([one])
    count = sum(queue.put_clear(container) for container in many)
    assert count == 10 * weight(sample()) // weight_of(many[0])
    assert queue.put([sample()]) == 11
    while queue:
        queue.take(1)
        if queue.in_flight:
            queue.finish()
    assert sum(map(queue.put_clear, many)) == count


@pytest.mark.parametrize("labels", [0, 5, 30])
def test_the_weight_of_a_container_is_about_its_memory(labels: int) -> None:
    def made(i: int) -> Container:
        values = {f"org.example.label-{n}".encode().decode(): f"a value {i} {n}" for n in range(labels)}
        return Container(
            id=f"{i:064x}", name=f"shop-web-{i}", image=f"shop/web:{i}", labels=values, started_at=10**18 + i
        )

    tracemalloc.start()
    kept = [made(i) for i in range(500)]
    measured = tracemalloc.get_traced_memory()[0] / len(kept)
    tracemalloc.stop()
    assert 0.6 < weight_of(kept[0]) / measured < 1.6


def test_what_the_journal_has_leaves_memory_without_being_lost() -> None:
    journal = Journal()
    queue = filled(8, limit=8, journal=journal)
    first = next(queue.segments())
    first.row = 1
    assert queue.put([sample()]) == 0
    assert (journal.kept, queue.samples) == ([first], 5)
    assert sum(queue.put([one]) for one in samples(4)) == 1, "what it has not is lost"


def test_the_journal_is_told_of_every_segment_once() -> None:
    journal = Journal()
    queue = filled(6, journal=journal)
    taken(queue, 3)
    queue.finish()
    taken(queue, 9)
    queue.give_back({0})
    taken(queue, 9)
    queue.finish()
    assert journal.told == ["began", "began", "changed to 1", "ended", "ended"]


def test_to_lose_all_counts_only_what_is_nowhere_else() -> None:
    queue = filled(10)
    next(queue.segments()).row = 1
    taken(queue, 6)
    assert queue.lose_all() == 6
    assert (len(queue), queue.bytes, bool(queue)) == (0, 0, False)


def memory_of(one: ContainerSample | Metric) -> float:
    """What each of many that were read from the wire takes, in bytes."""
    data, read = msgspec.msgpack.encode(one), msgspec.msgpack.Decoder(type(one)).decode
    read(data)
    tracemalloc.start()
    made = [msgspec.structs.replace(read(data), container=one.container) for _ in range(500)]
    each = tracemalloc.get_traced_memory()[0] / len(made)
    tracemalloc.stop()
    return each


@pytest.mark.parametrize("interfaces", [0, 1, 2, 5])
def test_the_weight_of_a_sample_is_about_what_it_takes(interfaces: int) -> None:
    networks = {f"eth{i}": Interface(10**9, 10**6, 500, 500, 10**9, 10**6, 500, 500) for i in range(interfaces)}
    one = sample(networks=networks, cpu_seconds_total=1234.5, mem_usage=10**8)
    assert weight(one) == pytest.approx(memory_of(one), rel=0.35)


@pytest.mark.parametrize("kind", ["gauge", "timer", "text"])
def test_the_weight_of_a_metric_is_about_the_memory_it_takes(kind: MetricKind) -> None:
    one = metric("orders.placed", kind, tags={f"tag{i}": f"value {i}" for i in range(3)})
    one = msgspec.structs.replace(one, value="x" * 5000) if kind == "text" else one
    assert weight(one) == pytest.approx(memory_of(one), rel=0.35)


def test_what_a_metric_says_beside_its_value_has_a_weight_too() -> None:
    assert weight(metric(key="k" * 1000, context="c" * 1000)) > 2000


def requests(total: int, poison: set[int]) -> int:
    """How many batches it takes to store all but the poison."""
    waiting, sizing, count = list(range(total)), Sizing(1000), 0
    while waiting:
        batch = waiting[: sizing.next]
        count += 1
        if not poison & set(batch):
            sizing.stored(len(batch))
        elif len(batch) > 1:
            sizing.rejected(len(batch))
            continue
        else:
            sizing.found()
        waiting = waiting[len(batch) :]
    return count


def test_three_poison_samples_among_five_hundred_take_fewer_than_fifty_requests() -> None:
    chance = random.Random(3)
    assert max(requests(500, set(chance.sample(range(500), 3))) for _ in range(500)) < 40


def test_what_was_too_large_is_not_tried_again_soon() -> None:
    sizing = Sizing(1000)
    sizing.too_large(1000)
    assert sizing.next == 500
    for _ in range(99):
        sizing.stored(500)
        assert sizing.next == 500
    sizing.stored(500)
    assert sizing.next == 1000


def test_what_came_by_then_is_only_in_memory_until_it_is_done_with_or_on_disk() -> None:
    queue = Queue(10, segment=1)
    queue.put(samples(2))
    now = time.monotonic()
    assert queue.only_in_memory(now)
    first, second = queue.segments()
    first.row = 1
    assert queue.only_in_memory(now)
    assert not queue.only_in_memory(first.born - 1)
    second.row = 2
    assert not queue.only_in_memory(now)
    second.row = 0
    queue.take(2)
    assert queue.only_in_memory(now), "in flight is not stored"
    queue.finish()
    assert not queue.only_in_memory(now)
