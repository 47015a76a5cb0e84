"""The source contract: where samples come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import msgspec

from statspout.sample import Container, Sample


class Sink(Protocol):
    """Where a source puts what it has. The calls but :meth:`kept` return at once; all belong to the loop's thread."""

    def push(self, sample: Sample) -> None:
        """Take one sample."""

    def push_all(self, samples: Sequence[Sample], *, last: bool = True) -> None:
        """Take the samples of a sweep, in order; with ``last``, it has no more of them for an interval."""

    async def kept(self, patience: float) -> None:
        """Return when all that it took until now is stored, on disk or given up; or after so many seconds."""

    def begin(self, container: Container) -> None:
        """Take note that this run of this container is watched from now on; only needed after a clear of it."""

    def clear(self, container: Container) -> None:
        """Take note that this run of this container is over; what it used, when it comes later, is discarded."""


class Source(ABC):
    """Something that produces samples for as long as it is run.

    :meth:`open` comes first, :meth:`finish` when nobody runs it any more, and :meth:`close` then, also without the
    others: a program that ends at once, or takes one sample of everybody, opens nothing. :meth:`settle` is last.
    """

    async def open(self) -> None:
        """Take what it needs of this machine, before anything runs. ConfigError when that cannot be had."""
        return

    @abstractmethod
    async def run(self, sink: Sink) -> None:
        """Produce samples until cancelled. Trouble is the source's own: it is logged and counted, and it goes on."""

    def finish(self, sink: Sink) -> None:  # noqa: ARG002 - for subclasses
        """Nobody runs it any more: take nothing new, and give what is left."""
        return

    def close(self) -> None:
        """Release everything. Harmless when not open."""
        return

    async def settle(self, sink: Sink) -> None:  # noqa: ARG002 - for subclasses
        """It is closed, and nobody goes on for it: remember how far it came, once what it gave is safe in ``sink``."""
        return


class Target(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A running container as discovery knows it, and what a collector cannot read from its statistics.

    ``shared_with`` is the name of the container whose network namespace it joined. ``pid`` is its first process as the
    engine numbers it; ``memory_limit`` (bytes) and ``pids_limit`` are what it was told, None without a limit;
    ``interfaces`` are the names that its network interfaces were given by whoever started it.
    """

    container: Container
    state: str | None = None
    health: str | None = None
    restarts: int | None = None
    network_mode: str | None = None
    shared_with: str | None = None
    pid: int | None = None
    memory_limit: int | None = None
    pids_limit: int | None = None
    interfaces: tuple[str, ...] = ()


class Watcher(Protocol):
    """Who is told by discovery what runs. Calls come on the loop's thread."""

    def found(self, target: Target) -> None:
        """This container runs: it is new, or something about it (its name, its state) has changed."""

    def lost(self, container: Container) -> None:
        """This run of this container is over."""
