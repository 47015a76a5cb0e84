"""What the applications in the containers report of themselves: the sources of it, and which of them are wanted."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from statspout.exposition import Family, Histogram
from statspout.repository import Repository
from statspout.settings import Settings
from statspout.source import Source
from statspout.sources.roster import Roster
from statspout.telemetry import Heard

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

_HOMES = {
    "listen_mmap": "statspout.sources.apps.mmap.source:MmapSource",
    "listen_statsd": "statspout.sources.apps.statsd.source:StatsdSource",
    "listen_redis": "statspout.sources.apps.redis.source:RedisSource",
}
"""The class of each, by the setting that asks for it; loaded only where it is wanted."""


class Surroundings(NamedTuple):
    """What such a source is given.

    ``rosters`` are the engines', as they are now: they know which containers run. ``host`` gives the host of what
    comes from no container of theirs. ``heard`` are the counts of StatsD.
    """

    settings: Settings
    rosters: Sequence[Roster]
    host: Callable[[], str]
    heard: Heard


class Served(NamedTuple):
    """Starlette ``routes`` at an ``address``, which ``setting`` gave."""

    address: str
    routes: Sequence[BaseRoute]
    setting: str


class ApplicationSource(Source):
    """A source of what applications report. Its constructor takes the :class:`Surroundings`; ConfigError when wrong."""

    setting: ClassVar[str]
    """What asks for it, such as ``listen.statsd``; all of its settings begin so."""

    others: ClassVar[tuple[str, ...]] = ("interval",)
    """The fields of the settings that it heeds beside its own."""

    remembers: ClassVar[bool] = False
    """Whether it keeps in ``--spool.dir`` how far it came."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings

    @abstractmethod
    def told(self) -> list[str]:
        """What the log says once it is open: lines without secrets, each with the setting before it."""

    @abstractmethod
    def summary(self) -> str:
        """What it would listen to, in a few words, before it is open."""

    def shares_a_place(self, other: ApplicationSource) -> bool:  # noqa: ARG002 - for subclasses
        """Whether it cannot be open together with ``other``, of the same class: they have a port in common."""
        return False

    def follow(self, before: ApplicationSource) -> None:  # noqa: ARG002 - for subclasses
        """Go on with what is known to ``before``, of the same class and with other settings, which nobody runs now."""
        return

    def check(self, repositories: Iterable[Repository]) -> None:  # noqa: ARG002 - for subclasses
        """ConfigError when one of ``repositories`` would send it what comes from it, again and again."""
        return

    def served(self) -> Iterator[Served]:
        """What it has for who asks the daemon over HTTP."""
        return iter(())

    @property
    def serves(self) -> bool:
        """Whether it has anything for who asks over HTTP."""
        return any(True for _ in self.served())

    def families(self) -> Iterator[Family | Histogram]:
        """Its counts, for the page of the daemon about itself."""
        return iter(())


def application_sources(surroundings: Surroundings, repositories: Sequence[Repository]) -> list[ApplicationSource]:
    """Those that the settings ask for, not open yet; ConfigError when one of them cannot be."""
    found = [_class_of(home)(surroundings) for field, home in _HOMES.items() if getattr(surroundings.settings, field)]
    if not surroundings.settings.once:
        for source in found:
            source.check(repositories)
    return found


def _class_of(home: str) -> Callable[[Surroundings], ApplicationSource]:
    module, _, name = home.partition(":")
    found: Callable[[Surroundings], ApplicationSource] = getattr(import_module(module), name)
    return found
