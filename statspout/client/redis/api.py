"""The HTTP interface in a FastAPI application: ``attach_routes(app)``, under ``/api/v1``.

::

    from fastapi import FastAPI
    from statspout.client.redis.api import attach_routes

    app = attach_routes(FastAPI())

Needs FastAPI: ``pip install 'statspout[redis-api]'``. As in Aka Stats, it is ``app.attach_routes`` of this module, too.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn, TypeVar

try:
    from fastapi import APIRouter, FastAPI, HTTPException, Security
    from fastapi.exceptions import RequestValidationError
    from fastapi.params import Depends
    from fastapi.responses import JSONResponse, PlainTextResponse
    from fastapi.security import HTTPBearer
except ImportError as error:
    raise ImportError("FastAPI is not installed: pip install 'statspout[redis-api]'") from error
from starlette.requests import Request
from starlette.responses import Response

from statspout.client.redis.async_stats import reader_of
from statspout.client.redis.routes import OPERATIONS, PREFIX, Operation, Refused, Surface, export_to_prometheus
from statspout.client.redis.schema import extra, responses

A = TypeVar("A", bound="FastAPI | APIRouter")

_LONGEST = 8192
"""Bytes of a header that are looked at: a longer one holds no token."""


def attach_routes(
    app: A, *, token: str | None = None, dependencies: Sequence[Depends] = (), tags: Sequence[str] = ()
) -> A:
    """Serve what was recorded in the namespace of the settings by ``app``, which is returned.

    With a ``token`` only to those who send it: ``Authorization: Bearer TOKEN``; ValueError when that cannot be sent.
    ``dependencies`` are FastAPI's, for permissions of the application's own, and ``tags`` for its documentation.
    """
    check = Bearer(token) if token is not None else None
    surface = Surface(reader_of)
    guards = [Security(HTTPBearer(auto_error=False))] if check else []
    for operation in OPERATIONS:
        app.add_api_route(
            f"{PREFIX}{operation.path}",
            _endpoint(operation, surface, check),
            methods=[operation.method],
            name=operation.answer.__name__,
            description=operation.answer.__doc__,
            tags=list(tags),
            dependencies=[*guards, *dependencies],
            response_model=None,
            response_class=PlainTextResponse if operation.answer is export_to_prometheus else JSONResponse,
            responses=responses(operation, guarded=check is not None),
            openapi_extra=extra(operation),
        )
    return app


class Bearer:
    """Who is answered: those who send the token."""

    def __init__(self, token: str) -> None:
        if not token.isascii() or not token.isprintable() or not token or " " in token:
            raise ValueError("the token is wrong: ASCII without white space is right")
        self._digest = _digest(token.encode())

    def check(self, request: Request) -> None:
        """Refused, unless it has the token. How long that takes tells nothing of how much of a guess is right."""
        sent = request.headers.get("authorization", "").encode("latin-1")[:_LONGEST]
        scheme, _, token = sent.partition(b" ")
        right = hmac.compare_digest(_digest(token.strip()), self._digest)
        if scheme.lower() != b"bearer" or not right:
            raise Refused(401, "credentials are needed", WWW_Authenticate='Bearer realm="statspout"')


class StatsApp:
    """What Aka Stats calls ``app``: what can be attached to an application."""

    @staticmethod
    def attach_routes(app: A, **options: Any) -> A:
        """As :func:`attach_routes`."""
        return attach_routes(app, **options)


app = StatsApp()


def _endpoint(
    operation: Operation, surface: Surface, check: Bearer | None
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            if check is not None:
                check.check(request)
            return await surface.answered(operation.answer, request)
        except Refused as refused:
            _raise(refused)

    return endpoint


def _raise(refused: Refused) -> NoReturn:
    """As FastAPI itself refuses, so that the application's own handlers have it."""
    if refused.status == 422:
        wrong = {"type": "value_error", "loc": tuple(refused.where), "msg": refused.text, "input": None}
        raise RequestValidationError([wrong]) from None
    raise HTTPException(refused.status, refused.text, refused.headers) from None


def _digest(secret: bytes) -> bytes:
    """Of one length, whatever the secret's is."""
    return hashlib.sha256(secret).digest()
