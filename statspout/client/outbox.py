"""What was reported and is to be sent, the channel it goes by, and the thread that sends it when a period is over."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING

from statspout.client.losses import Losses
from statspout.client.packets import encoded, packets
from statspout.client.series import Series

if TYPE_CHECKING:
    from statspout.client.channel import Channel

_PATIENCE = 1.0
"""Seconds at most for another thread to be done with what it is sending, which waits for nobody."""


class Outbox:
    """Has the series that have something, and sends it; one thread at a time makes packets of it.

    ``period``: seconds that what is listed waits at most; 0 and less: it is sent at once. ``size``: bytes of a packet
    at most. ``turns`` is how often somebody has seen to what was listed; ``closed``: channels that were replaced, and
    may have something on the way. ``owner`` is the client while there is one: held while the thread works, and only
    then, so that a client that nobody has any more is closed, but not in the middle of that.
    """

    _wake: SimpleQueue[bool]
    _thread: threading.Thread | None
    _active: deque[Series]

    def __init__(self, period: float, size: int, losses: Losses, owner: Callable[[], object | None]) -> None:
        self.period = period
        self.size = size
        self.losses = losses
        self.channel: Channel | None = None
        self.closed: list[Channel] = []
        self.turns = 0
        self._owner = owner
        self._fresh()

    def _fresh(self) -> None:
        """Nothing is pending, no thread runs, no lock is held: at the start, and in a child."""
        self._lock = threading.RLock()
        self._folding = threading.Lock()
        self._wake = SimpleQueue()
        self._thread = None
        self._awake = False
        self._active = deque()

    # the channel

    def send(self, packet: bytes, lines: int) -> None:
        """Through the channel as it is now: one that is closed at this moment has been replaced before."""
        while (channel := self.channel) is not None:
            if channel.send(packet, lines):
                return
        self.losses.add("unsent", lines, "it was switched off")

    def replace(self, channel: Channel | None) -> None:
        """Send what is pending by the channel as it was, and what comes by this one; None: nothing comes any more."""
        before = self.channel
        if before is not None:
            self.sent(_PATIENCE)
        self.channel = channel
        if before is not None:
            before.close()
            self.closed = [*(old for old in self.closed if not old.over), before]
        if channel is None:
            self._rest()

    def flush(self, seconds: float) -> bool:
        """Send what is pending, and wait at most so long until it is on its way; False if it was not."""
        until = monotonic() + seconds
        channel = self.channel
        if channel is None:
            return True
        return self.sent(seconds) and channel.drained(until - monotonic())

    def close(self, until: float) -> None:
        """Wait for what the replaced channels have on the way, no longer than ``until``, and count what is left."""
        for channel in self.closed:
            channel.close(max(0.0, until - monotonic()))
        self.closed.clear()

    def after_fork(self) -> None:
        """In a child: its own socket, thread and locks; what is pending is the parent's to send."""
        self.losses.fresh()
        for series in self._active:
            series.forget()
        self._fresh()
        for closed in self.closed:
            closed.abandon()
        self.closed.clear()
        if self.channel is not None:
            from statspout.client.channels import open_channel

            before = self.channel
            self.channel = open_channel(before.address, self.losses)
            before.abandon()

    # what is pending

    def add(self, series: Series) -> None:
        """Someone is to look at the series: at the end of the period, or, where nothing is summed up, now."""
        series.listed = True
        self._active.append(series)
        if self.period <= 0:
            self.drain()
        elif not self._awake:
            self._rouse()

    def drain(self) -> None:
        """Send what is pending. Who finds another thread at it leaves it to that one, which then looks again."""
        at_once = self.period <= 0
        while self._active and self._folding.acquire(False):
            try:
                self._fold()
            finally:
                self._folding.release()
            if not at_once:
                break
        self.losses.tell()

    def sent(self, seconds: float) -> bool:
        """Send what is pending, when another thread is done with that, at most so long; False if it was not."""
        if not self._folding.acquire(timeout=max(0.0, seconds)):
            return False
        try:
            self._fold()
        finally:
            self._folding.release()
        self._look_again()
        self.losses.tell()
        return True

    def relieve(self, series: Series) -> None:
        """A series has got long before its time. Another thread at it will be done with it soon.

        Listed or not, it stays so: who has sent it meanwhile took it off the list, and then the next value lists it.
        """
        if not self._folding.acquire(False):
            return
        try:
            if not series.compact():
                self._send_units(self._units_of(series))
        except Exception as error:  # noqa: BLE001 - a sum that no number can be, as below
            self.losses.add("bad_value", len(series.taken()), error)
        finally:
            self._folding.release()
        self._look_again()

    def _look_again(self) -> None:
        """Where nothing waits for a period's end, see to what others have left to this thread while it sent."""
        if self.period <= 0:
            self.drain()

    def _fold(self) -> None:
        """Send what the series have that are listed now; one thread at a time."""
        self.turns += 1
        self._send_units(self._units(self._active.popleft() for _ in range(len(self._active))))

    def _send_units(self, units: Iterable[bytes]) -> None:
        for packet, lines in packets(units, self.size):
            self.send(packet, lines)

    def _units(self, listed: Iterable[Series]) -> Iterator[bytes]:
        for one in listed:
            one.listed = False  # before its values are taken: who comes later lists it again
            yield from self._units_of(one)

    def _units_of(self, series: Series) -> Iterator[bytes]:
        calls = len(series.values)
        try:
            for line in series.lines(self.size):
                unit = encoded(line)
                if len(unit) <= self.size:
                    yield unit
                else:
                    self.losses.add("too_long", 1, line[:100])
        except Exception as error:  # noqa: BLE001 - a sum that no number can be; the others are to be sent
            self.losses.add("bad_value", max(calls, 1), error)

    # the thread

    def _rouse(self) -> None:
        """Have the period begin."""
        with self._lock:
            self._awake = True
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_flusher,
                    args=(weakref.ref(self), self._owner, self._wake),
                    name="statspout-client",
                    daemon=True,
                )
                try:
                    self._thread.start()
                except RuntimeError:  # the interpreter ends, or the host has no threads left
                    self._thread, self._awake = None, False
                    self.drain()
                    return
            self._wake.put(True)

    def _rest(self) -> None:
        """Have the thread end."""
        with self._lock:
            self._wake.put(False)
            self._wake, self._thread, self._awake = SimpleQueue(), None, False


def _flusher(outbox: weakref.ref[Outbox], owner: Callable[[], object | None], wake: SimpleQueue[bool]) -> None:
    """Sends what there is, a period after the first of it was reported; while there is nothing, it sleeps."""
    while wake.get():
        period = _period_of(outbox())
        with suppress(Empty):
            if not wake.get(timeout=max(0.0, period)):
                return
        _flush(outbox(), owner())


def _period_of(outbox: Outbox | None) -> float:
    return 0.0 if outbox is None else outbox.period


def _flush(outbox: Outbox | None, owner: object | None) -> None:
    if outbox is None or owner is None:
        return
    outbox._awake = False  # before it looks: who comes later rouses it again
    try:
        # Whoever is at it now, relieving one series, does not do the others: they have their time here alone.
        while not outbox.sent(_PATIENCE):
            pass
    except Exception as error:  # noqa: BLE001 - a thread that ended here would lose all that comes
        outbox.losses.add("internal", 1, error)
