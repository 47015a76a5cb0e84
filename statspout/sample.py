"""The record that crosses every boundary: one reading of one container, or one number an application reported.

Unknown is None, never 0: a number in a record was measured. Records are frozen and lead nowhere back, so the garbage
collector is not told of them (``gc=False``): they are most of what is made, and it would walk through them for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

import msgspec

from statspout.catalogue import DERIVED, ENTRIES, Kind


class Container(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Whom a sample is about. ``(id, started_at)`` is its identity: a restart makes another one, a rename does not.

    ``started_at`` is in nanoseconds since the epoch by the engine's clock, None when the engine did not say.
    """

    id: str
    name: str
    image: str = ""
    labels: Mapping[str, str] = {}
    started_at: int | None = None

    @property
    def identity(self) -> tuple[str, int | None]:
        """What tells this run of this container from every other."""
        return self.id, self.started_at

    def same_run(self, other: Container) -> bool:
        """Whether ``other`` can be this run of this container; an unknown start time speaks against nothing."""
        starts = (self.started_at, other.started_at)
        return self.id == other.id and (None in starts or starts[0] == starts[1])

    @property
    def short_id(self) -> str:
        """The first 12 characters of the id, as the docker command shows it."""
        return self.id[:12]

    @property
    def compose_project(self) -> str | None:
        """The compose project that the container belongs to."""
        return self.labels.get("com.docker.compose.project")

    @property
    def compose_service(self) -> str | None:
        """The compose service that the container belongs to."""
        return self.labels.get("com.docker.compose.service")

    @property
    def swarm_stack(self) -> str | None:
        """The stack, as ``docker stack deploy`` was told its name, whose service the container belongs to."""
        return self.labels.get("com.docker.stack.namespace")

    @property
    def swarm_service(self) -> str | None:
        """The Swarm service that the container belongs to; its name begins with that of its stack."""
        return self.labels.get("com.docker.swarm.service.name")

    @property
    def swarm_task(self) -> str | None:
        """The Swarm task that the container is, ``service.slot.id``: the engine names the container so, too."""
        return self.labels.get("com.docker.swarm.task.name")


Count = Annotated[int, msgspec.Meta(ge=0)]
"""An integer of which less than none would be a misreading: to decode a negative one is an error."""


class Interface(msgspec.Struct, frozen=True, gc=False):
    """The counters of one network interface since it was made, in bytes and packets."""

    rx_bytes: Count | None = None
    rx_packets: Count | None = None
    rx_errors: Count | None = None
    rx_dropped: Count | None = None
    tx_bytes: Count | None = None
    tx_packets: Count | None = None
    tx_errors: Count | None = None
    tx_dropped: Count | None = None


class Point(NamedTuple):
    """One number of a sample, for a repository that treats all numbers alike."""

    name: str
    kind: str
    unit: str
    value: float
    tags: Mapping[str, str]


