"""What a service manager is told, as systemd's ``sd_notify`` does it: up, alive, on the way out, and a line for people.

``Type=notify`` waits for ``READY=1`` before it starts what comes after us; ``WatchdogSec=`` restarts a program whose
loop has stopped: the beat is a timer of that loop, so it comes while the loop lives and not a moment longer. Without
``NOTIFY_SOCKET`` in the environment nothing is done.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress

log = logging.getLogger(__name__)

LONGEST_PAUSE = 30.0
"""Seconds after which the line for people is looked at again, watchdog or not."""

_FIRST_PAUSE = 1.0
"""Likewise, after the start; twice as long each time: it is then that somebody looks, and that it changes."""

_LONGEST_LINE = 512


class Supervisor:
    """Who started us and wants to know how we are, as ``environ`` says; nobody, by default.

    Whatever is wrong with its socket is said once in the log and is never an error: it is the manager that will act
    on what it does not hear.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = environ or {}
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._watchdog = _watchdog(environ)
        self._line = ""
        self._pause = _FIRST_PAUSE
        self._beating: asyncio.TimerHandle | None = None
        self._told_trouble = False

    @asynccontextmanager
    async def watching(self, line: Callable[[], str]) -> AsyncIterator[None]:
        """``READY=1`` at the start, ``STOPPING=1`` at the end; beats from then on, until the loop ends.

        ``line`` says in a few words how things are; it is asked with every beat, and told when it has changed. It has
        no part in a drain: what it says by then is of no more use.
        """
        if not self._address:
            yield
            return
        self._send("READY=1", *self._news(line))
        self._beat(line)
        try:
            yield
        finally:
            # The drain has up to ten seconds yet, in which a watchdog may well be waiting for us.
            self._send("STOPPING=1", "STATUS=delivering what is queued")
            self._beat(None)

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """``RELOADING=1`` at the start, ``READY=1`` at the end: for who waits until a reload is done."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        try:
            yield
        finally:
            self._send("READY=1")

    def _beat(self, line: Callable[[], str] | None) -> None:
        if self._beating is not None:
            self._beating.cancel()
        pause = self._pause if self._watchdog is None else min(self._pause, self._watchdog / 2)
        self._pause = min(LONGEST_PAUSE, 2 * self._pause)
        self._beating = asyncio.get_running_loop().call_later(pause, self._beat, line)
        alive = [] if self._watchdog is None else ["WATCHDOG=1"]
        self._send(*alive, *([] if line is None else self._news(line)))

    def _news(self, line: Callable[[], str]) -> list[str]:
        # A line break would begin another assignment.
        now = " ".join(line().split())[:_LONGEST_LINE]
        if now == self._line:
            return []
        self._line = now
        return [f"STATUS={now}"]

    def _send(self, *assignments: str) -> None:
        if not assignments or not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                # A manager that does not read must not stop the loop, or it would be the one to stop the beats.
                out.setblocking(False)
                out.sendto("\n".join(assignments).encode("utf-8", "replace"), self._address)
        except OSError as error:
            if not self._told_trouble:
                log.warning("NOTIFY_SOCKET: the service manager cannot be told: %s", error.strerror or error)
            self._told_trouble = True


def _address(text: str) -> str:
    """The socket's name for Python: ``@`` stands for the zero byte that begins an abstract one."""
    if not text or text.startswith("/"):
        return text
    if text.startswith("@"):
        return f"\0{text[1:]}"
    log.warning("NOTIFY_SOCKET: %r has no effect: a path, or @ and a name, is right", text)
    return ""


def _watchdog(environ: Mapping[str, str]) -> float | None:
    """Seconds that the manager waits for a sign of life; None when it waits for none, or for somebody else's."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    with suppress(ValueError):
        microseconds = int(environ.get("WATCHDOG_USEC", "0"))
        return microseconds / 1e6 if microseconds > 0 else None
    log.warning("WATCHDOG_USEC: %r has no effect: a number of microseconds is right", environ["WATCHDOG_USEC"])
    return None


NOBODY = Supervisor()
"""For a program that nobody supervises, or that has a word with its manager itself."""
