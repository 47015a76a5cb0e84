"""A real Redis that a test starts, stops and starts again; and the settings by which statspout's client finds it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import redis
from support.influxdb import free_port
from support.servers import server, server_environment

from statspout.client.redis import async_redis, config, sync_redis
from statspout.client.redis.saving import losses
from statspout.client.redis.stats import _in_child as forget

HOW = "run scripts/setup-servers on Debian, or install redis-server"
_START = 60.0


class RedisServer:
    """Redis on :attr:`port` with more ``arguments``; the end of a ``with`` ends it and removes what it stored."""

    def __init__(self, *arguments: str) -> None:
        program = server("redis-server")
        if program is None:
            pytest.skip(f"needs a real Redis: {HOW}")
        self.port = free_port()
        self.work = Path(tempfile.mkdtemp(prefix="statspout-redis-"))
        self._command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.work), *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> redis.Redis:
        """A client of redis-py with its own defaults."""
        return redis.Redis(port=self.port, **options)

    def start(self) -> Self:
        """Start it, and wait until it answers."""
        with (self.work / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=server_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self.wait_for(self._answers)
        return self

    def wait_for(self, happened: Callable[[], object]) -> None:
        """Look again and again, until it is true."""
        deadline = time.monotonic() + _START
        while not happened():
            said = (self.work / "log").read_text(errors="replace")
            assert self._process is not None, "Redis was not started"
            assert self._process.poll() is None, f"Redis ended; its log:\n{said}"
            assert time.monotonic() < deadline, f"it did not come to it; Redis' log:\n{said}"
            time.sleep(0.02)

    def stop(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End it for good."""
        self.stop()
        shutil.rmtree(self.work, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.execute_command("PING"))
        except redis.AuthenticationError:
            return True
        except redis.ConnectionError:
            return False

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


@contextlib.contextmanager
def settings(url: str, **others: Any) -> Iterator[None]:
    """The client's settings for a while, all else as if it had not been used before."""
    before = {name: getattr(config, name) for name in ("redis_url", *others)}
    for name, value in {"redis_url": url, **others}.items():
        setattr(config, name, value)
    unused()
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(config, name, value)
        unused()


def unused() -> None:
    """The client as it is at the beginning: nothing open, nothing lost, nothing pending in what others left."""
    forget()
    sync_redis.close()
    for connections in (sync_redis, async_redis):
        connections.detach()
    losses.fresh()
