"""Answers that nobody is in a hurry for gather; nothing else waits."""

from __future__ import annotations

import asyncio
import select
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from support.standstill import running_time

from statspout.gathering import GatheringLoop, GatheringSelector, postpone

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def selector() -> Iterator[GatheringSelector]:
    with GatheringSelector() as made:
        made.window = 1.0
        yield made


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    with ExitStack() as stack:
        made = [socket.socketpair() for _ in range(3)]
        for pair in made:
            for end in pair:
                stack.enter_context(end)
        yield made


def watch(selector: GatheringSelector, pairs: list[Pair], *, postponed: int) -> None:
    """Watch the first of each pair; so many of them may wait."""
    for number, (ours, _) in enumerate(pairs):
        selector.register(ours, selectors.EVENT_READ, number)
        if number < postponed:
            selector.postpone(ours.fileno())


def found(selector: GatheringSelector, timeout: float | None) -> list[int]:
    return sorted(key.data for key, _ in selector.select(timeout))


def test_the_postponed_come_together(selector: GatheringSelector, pairs: list[Pair]) -> None:
    watch(selector, pairs, postponed=3)
    pairs[0][1].send(b"x")
    asyncio.run(_later(0.1, pairs[2][1], selector, [0, 2]))
    assert found(selector, 0) == [0, 2], "nobody has read it yet"


async def _later(seconds: float, end: socket.socket, selector: GatheringSelector, expected: list[int]) -> None:
    loop = asyncio.get_running_loop()
    looked = loop.run_in_executor(None, found, selector, None)
    await asyncio.sleep(seconds)
    end.send(b"x")
    assert await looked == expected


def test_who_is_in_a_hurry_waits_for_nobody(selector: GatheringSelector, pairs: list[Pair]) -> None:
    watch(selector, pairs, postponed=2)
    pairs[0][1].send(b"x")
    pairs[2][1].send(b"x")
    began = running_time()
    assert found(selector, 60) == [0, 2]
    assert running_time() - began < 0.5


def test_a_timer_is_not_late_for_the_postponed(selector: GatheringSelector, pairs: list[Pair]) -> None:
    watch(selector, pairs, postponed=3)
    pairs[0][1].send(b"x")
    began = running_time()
    assert found(selector, 0.01) == [0]
    assert running_time() - began < 0.5
    assert found(selector, 0) == [0]


def test_what_was_waited_for_an_answer_is_not_waited_again(selector: GatheringSelector, pairs: list[Pair]) -> None:
    class Late:
        """Answers come at the very end of the time."""

        def poll(self, timeout: float) -> list[tuple[int, int]]:
            time.sleep(timeout)
            pairs[0][1].send(b"x")
            return real.poll(0)

        def close(self) -> None:
            real.close()

    watch(selector, pairs, postponed=3)
    real, selector._both = selector._both, Late()  # type: ignore[assignment]  # as much of it as is used
    waits: list[float] = []
    selector._hurried = selector._selector = Watched(selector._hurried, waits)  # type: ignore[attr-defined,assignment]
    assert found(selector, 0.05) == [0]
    assert max(waits, default=0) < 0.04


class Watched:
    """An epoll set that notes for how long it was asked to wait."""

    def __init__(self, real: select.epoll, waits: list[float]) -> None:
        self.real, self.waits = real, waits

    def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
        self.waits.append(timeout)
        return self.real.poll(timeout, most)

    def close(self) -> None:
        self.real.close()


def test_without_any_answer_the_time_passes(selector: GatheringSelector, pairs: list[Pair]) -> None:
    watch(selector, pairs, postponed=1)
    assert found(selector, 0.01) == found(selector, 0) == found(selector, -1) == []


def test_who_wants_to_write_is_in_a_hurry_again(selector: GatheringSelector, pairs: list[Pair]) -> None:
    watch(selector, pairs, postponed=1)
    ours = pairs[0][0]
    selector.modify(ours, selectors.EVENT_READ | selectors.EVENT_WRITE, 0)
    assert selector.select(60) == [(selector.get_key(ours), selectors.EVENT_WRITE)]
    selector.postpone(ours.fileno())
    assert selector.select(60) == [(selector.get_key(ours), selectors.EVENT_WRITE)], "only readers are postponed"


@pytest.mark.parametrize("closed_first", [False, True])
def test_a_number_that_is_used_again_is_nobody_elses(
    selector: GatheringSelector, pairs: list[Pair], closed_first: bool
) -> None:
    watch(selector, pairs[:1], postponed=1)
    number = pairs[0][0].fileno()
    if closed_first:
        pairs[0][0].close()
    selector.unregister(number)
    pairs[0][0].close()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert ours.fileno() == number
        selector.register(ours, selectors.EVENT_READ, 7)
        theirs.send(b"x")
        began = running_time()
        assert found(selector, 60) == [7]
        assert running_time() - began < 0.5


def test_a_connection_of_the_loop_is_read_and_closed_as_any_other() -> None:
    async def main() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(400_000))
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1")
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await asyncio.sleep(0)
        postpone(writer.transport, 0.01)
        writer.write(bytes(400_000))
        assert len(await reader.read(-1)) == 400_000
        writer.close()
        server.close()

    with asyncio.Runner(loop_factory=GatheringLoop) as runner:
        runner.run(main())
    asyncio.run(main())  # where there is nothing to gather in
