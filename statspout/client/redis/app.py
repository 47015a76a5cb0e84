"""The HTTP interface as a program of its own: ``uvicorn statspout.client.redis.app:app``.

``AKA_STATS_TOKEN_FILE`` names a file with the token that is asked for, and ``AKA_STATS_TOKEN`` is the token itself;
without either, whoever asks is answered. All else is as in :mod:`statspout.client.redis.settings`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from statspout.client.redis.api import attach_routes  # first: it says what is missing where FastAPI is
from statspout.client.redis.redis import async_redis
from statspout.client.redis.settings import config

from fastapi import FastAPI  # isort: skip


def token_of(environ: Mapping[str, str]) -> str | None:
    """The token that is asked for, if one is; ValueError for a file that cannot be read."""
    path = environ.get("AKA_STATS_TOKEN_FILE")
    if path is None:
        return environ.get("AKA_STATS_TOKEN")
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no text"
        raise ValueError(f"AKA_STATS_TOKEN_FILE: {path!r} cannot be read: {why}") from error


@asynccontextmanager
async def _connected(_: FastAPI) -> AsyncIterator[None]:
    """One connection for all requests, from the start to the end."""
    logger = logging.getLogger("uvicorn.error")  # whose lines are shown at the start
    for line in ("Configuration options:", *(f"    {line}" for line in str(config).splitlines())):
        logger.info(line)
    await async_redis.open_connection()
    try:
        yield
    finally:
        await async_redis.close()


def make_app(token: str | None = None) -> FastAPI:
    """The application, which asks for ``token`` if there is one."""
    return attach_routes(FastAPI(title="Aka Stats", lifespan=_connected), token=token)


try:
    app = make_app(token_of(os.environ))
except ValueError as error:
    raise SystemExit(f"statspout: {error}") from None
