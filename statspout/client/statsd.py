"""The client: what an application calls.

A call never raises for what it is given, never waits, and costs next to nothing while the client is off. Values are
appended to their series (:mod:`statspout.client.series`); who makes lines of them is one thread at a time
(:mod:`statspout.client.outbox`).
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping
from time import monotonic
from typing import Any, NoReturn, Self

from statspout.client import ends, environment
from statspout.client.addresses import Address, parse
from statspout.client.dialects import DIALECTS
from statspout.client.losses import Losses, say_once, text_of
from statspout.client.outbox import Outbox
from statspout.client.prefix import filled
from statspout.client.series import LIMIT, finite
from statspout.client.tables import Table, Tables
from statspout.client.timers import Timer

SMALLEST, LARGEST = 64, 65_507
"""Bytes of a packet; the second is the most that UDP can carry."""

_LONGEST = 86_400.0
"""Seconds of a period, or of a wait that was to be without an end, at most."""

_NO_TAGS: Mapping[str, str] = {}

# What a value is: a number, one that a gauge is set to, or falls by, or whatever has a text.
_NUMBER, _LEVEL, _FALL, _TEXT = range(4)


class StatsD:
    """Reports an application's numbers to a StatsD server; off unless there is an address.

    * ``address``: ``host:port``, ``[::1]:8125``, ``tcp://host:port`` or ``unix:///path``. None takes it from the
      environment: ``STATSPOUT_CLIENT_STATSD``, else ``FLUX_FRIPP_STATSD``, else ``DD_DOGSTATSD_URL``, else
      ``DD_AGENT_HOST`` and ``DD_DOGSTATSD_PORT``, these three unless ``DD_DOGSTATSD_DISABLE`` is true. A mistake there
      is said once in the log of ``statspout.client``, and the client is off.
    * ``prefix``: a template that is put before all names, with a dot: ``flux.{rank}.content-cache``. Its places are
      filled from ``names``, then from the environment. Without one it is ``flux.{rank}`` where there is a rank:
      ``rank``, or ``FLUX_TASK_RANK``.
    * ``dialect``: a key of :data:`statspout.client.dialects.DIALECTS`. None is ``STATSPOUT_CLIENT_DIALECT``, else
      ``dogstatsd`` where the address is one of the variables of that, ``etsy`` where it is Flux's, else ``statspout``.
      In ``statspout`` and ``dogstatsd`` lines say which container they come from, unless
      ``DD_ORIGIN_DETECTION_ENABLED`` is false.
    * ``period``: seconds over which values are summed up before they are sent; 0 and less: every call is sent at once.
    * ``tags``: on everything that this client reports. In the dialect ``dogstatsd`` also those that its own clients
      take from the environment: ``DD_ENTITY_ID``, ``DD_ENV``, ``DD_SERVICE``, ``DD_VERSION``.
    * ``packet_size``: bytes of a packet at most. 1,432 fits everywhere; 8,932 into jumbo frames, 8,192 into the buffers
      of most agents. A line that is longer is not sent.

    ValueError for an address, dialect, period or packet size that can never be right.

    It may be used from any threads, signal handlers and asyncio tasks. After a fork the child has its own socket and
    thread, and nothing of what the parent still has to send. At the end of the program what is pending is sent. What
    could not be sent is in :attr:`lost`.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        prefix: str | None = None,
        rank: int | str | None = None,
        dialect: str | None = None,
        period: float = 1.0,
        tags: Mapping[str, str] | None = None,
        packet_size: int = 1432,
        **names: object,
    ) -> None:
        if not SMALLEST <= packet_size <= LARGEST:
            raise ValueError(f"packet size {packet_size}: {SMALLEST} to {LARGEST} bytes are right")
        where = environment.place(os.environ) if address is None else environment.Place(parse(address), "statspout")
        spoken = environment.dialect(os.environ) if dialect is None else dialect
        if spoken and spoken not in DIALECTS:
            raise ValueError(f"no such dialect {dialect!r}: there are {', '.join(DIALECTS)}")
        dialect_ = DIALECTS[spoken or where.dialect]
        constant = environment.constant_tags(os.environ) if dialect_.name == "dogstatsd" else {}
        self._losses = Losses("StatsD")
        self._outbox = Outbox(_seconds(period), packet_size, self._losses, weakref.ref(self))
        self._tables = Tables(dialect_, {**constant, **(tags or {})}, self._outbox)
        self._names = {"rank": os.environ.get(environment.RANK) if rank is None else rank, **names}
        self._on = False
        self._going = threading.RLock()
        if self._names["rank"] is not None:
            self.set_prefix("flux.{rank}")
        if prefix is not None:
            self.set_prefix(prefix)
        self._go(None if spoken is None else where.address)
        ends.register(self)

    # what an application reports

    def count(self, name: str, value: float = 1, *, tags: Mapping[str, str] | None = None, rate: float = 1) -> None:
        """Something happened, ``value`` times.

        With ``rate`` below 1 that part of the calls is sent, and says so; where values are summed up before they are
        sent, all are counted: it costs no packets.
        """
        if self._on:
            self._report(self._tables.counts, name, value, tags, rate)

    def gauge_set(self, name: str, value: float, *, tags: Mapping[str, str] | None = None) -> None:
        """A level is ``value`` now, which may be negative."""
        if self._on:
            self._report(self._tables.gauges, name, value, tags, 1, _LEVEL)

    def gauge_inc(self, name: str, change: float = 1, *, tags: Mapping[str, str] | None = None) -> None:
        """A level has risen by ``change``; one that was never set, or changed, was 0."""
        if self._on:
            self._report(self._tables.gauges, name, change, tags, 1)

    def gauge_dec(self, name: str, change: float = 1, *, tags: Mapping[str, str] | None = None) -> None:
        """A level has fallen by ``change``."""
        if self._on:
            self._report(self._tables.gauges, name, change, tags, 1, _FALL)

    def timing(self, name: str, ms: float, *, tags: Mapping[str, str] | None = None, rate: float = 1) -> None:
        """Something took ``ms`` milliseconds. With ``rate`` below 1 that part of the calls is sent, and says so."""
        if self._on:
            self._report(self._tables.timings, name, ms, tags, rate)

    def timer(self, name: str, *, tags: Mapping[str, str] | None = None, rate: float = 1) -> Timer:
        """A timer: ``with client.timer("work"):``, the same with ``async with``, or ``@client.timer("work")``."""
        return Timer(self, name, tags, rate)

    def histogram(self, name: str, value: float, *, tags: Mapping[str, str] | None = None, rate: float = 1) -> None:
        """One of many sizes, of which the statistics matter; in what unit is the application's choice."""
        if self._on:
            self._report(self._tables.histograms, name, value, tags, rate)

    def distribution(self, name: str, value: float, *, tags: Mapping[str, str] | None = None, rate: float = 1) -> None:
        """As a histogram, but with statistics over all hosts, where the server knows the difference."""
        if self._on:
            self._report(self._tables.distributions, name, value, tags, rate)

    def set(self, name: str, value: object, *, tags: Mapping[str, str] | None = None) -> None:
        """One of many things, of which the number of different ones matters; it is told apart by its text."""
        if self._on:
            self._report(self._tables.sets, name, value, tags, 1, _TEXT)

    # what can be changed, asked, and ended

    def enabled(self, metric: str | None = None) -> bool:
        """Whether the client is on; with a name, whether that metric is collected now.

        It is once it has been reported, with whatever tags, since the client is on and has its prefix, unless there was
        no room for it, or others took its room while it was idle.
        """
        if metric is None or not self._on:
            return self._on
        return isinstance(metric, str) and self._tables.has(metric)

    @property
    def lost(self) -> dict[str, int]:
        """What could not be sent, in lines, or in calls that did not become one, by kind; of this process.

        The kinds are the keys of :data:`statspout.client.losses.MEANINGS`; one that never was is not in it.
        """
        return self._losses.counts()

    def set_prefix(self, template: str, **names: object) -> None:
        """Put this before all names from now on; ``""`` is nothing.

        ``{name}`` stands for a value of ``names``, of those at the construction, or of the environment. Where there is
        none, or it comes out longer than 127 characters, or than half a packet, the prefix stays as it was; that is
        said once in the log. What was reported before keeps its name; what is known of it, a level or a total, is not
        known of the new one.
        """
        try:
            prefix = filled(template, {**self._names, **names}, self._outbox.size)
        except Exception as error:  # noqa: BLE001 - a value's text may be anybody's code
            say_once(f"{text_of(error)}; the prefix stays {self._tables.prefix!r}")
            return
        if prefix != self._tables.prefix:
            self._tables.prefix = prefix
            self._tables.forget()

    def set_period(self, seconds: float) -> None:
        """Sum up values over so many seconds before they are sent; 0 and less: send each at once.

        What is pending is sent. A period that is no number is ignored, and said once in the log.
        """
        try:
            self._outbox.period = _seconds(seconds)
        except Exception as error:  # noqa: BLE001 - it may be a number of anybody's class
            say_once(f"period {text_of(seconds, repr)}: {text_of(error)}; it stays {self._outbox.period:g} s")
        self._outbox.drain()

    def set_address(self, address: str | None) -> None:
        """Report to another server from now on; None: to nobody.

        What was reported before goes where it was to go. An address that cannot be one is ignored, and said once in the
        log. While the client is off nothing is remembered: levels are unknown, and totals begin anew, afterwards.
        """
        try:
            where = None if address is None else parse(address)
        except Exception as error:  # noqa: BLE001 - what is no text fails in ways of its own
            say_once(f"{text_of(address, repr)} parse error: {text_of(error)}; the address stays as it was")
            return
        self._go(where)

    def flush(self, seconds: float = 1.0) -> bool:
        """Send what is pending now, and wait at most so long until it is on its way; False if it was not.

        The one call, beside :meth:`close`, that may wait: where a name has to be looked up, over TCP, or while a unix
        socket is full.
        """
        return self._outbox.flush(min(seconds, _LONGEST))

    def close(self, seconds: float = 1.0) -> None:
        """Send what is pending, wait at most so long, count what is still there, and be off."""
        seconds = min(seconds, _LONGEST)
        until = monotonic() + seconds
        self.flush(seconds)
        self._go(None)
        self._outbox.close(until)
        self._losses.tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __copy__(self) -> Self:
        """The client itself: two that share a socket would close it for each other."""
        return self

    def __deepcopy__(self, _: object) -> Self:
        """The client itself, so that what has one can be copied."""
        return self

    def __reduce__(self) -> NoReturn:
        """TypeError: another process makes a client of its own."""
        raise TypeError("a StatsD client cannot be pickled: make one in the process that uses it")

    def __del__(self) -> None:
        # Nobody can ask any more: what was reported is sent all the same.
        outbox = self.__dict__.get("_outbox")
        if outbox is not None and outbox.channel is not None:
            self._go(None)
            ends.adopt(outbox.closed)

    # a report

    def _report(
        self,
        table: Table,
        name: str,
        value: Any,
        tags: Mapping[str, str] | None,
        rate: float,
        how: int = _NUMBER,
    ) -> None:
        """Send it, or note it. The table's keys are what was given: what follows from that is worked out once."""
        try:
            if tags is None and rate == 1:
                series = table.get(name)
            else:
                if rate != 1:
                    rate = self._tables.rate(table.kind, rate)
                series = table.get((name, rate, *(tags or _NO_TAGS).items()))
            if series is None:
                series = self._tables.found(table, name, tags, rate)
                if series is None:
                    return
            if how == _TEXT:
                value = _text(value)
            elif (type(value) is not int and type(value) is not float) or value * 0.0 != 0:
                value = finite(value)  # the usual ones need no call: what is not finite, or beyond a float, has no 0
            if how == _FALL:
                value = -value
            if rate != 1 and self._tables.left_out(rate):
                return
            outbox = self._outbox
            if outbox.period <= 0 and not series.stateful and not series.listed:
                if value == 1 and how == _NUMBER:
                    packet = series.one = series.one or series.line(1).encode()
                elif how == _LEVEL and type(value) is int and value >= 0:
                    packet = f"{series.head}{value}{series.tail}".encode()
                else:
                    packet = (series.line(value) if how != _LEVEL else series.line((value,))).encode()
                lines = 2 if how == _LEVEL and value < 0 and b"\n" in packet else 1
                if len(packet) > outbox.size:
                    self._losses.tell_one("too_long", packet[:100])
                elif (channel := outbox.channel) is None or not channel.send(packet, lines):
                    outbox.send(packet, lines)
                return
            series.values.append(value if how != _LEVEL else (value,))
            if not series.listed:
                outbox.add(series)
            elif len(series.values) >= LIMIT:
                outbox.relieve(series)
        except Exception as error:  # noqa: BLE001 - whatever the application gave, it must not fail over it
            self._losses.tell_one("bad_value", error)

    # state

    def _go(self, address: Address | None) -> None:
        """To another server, or off: one thread at a time, or a channel would be replaced that nobody closes."""
        with self._going:
            channel = None
            if address is not None:
                from statspout.client.channels import open_channel  # takes sockets, which who is off does without

                channel = open_channel(address, self._losses)
                # Not at the first report: a signal in the middle of an import finds half a module.
                self._tables.from_container()
            self._on = channel is not None
            self._outbox.replace(channel)
            if channel is None:
                self._tables.forget()

    def _after_fork(self) -> None:
        """In a child: nothing of what the parent has reported, and no lock that is held there."""
        self._going = threading.RLock()
        self._tables.after_fork()
        self._outbox.after_fork()


ends.see_to(close=StatsD.close, flush=StatsD.flush, after_fork=StatsD._after_fork)


def _seconds(period: float) -> float:
    return min(float(finite(period)), _LONGEST)


def _text(value: object) -> str:
    text = str(value)
    if not text:
        raise ValueError("an empty text is nothing that a set can have")
    return text
