"""The routes of one address, behind the question who is answered. What goes wrong is JSON: ``{"error": "..."}``."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from statspout.logs import Limited
from statspout.shapes import to_json
from statspout.web.access import Access

MOST_BODY_BYTES = 65536
"""The longest body of a request that is said to come; what Redis is asked for is far from it."""

_logger = logging.getLogger(__name__)


class Application:
    """The routes, with errors as JSON. What fails in a route is told to us, not to the client.

    Whom ``access`` does not admit is told so at every path but the ``open_paths``, also where there is nothing.
    ``refused`` counts by reason who reaches no route. ``crowded`` says whether there are too many connections to answer
    on this one.
    """

    def __init__(
        self,
        routes: Sequence[BaseRoute],
        access: Access,
        refused: Counter[str],
        open_paths: Collection[str] = (),
        crowded: Callable[[], bool] = lambda: False,
    ) -> None:
        # Fixed paths come first, so that one mount's /{name} does not hide another's /metrics.
        ordered = sorted(routes, key=lambda route: "{" in getattr(route, "path", ""))
        self._app = Starlette(routes=ordered, exception_handlers={HTTPException: _refusal, Exception: _failure})
        self._app.router.redirect_slashes = False
        self._access = access
        self._count = refused
        self._open = frozenset(open_paths)
        self._crowded = crowded
        self._limited = Limited(_logger)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        scope["path"] = scope["path"].rstrip("/") or "/"
        try:
            await (self._refused(scope) or self._app)(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - a route is foreign code, and the client has its answer by now
            self._tell(scope, error)

    def _refused(self, scope: Scope) -> Response | None:
        """The answer to a request that reaches no route."""
        if self._crowded():
            self._count["crowded"] += 1
            return json_error(503, "there are too many connections", {"Connection": "close", "Retry-After": "1"})
        headers = dict(scope["headers"])
        if scope["path"] not in self._open and not self._access.admits(headers.get(b"authorization", b"")):
            self._count["credentials"] += 1
            return _who_are_you(self._access)
        if int(headers.get(b"content-length", b"0")) > MOST_BODY_BYTES:
            self._count["too_large"] += 1
            return json_error(413, f"a body of at most {MOST_BODY_BYTES} bytes is right", {"Connection": "close"})
        return None

    def _tell(self, scope: Scope, error: Exception) -> None:
        kind = f"{getattr(scope.get('endpoint'), '__qualname__', 'a route')}: {type(error).__name__}"
        if self._limited.first(kind):
            _logger.error("%s %r failed", scope["method"], scope["path"], exc_info=error)
        else:
            self._limited.warning(kind, "%s %r failed again: %r", scope["method"], scope["path"], error)


def json_error(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    """An answer that says what is wrong, in the one shape that all of them have."""
    return Response(error_body(text), status, headers, media_type="application/json")


def error_body(text: str) -> bytes:
    """The body of it."""
    return to_json({"error": text})


def _who_are_you(access: Access) -> Response:
    # The same for a wrong secret as for none: it says nothing about a guess.
    response = json_error(401, "credentials are needed")
    for challenge in access.challenges:
        response.headers.append("WWW-Authenticate", challenge)
    return response


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 404:
        return json_error(404, f"there is nothing at {request.scope['path']}")
    if "Allow" in headers:
        # starlette's order follows the hash seed.
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
    return json_error(error.status_code, error.detail, headers)


async def _failure(_: Request, __: Exception) -> Response:
    return json_error(500, "internal error")
