"""Lines, added up by series until they are flushed.

Almost every line is of a series that is known, and differs from others of it in the value alone. So what stands before
the value and what stands behind it leads to the list where texts of values of that series wait: no line but the first
is parsed. All else, bad lines among it, goes the long way, and is not remembered.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import msgspec

from statspout.logs import Limited
from statspout.sample import Container, Metric
from statspout.sources.apps.statsd.lines import LONGEST_LINE, BadLine, Event, Line, Reading, Sender, ServiceCheck
from statspout.sources.apps.statsd.parse import LONGEST_SERIES, parse
from statspout.sources.apps.statsd.records import record_of
from statspout.sources.apps.statsd.series import CLASS_OF, CLASSES, Cache, Context, Identity, Series
from statspout.sources.apps.statsd.summary import Percentile, Room
from statspout.telemetry import Heard

log = logging.getLogger("statspout.statsd")

MEMORY = 64 * 2**20
"""Bytes for the values of timers and sets of all series."""

_TURNS = 8
"""In how many turns all series are asked to read what waits: to do it at once would keep others waiting too long."""

_LINES, _BYTES = 4_000, 2**19
"""After how much one of the turns is taken."""

_KEYS, _MOST_KEYS = 4, 16
"""Ways in which the lines of a series are written that are remembered, orders of tags, rates: of all series in the
mean, and of one."""

_TOLD_BYTES = 1000
"""What an event takes beside its texts."""

_SLICE = 100
"""Series that are flushed at once: about a millisecond."""


_LEFT_OUT = {
    "series": "values of more series than --listen.statsd-max-series={most} are left out, and counted",
    "events": "events and service checks of which there are too many in an interval are left out, and counted",
    "range": "what comes to more than a float can be is left out, and counted",
    "room": "the number of sets, or percentiles of timers, with too many values are left out, and counted",
}


class Origin:
    """Where lines come from, as far as the transport tells. ``container_id`` is empty where that is not known."""

    __slots__ = ("cache", "container_id")

    def __init__(self, container_id: str = "") -> None:
        self.container_id = container_id
        self.cache: Cache = {}


class Own(msgspec.Struct, gc=False):
    """What has a time of its own, and so is passed on as it is."""

    time_ns: int
    series: Series
    value: int | float


class Aggregator:
    """Adds up lines. ``most`` is of series; ``keep`` says for how many seconds a gauge that nobody sets is repeated.

    ``named`` gives the id of the container of which a line says that it sent it, empty when that is nobody known.
    ``look_up`` gives a running container by its id.
    """

    def __init__(
        self,
        heard: Heard,
        *,
        percentiles: Sequence[Percentile] = (),
        most: int = 10_000,
        keep: float = 3600.0,
        named: Callable[[Sender], str] = lambda _: "",
        look_up: Callable[[str], Container | None] = lambda _: None,
        memory: int = MEMORY,
    ) -> None:
        self.heard = heard
        self._most = most
        self._keep = keep
        self._named = named
        self._look_up = look_up
        self._memory = memory
        self._context = Context(self._bad_value, self._leave_out, Room(memory), percentiles)
        self._series: dict[Identity, Series] = {}
        self._timed: dict[tuple[str, int], Own] = {}
        self._told_of: dict[tuple[str, int], int] = {}
        """How often a series' second was told of, the one that was told of last at the end."""
        self._told: list[Metric] = []
        self._remembered = 0
        self._asleep: Iterator[Series] | None = None
        """Who may have to go in this interval, when a series needs the room."""
        self._waiting_lines = self._waiting_bytes = 0
        self._turns: Iterator[Series] = iter(())
        self._limited = Limited(log)

    def feed(self, packet: bytes, origin: Origin, now_ns: int) -> None:
        """Take the lines of a packet that came at ``now_ns``, in nanoseconds since the epoch."""
        lines = packet.split(b"\n")
        if len(packet) > LONGEST_LINE and max(map(len, lines)) > LONGEST_LINE:
            lines = self._without_long(lines)
        cache = origin.cache
        for line in lines:
            name, _, rest = line.partition(b":")
            value, _, tail = rest.partition(b"|")
            try:
                cache[tail][name](value)
            except KeyError:
                self._long_way(line, origin, now_ns)
        self.heard.lines += len(lines)
        self._waiting_lines += len(lines)
        self._waiting_bytes += len(packet)
        if self._waiting_lines > _LINES or self._waiting_bytes > _BYTES:
            self._take_turn()

    def flush(self, end_ns: int, now: float, interval: float, host: str) -> Iterator[list[Metric]]:
        """What came since the last flush, a slice at a time; lines may be fed between slices.

        ``interval`` is the seconds since the last one, ``now`` monotonic seconds.
        """
        everybody = list(self._series.values())
        for at in range(0, len(everybody), _SLICE):
            found = [self._flushed(series, end_ns, now, interval, host) for series in everybody[at : at + _SLICE]]
            yield [metric for metric in found if metric is not None]
        timed, self._timed = self._timed, {}
        for place, own in timed.items():
            own.time_ns += self._times_told(place)
        yield [metric for own in timed.values() if (metric := self._of_its_time(own, host)) is not None]
        told, self._told = self._told, []
        yield [msgspec.structs.replace(metric, host=host) for metric in told]
        self._context.room.left = self._memory
        self._asleep = None
        self.heard.series = len(self._series)

    def bad(self, kind: str, why: object) -> None:
        """Count a line that is not taken, and say so, not too often."""
        self.heard.bad[kind] += 1
        self._limited.warning(f"bad lines ({kind})", "statsd: a bad line (%s): %s", kind, why)

    def follow(self, other: Aggregator) -> None:
        """Know what is known to another, which takes no lines any more: gauges, and what absolute counters were last.

        A change of a gauge is a change of that. Of a series that there is already, this one's word counts.
        """
        for identity, series in other._series.items():
            if series.lasting and identity not in self._series and len(self._series) < self._most:
                # Its keys are the other's: lines come the long way once more.
                series.context, series.keys = self._context, []
                self._series[identity] = series
        self._told_of = other._told_of | self._told_of
        self.heard.series = len(self._series)

    # the long way

    def _without_long(self, lines: list[bytes]) -> list[bytes]:
        for line in lines:
            if len(line) > LONGEST_LINE:
                self.heard.lines += 1
                self.bad("too_long", f"{len(line)} bytes: {LONGEST_LINE} or less are right")
        return [line for line in lines if len(line) <= LONGEST_LINE]

    def _long_way(self, line: bytes, origin: Origin, now_ns: int) -> None:
        try:
            found = parse(line)
        except BadLine as error:
            self.bad(error.kind, error)
            return
        if found is None:
            self.heard.lines -= 1
        elif isinstance(found, Line):
            container_id = self._named(found.sender) or origin.container_id
            if found.time_s is not None:
                self._take_timed(found, container_id, found.time_s)
            else:
                self._take(found, container_id, line, origin.cache)
        else:
            self._take_told(found, self._named(found.sender) or origin.container_id, len(line), now_ns)

    def _take(self, found: Line, container_id: str, line: bytes, cache: Cache) -> None:
        for reading in found.readings:
            series = self._of(reading, found, container_id)
            if series is None:
                self._context.leave_out("series")
                continue
            slot = series.put(_text(reading), reading.rate)
            # Who was named and is not known may be known soon.
            if slot is not None and len(found.readings) == 1 and (container_id or not found.sender.container):
                self._remember(line, slot, series, cache)

    def _remember(self, line: bytes, slot: list[bytes], series: Series, cache: Cache) -> None:
        """Let lines that differ from this one in the value alone go the short way."""
        name, _, rest = line.partition(b":")
        tail = rest.partition(b"|")[2]
        room = self._remembered < _KEYS * self._most and len(series.keys) < _MOST_KEYS
        if room and len(name) + len(tail) <= LONGEST_SERIES:
            cache.setdefault(tail, {})[name] = slot.append
            series.keys.append((cache, tail, name))
            self._remembered += 1

    def _of(self, reading: Reading, line: Line, container_id: str) -> Series | None:
        identity = (CLASS_OF[reading.type], line.name, line.tags, container_id)
        series = self._series.get(identity)
        if series is None and self._has_room():
            series = self._series[identity] = CLASSES[identity[0]](identity, self._context)
            # Who sends a few lines and ends is not there any more at the flush.
            self._meet(series)
            self.heard.series = len(self._series)
        return series

    def _take_timed(self, line: Line, container_id: str, time_s: int) -> None:
        for reading in line.readings:
            identity = (CLASS_OF[reading.type], line.name, line.tags, container_id)
            series = self._series.get(identity) or CLASSES[identity[0]](identity, self._context)
            own = self._timed.get((series.key, time_s))
            value = float(reading.value) / reading.rate if reading.rate != 1 else reading.value
            if isinstance(value, bytes):
                continue  # Sets have no time of their own: the parser knows that.
            if own is not None:
                own.value = value if reading.type == "g" else own.value + value
            elif len(self._timed) < self._most:
                self._timed[series.key, time_s] = Own(time_s * 1_000_000_000, series, value)
            else:
                self._context.leave_out("series")

    def _times_told(self, place: tuple[str, int]) -> int:
        """How often that second was told of before, and tell it once more.

        So many nanoseconds later is the next record of it: where key and time say what a record is, in a database, it
        would else take the place of the one before, or be taken for its repetition.
        """
        times = self._told_of.pop(place, 0)
        self._told_of[place] = times + 1
        if len(self._told_of) > self._most:
            del self._told_of[next(iter(self._told_of))]
        return times

    def _take_told(self, told: Event | ServiceCheck, container_id: str, size: int, now_ns: int) -> None:
        if len(self._told) >= self._most or not self._context.room.take(size + _TOLD_BYTES):
            self._context.leave_out("events")
            return
        time_ns = now_ns if told.time_s is None else told.time_s * 1_000_000_000
        container = self._look_up(container_id) if container_id else None
        self._told.append(record_of(told, container_id, container, time_ns))

    def _bad_value(self, error: BadLine) -> None:
        self.bad(error.kind, error)

    def _leave_out(self, reason: str) -> None:
        self.heard.left_out[reason] += 1
        self._limited.once(reason, "statsd: %s", _LEFT_OUT[reason].format(most=self._most))

    # memory

    def _take_turn(self) -> None:
        self._waiting_lines = self._waiting_bytes = 0
        share = len(self._series) // _TURNS + 1
        turn = list(islice(self._turns, share))
        for series in turn:
            series.settle()
        if len(turn) < share:
            self._turns = iter(list(self._series.values()))

    def _has_room(self) -> bool:
        """Whether there may be one series more: for it, one goes that is only remembered.

        Nobody else does, not even a series of which nothing came in this interval yet: or a flood of names that
        somebody makes up would drive out those that are sent every day.
        """
        if len(self._series) < self._most:
            return True
        if self._asleep is None:
            self._asleep = iter([series for series in self._series.values() if series.asleep])
        for series in self._asleep:
            series.settle()
            if not series.touched and self._forget(series):
                return True
        return False

    def _forget(self, series: Series) -> bool:
        """Let it go; False when it has gone before: between two slices of a flush there are two that look who may."""
        if self._series.get(series.identity) is not series:
            return False
        del self._series[series.identity]
        self._remembered -= len(series.keys)
        for cache, tail, name in series.keys:
            names = cache[tail]
            names.pop(name, None)
            if not names:
                del cache[tail]
        return True

    # the flush

    def _flushed(self, series: Series, end_ns: int, now: float, interval: float, host: str) -> Metric | None:
        # One that made room for another between two slices is asked once more: nothing came of it.
        series.settle()
        over = self._meet(series)
        if series.touched:
            series.touched_at, series.asleep = now, False
        elif over or not series.lasting:
            self._forget(series)
            return None
        elif now - series.touched_at > self._keep:
            # Not forgotten before the room is needed: a change of it would be one of 0 then.
            series.asleep = True
            return None
        value = series.take()
        series.touched = False
        return None if value is None else series.metric(end_ns, value, interval, host)

    def _of_its_time(self, own: Own, host: str) -> Metric | None:
        self._meet(own.series)
        value = own.series.finite(own.value)
        return None if value is None else own.series.metric(own.time_ns, value, None, host)

    def _meet(self, series: Series) -> bool:
        """Look at who sends it now; whether the container that did so before has ended since."""
        container_id, before = series.identity[3], series.container
        if not container_id:
            return False
        container = self._look_up(container_id)
        if container is None:
            return before is not None
        series.container = container
        return before is not None and not before.same_run(container)


def _text(reading: Reading) -> bytes:
    """A value as a text that is read later as the same; the sign of a gauge's change is a part of it."""
    if isinstance(reading.value, bytes):
        return reading.value
    text = repr(reading.value).encode()
    return b"+" + text if reading.relative and text[:1] != b"-" else text
