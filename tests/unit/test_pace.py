"""When a container is asked, and how many are asked at once."""

from __future__ import annotations

import asyncio

import pytest

from statspout.sources.engine.gate import Gate
from statspout.sources.engine.schedule import Schedule


def test_the_first_sample_is_due_at_once_and_then_one_an_interval() -> None:
    schedule = Schedule(100.0, 5.0, 0)
    dues = [schedule.due]
    for _ in range(3):
        assert schedule.advance(schedule.due + 0.1) == 0
        dues.append(schedule.due)
    assert dues == [100.0, 102.5, 107.5, 112.5]


def test_the_polls_of_many_are_spread_over_the_interval() -> None:
    schedules = [Schedule(0.0, 10.0, number) for number in range(100)]
    for schedule in schedules:
        schedule.advance(0.0)
    tenths = [int(schedule.due % 10) for schedule in schedules]
    assert all(8 <= tenths.count(tenth) <= 12 for tenth in range(10))


@pytest.mark.parametrize(("now", "skipped", "due"), [(101.0, 0, 102.5), (103.0, 1, 107.5), (113.0, 3, 117.5)])
def test_due_times_that_have_passed_are_skipped_and_counted(now: float, skipped: int, due: float) -> None:
    schedule = Schedule(100.0, 5.0, 0)
    assert schedule.advance(now) == skipped
    assert schedule.due == due


def test_a_container_that_hangs_is_asked_more_rarely() -> None:
    schedule = Schedule(0.0, 1.0, 0)
    schedule.advance(0.0)
    before = schedule.due
    schedule.advance(before, wait=4)
    assert schedule.due == before + 4


def test_the_gate_is_as_wide_as_the_interval_needs() -> None:
    gate = Gate(None, interval=5.0)
    gate.populate(100)
    assert gate.width == 16
    gate.answered(1.0)
    assert gate.width == 41
    assert Gate(3, interval=5.0).width == 3


def test_a_full_gate_lets_the_next_one_in_when_one_leaves() -> None:
    async def main() -> None:
        gate, order = Gate(1, 60.0), []

        async def one(number: int) -> None:
            async with gate.pass_through():
                order.append(number)
                await asyncio.sleep(0)

        await asyncio.gather(*map(one, range(5)))
        assert order == [0, 1, 2, 3, 4]

    asyncio.run(main())


def test_a_cancelled_wait_gives_its_turn_away() -> None:
    async def main() -> None:
        gate = Gate(1, 60.0)

        async def hold(seconds: float) -> None:
            async with gate.pass_through():
                await asyncio.sleep(seconds)

        holder, waiter = asyncio.create_task(hold(0.02)), asyncio.create_task(hold(60))
        await asyncio.sleep(0.01)
        waiter.cancel()
        await holder
        await asyncio.wait_for(hold(0), 30)

    asyncio.run(main())


def test_an_adaptive_gate_takes_the_place_of_a_request_that_hangs() -> None:
    async def main() -> None:
        gate = Gate(None, interval=0.1)

        async def hang() -> None:
            async with gate.pass_through():
                await asyncio.sleep(60)

        hanging = [asyncio.create_task(hang()) for _ in range(gate.width)]
        await asyncio.sleep(0.01)
        async with asyncio.timeout(30), gate.pass_through():
            pass
        for task in hanging:
            task.cancel()

    asyncio.run(main())
