"""The clients of this process: what is pending is sent at its end, and a child of it begins anew."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from statspout.client.channel import Channel
    from statspout.client.statsd import StatsD

EXIT = 1.0
"""Seconds that the end of the program waits for what is still to be sent."""

_clients: weakref.WeakSet[StatsD] = weakref.WeakSet()
_orphans: list[Channel] = []
"""Channels with something on the way, whose clients are no more."""


def register(client: StatsD) -> None:
    """It is closed at the end of the program, unless it is gone by then."""
    _clients.add(client)


def adopt(channels: Iterable[Channel]) -> None:
    """Channels whose client goes: what they have is sent all the same."""
    _orphans[:] = [old for old in [*_orphans, *channels] if not old.over]


def see_to(
    *,
    close: Callable[[StatsD, float], object],
    flush: Callable[[StatsD, float], object],
    after_fork: Callable[[StatsD], object],
) -> None:
    """From now on what these do is done to every client: at the end of the program, of a child, at its beginning."""

    def in_child() -> None:
        for channel in _orphans:
            channel.abandon()
        _orphans.clear()
        for client in list(_clients):
            after_fork(client)
        _with_multiprocessing(flush)

    atexit.register(_each, close)
    os.register_at_fork(after_in_child=in_child)
    _with_multiprocessing(flush)


def _each(work: Callable[[StatsD, float], object]) -> None:
    until = monotonic() + EXIT
    for client in list(_clients):
        work(client, max(0.0, until - monotonic()))
    for channel in _orphans:
        channel.close(max(0.0, until - monotonic()))


def _with_multiprocessing(flush: Callable[[StatsD, float], object]) -> None:
    """Send what is pending at the end of a child of ``multiprocessing``, which skips what atexit has."""
    util = sys.modules.get("multiprocessing.util")
    if util is None:
        return

    def finalize(_: object) -> None:
        util.Finalize(None, _each, args=(flush,), exitpriority=-100)

    util.register_after_fork(_clients, finalize)
    finalize(None)
