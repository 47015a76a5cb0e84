"""The HTTP interface to what was recorded, as Aka Stats has it: what is asked, and what is answered.

It knows no framework but Starlette's requests and responses, and is served in two ways: by a FastAPI application, with
:mod:`statspout.client.redis.api`, and by whatever serves Starlette's :func:`routes`. What cannot be answered is a
:class:`Refused`, which either says as its users expect it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from time import monotonic
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from statspout.client.redis.asking import AsyncReader
from statspout.client.redis.prometheus import CONTENT_TYPE, exposition

PREFIX = "/api/v1"

MOST_TEXTS = 10_000
"""Labels, or ids of contexts, that can be asked for at once."""

MOST_MATCHER = 1024
"""Characters of a glob: a head of a request has room for that, however they are written."""

MOST_BODY = 1 << 20
"""Bytes of a request's body."""

PATIENCE = 10.0
"""Seconds in which a body has to be here."""

_AGAIN = 60.0
"""Seconds after which it is said again that Redis does not answer."""

_logger = logging.getLogger("statspout.client")


class Refused(Exception):
    """What is not answered: ``status`` and ``text`` say why; ``where`` is the part of the request that is wrong."""

    def __init__(self, status: int, text: str, where: Sequence[str] = (), **headers: str) -> None:
        super().__init__(text)
        self.status, self.text, self.where = status, text, where
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Asked(NamedTuple):
    """A request, whom to ask for what it wants, and how many bytes of a body are taken."""

    request: Request
    reader: AsyncReader
    most_body: int


Answer: TypeAlias = Callable[[Asked], Awaitable[Response]]


async def get_available_stats(asked: Asked) -> Response:
    """The labels that match a glob of Redis and have statistics."""
    matcher = _matcher(asked.request)
    return _json(sorted({label async for label in asked.reader.available(matcher)}))


async def fetch_stats_data(asked: Asked) -> Response:
    """The statistics of a label."""
    label = _label(asked.request)
    found = (await asked.reader.many([label], tidy=False)).get(label)
    if found is None:
        raise _unknown(label)
    return _json(found._asdict())


async def fetch_batch_stats_data(asked: Asked) -> Response:
    """The statistics of many labels, by label; of an unknown one an empty object."""
    labels = await _texts(asked)
    found = await asked.reader.many(labels, tidy=False)
    return _json({label: found[label]._asdict() if label in found else {} for label in labels})


async def fetch_stats_history(asked: Asked) -> Response:
    """The history of a label, the newest entry first."""
    label = _label(asked.request)
    entries = await asked.reader.history(label)
    # Where no history is kept a label has none, either.
    if not entries and not await asked.reader.many([label], tidy=False):
        raise _unknown(label)
    return _json([entry._asdict() for entry in entries])


async def fetch_stat_contexts(asked: Asked) -> Response:
    """The contexts with these ids, by id, those that are there; what is not UTF-8 is replaced."""
    found = await asked.reader.contexts(await _texts(asked))
    return _json({name: context.decode(errors="replace") for name, context in found.items()})


async def export_to_prometheus(asked: Asked) -> Response:
    """The statistics of all labels that match, in Prometheus' text format 0.0.4."""
    page = await exposition(asked.reader, _matcher(asked.request))
    return Response(page.encode(), headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})


class _Label(Convertor[str]):
    """All of the rest of a path: slashes, and line feeds, which Starlette's own ``path`` stops at."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("aka_label", _Label())


class Operation(NamedTuple):
    """One of the requests that are answered; ``path`` is behind the prefix."""

    method: str
    path: str
    answer: Answer


OPERATIONS = (
    Operation("GET", "/available-stats", get_available_stats),
    Operation("GET", "/stats/{label:aka_label}", fetch_stats_data),
    Operation("POST", "/stats", fetch_batch_stats_data),
    Operation("GET", "/stats-history/{label:aka_label}", fetch_stats_history),
    Operation("POST", "/stat-contexts", fetch_stat_contexts),
    Operation("GET", "/stats-prometheus", export_to_prometheus),
)


class Surface:
    """Answers by the ``reader`` of that moment, and takes ``most_body`` bytes of a body."""

    def __init__(self, reader: Callable[[], AsyncReader], most_body: int = MOST_BODY) -> None:
        self._reader = reader
        self._most_body = most_body
        self._said = -math.inf

    async def answered(self, answer: Answer, request: Request) -> Response:
        """What ``answer`` answers. Refused for what is wrong, and, 503, when Redis does not answer."""
        from redis import RedisError

        try:
            return await answer(Asked(request, self._reader(), self._most_body))
        except (RedisError, OSError) as error:
            self._tell(error)
            raise Refused(503, "Redis does not answer", Retry_After="1") from error
        except ClientDisconnect as error:
            raise Refused(400, "the request was broken off") from error

    def _tell(self, error: Exception) -> None:
        """In the log, once a minute. It says where Redis is, which is not for those who ask."""
        if monotonic() - self._said >= _AGAIN:
            self._said = monotonic()
            _logger.warning("%s: Redis does not answer: %s: %s", PREFIX, type(error).__name__, error)


def routes(surface: Surface, refusal: Callable[[Refused], Response]) -> Sequence[BaseRoute]:
    """Routes of Starlette; ``refusal`` says what is refused."""

    def endpoint(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def answer_or_refuse(request: Request) -> Response:
            try:
                return await surface.answered(answer, request)
            except Refused as refused:
                return refusal(refused)

        return answer_or_refuse

    return [Route(f"{PREFIX}{path}", endpoint(answer), methods=[method]) for method, path, answer in OPERATIONS]


def _matcher(request: Request) -> str:
    matcher: str = request.query_params.get("matcher", "*")
    if not 1 <= len(matcher) <= MOST_MATCHER:
        raise Refused(422, f"1 to {MOST_MATCHER} characters are right", ("query", "matcher"))
    return matcher


def _label(request: Request) -> str:
    """The label in the path, with the slashes at its end: a server may have taken them for none of the path's."""
    label: str = request.path_params["label"]
    begins, sent = label.rstrip("/"), request.scope.get("raw_path")
    if not begins or sent is None:
        return label
    raw = unquote(sent.decode("latin-1"))
    return begins + "/" * (len(raw) - len(raw.rstrip("/")))


async def _texts(asked: Asked) -> list[str]:
    """The array of texts that the body is, each once."""
    try:
        async with asyncio.timeout(PATIENCE):
            body = b"".join([part async for part in _parts(asked)])
    except TimeoutError:
        raise Refused(408, f"the body was not here within {PATIENCE:g} s", Connection="close") from None
    try:
        found = json.loads(body)
        if isinstance(found, list) and len(found) <= MOST_TEXTS and all(isinstance(text, str) for text in found):
            "".join(found).encode()  # half of a surrogate pair is no label
            return list(dict.fromkeys(found))
    except (ValueError, RecursionError):
        pass
    raise Refused(422, f"an array of at most {MOST_TEXTS} texts, as JSON, is right", ("body",))


async def _parts(asked: Asked) -> AsyncIterator[bytes]:
    size = 0
    async for part in asked.request.stream():
        size += len(part)
        if size > asked.most_body:
            raise Refused(413, f"a body of at most {asked.most_body} bytes is right", Connection="close")
        yield part


def _unknown(label: str) -> Refused:
    return Refused(404, f"no statistics of {label[:200]!r}")


def _json(value: object) -> Response:
    return JSONResponse(value, headers={"Cache-Control": "no-store"})
