"""Log lines on stderr, one line each, and no more of them than a person can use."""

from __future__ import annotations

import errno
import json
import logging
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TextIO
from urllib.parse import quote

from statspout.loglines import About, JsonLine, about

PERIOD = 60.0
"""Seconds in which one kind of trouble is told at most BURST times."""

BURST = 3

_SHORTEST_SECRET = 4
"""Characters; to hide a shorter one would garble every line and tell it by that."""


_LOGGERS = {"statspout": None, "asyncio": "WARNING"}
"""Whose lines are ours to write, and the least level where it is not the user's choice. Those of all others come by the
root logger, where nobody else has taken it."""


class _Stderr:
    """Standard error as it is at the moment: a live table on the same terminal takes its place for a while."""

    def write(self, text: str) -> None:
        sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def setup(level: str, format: Literal["text", "json"] = "text") -> None:  # noqa: A002 - the setting's word
    """Send the lines of every logger to stderr, for people or as a JSON object each; of others' loggers warnings."""
    handler = logging.StreamHandler(_Stderr())
    handler.setFormatter(JsonLine(censored) if format == "json" else _OneLine("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(_whole)
    root = logging.getLogger()
    if all(isinstance(other.formatter, JsonLine | _OneLine) for other in root.handlers):
        root.handlers = [handler]
    for name, fixed in _LOGGERS.items():
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(fixed or level.upper())
    logging.getLogger("asyncio").filters = [_NoConnection()]


def _whole(record: logging.LogRecord) -> bool:
    """Whatever somebody logged is a line: also where the arguments do not fit the message."""
    try:
        record.getMessage()
    except Exception:  # noqa: BLE001 - foreign objects, which may be anything
        record.msg, record.args = "%s (its arguments do not fit: %d)", (str(record.msg), len(record.args or ()))
    return True


@contextmanager
def hooked() -> Iterator[None]:
    """What Python would print by itself from now on is logged: warnings, and errors of threads and of destructors."""
    before = warnings.showwarning, threading.excepthook, sys.unraisablehook
    warnings.showwarning = _warned
    threading.excepthook = _thread_failed
    sys.unraisablehook = _ignored
    try:
        yield
    finally:
        warnings.showwarning, threading.excepthook, sys.unraisablehook = before


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001 - as of warnings.showwarning
    line: str | None = None,  # noqa: ARG001
) -> None:
    logging.getLogger("py.warnings").warning("%s: %s (%s:%d)", category.__name__, str(message), filename, lineno)


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_type is not SystemExit:  # a thread's way to end
        name = failure.thread.name if failure.thread else "unknown"
        logging.getLogger("py.threads").error(
            "the thread %s ended: %r", name, failure.exc_value, exc_info=_info(failure)
        )


def _ignored(failure: sys.UnraisableHookArgs) -> None:
    what = failure.err_msg or "exception ignored in"
    logging.getLogger("py.unraisable").error("%s %r", what, failure.object, exc_info=_info(failure))


def _info(failure: threading.ExceptHookArgs | sys.UnraisableHookArgs) -> Any:
    """The exception as logging has it."""
    return failure.exc_type, failure.exc_value, failure.exc_traceback


_CONTROLS = {code: repr(chr(code))[1:-1] for code in (*range(0x20), *range(0x7F, 0xA0))}
"""Control characters as they are written in a string: what a container or an engine says cannot steer a terminal."""

MOST_SECRETS = 1000
"""Secrets that are hidden: more than a configuration has. Those beyond were rotated out long ago, each by a reload that
read all the others again; every log line is searched for every one."""

_secrets: dict[str, set[str]] = {}
"""Each with its spellings, those that were given last at the end."""

_hidden: tuple[str, ...] = ()
"""All of these, the longest first: one may be a part of another. Another tuple each time, as threads may be in it."""


def hide(secret: str) -> None:
    """Write ``***`` wherever ``secret`` would come into a log line, such as in an error of a database's client."""
    global _hidden
    if len(secret) < _SHORTEST_SECRET:
        return
    known = _secrets.pop(secret, None)
    _secrets[secret] = known or _spellings(secret)
    if known is not None:
        return
    while len(_secrets) > MOST_SECRETS:
        del _secrets[next(iter(_secrets))]
    _hidden = tuple(sorted(set().union(*_secrets.values()), key=len, reverse=True))


def _spellings(secret: str) -> set[str]:
    """The secret as programs write it: as it is, on one line, quoted, as bytes, in JSON, in a URL."""
    encoded = secret.encode("utf-8", "surrogateescape")
    ways = {secret, printed(secret), repr(secret)[1:-1], repr(encoded)[2:-1], json.dumps(secret)[1:-1]}
    ways |= {quote(encoded, safe=""), quote(encoded)}
    return ways | {" ".join(way.split()) for way in ways}


def printed(text: str) -> str:
    """``text`` on one line that steers no terminal: control characters as they are written in a string."""
    return text.translate(_CONTROLS)


def counted(number: int, what: str) -> str:
    """``1 container``, ``2 containers``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


_PASSWORD = re.compile(r"(://[^/@\s:'\"]*:)[^@\s]*@|((?<![\w.+-])[\w.+-]+:)(?!//)[^@\s/'\"]+@(?!sha256:)")
"""A password before a host, also where the scheme of the URL is wrong or missing; a digest of an image is none."""

_PARAMETER = re.compile(r"([?&][\w-]*(?:token|key|secret|sig|pass|auth|code)[\w-]*=)[^&\s'\"#]+", re.IGNORECASE)
"""What a parameter of a URL is called that gives access."""


def censored(text: str) -> str:
    """``text`` without the secrets in it, and without the passwords and tokens in URLs."""
    for secret in _hidden:
        text = text.replace(secret, "***")
    if "@" in text:
        text = _PASSWORD.sub(lambda found: f"{found[1] or found[2]}***@", text)
    return _PARAMETER.sub(r"\1***", text) if "=" in text else text


class _OneLine(logging.Formatter):
    """A record is one line, whatever is in its message. A traceback follows its line, indented."""

    default_msec_format = "%s.%03d"

    def format(self, record: logging.LogRecord) -> str:
        return censored(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the standard library's name
        return printed(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802 - the standard library's name
        text = super().formatException(ei)  # type: ignore[arg-type]  # the base class's own argument, passed on
        return "\n".join(f"    {line}" for line in text.splitlines())


class Limited:
    """A logger for trouble that repeats: of each kind at most three lines a minute, then how many were left out.

    ``clock`` gives monotonic seconds.
    """

    def __init__(self, logger: logging.Logger | About, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._kinds: dict[str, tuple[float, int]] = {}
        self._met: set[str] = set()

    def first(self, kind: str) -> bool:
        """Whether this ``kind`` is met for the first time, and so is worth a traceback."""
        first = kind not in self._met
        self._met.add(kind)
        return first

    def warning(self, kind: str, message: str, *arguments: object, **what: object) -> None:
        """Log ``message``, about ``what``, as a warning unless its ``kind`` has had its lines in this minute."""
        since, count = self._kinds.get(kind, (self._clock(), 0))
        if self._clock() - since >= PERIOD:
            self._tell_left_out(kind, count)
            since, count = self._clock(), 0
        self._kinds[kind] = (since, count + 1)
        if count < BURST:
            self._logger.warning(message, *arguments, extra=about(**what))
        elif count == BURST:
            self._logger.warning("%s: more of this kind are counted, not logged, for %d s", kind, PERIOD)

    def once(self, kind: str, message: str, *arguments: object, **what: object) -> None:
        """Log ``message``, about ``what``, as a warning the first time since :meth:`reset`; then it is counted."""
        since, count = self._kinds.get(kind, (self._clock(), 0))
        self._kinds[kind] = (since, count + 1)
        if not count:
            self._logger.warning(message, *arguments, extra=about(**what))

    def reset(self, kind: str) -> None:
        """The trouble of this ``kind`` is over: the next one is told again."""
        since_count = self._kinds.pop(kind, None)
        if since_count is not None:
            self._tell_left_out(kind, since_count[1])

    def _tell_left_out(self, kind: str, count: int) -> None:
        if count > BURST:
            self._logger.warning("%s: %d more were not logged", kind, count - BURST)


_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class _NoConnection(logging.Filter):
    """Says in a few lines that connections cannot be taken; asyncio does so a thousand times a second, at length."""

    def __init__(self) -> None:
        super().__init__()
        self._limited = Limited(logging.getLogger("statspout"))

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, OSError) or error.errno not in _EXHAUSTED or "accept" not in record.getMessage():
            return True
        self._limited.warning(
            "no connection", "no connection can be taken: %s: tried again in a second", error.strerror
        )
        return False
