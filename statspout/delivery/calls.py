"""The methods of one repository, each with a deadline. Who does not keep it is left to itself, and replaced."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any

from statspout.delivery.worker import Overdue, Worker, tamed
from statspout.errors import RepositoryError
from statspout.loglines import about
from statspout.logs import counted
from statspout.repository import Repository, name_of, renewed

log = logging.getLogger("statspout.delivery")

MOST_ABANDONED = 2
"""Calls that never returned and still may; with so many, nothing more is asked until one of them has."""

MOST_OF_A_NAME = 8
"""Likewise of a repository and of those before it that had its name. More than two: other settings may be what mends
it, and so get calls of their own to lose; not without end, for each of them has a thread."""


class GivenUp:
    """The calls that were given up of all repositories that had one name, one after the other."""

    def __init__(self) -> None:
        self.hanging = 0
        """Those that have not returned yet."""
        self.late = 0
        """Those that returned after all."""
        self.returned = asyncio.Event()


class Calls:
    """Calls ``repository`` and, when a call of it is overdue, a new one made from the same settings.

    A thread cannot be killed. The call that hangs keeps its thread and its instance, which is never called again;
    what comes of it later is ignored and counted as late.
    """

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.given_up = GivenUp()
        """Of this one, and of whom it succeeds."""
        self.abandoned = 0
        """Overdue calls of this one that have not returned yet."""
        self.broken_off = ""
        """The method that was under way when the program's end broke it off."""
        self._worker = Worker(name_of(repository))
        self._replace = False

    async def __call__(self, method: str, *arguments: Any, deadline: float) -> None:
        """Call the method; Overdue when it does not return in so many seconds, else what it raises.

        RepositoryError when it cannot be called by then.
        """
        await self._room(deadline)
        if self._replace:
            try:
                self.repository = renewed(self.repository)
            except BaseException as error:
                # Foreign code, as an open is: what it raises ends neither a task nor the program.
                raise tamed(error) from error
            self._replace = False
        try:
            await self._worker.call(getattr(self.repository, method), *arguments, deadline=deadline)
        except Overdue as error:
            self._abandon(error.call)
            raise
        except asyncio.CancelledError:
            self.broken_off = method
            raise

    @property
    def are_barred(self) -> bool:
        """Whether nothing is asked until a call that hangs has returned."""
        return self.abandoned >= MOST_ABANDONED or self.given_up.hanging >= MOST_OF_A_NAME

    async def _room(self, deadline: float) -> None:
        """Wait until one more call may hang."""
        while self.are_barred:
            self.given_up.returned.clear()
            try:
                async with asyncio.timeout(None if deadline == math.inf else deadline):
                    await self.given_up.returned.wait()
            except TimeoutError:
                hanging = self.given_up.hanging
                raise RepositoryError(f"{hanging} calls hang: nothing more is asked until one returns") from None

    def stop(self) -> None:
        """End the thread after the call it is in. A coroutine that goes on though it was cancelled is given up."""
        self._worker.stop()
        for call in list(self._worker.under_way):
            self._abandon(call)

    def _abandon(self, call: asyncio.Task[Any]) -> None:
        self._worker.stop()
        self._worker = Worker(name_of(self.repository))
        self._replace = True
        if not call.done():
            self.abandoned += 1
            self.given_up.hanging += 1
            call.add_done_callback(self._came_back)

    def _came_back(self, call: asyncio.Task[Any]) -> None:
        self.abandoned -= 1
        self.given_up.hanging -= 1
        self.given_up.returned.set()
        if call.cancelled():
            return
        self.given_up.late += 1
        error = call.exception()
        outcome = "succeeded" if error is None else f"failed: {error}"
        hanging = self.given_up.hanging
        still = f"; {counted(hanging, 'other')} still {'hangs' if hanging == 1 else 'hang'}" if hanging else ""
        name = name_of(self.repository)
        log.info("%s: a call that was given up %s%s", name, outcome, still, extra=about(repository=name, error=error))
