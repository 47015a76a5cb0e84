"""A repository with other settings takes over from one of its name: what waits, what is on disk, and the books."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.standstill import PATIENCE

from statspout import ContainerSample, Handling, Metric, Repository, Sample
from statspout.delivery.backoff import Backoff
from statspout.delivery.calls import MOST_ABANDONED, MOST_OF_A_NAME
from statspout.delivery.delivery import Delivery
from statspout.delivery.spooldir import SpoolDirectory
from statspout.latest import Latest
from statspout.router import Router
from statspout.succession import Succession
from statspout.testing import metric, samples


class Store(Repository):
    """A destination; ``gate`` is what a push waits for, ``up`` whether it then succeeds."""

    name = "store"
    flush_interval = 0.0

    def __post_init__(self) -> None:
        self.up = True
        self.gate = threading.Event()
        self.gate.set()
        self.pushing = threading.Event()
        self.stored: list[Sample] = []

    def push(self, batch: Sequence[Sample]) -> None:
        self.pushing.set()
        assert self.gate.wait(PATIENCE)
        if not self.up:
            raise OSError("down")
        self.stored.extend(batch)


def delivery(store: Store, spools: SpoolDirectory | None = None, **handling: Any) -> Delivery:
    store.handling = Handling(**handling)
    spool = None if spools is None else spools.spool("store")
    return Delivery(store, spool=spool, backoff=Backoff(first=0.005, cap=0.02))


async def until_pushing(store: Store) -> None:
    await asyncio.to_thread(store.pushing.wait, 10)


async def succeeded(old: Delivery, new: Delivery, hurry: asyncio.Event | None = None) -> None:
    await old.retire(hurry)
    new.succeed(old)
    assert new.books is old.books
    assert new.books.balanced


def told(stores: Sequence[Store]) -> list[list[int]]:
    return [[sample.time_ns for sample in store.stored] for store in stores]


TIMES = [sample.time_ns for sample in samples(6)]


def test_what_could_not_be_delivered_is_the_next_ones() -> None:
    before, after = Store(), Store()
    before.up = False

    async def main() -> Delivery:
        old, new = delivery(before), delivery(after)
        old.start()
        old.put(samples(6))
        await until_pushing(before)
        await succeeded(old, new)
        await new.stop(PATIENCE)
        return new

    books = asyncio.run(main()).books
    assert told([before, after]) == [[], TIMES]
    assert (books.collected, books.delivered, books.dropped.total()) == (6, 6, 0)


def test_a_batch_that_waits_for_more_goes_to_the_next_only() -> None:
    before, after = Store(), Store()

    async def main() -> None:
        old, new = delivery(before, flush_interval=60), delivery(after)
        old.start()
        await asyncio.sleep(0.02)
        old.put(samples(6))
        await asyncio.sleep(0.02)
        await succeeded(old, new)
        await new.stop(PATIENCE)

    asyncio.run(main())
    assert told([before, after]) == [[], TIMES]


def test_a_push_under_way_ends_and_its_samples_do_not_come_twice() -> None:
    before, after = Store(), Store()
    before.gate.clear()

    async def main() -> None:
        old, new = delivery(before), delivery(after)
        old.start()
        old.put(samples(2))
        await until_pushing(before)
        old.put(samples(6)[2:])
        threading.Timer(0.05, before.gate.set).start()
        await succeeded(old, new)
        await new.stop(PATIENCE)

    asyncio.run(main())
    assert told([before, after]) == [TIMES[:2], TIMES[2:]]


def test_a_push_that_hangs_is_left_and_its_samples_go_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statspout.delivery.delivery.RETIRE_PATIENCE", 0.05)
    monkeypatch.setattr("statspout.delivery.delivery.CLOSE_PATIENCE", 0.05)
    before, after = Store(), Store()
    before.gate.clear()

    async def main() -> None:
        old, new = delivery(before), delivery(after)
        old.start()
        old.put(samples(6))
        await until_pushing(before)
        await succeeded(old, new)
        await new.stop(PATIENCE)

    asyncio.run(main())
    before.gate.set()
    assert told([after]) == [TIMES]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (("delivery", "RETIRE_PATIENCE"), ("delivery", "CLOSE_PATIENCE"), ("worker", "_GRACE")):
        monkeypatch.setattr(f"statspout.delivery.{module}.{name}", 0.02)
    monkeypatch.setattr("statspout.succession.PATIENCE", 0.02)


class Stubborn(Store):
    """A coroutine that does not end when it is cancelled."""

    async def push(self, batch: Sequence[Sample]) -> None:  # type: ignore[override]  # either kind is right
        self.pushing.set()
        while not self.gate.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)


def threads_of_stores() -> int:
    return sum(thread.name == "statspout-store" for thread in threading.enumerate())


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", [Store, Stubborn])
@pytest.mark.parametrize("named_anew", [False, True])
def test_reloads_without_end_of_what_hangs_do_not_take_a_thread_each(kind: type[Store], named_anew: bool) -> None:
    stores = [kind() for _ in range(15)]
    for store in stores:
        store.gate.clear()

    async def main() -> None:
        before, stop = threads_of_stores(), asyncio.Event()
        router = Router([])
        succession = Succession(router)
        for store in stores:
            await succession.route_to([route := delivery(store, push_timeout=0.1)], stop)
            router.push_all(samples(3))
            await asyncio.sleep(0.15)
            if named_anew:
                await succession.route_to([], stop)
        stuck, threads = route.stuck, threads_of_stores() - before
        for store in stores:
            store.gate.set()
        await asyncio.sleep(0.2)
        assert (stuck, threads <= MOST_OF_A_NAME + 1) == (MOST_OF_A_NAME, True)
        assert (route.stuck, route.late >= MOST_OF_A_NAME) == (0, True)
        await route.stop(5)
        assert route.books.balanced

    asyncio.run(main())


class Never(Store):
    """Hangs in every instance, until all of them may go on."""

    over = threading.Event()

    def push(self, batch: Sequence[Sample]) -> None:
        self.over.wait(10)


@pytest.mark.usefixtures("impatient")
def test_other_settings_are_tried_though_what_was_before_them_hangs() -> None:
    after = Store()

    async def main() -> int:
        old, new = delivery(Never(), push_timeout=0.1), delivery(after)
        old.start()
        old.put(samples(6))
        async with asyncio.timeout(10):
            while old.stuck < MOST_ABANDONED:  # noqa: ASYNC110 - it happens in threads
                await asyncio.sleep(0.01)
        await succeeded(old, new)
        stuck = new.stuck
        await new.stop(5)
        return stuck

    stuck = asyncio.run(main())
    Never.over.set()
    assert (stuck, told([after])) == (MOST_ABANDONED, [TIMES])


def test_who_is_in_a_hurry_waits_for_no_push(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statspout.delivery.delivery.RETIRE_PATIENCE", 1e6)
    before, after, hurry = Store(), Store(), asyncio.Event()
    before.gate.clear()

    async def main() -> Delivery:
        old, new = delivery(before), delivery(after)
        old.start()
        old.put(samples(6))
        await until_pushing(before)
        asyncio.get_running_loop().call_later(0.05, hurry.set)
        await succeeded(old, new, hurry)
        await new.stop(PATIENCE)
        return new

    books = asyncio.run(main()).books
    before.gate.set()
    assert told([after]) == [TIMES]
    assert books.failures == 0, "the push before did not end by itself"


class Taker(Store):
    accepts = (ContainerSample, Metric)


def test_what_the_next_does_not_take_is_not_given_to_it() -> None:
    before, after = Taker(), Store()
    before.up = False

    async def main() -> Delivery:
        old, new = delivery(before), delivery(after)
        old.start()
        old.put([*samples(3), metric("jobs"), metric("mails"), *samples(6)[3:]])
        await until_pushing(before)
        await succeeded(old, new)
        await new.stop(PATIENCE)
        return new

    books = asyncio.run(main()).books
    assert told([after]) == [TIMES]
    assert (books.collected, books.filtered, books.delivered, books.balanced) == (8, 2, 6, True)


class Slow(Store):
    def close(self) -> None:
        self.up = self.gate.wait(PATIENCE)


def test_what_comes_while_one_ends_that_cannot_hand_over_waits_for_the_next(tmp_path: Path) -> None:
    before, after = Slow(), Store()
    before.gate.clear()

    async def main() -> None:
        router = Router([Delivery(before)])
        with SpoolDirectory(str(tmp_path), 2**30, 86_400) as spools:
            new = delivery(after, spools)
            router.routes[0].start()
            routing = asyncio.create_task(Succession(router).route_to([new], asyncio.Event()))
            await asyncio.sleep(0.1)
            router.push_all(samples(6))
            before.gate.set()
            await routing
            await new.stop(PATIENCE)

    asyncio.run(main())
    assert told([before, after]) == [[], TIMES]


def test_what_comes_while_one_retires_waits_for_the_next() -> None:
    before, after = Store(), Store()

    async def main() -> None:
        old, new = delivery(before), delivery(after)
        old.start()
        retiring = asyncio.create_task(old.retire())
        await asyncio.sleep(0)
        old.put(samples(6))
        await retiring
        new.succeed(old)
        await new.stop(PATIENCE)

    asyncio.run(main())
    assert told([before, after]) == [[], TIMES]


def test_less_room_costs_the_oldest_and_they_are_counted() -> None:
    before, after = Store(), Store()
    before.up = False

    async def main() -> Delivery:
        old, new = delivery(before), delivery(after, queue_samples=4)
        old.start()
        old.put(samples(6))
        await succeeded(old, new)
        await new.stop(PATIENCE)
        return new

    books = asyncio.run(main()).books
    assert told([after]) == [TIMES[2:]]
    assert books.dropped == {"overflow": 2}


def test_what_is_on_disk_only_comes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statspout.delivery.spool.ON_DISK_BY", 0.06)
    monkeypatch.setattr("statspout.delivery.spool._RIPE", 0.0)
    before, after = Store(), Store()
    before.up = False

    async def main() -> Delivery:
        with SpoolDirectory(str(tmp_path), 2**30, 86_400) as spools:
            old = delivery(before, spools, queue_samples=2, batch_size=1)
            new = delivery(after, spools, queue_samples=2, batch_size=1)
            old.start()
            assert old.spool is not None
            for sample in samples(6):
                old.put([sample])
                await asyncio.sleep(0.15)
            async with asyncio.timeout(PATIENCE):
                while old.spool.waiting < 3:  # noqa: ASYNC110 - it is written in a thread
                    await asyncio.sleep(0.01)
            await succeeded(old, new)
            await new.stop(PATIENCE)
        return new

    books = asyncio.run(main()).books
    assert sorted(told([after])[0]) == TIMES
    assert (books.queued, books.delivered, books.dropped.total(), books.balanced) == (0, 6, 0, True)


def test_what_is_shown_on_is_as_old_as_it_was() -> None:
    now = [0.0]
    before, after = (Latest(5.0, lambda: now[0]) for _ in range(2))
    sample = samples(1)[0]
    before.put(sample)
    now[0] = 14.0
    after.put(sample)
    after.age_as(before)
    assert after.samples() == [sample]
    now[0] = 15.5
    assert after.samples() == [], "three intervals after it came"
