"""A call that never returns costs its repository a thread, and nobody anything else."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import ClassVar

import pytest
from support.standstill import PATIENCE, running_time

from statspout import Handling, Repository, Sample, option
from statspout.delivery.backoff import Backoff
from statspout.delivery.delivery import Delivery
from statspout.delivery.worker import Worker
from statspout.testing import sample, samples

STORED: list[Sample] = []
GATES: list[threading.Event] = []


class Hanging(Repository):
    """Hangs in its first ``hangs`` pushes of all instances, each until its gate is opened."""

    name = "hanging"
    flush_interval = 0.0
    push_timeout = 0.1
    hangs: int = option(default=1, help="So often.")
    made: ClassVar[list[Hanging]] = []

    def __post_init__(self) -> None:
        self.made.append(self)

    def push(self, batch: Sequence[Sample]) -> None:
        if len(GATES) < self.hangs:
            gate = threading.Event()
            GATES.append(gate)
            if len(GATES) == self.hangs:
                Hanging.push_timeout = PATIENCE  # whoever comes next does not hang, however long it takes
            gate.wait(PATIENCE)
        STORED.extend(batch)


class AsyncHanging(Repository):
    """The same on the loop, where it can be cancelled; a stubborn one will not be."""

    name = "asynchanging"
    flush_interval = 0.0
    push_timeout = 0.05
    stubborn: bool = option(default=False, help="Whether it swallows its cancellation.")

    async def push(self, batch: Sequence[Sample]) -> None:
        if not GATES:
            GATES.append(threading.Event())
            AsyncHanging.push_timeout = PATIENCE
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise
                await asyncio.sleep(0.5)
        STORED.extend(batch)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statspout.delivery.worker._GRACE", 0.1)
    for cls in (Hanging, AsyncHanging, Shy):
        monkeypatch.setattr(cls, "push_timeout", cls.push_timeout)
    for shared in (STORED, GATES, Hanging.made):
        shared.clear()


def started(repository: Repository, count: int = 3) -> Delivery:
    delivery = Delivery(repository, backoff=Backoff(first=0.001, cap=0.01))
    delivery.start()
    for one in samples(count):
        delivery.put([one])
    return delivery


async def until(what: str, delivery: Delivery, count: int) -> None:
    home = delivery if hasattr(delivery, what) else delivery.books
    async with asyncio.timeout(PATIENCE):
        while getattr(home, what) != count:  # noqa: ASYNC110 - it happens in threads
            await asyncio.sleep(0.005)


def test_its_batch_goes_to_a_new_instance_with_the_same_settings() -> None:
    async def main() -> None:
        delivery = started(Hanging(hangs=1, instance="a"))
        await until("delivered", delivery, 3)
        assert (delivery.stuck, len(Hanging.made)) == (1, 2)
        assert delivery.repository is Hanging.made[1]
        assert (Hanging.made[1].hangs, Hanging.made[1].instance) == (1, "a")
        GATES[0].set()
        await until("late", delivery, 1)
        await delivery.stop(PATIENCE)
        assert (delivery.stuck, delivery.books.delivered, delivery.books.balanced) == (0, 3, True)
        assert len(STORED) == 6, "the outcome was unknown: it came twice"

    asyncio.run(main())


def test_after_two_of_them_nothing_is_asked_until_one_returns() -> None:
    async def main() -> None:
        delivery = started(Hanging(hangs=2))
        await until("stuck", delivery, 2)
        await asyncio.sleep(0.3)
        assert (len(Hanging.made), len(GATES), STORED) == (2, 2, [])
        GATES[1].set()
        await until("delivered", delivery, 3)
        assert len(Hanging.made) == 3
        GATES[0].set()
        await delivery.stop(PATIENCE)
        assert delivery.books.balanced

    asyncio.run(main())


def test_a_stuck_one_does_not_hold_up_the_end() -> None:
    async def main() -> None:
        delivery = started(Hanging(hangs=9))
        await until("stuck", delivery, 2)
        began = running_time()
        await delivery.stop(0.2)
        assert running_time() - began < 3
        assert (delivery.books.dropped, delivery.books.balanced) == ({"shutdown": 3}, True)

    asyncio.run(main())
    for gate in GATES:
        gate.set()
    time.sleep(0.1)  # until they have stored what is nobody's concern any more


@pytest.mark.parametrize(("stubborn", "times"), [(False, 1), (True, 2)])
def test_a_coroutine_is_cancelled_first(stubborn: bool, times: int) -> None:
    async def main() -> None:
        delivery = started(AsyncHanging(stubborn=stubborn))
        await until("delivered", delivery, 3)
        assert delivery.stuck == times - 1
        async with asyncio.timeout(PATIENCE):
            while len(STORED) < 3 * times:  # noqa: ASYNC110 - it is nobody's concern any more
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.6)
        assert len(STORED) == 3 * times
        await delivery.stop(PATIENCE)
        assert delivery.books.balanced

    asyncio.run(main())


class Shy(Repository):
    """Cannot be made again at once."""

    name = "shy"
    push_timeout = 0.05
    flush_interval = 0.0
    count = 0
    trouble: ClassVar[dict[int, BaseException]] = {
        2: OSError("not again"),
        3: SystemExit("nor now"),
        4: asyncio.CancelledError(),
    }

    def __post_init__(self) -> None:
        Shy.count += 1
        if error := Shy.trouble.get(Shy.count):
            raise error

    def open(self) -> None:
        if Shy.count == 1:
            Shy.push_timeout = PATIENCE  # of those after it
            time.sleep(0.5)

    def push(self, batch: Sequence[Sample]) -> None:
        STORED.extend(batch)


def test_an_open_has_a_deadline_too_and_a_constructor_that_fails_is_retried() -> None:
    async def main() -> None:
        delivery = started(Shy())
        await until("delivered", delivery, 3)
        await delivery.stop(PATIENCE)
        assert Shy.count == 5

    asyncio.run(main())


def test_a_thread_that_cannot_be_started_is_started_later(monkeypatch: pytest.MonkeyPatch) -> None:
    failures, start = [RuntimeError("can't start new thread")], threading.Thread.start

    def started_at_last(thread: threading.Thread) -> None:
        if failures:
            raise failures.pop()
        start(thread)

    async def main() -> None:
        worker = Worker("late")
        with pytest.raises(RuntimeError, match="can't start new thread"):
            await worker.call(int)
        assert await worker.call(int, deadline=5) == 0
        worker.stop()

    monkeypatch.setattr(threading.Thread, "start", started_at_last)
    asyncio.run(main())


def test_the_user_sets_the_deadline() -> None:
    async def main() -> None:
        delivery = started(Hanging(hangs=1, handling=Handling(push_timeout=60)))
        await asyncio.sleep(0.3)
        assert delivery.stuck == 0
        GATES[0].set()
        await delivery.stop(PATIENCE)
        assert delivery.books.delivered == 3

    asyncio.run(main())


def test_a_health_page_says_who_is_stuck() -> None:
    from statspout.exposition import Family
    from statspout.health import Health
    from statspout.telemetry import Heard, Telemetry

    async def main() -> None:
        delivery = started(Hanging(hangs=1))
        delivery.put([sample()])
        await until("stuck", delivery, 1)
        health = Health([Telemetry()], Heard(), [delivery], 1)
        assert health.readiness()["stuck"] == ["hanging"]
        series = {family.name: family.samples for family in health.families() if isinstance(family, Family)}
        assert series["statspout_stuck_calls"] == [({"repository": "hanging"}, 1)]
        GATES[0].set()
        await delivery.stop(PATIENCE)

    asyncio.run(main())
