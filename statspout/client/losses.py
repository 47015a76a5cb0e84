"""What could not be sent: counted by kind, and said once in the log."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Literal

Kind = Literal[
    "bad_value", "unsupported", "too_long", "too_many_series", "full", "late", "refused", "cut", "unsent", "internal",
    "away", "unanswered", "rejected",
]  # fmt: skip
MEANINGS: Mapping[Kind, str] = {
    "bad_value": "a name, a value, a tag or a rate that cannot be sent",
    "unsupported": "a type that the dialect does not have",
    "too_long": "a line that does not fit into a packet",
    "too_many_series": "more metrics at once than are kept apart",
    "full": "more waited for the server than is kept, the oldest went",
    "late": "the server could not be reached before what waited was too old to be told as of now",
    "refused": "nobody listened there, as the host said of an earlier packet",
    "cut": "the connection broke in the middle of a line",
    "unsent": "it was closed before all could be sent",
    "internal": "a fault of the client itself",
    "away": "Redis could not be reached",
    "unanswered": "Redis broke off before it answered: it may have stored them",
    "rejected": "Redis would not store them",
}
"""Every kind of loss, and what it is."""

_said: set[str] = set()


def say_once(message: str) -> None:
    """One warning in the log of ``statspout.client``, the first time in this process."""
    if message in _said:
        return
    _said.add(message)  # before it is said: a handler of the log may be someone who reports to StatsD
    import logging  # costs as much as all the client, and is needed when something is wrong only

    try:
        logging.getLogger("statspout.client").warning(message)
    except Exception:  # noqa: BLE001 - a handler or filter of the application's: its fault must not become a fault here
        return


def text_of(value: object, text: Callable[[object], str] = str) -> str:
    """Its text, or its class where that fails: it is somebody's code, or an integer too long for one."""
    try:
        return text(value)
    except Exception:  # noqa: BLE001 - it is an application's class, and what it raises another one
        return f"a {type(value).__name__}"


class Losses:
    """Lines that were not sent, and calls that never became one, by kind; from any thread."""

    def __init__(self, label: str) -> None:
        self._label = label
        self.fresh()

    def fresh(self) -> None:
        """Nothing is lost yet, and no lock of another process is held."""
        self._lock = threading.RLock()
        self._counts: dict[Kind, int] = {}
        self._unsaid: deque[str] = deque()

    def add(self, kind: Kind, lines: int = 1, why: object = "") -> None:
        """Count them; the first of a kind is to be said in the log, with ``why``, at the next :meth:`tell`.

        A log is written with locks, and by handlers which may report to StatsD themselves: not where one is held here.
        """
        with self._lock:
            first = kind not in self._counts
            self._counts[kind] = self._counts.get(kind, 0) + lines
        if first:
            name = f": {type(why).__name__}" if isinstance(why, BaseException) else ""
            detail = f"{name}: {text_of(why)}" if name or why else ""
            self._unsaid.append(f"{self._label}: lost from now on, counted as {kind}: {MEANINGS[kind]}{detail}")

    def tell(self) -> None:
        """Say what was not said yet."""
        while self._unsaid:
            with suppress(IndexError):  # another thread was faster
                say_once(self._unsaid.popleft())

    def tell_one(self, kind: Kind, why: object) -> None:
        """Count one, and say what was not said yet."""
        self.add(kind, 1, why)
        self.tell()

    def counts(self) -> dict[str, int]:
        """As it is now; a kind that never was is not in it."""
        with self._lock:
            return {str(kind): count for kind, count in self._counts.items()}
