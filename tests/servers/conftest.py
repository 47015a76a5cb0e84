"""One Redis for all tests here, empty at the beginning of each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as library
from support.redis import RedisServer, settings


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer("--save", "") as server:
        yield server


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[library.Redis]:
    """A client of it, to which statspout's client is told to write."""
    with redis_server.client() as client, settings(redis_server.url):
        client.flushall()
        client.config_set("maxmemory", 0)
        yield client
