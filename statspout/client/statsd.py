"""The client: what an application calls.

A call never raises for what it is given, never waits, and costs next to nothing while the client is off. Values are
appended to their series (:mod:`statspout.client.series`); who makes lines of them is one thread at a time.
"""

from __future__ import annotations

import atexit
import builtins
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn, Self

from statspout.client import environment
from statspout.client.addresses import Address, parse
from statspout.client.dialects import DIALECTS, Type, clean, series
from statspout.client.losses import Losses, say_once, text_of
from statspout.client.packets import encoded, packets
from statspout.client.prefix import filled
from statspout.client.series import LIMIT, Series, finite, make
from statspout.client.timers import Timer

if TYPE_CHECKING:
    from statspout.client.channels import Channel

SERIES = 10_000
"""Series that one client keeps apart at most. One that is idle, and of which nothing has to be known, makes room."""

EXIT = 1.0
"""Seconds that the end of the program waits for what is still to be sent."""

SMALLEST, LARGEST = 64, 65_507
"""Bytes of a packet; the second is the most that UDP can carry."""

_LONGEST = 86_400.0
"""Seconds of a period, or of a wait that was to be without an end, at most."""

_PATIENCE = 1.0
"""Seconds at most for another thread to be done with what it is sending, which waits for nobody."""

_NO_TAGS: Mapping[str, str] = {}

# What a value is: a number, one that a gauge is set to, or falls by, or whatever has a text.
_NUMBER, _LEVEL, _FALL, _TEXT = range(4)

