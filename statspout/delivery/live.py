"""The way to a live repository: at once, on the loop."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress

from statspout.delivery.books import Books
from statspout.errors import ConfigError, Rejected, told
from statspout.handling import Choice, Selection
from statspout.loglines import About
from statspout.logs import Limited
from statspout.repository import LiveRepository, name_of, prefix_of
from statspout.sample import Container, Sample

log = logging.getLogger("statspout.delivery")

_REASONS_TOLD = 100
"""Reasons of a repository to reject a sample that are told. There are as many as it finds words."""


class Live:
    """Hands each sample to a live repository as it comes. One that fails loses that sample, counted, no more.

    What it rejects is counted likewise, and each reason is told once: the same samples come again and again.
    """

    def __init__(self, repository: LiveRepository) -> None:
        self.repository = repository
        self.name = name_of(repository)
        self.books = Books()
        self._selection = Selection(repository.handling or Choice(), prefix_of(repository))
        self._log = About(log, repository=self.name)
        self._limited = Limited(self._log)
        self._reasons: set[str] = set()

    def put(self, samples: Sequence[Sample]) -> None:
        """Show them, one by one: one that the repository cannot take costs no other."""
        self.books.collected += len(samples)
        for sample in samples:
            self._put(sample)

    def settle(self) -> None:
        """Nothing waits here."""

    async def kept(self) -> None:
        """Nothing waits here."""

    def _put(self, sample: Sample) -> None:
        if not (isinstance(sample, self.repository.accepts) and self._selection.takes(sample)):
            self.books.filtered += 1
            return
        try:
            self.repository.push(self._selection.narrow([sample]))
        except Rejected as error:
            self._rejected(error)
        except BaseException as error:  # noqa: BLE001 - foreign code: even a CancelledError is its own, not the poller's
            self.books.drop("error")
            self._failed("push", error)
        else:
            self.books.delivered += 1

    def clear(self, container: Container) -> None:
        """Show this container no more."""
        self._selection.drop(container)
        try:
            self.repository.clear(container)
        except BaseException as error:  # noqa: BLE001 - foreign code, as above
            self._failed("clear", error)

    def start(self) -> None:
        """Open the repository; a failure, before anything runs, is a ConfigError."""
        try:
            self.repository.open()
        except BaseException as error:
            raise ConfigError(f"repository {self.name}: {told(error)}") from error

    def succeed(self, other: Live) -> None:
        """Go on where ``other`` is: with its books, and showing what it shows until something newer comes."""
        self.books = other.books
        for sample in other.repository.latest.samples():
            if self._selection.takes(sample):
                with suppress(Exception):  # foreign code: it comes anew within an interval
                    self.repository.push(self._selection.narrow([sample]))
        self.repository.latest.age_as(other.repository.latest)
        self.repository.reported.follow(other.repository.reported)

    async def stop(self, patience: float) -> None:  # noqa: ARG002 - nothing here takes time
        """Close the repository."""
        try:
            self.repository.close()
        except BaseException as error:  # noqa: BLE001 - foreign code: the others are still to be closed
            self._failed("close", error)

    def _rejected(self, error: Rejected) -> None:
        self.books.failures += 1
        self.books.drop("rejected")
        if error.reason in self._reasons or len(self._reasons) >= _REASONS_TOLD:
            return
        self._reasons.add(error.reason)
        self._log.warning("%s: left out, and counted: %s", self.name, error.reason)
        if len(self._reasons) == _REASONS_TOLD:
            self._log.warning("%s: further reasons are counted, not logged", self.name)

    def _failed(self, what: str, error: BaseException) -> None:
        self.books.failures += 1
        self._limited.warning(
            f"{self.name} {what}", "%s: %s failed: %s: %s", self.name, what, type(error).__name__, error
        )
