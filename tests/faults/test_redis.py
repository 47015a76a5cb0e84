"""Redis in trouble under an application that reports: the application goes on, and what is lost is counted."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from support.redis import RedisServer, settings

from statspout.client.redis import Stats, fetch_stats, lost, push_stat, push_stat_async


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """One that has on disk what it has answered."""
    with RedisServer("--appendonly", "yes", "--appendfsync", "always", "--save", "") as server:
        yield server


def books_balance(reported: int) -> None:
    """What was reported is stored or counted as lost; what was not answered may be both."""
    stored, gone = fetch_stats("x").count or 0, Counter(lost())
    assert set(gone) <= {"away", "unanswered"}
    assert reported - gone.total() <= stored <= reported - gone["away"]


class Load:
    """Three threads and a loop with three tasks that report to a label, until it is over."""

    def __init__(self) -> None:
        self.over = False
        self.reported: Counter[str] = Counter()
        self.troubles: list[BaseException] = []
        works = [self.threads] * 3 + [lambda number: asyncio.run(self.loop())]
        self._threads = [threading.Thread(target=self._tried, args=(work, at)) for at, work in enumerate(works)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True
        for thread in self._threads:
            thread.join()

    def threads(self, number: int) -> None:
        while not self.over:
            with Stats() as stat:
                for n in range(50):
                    stat("x", n)
                    self.reported[f"thread {number}"] += 1
            push_stat("x", 1)
            self.reported[f"thread {number}"] += 1

    async def loop(self) -> None:
        await asyncio.gather(*(self.tasks() for _ in range(3)))

    async def tasks(self) -> None:
        while not self.over:
            async with Stats() as stat:
                stat("x", 1)
            await push_stat_async("x", 1)
            self.reported["tasks"] += 2
            await asyncio.sleep(0)

    def _tried(self, work: object, number: int) -> None:
        try:
            work(number)  # type: ignore[operator]  # one of the above
        except BaseException as error:
            self.troubles.append(error)


def test_redis_is_killed_and_started_again_under_load(server: RedisServer) -> None:
    with settings(server.url), Load() as load:
        for _ in range(3):
            time.sleep(0.7)
            server.stop()
            time.sleep(0.3)
            server.start()
        before = fetch_stats("x").count or 0
        server.wait_for(lambda: (fetch_stats("x").count or 0) > before)
        load.__exit__()
        assert load.troubles == []
        assert lost()
        books_balance(load.reported.total())


def test_a_redis_that_hangs_holds_nobody_for_long(server: RedisServer) -> None:
    with settings(server.url, timeout=0.2):
        push_stat("x", 1)
        assert server._process is not None
        os.kill(server._process.pid, signal.SIGSTOP)
        try:
            for _ in range(1000):
                push_stat("x", 1)
            asyncio.run(push_stat_async("x", 1))
        finally:
            os.kill(server._process.pid, signal.SIGCONT)
        assert lost()["away"] >= 990
        # What it has not answered it does when it goes on again.
        server.wait_for(lambda: (fetch_stats("x").count or 0) >= 2)
        books_balance(1002)
        server.wait_for(back)


def back() -> bool:
    """Whether a stat that is written now is there."""
    push_stat("back", 1)
    return bool(fetch_stats("back").count)


def test_redis_is_away_from_the_beginning_and_comes(server: RedisServer) -> None:
    server.stop()
    with settings(server.url), Stats() as stat:
        stat("x", 1)
        stat.save_stats()
        push_stat("x", 1)
        assert lost() == {"away": 1}
        server.start()
        stat("x", 2)
        server.wait_for(lambda: saved(stat))
        assert fetch_stats("x").total == 3


def saved(stat: Stats) -> bool:
    stat.save_stats()
    return not stat._records