_clients: weakref.WeakSet[StatsD] = weakref.WeakSet()
_orphans: list[Channel] = []
"""Channels with something on the way, whose clients are no more."""


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

    _wake: SimpleQueue[bool]
    _thread: threading.Thread | None
    _active: deque[Series]
    _all: dict[Any, Series]
    _known: builtins.set[str]
    _swept: bool

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
        self._dialect = DIALECTS[spoken or where.dialect]
        constant = environment.constant_tags(os.environ) if self._dialect.name == "dogstatsd" else {}
        self._tags = {**constant, **(tags or {})}
        self._size = packet_size
        self._period = _seconds(period)
        self._losses = Losses("StatsD")
        self._names = {"rank": os.environ.get(environment.RANK) if rank is None else rank, **names}
        self._prefix = ""
        self._on = False
        self._channel: Channel | None = None
        self._closed: list[Channel] = []
        self._random: Callable[[], float] | None = None
        self._container: str | None = None
        self._fresh()
        self._forget_series()
        if self._names["rank"] is not None:
            self.set_prefix("flux.{rank}")
        if prefix is not None:
            self.set_prefix(prefix)
        self._go(None if spoken is None else where.address)
        _clients.add(self)

    # what an application reports

    def count(self, name: str, value: float = 1, *, tags: Mapping[str, str] | None = None, rate: float = 1) -> None:
        """Something happened, ``value`` times.

        With ``rate`` below 1 that part of the calls is sent, and says so; where values are summed up before they are
        sent, all are counted: it costs no packets.
        """
        if self._on:
            self._report(self._counts, name, value, tags, rate)

    def gauge_set(self, name: str, value: float, *, tags: Mapping[str, str] | None = None) -> None:
        """A level is ``value`` now, which may be negative."""
        if self._on:
            self._report(self._gauges, name, value, tags, 1, _LEVEL)

    def gauge_inc(self, name: str, change: float = 1, *, tags: Mapping[str, str] | None = None) -> None:
        """A level has risen by ``change``; one that was never set, or changed, was 0."""
        if self._on:
            self._report(self._gauges, name, change, tags, 1)

    def gauge_dec(self, name: str, change: float = 1, *, tags: Mapping[str, str] | None = None) -> None:
        """A level has fallen by ``change``."""
        if self._on:
            self._report(self._gauges, name, change, tags, 1, _FALL)

    def timing(self, name: str, ms: float, *, tags: Mapping[str, str] | None = None, rate: float = 1) -> None:
        """Something took ``ms`` milliseconds. With ``rate`` below 1 that part of the calls is sent, and says so."""
        if self._on:
            self._report(self._timings, name, ms, tags, rate)

    def timer(self, name: str, *, tags: Mapping[str, str] | None = None, rate: float = 1) -> Timer:
        """A timer: ``with client.timer("work"):``, the same with ``async with``, or ``@client.timer("work")``."""
        return Timer(self, name, tags, rate)

    def histogram(self, name: str, value: float, *, tags: Mapping[str, str] | None = None, rate: float = 1) -> None:
        """One of many sizes, of which the statistics matter; in what unit is the application's choice."""
        if self._on:
            self._report(self._histograms, name, value, tags, rate)

    def distribution(self, name: str, value: float, *, tags: Mapping[str, str] | None = None, rate: float = 1) -> None:
        """As a histogram, but with statistics over all hosts, where the server knows the difference."""
        if self._on:
            self._report(self._distributions, name, value, tags, rate)

    def set(self, name: str, value: object, *, tags: Mapping[str, str] | None = None) -> None:
        """One of many things, of which the number of different ones matters; it is told apart by its text."""
        if self._on:
            self._report(self._sets, name, value, tags, 1, _TEXT)

    # what can be changed, asked, and ended

    def enabled(self, metric: str | None = None) -> bool:
        """Whether the client is on; with a name, whether that metric is collected now.

        It is once it has been reported, with whatever tags, since the client is on and has its prefix, unless there was
        no room for it, or others took its room while it was idle.
        """
        if metric is None or not self._on:
            return self._on
        return isinstance(metric, str) and self._full_name(metric) in self._known

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
            prefix = filled(template, {**self._names, **names}, self._size)
        except Exception as error:  # noqa: BLE001 - a value's text may be anybody's code
            say_once(f"{text_of(error)}; the prefix stays {self._prefix!r}")
            return
        if prefix != self._prefix:
            self._prefix = prefix
            self._forget_series()

    def set_period(self, seconds: float) -> None:
        """Sum up values over so many seconds before they are sent; 0 and less: send each at once.

        What is pending is sent. A period that is no number is ignored, and said once in the log.
        """
        try:
            self._period = _seconds(seconds)
        except Exception as error:  # noqa: BLE001 - it may be a number of anybody's class
            say_once(f"period {text_of(seconds, repr)}: {text_of(error)}; it stays {self._period:g} s")
        self._drain()

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
        seconds = min(seconds, _LONGEST)
        until = monotonic() + seconds
        channel = self._channel
        if channel is None:
            return True
        return self._sent(seconds) and channel.drained(until - monotonic())

    def close(self, seconds: float = 1.0) -> None:
        """Send what is pending, wait at most so long, count what is still there, and be off."""
        seconds = min(seconds, _LONGEST)
        until = monotonic() + seconds
        self.flush(seconds)
        self._go(None)
        for channel in self._closed:
            channel.close(max(0.0, until - monotonic()))
        self._closed.clear()
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
        if self.__dict__.get("_channel") is not None:
            self._go(None)
            _orphans[:] = [old for old in [*_orphans, *self._closed] if not old.over]

    # a report

    def _report(
        self,
        table: _Table,
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
                    rate = self._rate(table.kind, rate)
                series = table.get((name, rate, *(tags or _NO_TAGS).items()))
            if series is None:
                series = self._found(table, name, tags, rate)
                if series is None:
                    return
            if how == _TEXT:
                value = _text(value)
            elif (type(value) is not int and type(value) is not float) or value * 0.0 != 0:
                value = finite(value)  # the usual ones need no call: what is not finite, or beyond a float, has no 0
            if how == _FALL:
                value = -value
            if rate != 1 and self._random is not None and self._random() >= rate:
                return
            if self._period <= 0 and not series.stateful and not series.listed:
                if value == 1 and how == _NUMBER:
                    packet = series.one = series.one or series.line(1).encode()
                elif how == _LEVEL and type(value) is int and value >= 0:
                    packet = f"{series.head}{value}{series.tail}".encode()
                else:
                    packet = (series.line(value) if how != _LEVEL else series.line((value,))).encode()
                lines = 2 if how == _LEVEL and value < 0 and b"\n" in packet else 1
                if len(packet) > self._size:
                    self._lose("too_long", packet[:100])
                elif (channel := self._channel) is None or not channel.send(packet, lines):
                    self._send(packet, lines)
                return
            series.values.append(value if how != _LEVEL else (value,))
            if not series.listed:
                self._list(series)
            elif len(series.values) >= LIMIT:
                self._relieve(series)
        except Exception as error:  # noqa: BLE001 - whatever the application gave, it must not fail over it
            self._lose("bad_value", error)

    def _rate(self, kind: Type, rate: float) -> float:
        """The rate at which calls are left out: none is where it saves nothing."""
        if not 0 < rate <= 1:
            raise ValueError(f"rate {rate}: above 0, and at most 1, is right")
        if kind == "count" and (self._period > 0 or self._dialect.absolute):
            return 1
        if self._random is None:
            try:
                from random import random  # loads much, and sampling is rare
            except (ImportError, KeyError):  # a signal came while it was being loaded: this call is sent as all are
                return 1
            self._random = random
        return rate

    def _found(self, table: _Table, name: str, tags: Mapping[str, str] | None, rate: float) -> Series | None:
        """The series, made if need be; None, and a loss, where there can be none."""
        kind = table.kind
        if not isinstance(name, str) or not clean(name).strip("."):
            raise TypeError(f"{name!r} is no name of a metric")
        if kind not in self._dialect.types:
            self._lose("unsupported", f"{self._dialect.name} has no {kind}")
            return None
        head, tail = series(
            self._dialect, self._full_name(name), {**self._tags, **(tags or {})} if tags else self._tags
        )
        places = head, tail + self._from_container()
        key = (kind, places, rate)
        known: Series | None = self._all.get(key)
        if known is None:
            if len(self._all) >= SERIES and not self._made_room():
                self._lose("too_many_series", name)
                return None
            made = make(self._dialect, kind, self._full_name(name), places, rate, self._losses)
            known = self._all.setdefault(key, made)  # of two threads that come here both get the first one's
            self._known.add(known.name)
        if len(table) >= SERIES:
            table.clear()
        if tags is None and rate == 1:
            table[name] = known
        elif all(type(text) is str for pair in (tags or _NO_TAGS).items() for text in pair):
            # Of others, 1 and True are equal and have different texts.
            table[name, rate, *(tags or _NO_TAGS).items()] = known
        return known

    def _from_container(self) -> str:
        """The section of a line that says which container it comes from."""
        if self._container is None:
            found = environment.container(os.environ) if self._dialect.origin else ""
            self._container = f"|c:{found}" if found else ""
        return self._container

    def _full_name(self, name: str) -> str:
        name = clean(name).strip(".")
        return f"{self._prefix}.{name}" if self._prefix else name

    def _made_room(self) -> bool:
        """Forget the series that nothing depends on. Who is about to report to one lists it: nothing is lost."""
        if self._swept:
            return False
        self._all = {key: known for key, known in list(self._all.items()) if known.stateful or known.listed}
        self._known = {known.name for known in self._all.values()}
        self._clear_tables()
        self._swept = len(self._all) >= SERIES
        return not self._swept

    def _send(self, packet: bytes, lines: int) -> None:
        """Through the channel as it is now: one that is closed at this moment has been replaced before."""
        while (channel := self._channel) is not None:
            if channel.send(packet, lines):
                return
        self._losses.add("unsent", lines, "it was switched off")

    def _lose(self, kind: Any, why: object) -> None:
        self._losses.add(kind, 1, why)
        self._losses.tell()

    # what is pending

    def _list(self, series: Series) -> None:
        """Someone is to look at the series: at the end of the period, or, where nothing is summed up, now."""
        series.listed = True
        self._active.append(series)
        if self._period <= 0:
            self._drain()
        elif not self._awake:
            self._rouse()

    def _drain(self) -> None:
        """Send what is pending. Who finds another thread at it leaves it to that one, which then looks again."""
        at_once = self._period <= 0
        while self._active and self._folding.acquire(False):
            try:
                self._fold()
            finally:
                self._folding.release()
            if not at_once:
                break
        self._losses.tell()

    def _sent(self, seconds: float) -> bool:
        """Send what is pending, when another thread is done with that, at most so long; False if it was not."""
        if not self._folding.acquire(timeout=max(0.0, seconds)):
            return False
        try:
            self._fold()
        finally:
            self._folding.release()
        self._look_again()
        self._losses.tell()
        return True

    def _look_again(self) -> None:
        """Where nothing waits for a period's end, see to what others have left to this thread while it sent."""
        if self._period <= 0:
            self._drain()

    def _fold(self) -> None:
        """Send what the series have that are listed now; one thread at a time."""
        self._swept = False
        self._send_units(self._units(self._active.popleft() for _ in range(len(self._active))))

    def _send_units(self, units: Iterable[bytes]) -> None:
        for packet, lines in packets(units, self._size):
            self._send(packet, lines)

    def _units(self, listed: Iterable[Series]) -> Iterator[bytes]:
        for one in listed:
            one.listed = False  # before its values are taken: who comes later lists it again
            yield from self._units_of(one)

    def _units_of(self, series: Series) -> Iterator[bytes]:
        calls = len(series.values)
        try:
            for line in series.lines(self._size):
                unit = encoded(line)
                if len(unit) <= self._size:
                    yield unit
                else:
                    self._losses.add("too_long", 1, line[:100])
        except Exception as error:  # noqa: BLE001 - a sum that no number can be; the others are to be sent
            self._losses.add("bad_value", max(calls, 1), error)

    def _relieve(self, series: Series) -> None:
        """A series has got long before its time. Another thread at it will be done with it soon.

        Listed or not, it stays so: who has sent it meanwhile took it off the list, and then the next value lists it.
        """
        if not self._folding.acquire(False):
            return
        try:
            if not series.compact():
                self._send_units(self._units_of(series))
        except Exception as error:  # noqa: BLE001 - a sum that no number can be, as above
            self._losses.add("bad_value", len(series.taken()), error)
        finally:
            self._folding.release()
        self._look_again()

    def _rouse(self) -> None:
        """Have the period begin."""
        with self._lock:
            self._awake = True
            if self._thread is None:
                # It holds the client only while it works: one that nobody has any more is closed.
                self._thread = threading.Thread(
                    target=_flusher, args=(weakref.ref(self), self._wake), name="statspout-client", daemon=True
                )
                try:
                    self._thread.start()
                except RuntimeError:  # the interpreter ends, or the host has no threads left
                    self._thread, self._awake = None, False
                    self._drain()
                    return
            self._wake.put(True)

    def _rest(self) -> None:
        """Have the thread end."""
        with self._lock:
            self._wake.put(False)
            self._wake, self._thread, self._awake = SimpleQueue(), None, False

    # state

    def _fresh(self) -> None:
        """Nothing is pending, no thread runs, no lock is held: at the start, and in a child."""
        self._lock = threading.RLock()
        self._going = threading.RLock()
        self._folding = threading.Lock()
        self._wake = SimpleQueue()
        self._thread = None
        self._awake = False
        self._active = deque()

    def _forget_series(self) -> None:
        """Begin with no series; what is pending is still listed."""
        self._all = {}
        self._known = builtins.set()
        self._swept = False
        self._clear_tables()

    def _clear_tables(self) -> None:
        self._counts = _Table("count")
        self._gauges = _Table("gauge")
        self._timings = _Table("timing")
        self._sets = _Table("set")
        self._histograms = _Table("histogram")
        self._distributions = _Table("distribution")

    def _go(self, address: Address | None) -> None:
        """To another server, or off: one thread at a time, or a channel would be replaced that nobody closes."""
        with self._going:
            self._change(address)

    def _change(self, address: Address | None) -> None:
        before, channel = self._channel, None
        if address is not None:
            from statspout.client.channels import open_channel  # takes sockets, which who is off does without

            channel = open_channel(address, self._losses)
            self._from_container()  # not at the first report: a signal in the middle of an import finds half a module
        self._on = channel is not None
        if before is not None:
            self._sent(_PATIENCE)
        self._channel = channel
        if before is not None:
            before.close()
            self._closed = [*(old for old in self._closed if not old.over), before]
        if channel is None:
            self._rest()
            self._forget_series()

    def _after_fork(self) -> None:
        """In a child: its own socket, thread and locks; what is pending is the parent's to send."""
        self._losses.fresh()
        for known in [*self._all.values(), *self._active]:
            known.forget()
        self._fresh()
        for closed in self._closed:
            closed.abandon()
        self._closed.clear()
        if self._channel is not None:
            from statspout.client.channels import open_channel

            before = self._channel
            self._channel = open_channel(before.address, self._losses)
            before.abandon()


class _Table(dict[Any, Series]):
    """The series of one type, by what a call was given."""

    __slots__ = ("kind",)

    def __init__(self, kind: Type) -> None:
        super().__init__()
        self.kind = kind


def _flusher(client: weakref.ref[StatsD], wake: SimpleQueue[bool]) -> None:
    """Sends what a client has, a period after the first of it was reported; while there is nothing, it sleeps."""
    while wake.get():
        period = _period_of(client())
        with suppress(Empty):
            if not wake.get(timeout=max(0.0, period)):
                return
        _flush(client())


def _period_of(client: StatsD | None) -> float:
    return 0.0 if client is None else client._period


def _flush(client: StatsD | None) -> None:
    if client is None:
        return
    client._awake = False  # before it looks: who comes later rouses it again
    try:
        # Whoever is at it now, relieving one series, does not do the others: they have their time here alone.
        while not client._sent(_PATIENCE):
            pass
    except Exception as error:  # noqa: BLE001 - a thread that ended here would lose all that comes
        client._losses.add("internal", 1, error)


def _seconds(period: float) -> float:
    return min(float(finite(period)), _LONGEST)


def _text(value: object) -> str:
    text = str(value)
    if not text:
        raise ValueError("an empty text is nothing that a set can have")
    return text


def _each(work: Callable[[StatsD, float], object]) -> None:
    until = monotonic() + EXIT
    for client in list(_clients):
        work(client, max(0.0, until - monotonic()))
    for channel in _orphans:
        channel.close(max(0.0, until - monotonic()))


def _at_exit() -> None:
    _each(StatsD.close)


def _in_child() -> None:
    for channel in _orphans:
        channel.abandon()
    _orphans.clear()
    for client in list(_clients):
        client._after_fork()
    _with_multiprocessing()


def _with_multiprocessing() -> None:
    """Send what is pending at the end of a child of ``multiprocessing``, which skips what atexit has."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.register_after_fork(_clients, _finalized)
        _finalized(None)


def _finalized(_: object) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, _each, args=(StatsD.flush,), exitpriority=-100)


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_in_child)
_with_multiprocessing()
