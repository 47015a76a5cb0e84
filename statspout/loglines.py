"""Log lines as JSON objects for programs, and what they are about: an engine, a container, a repository."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

ABOUT = ("engine", "container", "repository", "error")
"""Keys of a line that says whom, or what error, it is about."""

_around: ContextVar[Mapping[str, str]] = ContextVar("statspout_around", default=MappingProxyType({}))


@contextmanager
def concerning(**what: str) -> Iterator[None]:
    """Lines from within, and from the tasks that begin there, are about ``what``: some of :data:`ABOUT`."""
    token = _around.set({**_around.get(), **what})
    try:
        yield
    finally:
        _around.reset(token)


class About(logging.LoggerAdapter[logging.Logger]):
    """A logger all of whose lines are about ``what``: some of :data:`ABOUT`, and of nothing that is so around it."""

    def __init__(self, logger: logging.Logger, **what: str) -> None:
        super().__init__(logger, what)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """As of every adapter."""
        more = (kwargs.get("extra") or {}).get("about", {})
        return msg, {**kwargs, "extra": about(**{**(self.extra or {}), **more})}


def about(**what: Any) -> dict[str, Any]:
    """The ``extra`` of a line that is about ``what``, of which only what is known counts."""
    return {"about": {key: str(value) for key, value in what.items() if value}}


class JsonLine(logging.Formatter):
    """A record is one JSON object: time (RFC 3339, UTC), level, logger and message.

    Where there is one, the engine, the container, the repository and the error that it is about, and a traceback.
    ``censored`` takes secrets out of a text.
    """

    def __init__(self, censored: Callable[[str], str]) -> None:
        super().__init__()
        self._censored = censored

    def format(self, record: logging.LogRecord) -> str:
        """The object, without an end of line."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        found = {"error": _error_of(record), **_concerns(record)}
        line |= {key: found[key] for key in ABOUT if found.get(key)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps({key: self._censored(text) for key, text in line.items()})


def _concerns(record: logging.LogRecord) -> Mapping[str, str]:
    """What it is about by its own word; by what it comes from where that leaves the question open."""
    own: Mapping[str, str] = getattr(record, "about", {})
    around = _around.get()
    # What goes on in a repository goes on there, whichever engine's sample was the last straw.
    return own if "repository" in own else {**around, **own}


def _error_of(record: logging.LogRecord) -> str:
    """The exception with its type, that of the traceback or the one in the message; empty when there is none."""
    raised = record.exc_info[1] if record.exc_info else None
    arguments = record.args if isinstance(record.args, tuple) else ()
    error = raised or next((one for one in arguments if isinstance(one, BaseException)), None)
    return "" if error is None else f"{type(error).__name__}: {error}".rstrip(": ")
