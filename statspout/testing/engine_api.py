"""The routes of the simulated engine: which request gets which answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from statspout.testing import engine_documents as documents
from statspout.testing.engine_events import Events, Filters, has_labels
from statspout.testing.engine_http import TEXT, Exchange, RequestLog
from statspout.testing.engine_state import (
    SECOND,
    AmbiguousPrefixError,
    FakeContainer,
    Host,
    World,
    version_tuple,
)
from statspout.testing.engine_stats import Stats, is_true

ROUTES = {
    "/_ping": "ping",
    "/version": "version",
    "/info": "info",
    "/containers/json": "list",
    "/events": "events",
}
"""What a path without a container is called in the log; ``inspect`` and ``stats`` are those with one."""

ONE_SHOT_SINCE = (1, 41)
NO_LEGACY_SINCE = (1, 52)
PLAIN_ERRORS_BEFORE = (1, 24)
LIST_FILTERS = frozenset({"status", "label", "name", "id"})

_VERSIONED = re.compile(r"/v(\d+\.\d+)(/.*)")
_CONTAINER = re.compile(r"/containers/([^/]+)/(json|stats)")

parsed_version = lru_cache(maxsize=64)(version_tuple)


@lru_cache(maxsize=64)
def parsed_query(query: str) -> Mapping[str, str]:
    """Split a query into its parameters; of several with one name the last counts."""
    return dict(parse_qsl(query, keep_blank_values=True))


class BadRequestError(ValueError):
    """A parameter that the engine would not take."""


def parsed_filters(query: Mapping[str, str]) -> Filters:
    """Read ``filters=``: an object of lists, or, as old clients write it, of objects of booleans."""
    text = query.get("filters", "")
    try:
        filters = msgspec.json.decode(text or "{}", type=dict[str, dict[str, bool] | list[str]])
    except msgspec.DecodeError as error:
        raise BadRequestError(f"invalid filters: {error}") from error
    return {key: frozenset(values) for key, values in filters.items()}


def parsed_time(query: Mapping[str, str], key: str) -> int:
    """Read ``seconds[.nanoseconds]`` since the epoch as ns; 0 when it is not given."""
    seconds, _, fraction = query.get(key, "").partition(".")
    try:
        return int(seconds or 0) * SECOND + int(fraction[:9].ljust(9, "0"))
    except ValueError as error:
        raise BadRequestError(f"invalid {key}: {query[key]}") from error


class Target:
    """A request's target taken apart."""

    __slots__ = ("argument", "query", "route", "version")

    def __init__(self, target: str, newest: str) -> None:
        path, _, query = target.partition("?")
        versioned = _VERSIONED.fullmatch(path)
        self.version, path = versioned.groups() if versioned else (newest, path)
        container = _CONTAINER.fullmatch(path)
        self.argument = unquote(container[1]) if container else ""
        self.route = _container_route(container[2]) if container else ROUTES.get(path, "")
        self.query = parsed_query(query)

    def older_than(self, version: tuple[int, ...]) -> bool:
        """Tell whether the client speaks an older API version."""
        return parsed_version(self.version) < version


def _container_route(ending: str) -> str:
    return "inspect" if ending == "json" else ending


