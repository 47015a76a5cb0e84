"""What OpenAPI says of the HTTP interface: of each request what it takes, and every answer that may come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from statspout.client.redis.keys import STATS
from statspout.client.redis.routes import MOST_MATCHER, MOST_TEXTS, Operation

Schema = Mapping[str, Any]

_NUMBER: Schema = {"anyOf": [{"type": "number"}, {"type": "null"}]}
_TEXT: Schema = {"type": "string"}


def _object(properties: Mapping[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_STATS = _object(dict.fromkeys(STATS, _NUMBER))
_ENTRY = _object({"timestamp": _NUMBER, "label": _TEXT, "value": _NUMBER, "context_id": _TEXT})
_DETAIL = _object({"detail": _TEXT})
_WRONG = _object(
    {
        "detail": {
            "type": "array",
            "items": _object({"type": _TEXT, "loc": {"type": "array", "items": _TEXT}, "msg": _TEXT, "input": {}}),
        }
    }
)

_ANSWERS: Mapping[str, Schema] = {
    "get_available_stats": {"type": "array", "items": _TEXT, "uniqueItems": True},
    "fetch_stats_data": _STATS,
    "fetch_batch_stats_data": {
        "type": "object",
        "additionalProperties": {"anyOf": [_STATS, {"type": "object", "maxProperties": 0}]},
    },
    "fetch_stats_history": {"type": "array", "items": _ENTRY},
    "fetch_stat_contexts": {"type": "object", "additionalProperties": _TEXT},
}

_LABEL: Schema = {
    "name": "label",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "A label; slashes may stand in it as they are.",
}
_MATCHER: Schema = {
    "name": "matcher",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": MOST_MATCHER, "default": "*"},
    "description": r"A glob of Redis: `*`, `?`, `[ab]`, `\`.",
}
_BODY: Schema = {
    "required": True,
    "content": {"application/json": {"schema": {"type": "array", "items": _TEXT, "maxItems": MOST_TEXTS}}},
}

_REFUSED: Mapping[int, tuple[str, Schema]] = {
    400: ("The request was broken off.", _DETAIL),
    401: ("Credentials are needed.", _DETAIL),
    404: ("There are no statistics of the label.", _DETAIL),
    408: ("The body did not come in time.", _DETAIL),
    413: ("The body is too large.", _DETAIL),
    422: ("The request is not as it should be.", _WRONG),
    503: ("Redis does not answer.", _DETAIL),
}


def extra(operation: Operation) -> dict[str, Any]:
    """The parameters and the body of a request, as FastAPI's ``openapi_extra``."""
    if operation.method == "POST":
        return {"requestBody": _BODY}
    return {"parameters": [_LABEL if "{label" in operation.path else _MATCHER]}


def responses(operation: Operation, *, guarded: bool) -> dict[int | str, dict[str, Any]]:
    """The answers by status, as FastAPI's ``responses``; ``guarded`` is whether credentials are asked for."""
    statuses = [401] if guarded else []
    if operation.method == "POST":
        statuses += [400, 408, 413, 422]
    else:
        statuses.append(404 if "{label" in operation.path else 422)
    refused: dict[int | str, dict[str, Any]] = {status: _response(*_REFUSED[status]) for status in [*statuses, 503]}
    return {200: _answer(operation.answer.__name__), **refused}


def _answer(name: str) -> dict[str, Any]:
    if name in _ANSWERS:
        return _response("What was asked for.", _ANSWERS[name])
    return {"description": "The page.", "content": {"text/plain": {"schema": _TEXT}}}


def _response(description: str, schema: Schema) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
