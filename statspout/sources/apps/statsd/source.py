"""The StatsD listener as a source: what applications send, flushed to the sink at the end of each interval."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Iterable, Iterator
from fractions import Fraction

import msgspec

from statspout.errors import ConfigError
from statspout.quantities import amount, seconds
from statspout.repository import Repository
from statspout.sample import Metric
from statspout.source import Sink
from statspout.sources.applications import ApplicationSource, Surroundings
from statspout.sources.apps.statsd.addresses import SETTING, parse_addresses
from statspout.sources.apps.statsd.aggregate import Aggregator
from statspout.sources.apps.statsd.echo import refuse_echo
from statspout.sources.apps.statsd.senders import Senders
from statspout.sources.apps.statsd.sockets import Listener
from statspout.sources.apps.statsd.summary import Percentile
from statspout.sources.roster import roster_of

_PERCENTILE = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,4})?")


class StatsdSource(ApplicationSource):
    """Listens at the addresses of the settings. ConfigError when one of them, or another setting, is wrong."""

    setting = SETTING

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        settings, rosters, self._host, heard = surroundings
        self.interval = settings.listen_statsd_interval or settings.interval
        self.addresses = parse_addresses(settings.listen_statsd)
        self._rosters = rosters
        self._senders = Senders(rosters)
        self._aggregator = Aggregator(
            heard,
            percentiles=[_percentile(text) for text in settings.listen_statsd_percentiles],
            most=settings.listen_statsd_max_series,
            keep=_keep(settings.listen_statsd_gauges),
            named=self._senders.named,
            look_up=self._senders.look_up,
        )
        buffer = amount(settings.listen_statsd_buffer, "listen.statsd-buffer")
        self.listener = Listener(self.addresses, self._aggregator, self._senders, heard, buffer)
        self._flushed = 0.0

    def told(self) -> list[str]:
        """Each address, as it became."""
        bound = self.listener.bound
        return [f"{self.setting}: {address}, added up every {self.interval:g} s" for address in bound]

    def summary(self) -> str:
        """The addresses."""
        return f"StatsD at {', '.join(map(str, self.addresses))}, added up every {self.interval:g} s"

    def shares_a_place(self, other: ApplicationSource) -> bool:
        """Whether they have a path, or a port, in common."""
        assert isinstance(other, StatsdSource)
        ours, theirs = ({address.path or address.port for address in each.addresses} for each in (self, other))
        return bool((ours & theirs) - {0})

    def check(self, repositories: Iterable[Repository]) -> None:
        """ConfigError when one of them sends to one of our addresses."""
        refuse_echo(self.addresses, repositories)

    def follow(self, before: ApplicationSource) -> None:
        """Gauges go on, and their changes are of what they are."""
        assert isinstance(before, StatsdSource)
        self._aggregator.follow(before._aggregator)

    async def open(self) -> None:
        """Listen. ConfigError when an address cannot be had."""
        await self.listener.open()
        self._flushed = time.monotonic()

    def close(self) -> None:
        """End. Harmless when not open."""
        self.listener.close()

    async def run(self, sink: Sink) -> None:
        """Flush at every multiple of the interval, by the clock."""
        while True:
            now = time.time()
            end = (math.floor(now / self.interval) + 1) * self.interval
            await asyncio.sleep(end - now)
            # A clock that was set meanwhile may make it another moment than was waited for.
            await self._flush(sink, round(end * 1e9) if abs(time.time() - end) < self.interval else time.time_ns())

    def finish(self, sink: Sink) -> None:
        """Listen no more, and flush what came since the last time."""
        self.listener.close()
        for metrics in self._flush_all(time.time_ns()):
            sink.push_all(metrics, last=False)

    async def _flush(self, sink: Sink, end_ns: int) -> None:
        """Others have their turn between slices; what comes meanwhile counts as of before or after, but once."""
        self.listener.count_drops()
        slices = self._flush_all(end_ns)
        try:
            for metrics in slices:
                sink.push_all(metrics, last=False)
                await asyncio.sleep(0)
        finally:
            # When cancelled, too: what is left is of this interval, and not of the short one until the end.
            for metrics in slices:
                sink.push_all(metrics, last=False)
        sink.push_all((), last=True)
        self._senders.tidy()

    def _flush_all(self, end_ns: int) -> Iterator[list[Metric]]:
        now = time.monotonic()
        interval, self._flushed = now - self._flushed, now
        for metrics in self._aggregator.flush(end_ns, now, round(interval, 6), self._host()):
            yield metrics if len(self._rosters) == 1 else [self._placed(metric) for metric in metrics]

    def _placed(self, metric: Metric) -> Metric:
        """With the host that its container's samples have."""
        roster = None if metric.container is None else roster_of(metric.container.id, self._rosters)
        return metric if roster is None else msgspec.structs.replace(metric, host=roster.host)


def _percentile(text: str) -> Percentile:
    if not _PERCENTILE.fullmatch(text.strip()) or not 0 < Fraction(text.strip()) <= 100:
        raise ConfigError(f"--listen.statsd-percentiles: {text!r} is wrong: above 0 and at most 100, as 99.9, is right")
    return Percentile(text.strip())


def _keep(text: str) -> float:
    """For how many seconds a gauge is repeated that nobody sets."""
    if text in ("0", "forever"):
        return 0.0 if text == "0" else math.inf
    try:
        return seconds(text, "listen.statsd-gauges")
    except ConfigError:
        raise ConfigError(
            f"--listen.statsd-gauges: {text!r} is wrong: a length of time such as 1h, 0, or forever, is right"
        ) from None
