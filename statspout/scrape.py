"""The answer to a scrape: the page in the format, and the encoding, that the server asks for."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from statspout.exposition import OPENMETRICS, TEXT, Format

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_LEAST_TO_COMPRESS = 1400
"""Bytes; what fits into one packet is not worth it."""


async def answer(request: Request, page: Callable[[Format], bytes]) -> Response:
    """Answer with what ``page`` makes in the format that ``request`` prefers, compressed where that is asked for."""
    from starlette.responses import Response

    chosen = negotiate(_header(request, "accept"))
    body = page(chosen)
    headers = {"Content-Type": chosen.content_type, "Vary": "Accept, Accept-Encoding"}
    if len(body) >= _LEAST_TO_COMPRESS and wants_gzip(_header(request, "accept-encoding")):
        headers["Content-Encoding"] = "gzip"
        # In a thread: megabytes take a while, and compressing them lets the loop run.
        body = await asyncio.to_thread(gzip.compress, body, 1, mtime=0)
    return Response(body, headers=headers)


def negotiate(accept: str) -> Format:
    """The format for an Accept header: OpenMetrics where it is preferred to the text format, otherwise the latter.

    A range for another version of a format does not count for it; an exact range goes before a wider one.
    """
    ranges = _ranges(accept)
    return OPENMETRICS if _quality(ranges, OPENMETRICS) > _quality(ranges, TEXT) else TEXT


def wants_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header takes gzip."""
    by_name = {one.name: one.quality for one in _ranges(accept_encoding)}
    return by_name.get("gzip", by_name.get("*", 0.0)) > 0


class _Range(NamedTuple):
    """One element of such a header. A quality that is no number from 0 to 1 is 0: it is not acceptable."""

    name: str
    parameters: Mapping[str, str]
    quality: float


def _ranges(header: str) -> list[_Range]:
    return [_range(part) for part in header.lower().split(",") if part.strip()]


def _range(part: str) -> _Range:
    name, *rest = (piece.strip() for piece in part.split(";"))
    pairs = (piece.partition("=") for piece in rest)
    parameters = {key.strip(): value.strip(' "') for key, _, value in pairs}
    try:
        quality = float(parameters.get("q", 1))
    except ValueError:
        quality = 0.0
    return _Range(name, parameters, quality if 0 <= quality <= 1 else 0.0)


def _quality(ranges: list[_Range], wanted: Format) -> float:
    """How acceptable ``wanted`` is, from 0 to 1."""
    for name in (wanted.media_type, wanted.media_type.partition("/")[0] + "/*", "*/*"):
        found = [
            one.quality
            for one in ranges
            if one.name == name and one.parameters.get("version", wanted.version) == wanted.version
        ]
        if found:
            return max(found)
    return 0.0


def _header(request: Request, name: str) -> str:
    return ",".join(request.headers.getlist(name))
