"""The repository contract: where samples go.

A repository moves data; the framework keeps it safe. No queue, retry, thread or sleep belongs in one.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, ClassVar

from statspout.handling import Choice, Handling
from statspout.latest import Latest, LatestMetrics
from statspout.options import Options, described, option
from statspout.sample import Container, ContainerSample, Metric, Sample

if TYPE_CHECKING:
    from starlette.routing import BaseRoute


class Repository(Options, ABC):
    """A destination of samples. Subclass it, name it, and write :meth:`push`.

    The methods are all ``def`` (they run in a thread of the repository's own) or all ``async def`` (they run on the
    loop). Calls never overlap, so nothing needs a lock. :meth:`open` comes before the first push; after a failed push
    come :meth:`close` and :meth:`open`, then the same samples again. :meth:`close` comes last.
    """

    name: ClassVar[str]
    """What ``--repository`` selects and the prefix of the settings: one lower-case noun."""

    aliases: ClassVar[tuple[str, ...]] = ()
    """Other spellings of the name, good in ``--repository``, flags and environment."""

    accepts: ClassVar[tuple[type, ...]] = (ContainerSample,)
    """The records it takes; add :class:`statspout.Metric` for what applications report. An instance may take less."""

    needs: ClassVar[tuple[str, ...]] = ()
    """Modules that its methods import; the program does not start without them."""

    live: ClassVar[bool] = False
    """Whether it serves current values: see :class:`LiveRepository`."""

    batch_size: ClassVar[int] = 1000
    """The most samples in one push."""

    flush_interval: ClassVar[float] = 1.0
    """Seconds for which a batch that is not full waits for more; 0 pushes at once."""

    push_timeout: ClassVar[float] = 60.0
    """Seconds for each call of a method. What has not returned by then is left to itself, and its batch comes again, to
    a new instance; infinite for what may rightly wait for ever."""

    spooled: ClassVar[bool] = True
    """Whether ``--spool.dir`` is for it: what it could not store is kept on disk, over the program's end."""

    instance: str = dataclasses.field(default="", repr=False)
    """What tells it from others of its kind, as the ``a`` of ``--repository=influxdb:a``."""

    handling: Choice | None = dataclasses.field(default=None, repr=False)
    """Which samples it gets, and how: a :class:`statspout.Handling`, for a live one a :class:`statspout.Choice`."""

    interval = 5.0
    """Seconds between the samples of a container, infinite when each is sampled once; set before :meth:`open`."""

    statsd_server = ""
    """Where it sends StatsD, as `udp://host:port`, `tcp://` or `unix:///path`; set by its constructor. The program does
    not start where it would be that server itself."""

    redis_statistics = ("", "")
    """Where it keeps statistics as Aka Stats does: a Redis, as :class:`statspout.client.redis.addresses.Address` has
    its ``place``, and the namespace; set by its constructor. The program does not start where it would read them."""

    idle_interval = 0.0
    """Seconds without anything to do after which :meth:`idle` is called, again and again; 0: never."""

    def open(self) -> Awaitable[None] | None:
        """Connect. An exception is logged and counted, and it is tried again with back-off."""
        return None

    @abstractmethod
    def push(self, batch: Sequence[Sample]) -> Awaitable[None] | None:
        """Store ``batch``: never empty, oldest first. To return is to say that all of it is stored.

        Raise :class:`statspout.Rejected` for samples that will never be accepted, :class:`statspout.RetryAfter` to be
        asked later, anything else to have the same samples again.
        """

    def clear(self, container: Container) -> Awaitable[None] | None:  # noqa: ARG002 - for subclasses
        """Forget a container that is gone. It comes behind that container's last sample."""
        return None

    def idle(self) -> Awaitable[None] | None:
        """Nothing came for :attr:`idle_interval`: do what is due by the clock. An exception is as one of push."""
        return None

    def close(self) -> Awaitable[None] | None:
        """Release everything. It may come without an :meth:`open` that succeeded."""
        return None


class LiveRepository(Repository):
    """A repository that serves the latest values over HTTP. Subclass it and write :meth:`routes`.

    The router calls :meth:`push` and :meth:`clear`, plain functions, on the loop as samples come; there is no queue,
    batch or retry. The web server mounts :meth:`routes` at :attr:`address`; equal addresses share one port. Values
    older than three times :attr:`interval` are not served.
    """

    live: ClassVar[bool] = True

    address: str = option(
        default="127.0.0.1:8080", help="Where to listen, `host:port`; `:8080` is every interface of this machine."
    )

    def __post_init__(self) -> None:
        self.latest = Latest(self.interval)
        """The current samples; what :meth:`routes` serve."""
        self.reported = self.new_reported()
        """The current metrics of applications, where the repository accepts them."""

    def new_reported(self) -> LatestMetrics:
        """What keeps the metrics of applications; made anew at each :meth:`open`."""
        return LatestMetrics(self.interval)

    def open(self) -> None:
        """Begin with nothing."""
        self.latest, self.reported = Latest(self.interval), self.new_reported()

    def push(self, batch: Sequence[Sample]) -> None:
        """Keep the latest sample of each container, and metric of each series. Rejected for one that finds no room."""
        for sample in batch:
            if isinstance(sample, Metric):
                self.reported.put(sample)
            else:
                self.latest.put(sample)

    def clear(self, container: Container) -> None:
        """Serve ``container`` no more; what it reported of itself, as long as that is current."""
        self.latest.drop(container)
        self.reported.drop(container)

    def close(self) -> None:
        """Serve nothing more."""
        self.latest, self.reported = Latest(self.interval), self.new_reported()

    @abstractmethod
    def routes(self) -> Sequence[BaseRoute]:
        """The Starlette routes that serve the values."""


def name_of(repository: Repository) -> str:
    """What it is called in logs, metrics and the spool: ``influxdb``, or ``influxdb:a`` where there are several."""
    return f"{repository.name}:{repository.instance}" if repository.instance else repository.name


def prefix_of(repository: Repository) -> str:
    """What its settings begin with: ``influxdb``, or ``influxdb.a``."""
    return name_of(repository).replace(":", ".")


def settings_told(repository: Repository) -> str:
    """All settings of its own, and what else it was told, in one line without secrets."""
    told = [described(repository, prefix_of(repository))]
    if repository.handling is not None:
        told.append(described(repository.handling, prefix_of(repository), changed=True))
    return " ".join(filter(None, told)) or "no settings"


def renewed(repository: Repository) -> Repository:
    """A new instance with the same settings, not yet open."""
    made = type(repository)(**repository.given)
    if "interval" in vars(repository):
        made.interval = repository.interval
    return made


def handling_of(cls: type[Repository]) -> type[Choice]:
    """What a repository of this class can be told beside its own settings."""
    return Choice if cls.live else Handling
