"""TLS at the door: a connection until its handshake is done, and no longer than a small daemon has patience.

asyncio's own server would wait a minute for each handshake, of any number of connections at once.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Protocol


class Guest(Protocol):
    """The protocol of a connection that has come in. ``beneath`` is the transport that TLS writes to."""

    beneath: asyncio.Transport | None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin."""

    def data_received(self, data: bytes) -> None:
        """Take what was sent."""

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""


class Doors:
    """The doors of one server. ``most`` may wait at once: another costs the first of them its place.

    ``context`` gives that of a handshake that begins.
    A handshake has ``patience`` seconds, and the client's part in ending TLS has ``grace``. ``refused`` counts, by
    reason, who does not come in.
    """

    def __init__(
        self, context: Callable[[], ssl.SSLContext], most: int, patience: float, grace: float, refused: Counter[str]
    ) -> None:
        self.context = context
        self.refused = refused
        self.patience, self.grace = patience, grace
        self._most = most
        self._waiting: dict[Door, asyncio.Transport] = {}

    def arrived(self, door: Door, transport: asyncio.Transport) -> None:
        """Let it wait."""
        self._waiting[door] = transport
        if len(self._waiting) > self._most:
            self.refused["crowded"] += 1
            next(iter(self._waiting.values())).abort()
            del self._waiting[next(iter(self._waiting))]

    def failed(self, door: Door) -> None:
        """Count a handshake that came to nothing, unless it was cut off here."""
        self.refused["handshake"] += door in self._waiting

    def left(self, door: Door) -> None:
        """It is through, or gone."""
        self._waiting.pop(door, None)

    def shut(self) -> None:
        """Cut off all that wait."""
        for transport in self._waiting.values():
            transport.abort()
        self._waiting.clear()


class Door(asyncio.Protocol):
    """One connection's handshake; with it done, ``guest`` takes over."""

    def __init__(self, doors: Doors, guest: Guest) -> None:
        self._doors = doors
        self._guest = guest
        self._early = bytearray()
        self._lost = False
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin the handshake."""
        transport.pause_reading()
        self._doors.arrived(self, transport)
        self._task = asyncio.get_running_loop().create_task(self._open(transport))

    def data_received(self, data: bytes) -> None:
        """Keep it: a request may come in one piece with the end of the handshake, before we know of that."""
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio hands it over
        """Remember that the guest need not come."""
        self._lost = True

    async def _open(self, transport: asyncio.Transport) -> None:
        try:
            inside = None if transport.is_closing() else await self._handshake(transport)
        finally:
            self._doors.left(self)
        # None also when the connection was cut off meanwhile.
        if inside is None or self._lost:
            return
        inside.set_protocol(self._guest)  # type: ignore[arg-type]  # it has what asyncio asks for
        self._guest.beneath = transport
        self._guest.connection_made(inside)
        if self._early:
            self._guest.data_received(bytes(self._early))

    async def _handshake(self, transport: asyncio.Transport) -> asyncio.Transport | None:
        try:
            return await asyncio.get_running_loop().start_tls(
                transport,
                self,
                self._doors.context(),
                server_side=True,
                ssl_handshake_timeout=self._doors.patience,
                ssl_shutdown_timeout=self._doors.grace,
            )
        except OSError:
            # Not TLS, too old, too slow: what clients do wrong is theirs to notice.
            self._doors.failed(self)
            transport.abort()
            return None
