"""What ``mmash`` answers: the original's paths and JSON, and what its own pages ask for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from importlib.resources import files as resources
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from statspout.client.mmap import Found
from statspout.logs import Limited
from statspout.mmash import pages, stats
from statspout.mmash.files import Files
from statspout.shapes import to_json
from statspout.web.application import json_error

_logger = logging.getLogger(__name__)

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""What a page of ours may load: whatever a label says, nothing from elsewhere, and no script but ours."""

_OFF = ("", "0", "false", "no", "off")


class Mmash:
    """Serves the files. They are read anew for each answer, one answer after the other, and never on the loop."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._turn = asyncio.Lock()
        self._limited = Limited(_logger)

    def routes(self) -> Sequence[BaseRoute]:
        """Every path; each is the same with a slash at its end."""
        return [
            Route("/", self._index),
            Route("/graph", self._graph),
            Route("/mmash.js", _static("mmash.js", "text/javascript")),
            Route("/mmash.css", _static("mmash.css", "text/css")),
            Route("/labels", self._labels),
            Route("/stats", self._list),
            Route("/stats/{prefix:path}", self._stats),
            Route("/files", self._list_files),
            Route("/files/{glob:path}", self._list_files),
        ]

    async def _found(self, glob: str | None = None) -> Found:
        async with self._turn:
            found = await asyncio.to_thread(self._files.read, glob)
        for path, error in found.errors.items():
            self._limited.once(path, "%s", error if isinstance(error, ValueError) else f"{path}: {error.strerror}")
        return found

    async def _index(self, _: Request) -> Response:
        found = await self._found()
        return _page(pages.index(self._files.pattern, stats.kinds(found.readers.values())))

    async def _graph(self, _: Request) -> Response:
        return _page(pages.GRAPH)

    async def _labels(self, _: Request) -> Response:
        return _json({"labels": stats.kinds((await self._found()).readers.values())})

    async def _list(self, request: Request) -> Response:
        """All labels; or, of those that are asked for by ``label=``, the values."""
        wanted = set(request.query_params.getlist("label"))
        found = await self._found()
        if wanted and not found.settled:
            return _unsettled()
        if wanted:
            return _json(stats.values(found, wanted.__contains__))
        return _json({"stats": stats.labels(found.readers.values())})

    async def _stats(self, request: Request) -> Response:
        prefix, query = request.path_params["prefix"], request.query_params
        how = query.get("aggr", "")
        if how and how not in stats.AGGREGATES:
            return json_error(400, f"aggr={how[:80]!r} is wrong: {', '.join(stats.AGGREGATES)} are right")
        try:
            found = await self._found(query.get("glob"))
        except ValueError as error:
            return json_error(400, str(error))
        if how and not found.settled:
            return _unsettled()
        exact = query.get("exact", "").lower() not in _OFF
        values = stats.values(found, prefix.__eq__ if exact else lambda label: label.startswith(prefix))
        return _aggregated(values, how) if how else _json(values)

    async def _list_files(self, request: Request) -> Response:
        try:
            found = await self._found(request.path_params.get("glob"))
        except ValueError as error:
            return json_error(400, str(error))
        errors = {path: " ".join(str(error).split()) for path, error in found.errors.items()}
        return _json({"files": list(found.readers), "errors": errors})


def _aggregated(values: dict[str, list[stats.Value]], how: str) -> Response:
    """One value a label, null where its values have none; 400 where that is so of all of them."""
    made = {label: stats.aggregated(each, how) for label, each in values.items()}
    if made and all(value is None for value in made.values()):
        right = "labels of numbers other than 0" if how.startswith("nonzero") else "labels of numbers"
        return json_error(400, f"{next(iter(made))[:80]!r} has no {how}: {right} are right")
    return _json(made)


def _unsettled() -> Response:
    """What threads left to their process might be in a sum twice, or not at all."""
    return json_error(503, "threads end all the time, so that no sum is right: ask again")


def _json(value: Any) -> Response:
    return Response(to_json(value), headers={"Cache-Control": "no-store"}, media_type="application/json")


def _page(html: str) -> Response:
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
    return Response(html.encode("utf-8", "backslashreplace"), headers=headers, media_type="text/html; charset=utf-8")


def _static(name: str, media_type: str) -> Any:
    content = (resources("statspout.mmash") / name).read_bytes()

    async def answer(_: Request) -> Response:
        headers = {"Cache-Control": "no-cache"}
        return Response(content, headers=headers, media_type=f"{media_type}; charset=utf-8")

    return answer
