"""The client for Redis in threads, tasks, children and connections; with a Redis that will not do as it is asked."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis as library
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.redis import RedisServer, settings, unused

from statspout.client.redis import (
    Stats,
    async_redis,
    config,
    fetch_stats,
    lost,
    push_stat,
    push_stat_async,
    stat_history,
    sync_redis,
)
from statspout.client.redis import async_stats as tasks
from statspout.client.redis.script import BATCH, TOGETHER


def connections(redis: Any) -> int:
    """How many were made so far."""
    return int(redis.info("stats")["total_connections_received"])


def test_threads_share_what_is_open_and_lose_nothing(redis: Any) -> None:
    def work() -> None:
        for n in range(50):
            with Stats() as stat:
                stat("x", n)
                shared("x", n)
            push_stat("x", n)
            with sync_redis() as (reader, _):
                assert reader.ping()

    with Stats() as shared:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert fetch_stats("x")[:1] + fetch_stats("x")[5:6] == (1200, 8 * 3 * sum(range(50)))
    assert (lost(), sync_redis.call_count) == ({}, 0)


def test_tasks_share_what_is_open_and_lose_nothing(redis: Any) -> None:
    async def work() -> None:
        for n in range(20):
            async with Stats() as stat:
                stat("x", n)
            await push_stat_async("x", n)
            assert await tasks.fetch_stats("x") is not None

    async def all_of_them() -> None:
        await async_redis.open_connection()
        before = connections(redis)
        await asyncio.gather(*(work() for _ in range(10)))
        assert connections(redis) <= before + 10
        await async_redis.close()

    asyncio.run(all_of_them())
    assert fetch_stats("x").count == 400
    assert lost() == {}


def test_each_loop_has_its_own_connections(redis: Any) -> None:
    def work() -> None:
        asyncio.run(of_a_loop())

    async def of_a_loop() -> None:
        await async_redis.open_connection()
        for _ in range(10):
            await push_stat_async("x", 1)
        assert async_redis.call_count == 1
        await async_redis.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetch_stats("x").count == 40
    assert lost() == {}


def test_what_a_task_leaves_open_is_closed(redis: Any, redis_server: RedisServer) -> None:
    code = (
        "import asyncio; from statspout.client.redis import Stats, config, push_stat_async\n"
        f"config.redis_url = {redis_server.url!r}\n"
        "async def work():\n"
        "    async with Stats() as stat: stat('x', 1)\n"
        "    await push_stat_async('x', 1)\n"
        "asyncio.run(work())"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert fetch_stats("x").count == 2


def test_a_task_that_is_cancelled_at_whatever_step_of_a_write_is_cancelled(redis: Any) -> None:
    async def write_on() -> None:
        async with async_redis():
            while True:
                async with Stats() as stat:
                    stat("x", 1)
                    stat("y", 1)

    async def main() -> int:
        ended = 0
        for steps in range(80):
            task = asyncio.create_task(write_on())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=0.5)
            ended += len(done)
            for _ in range(50):  # until it listens
                task.cancel()
                await asyncio.wait({task}, timeout=0.1)
        return ended

    assert asyncio.run(main()) == 80


def test_a_task_that_is_cancelled_while_it_writes_is_cancelled(redis: Any, redis_server: RedisServer) -> None:
    async def work() -> None:
        async with Stats() as stat:
            stat("x", 1)

    async def cancelled() -> None:
        redis.execute_command("CLIENT", "PAUSE", 300)
        task = asyncio.create_task(work())
        await asyncio.sleep(0.1)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert lost() == {"unanswered": 1}


def test_a_child_writes_its_own_and_nothing_of_its_parent(redis: Any) -> None:
    push_stat("before", 1)
    with Stats() as stat:
        stat("parent", 1)
        for number in range(3):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    stat("child", number)
                    stat.save_stats()
                    push_stat("child", number)
                    status = int(bool(lost()))
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0
            push_stat("parent", 1)
    found = {label: fetch_stats(label).count for label in ("before", "parent", "child")}
    assert found == {"before": 1, "parent": 4, "child": 6}
    assert lost() == {}


@pytest.mark.parametrize("begin", ["push_stat('parent', 1)", "sync_redis.open_connection()"])
def test_a_child_of_many_threads_can_write(redis: Any, redis_server: RedisServer, begin: str) -> None:
    code = (
        "import os, signal, threading\n"
        "from statspout.client.redis import Stats, config, lost, push_stat, sync_redis\n"
        f"config.redis_url = {redis_server.url!r}\n"
        f"{begin}  # loads all: a child of the middle of an import can never import that\n"
        "over = False\n"
        "def work():\n"
        "    while not over:\n"
        "        with Stats() as stat: stat('parent', 1)\n"
        "threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]\n"
        "for thread in threads: thread.start()\n"
        "for _ in range(30):\n"
        "    if os.fork() == 0:\n"
        "        signal.alarm(10)\n"
        "        push_stat('child', 1)\n"
        "        os._exit(int(bool(lost())))\n"
        "    assert os.wait()[1] == 0\n"
        "over = True\n"
        "for thread in threads: thread.join()\n"
        "assert not lost(), lost()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert fetch_stats("child").count == 30


# connections


def test_writes_find_a_connection_open(redis: Any) -> None:
    push_stat("x", 1)
    before = connections(redis)
    for _ in range(10):
        push_stat("x", 1)
        with Stats() as stat:
            stat("x", 1)
        fetch_stats("x")
    assert connections(redis) == before


def test_the_last_block_that_ends_closes_the_connection(redis: Any) -> None:
    with sync_redis() as (reader, writer):
        with sync_redis as (_, other):
            assert other is writer
        assert sync_redis.call_count == 1
        before = connections(redis)
        assert reader.ping()
        assert connections(redis) == before + 1
    with sync_redis() as (again, _):
        assert again is not reader


def test_one_address_is_left_for_another(redis: Any) -> None:
    with RedisServer("--save", "") as elsewhere:
        push_stat("x", 1)
        sync_redis.open_connection(elsewhere.url)
        push_stat("x", 2)
        assert fetch_stats("x").last == 2
        sync_redis.close()
        assert fetch_stats("x").last == 1
        config.redis_url = elsewhere.url
        assert fetch_stats("x").last == 2


def test_a_connection_that_redis_closed_meanwhile_is_made_anew(redis: Any) -> None:
    push_stat("x", 1)
    redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    push_stat("x", 1)
    assert fetch_stats("x").count == 2
    assert lost() == {}


def test_over_a_unix_socket_and_with_a_password() -> None:
    with RedisServer("--save", "", "--requirepass", "se@cret") as server:
        address = f"{server.port}?password=se%40cret"
        with settings(f"redis://127.0.0.1:{address}"):
            push_stat("x", 1, strict=True)
            asyncio.run(push_stat_async("x", 1, strict=True))
        with settings(f"redis://:wrong@127.0.0.1:{server.port}"):
            push_stat("x", 1)
            with pytest.raises(library.AuthenticationError):
                push_stat("x", 1, strict=True)
            assert lost() == {"away": 1}
        with settings(server.url):
            push_stat("x", 1)
            assert lost() == {"rejected": 1}
    with RedisServer("--save", "") as server:
        socket = server.work / "socket"
        with server.client() as client:
            client.config_set("maxmemory", 0)
        server.stop()
        server._command += ["--unixsocket", str(socket)]
        server.start()
        with settings(f"unix://{socket}"):
            push_stat("x", 1, strict=True)
            asyncio.run(push_stat_async("x", 1, strict=True))
            assert fetch_stats("x").count == 2


# unanswered


@contextmanager
def halted(server: RedisServer) -> Iterator[None]:
    """What Redis is sent meanwhile it does later, when nobody waits for it any more."""
    assert server._process is not None
    server._process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server._process.send_signal(signal.SIGCONT)


def test_what_was_handled_at_the_time_does_not_say_what_befell_redis(redis: Any, redis_server: RedisServer) -> None:
    async def save(stat: Stats) -> None:
        try:
            raise FileNotFoundError("of the application")
        except FileNotFoundError:
            await stat.save_stats_async()

    with settings(redis_server.url, timeout=0.2):
        push_stat("x", 1, strict=True)
        stat, of_tasks = Stats(), Stats()
        stat("x", 1)
        of_tasks("of tasks", 1)
        with halted(redis_server):
            try:
                raise FileNotFoundError("of the application")
            except FileNotFoundError:
                stat.save_stats()
            asyncio.run(save(of_tasks))
        assert lost() == {"unanswered": 2}
        for one in (stat, of_tasks):
            one.save_stats()
        assert (fetch_stats("x").count, lost()) == (2, {"unanswered": 2}), "it was stored, and is not sent again"


class Leaving(library.Redis):
    """A Redis that is gone when a second part is to be written."""

    server: RedisServer
    parts = 0

    def pipeline(self, *arguments: Any, **named: Any) -> Any:
        self.parts += 1
        if self.parts == 2:
            self.server.stop()
        return super().pipeline(*arguments, **named)


def test_what_was_stored_before_redis_went_is_not_written_again() -> None:
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server, settings(server.url):
        client = Leaving(port=server.port, retry=Retry(NoBackoff(), 0))
        client.server = server
        sync_redis.attach(client)
        push_stat("y", 1, strict=True)  # it knows the script
        stat = Stats(strict=True)
        for n in range(2 * TOGETHER * BATCH):
            stat("x", n)
        with pytest.raises(library.ConnectionError):
            stat.save_stats()
        assert (client.parts, lost()) == (2, {"unanswered": TOGETHER * BATCH})
        server.start()
        stat.save_stats()
        assert fetch_stats("x").count == TOGETHER * BATCH
        client.close()


# refused


def test_a_redis_that_is_full_loses_what_it_refuses_and_nothing_is_half_written(redis: Any) -> None:
    push_stat("x", 1)
    redis.config_set("maxmemory", 1)
    with Stats() as stat:
        for n in range(1500):
            stat("x", n)
    push_stat("y", 1)
    with pytest.raises(library.exceptions.OutOfMemoryError):
        push_stat("x", 1, strict=True)
    redis.config_set("maxmemory", 0)
    assert lost() == {"rejected": 1502}
    assert fetch_stats("x").count == 1
    assert [entry.value for entry in stat_history("x")] == [1.0]


def test_a_replica_does_not_take_what_is_written(redis: Any, redis_server: RedisServer) -> None:
    with RedisServer("--save", "", "--replicaof", "127.0.0.1", str(redis_server.port)) as replica:
        push_stat("x", 1)
        with replica.client() as client:
            replica.wait_for(lambda: client.exists("AKA-STATS::COUNT::x"))
        with settings(replica.url):
            push_stat("x", 1)
            assert lost() == {"rejected": 1}
        with replica.client() as reader, redis_server.client() as writer:
            unused()
            sync_redis.attach(reader, writer)
            push_stat("y", 1)
            replica.wait_for(lambda: fetch_stats("y").count == 1)