class Api:
    """Answers requests from the state of a world. The world's lock is held meanwhile."""

    def __init__(self, world: World, log: RequestLog, events: Events) -> None:
        self._world = world
        self._events = events
        self._stats = Stats(world, log)
        self._answers: dict[str, Callable[[Exchange, Target], None]] = {
            "ping": lambda exchange, _: exchange.answer(b"OK", content_type=TEXT),
            "version": lambda exchange, _: _send(exchange, documents.version(world.host)),
            "info": lambda exchange, _: _send(exchange, documents.info(world)),
            "list": self._list,
            "events": self._listen,
            "inspect": self._inspect,
            "stats": self._sample,
        }

    def respond(self, exchange: Exchange) -> None:
        """Answer one request."""
        target = Target(exchange.request.path, self._world.host.api_version)
        exchange.request.route = target.route or "other"
        fault = self._world.faults.take(target.route)
        if fault:
            MISBEHAVIOUR[fault.kind](exchange)
        elif exchange.request.method not in ("GET", "HEAD"):
            exchange.refuse(405, f"the simulated engine only answers GET and HEAD, not {exchange.request.method}")
        else:
            self._answer(exchange, target)

    def _answer(self, exchange: Exchange, target: Target) -> None:
        problem = _version_problem(target, self._world.host)
        try:
            if problem:
                _refuse_version(exchange, target, problem)
            elif target.route:
                self._answers[target.route](exchange, target)
            else:
                exchange.refuse(404, "page not found")
        except (BadRequestError, re.error) as error:
            exchange.refuse(400, str(error))
        except AmbiguousPrefixError as error:
            exchange.refuse(400, f"Multiple IDs found with provided prefix: {error}")

    def _found(self, exchange: Exchange, target: Target) -> FakeContainer | None:
        container = self._world.find(target.argument)
        if container is None:
            exchange.refuse(404, f"No such container: {target.argument}")
        return container

    def _inspect(self, exchange: Exchange, target: Target) -> None:
        container = self._found(exchange, target)
        if container:
            _send(exchange, documents.inspected(container))

    def _sample(self, exchange: Exchange, target: Target) -> None:
        container = self._found(exchange, target)
        if container:
            self._stats.answer(exchange, container, target.query, not target.older_than(ONE_SHOT_SINCE))

    def _list(self, exchange: Exchange, target: Target) -> None:
        filters = parsed_filters(target.query)
        unknown = filters.keys() - LIST_FILTERS
        if unknown:
            raise BadRequestError(f"invalid filter '{min(unknown)}'")
        every = is_true(target.query, "all") or "status" in filters
        now = self._world.clock()
        newest_first = reversed(self._world.containers.values())
        chosen = [one for one in newest_first if (every or one.running) and _wanted(one, filters)]
        _send(exchange, [documents.listed(container, now) for container in chosen])

    def _listen(self, exchange: Exchange, target: Target) -> None:
        filters = parsed_filters(target.query)
        since, until = parsed_time(target.query, "since"), parsed_time(target.query, "until")
        if 0 < until < since:
            raise BadRequestError(
                f"`since` time ({target.query['since']}) cannot be after `until` time ({target.query['until']})"
            )
        past = self._events.past(since, until)
        exchange.stream()
        self._events.listen(exchange, filters, target.older_than(NO_LEGACY_SINCE), past)
        if until:
            exchange.after((until - self._world.clock()) / SECOND, exchange.end)


def _send(exchange: Exchange, document: Any) -> None:
    exchange.answer(msgspec.json.encode(document) + b"\n")


def _version_problem(target: Target, host: Host) -> str:
    if target.older_than(parsed_version(host.min_api_version)):
        return (
            f"client version {target.version} is too old. Minimum supported API version is {host.min_api_version}, "
            "please upgrade your client to a newer version"
        )
    if parsed_version(host.api_version) < parsed_version(target.version):
        return f"client version {target.version} is too new. Maximum supported API version is {host.api_version}"
    return ""


def _refuse_version(exchange: Exchange, target: Target, problem: str) -> None:
    if target.older_than(PLAIN_ERRORS_BEFORE):
        exchange.answer(problem.encode() + b"\n", 400, TEXT)
    else:
        exchange.refuse(400, problem)


def _wanted(container: FakeContainer, filters: Filters) -> bool:
    states, ids, names = (filters.get(key) for key in ("status", "id", "name"))
    return (
        (not states or container.state in states)
        and (not ids or container.id.startswith(tuple(ids)))
        and (not names or any(re.search(name, f"/{container.name}") for name in names))
        and has_labels(container.labels, filters.get("label", frozenset()))
    )


def _hang(exchange: Exchange) -> None:
    """Never answer; the client's leaving ends it."""


def _garbage(exchange: Exchange) -> None:
    exchange.answer(b"\xff\xfe not json\n")


def _cut(exchange: Exchange) -> None:
    exchange.part(b'[{"Id":"' + b"0" * 64, 20)
    exchange.cut()


def _end_at_once(exchange: Exchange) -> None:
    if exchange.request.route == "events":
        exchange.stream()
        exchange.end()
    else:
        exchange.answer(b"")


MISBEHAVIOUR: dict[str, Callable[[Exchange], None]] = {
    "hang": _hang,
    "error": lambda exchange: exchange.refuse(500, "simulated failure"),
    "forbidden": lambda exchange: exchange.refuse(403, "simulated authorization plugin: access denied"),
    "garbage": _garbage,
    "cut": _cut,
    "eof": _end_at_once,
}
