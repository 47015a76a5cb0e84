"""The event stream of the simulated engine: a ring of the last events, and who listens."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from statspout.testing.engine_http import Action, Exchange
from statspout.testing.engine_state import SECOND, FakeContainer

RING = 256
"""So many events an engine remembers for ``since=``."""

PREFIX_FILTERS = frozenset({"health_status", "exec_create", "exec_start"})
"""With one of these among the ``event`` filters the engine compares beginnings: the command or status follows."""

Filters = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a container; ``number`` counts up."""

    number: int
    time_ns: int
    action: str
    container_id: str
    attributes: dict[str, str]

    def line(self, legacy: bool) -> bytes:
        """Write it as the engine does; before API 1.52 with ``status``, ``id`` and ``from`` too."""
        body: dict[str, Any] = {}
        if legacy:
            body = {"status": self.action, "id": self.container_id, "from": self.attributes["image"]}
        body |= {
            "Type": "container",
            "Action": self.action,
            "Actor": {"ID": self.container_id, "Attributes": self.attributes},
            "scope": "local",
            "time": self.time_ns // SECOND,
            "timeNano": self.time_ns,
        }
        return msgspec.json.encode(body) + b"\n"

    def matches(self, filters: Filters) -> bool:
        """Tell whether a client with these filters wants it; filters that are not known let everything pass."""
        return all(TESTS[key](self, wanted) for key, wanted in filters.items() if key in TESTS and wanted)

    def _is_type(self, wanted: frozenset[str]) -> bool:
        return "container" in wanted

    def _is_action(self, wanted: frozenset[str]) -> bool:
        if wanted & PREFIX_FILTERS:
            return self.action.startswith(tuple(wanted))
        return self.action in wanted

    def _is_container(self, wanted: frozenset[str]) -> bool:
        return self.attributes["name"] in wanted or self.container_id.startswith(tuple(wanted))

    def _is_image(self, wanted: frozenset[str]) -> bool:
        image = self.attributes["image"]
        return image in wanted or image.partition(":")[0] in wanted

    def _has_labels(self, wanted: frozenset[str]) -> bool:
        return has_labels(self.attributes, wanted)


TESTS: dict[str, Callable[[Event, frozenset[str]], bool]] = {
    "type": Event._is_type,
    "event": Event._is_action,
    "container": Event._is_container,
    "image": Event._is_image,
    "label": Event._has_labels,
}


def has_labels(labels: Mapping[str, str], wanted: frozenset[str]) -> bool:
    """Tell whether each of ``key`` or ``key=value`` is among the labels."""
    for label in wanted:
        key, given, value = label.partition("=")
        if key not in labels or (given and labels[key] != value):
            return False
    return True


@dataclass(eq=False, slots=True)
class Listener:
    """A client of ``/events``; it has had every event up to ``seen``."""

    exchange: Exchange
    filters: Filters
    legacy: bool
    seen: int

    def tell(self, event: Event) -> None:
        """Send an event that it wants and did not have."""
        if event.number > self.seen and not self.exchange.done and event.matches(self.filters):
            self.exchange.chunk(event.line(self.legacy))


class Events:
    """Remembers the last events and sends new ones to who listens. The world's lock guards it."""

    def __init__(self, soon: Callable[[Action], None]) -> None:
        self._soon = soon
        self._ring: deque[Event] = deque(maxlen=RING)
        self._unsent: list[Event] = []
        self._listeners: set[Listener] = set()
        self._number = 0

    def publish(self, container: FakeContainer, action: str, time_ns: int, attributes: Mapping[str, str]) -> None:
        """Remember an event and send it soon; ``attributes`` are added to the container's own."""
        own = {**container.labels, "image": container.image, "name": container.name}
        self._number += 1
        event = Event(self._number, time_ns, action, container.id, dict(sorted({**own, **attributes}.items())))
        self._ring.append(event)
        if self._listeners:
            self._unsent.append(event)
            if len(self._unsent) == 1:
                self._soon(self._send)

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        for event in unsent:
            for listener in list(self._listeners):
                listener.tell(event)

    def past(self, since_ns: int, until_ns: int) -> list[Event]:
        """Return what is remembered between two times in ns, both included; 0: open."""
        if not since_ns and not until_ns:
            return []
        return [event for event in self._ring if since_ns <= event.time_ns <= (until_ns or event.time_ns)]

    def listen(self, exchange: Exchange, filters: Filters, legacy: bool, past: list[Event]) -> None:
        """Send past events, then each new one."""
        listener = Listener(exchange, filters, legacy, seen=0)
        for event in past:
            listener.tell(event)
        listener.seen = self._number
        self._listeners.add(listener)
        exchange.when_done(lambda: self._listeners.discard(listener))

    def cut(self) -> None:
        """Cut every open stream."""
        for listener in list(self._listeners):
            listener.exchange.cut()

    def forget(self) -> None:
        """Remember nothing, as an engine that was started again."""
        self._ring.clear()