class ContainerSample(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one container used at ``time_ns`` (nanoseconds since the epoch, when the engine or the kernel read it).

    Names and units are those of :mod:`statspout.catalogue`; ``docs/metrics.md`` has the table. ``networks`` are the
    counters per interface. ``network_shared_with`` names the container whose network this one joined: the network
    counters are then that container's too, and :meth:`points` leaves them out so that sums count them once.
    """

    time_ns: int
    host: str
    container: Container

    cpu_percent: float | None = None
    cpu_seconds_total: float | None = None
    online_cpus: int | None = None
    cpu_periods_total: int | None = None
    throttled_periods_total: int | None = None
    throttled_seconds_total: float | None = None

    mem_usage: int | None = None
    mem_usage_raw: int | None = None
    mem_cache: int | None = None
    mem_rss: int | None = None
    mem_limit: int | None = None
    mem_percent: float | None = None

    rx_bytes: int | None = None
    rx_packets: int | None = None
    rx_errors: int | None = None
    rx_dropped: int | None = None
    tx_bytes: int | None = None
    tx_packets: int | None = None
    tx_errors: int | None = None
    tx_dropped: int | None = None
    networks: Mapping[str, Interface] | None = None
    network_shared_with: str | None = None

    blkio_read_bytes: int | None = None
    blkio_write_bytes: int | None = None
    blkio_read_ops: int | None = None
    blkio_write_ops: int | None = None

    pids: int | None = None
    pids_limit: int | None = None
    state: str | None = None
    health: str | None = None
    restarts: int | None = None

    if not TYPE_CHECKING:  # to a type checker, any name would be an attribute

        def __getattr__(self, name: str) -> float | None:
            """The metrics that follow from the others, such as ``uptime_seconds``."""
            derive = DERIVED.get(name)
            if derive is None:
                raise AttributeError(f"a container sample has no {name!r}")
            return derive(self)

    @property
    def key(self) -> str:
        """The stable identity of the series: the container's id, whatever its name becomes."""
        return self.container.id

    def points(self) -> Iterator[Point]:
        """Every known number with its kind and unit, tagged with host, container (its name) and id."""
        tags = {"host": self.host, "container": self.container.name, "id": self.container.short_id}
        for entry in ENTRIES:
            if entry.networked and self.network_shared_with is not None:
                continue
            value = getattr(self, entry.field)
            if value is not None:
                yield Point(entry.field, entry.kind, entry.unit, value, tags)


MetricKind = Literal["counter_delta", "counter_total", "gauge", "timer", "histogram", "set", "text"]
"""What a number means: what was counted since the last one of its key, or ever; what is so now; how long something took
(a summary), how large it was (likewise); how many different values there were; or a text that is no number."""


class Summary(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one interval of a timer or histogram came to, in the unit of its values.

    ``count`` is of the values that there were, those that a sender's sampling left out included: with a sample rate of
    0.3 it need not be whole. ``percentiles`` are by their names: ``"95"``, ``"99.9"``.
    """

    PARTS: ClassVar[tuple[str, ...]] = ("count", "sum", "min", "max", "mean", "stdev")
    """The numbers that every summary has, in the order in which they are told."""

    count: int | float
    sum: float
    min: float
    max: float
    mean: float
    stdev: float
    percentiles: Mapping[str, float] = {}


class Metric(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One number (or text) that an application reported about itself.

    ``key`` is the stable identity of the series; ``container`` the sender where it is known; ``interval_s`` the length
    of the interval, in seconds, that an aggregate covers; ``unit`` that of the values, empty where nobody said: timers
    have ``ms``.
    """

    time_ns: int
    host: str
    key: str
    name: str
    kind: MetricKind
    value: int | float | str | Summary
    """A summary for timers and histograms, a text for texts, a number for the rest."""
    container: Container | None = None
    tags: Mapping[str, str] = {}
    interval_s: float | None = None
    context: str | None = None
    unit: str = ""

    @property
    def rate(self) -> float | None:
        """A counter's growth a second over its interval; None for all else, and where the interval is not known."""
        if self.kind != "counter_delta" or not self.interval_s or not isinstance(self.value, int | float):
            return None
        return self.value / self.interval_s

    def own_tags(self) -> dict[str, str]:
        """The tags with whose they are: ``host``, and ``container`` (its name) and ``id`` where that is known.

        An application's tag of one of these names is under ``exported_`` and the name, as Prometheus does it.
        """
        own = {"host": self.host}
        if self.container is not None:
            own |= {"container": self.container.name, "id": self.container.short_id}
        return own | {f"exported_{name}" if name in own else name: value for name, value in self.tags.items()}

    def points(self) -> Iterator[Point]:
        """The numbers of this metric: one, with ``name.rate`` for a counter, or a summary's several, ``name.part``."""
        tags = self.own_tags()
        kind: Kind = "counter" if self.kind == "counter_total" else "gauge"
        if isinstance(self.value, Summary):
            for part in Summary.PARTS:
                unit = "" if part == "count" else self.unit
                yield Point(f"{self.name}.{part}", "gauge", unit, getattr(self.value, part), tags)
            for percentile, value in self.value.percentiles.items():
                yield Point(f"{self.name}.p{percentile}", "gauge", self.unit, value, tags)
        elif not isinstance(self.value, str):
            yield Point(self.name, kind, self.unit, self.value, tags)
            if self.rate is not None:
                yield Point(f"{self.name}.rate", "gauge", "", self.rate, tags)


Sample = ContainerSample | Metric
