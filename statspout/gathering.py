"""An event loop in which answers that nobody is in a hurry for gather, and are looked at together.

An engine answers about a hundred containers in a hundred moments of a second. To wake up for each costs several times
what its answer costs, with cold caches. What is postponed here waits a while for company; whatever else happens
meanwhile, a request to our own server, a timer, another thread, is attended to at once.
"""

from __future__ import annotations

import asyncio
import select
import selectors
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike


class GatheringSelector(selectors.EpollSelector):
    """An epoll selector that can be told to postpone the reading of some descriptors.

    Those are in a second epoll set; a third, of these two, is what is waited on while there are any. ``window`` is how
    many seconds the first of them waits for others.
    """

    def __init__(self) -> None:
        super().__init__()
        self.window = 0.0
        self._postponed: set[int] = set()
        self._hurried: select.epoll = self._selector  # type: ignore[attr-defined]  # not in typeshed
        self._patient, self._both = select.epoll(), select.epoll()
        self._both.register(self._hurried.fileno(), select.EPOLLIN)
        self._both.register(self._patient.fileno(), select.EPOLLIN)

    def postpone(self, descriptor: int) -> None:
        """From now on, what can be read from this registered descriptor may wait for others."""
        if descriptor in self._postponed or self.get_key(descriptor).events != selectors.EVENT_READ:
            return
        self._hurried.unregister(descriptor)
        self._patient.register(descriptor, select.EPOLLIN)
        self._postponed.add(descriptor)

    def modify(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        """As of every selector. Who has something to write is in a hurry."""
        key = self.get_key(fileobj)
        if events != key.events:
            self._hurry(key.fd)
        return super().modify(fileobj, events, data)

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        """As of every selector."""
        with suppress(KeyError):
            self._hurry(self.get_key(fileobj).fd)
        return super().unregister(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As of every selector, but that the postponed are returned up to ``window`` late."""
        if not self._postponed:
            return super().select(timeout)
        end = None if timeout is None else time.monotonic() + max(0.0, timeout)
        ready = self._both.poll(-1 if timeout is None else max(0.0, timeout))
        if not any(descriptor == self._patient.fileno() for descriptor, _ in ready):
            return super().select(0) if ready else []
        # What was waited already is the timers' time, too.
        pause = self.window if end is None else min(self.window, max(0.0, end - time.monotonic()))
        hurried = super().select(0 if len(ready) > 1 else pause)
        gathered = self._patient.poll(0, len(self._postponed))
        return hurried + [(self.get_key(descriptor), selectors.EVENT_READ) for descriptor, _ in gathered]

    def close(self) -> None:
        """As of every selector."""
        self._both.close()
        self._patient.close()
        super().close()

    def _hurry(self, descriptor: int) -> None:
        """Put it back among the ordinary ones."""
        if descriptor not in self._postponed:
            return
        self._postponed.discard(descriptor)
        with suppress(OSError):  # closed meanwhile
            self._patient.unregister(descriptor)
        with suppress(OSError):
            self._hurried.register(descriptor, select.EPOLLIN)


class GatheringLoop(asyncio.SelectorEventLoop):
    """The ordinary event loop with that selector."""

    def __init__(self) -> None:
        self._gathering = GatheringSelector()
        super().__init__(self._gathering)

    def postpone(self, transport: asyncio.BaseTransport, window: float) -> None:
        """What comes in on this open connection may wait for others, as what is postponed already, for ``window`` s."""
        self._gathering.window = window
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.fileno() >= 0:
            with suppress(KeyError):  # it does not read at the moment
                self._gathering.postpone(connection.fileno())


def postpone(transport: asyncio.BaseTransport, window: float) -> None:
    """Postpone what comes in on this connection for up to ``window`` seconds, where the running loop can."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, GatheringLoop):
        loop.postpone(transport, window)
