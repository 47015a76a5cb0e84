"""Our own schema: one point a sample, its fields the catalogue's."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from statspout import Container, ContainerSample
from statspout.catalogue import ENTRIES, Entry
from statspout.repositories.influxdb_lines.numbers import Fields, attributes, followed
from statspout.repositories.influxdb_lines.schema import SEEN, Kept, Schema
from statspout.repositories.influxdb_lines.text import series, string

POINT = "container"
NETWORK = "container_network"
# Not the Swarm task: its name is the container's.
TAGS = ("host", "container", "id", "image", "compose_project", "compose_service", "swarm_stack", "swarm_service")
TEXTS = ("state", "health", "network_shared_with")

_TYPES = typing.get_type_hints(ContainerSample)


def is_integer(entry: Entry) -> bool:
    """Whether the field is an integer: as the record declares it; what is derived is a float."""
    return entry.derive is None and int in typing.get_args(_TYPES[entry.field])


INTERFACE = tuple(entry.field for entry in ENTRIES if entry.networked)
"""The fields of an interface's point."""


class _Made(NamedTuple):
    """The beginning of a container's point, up to the fields that are no numbers, and what its others are made of."""

    start: bytes
    tags: Mapping[str, str]
    interfaces: dict[str, bytes]


class Own(Schema):
    """One point a sample in ``container``, and one for each of several interfaces in ``container_network``.

    Who shares another's network has none of its counters, so that sums count them once.
    """

    measurements = frozenset({POINT, NETWORK})
    names = frozenset({*TAGS, *TEXTS, *(entry.field for entry in ENTRIES), "interface", "seen"})

    def __init__(self, labels: Iterable[str] = (), *, texts: bool = True) -> None:
        super().__init__(labels, texts=texts)
        self._made = Kept(self._make, *TEXTS)
        self._fields = _fields(ENTRIES)
        self._unshared = _fields(entry for entry in ENTRIES if not entry.networked)
        self._interface = Fields((), INTERFACE, integers_of=attributes(*INTERFACE))

    def lines(self, sample: ContainerSample) -> bytes:
        """One line, and one for each interface where there are several."""
        made = self._made.of(sample)
        shared = sample.network_shared_with is not None
        fields = (self._unshared if shared else self._fields)(sample)
        line = b"%b%b %d" % (made.start, fields, sample.time_ns)
        if shared or sample.networks is None or len(sample.networks) < 2:
            return line
        return b"\n".join([line, *self._interfaces(sample, made)])

    def clear(self, container: Container) -> None:
        """Forget a container that is gone."""
        super().clear(container)
        self._made.drop(container)

    def _make(self, sample: ContainerSample) -> _Made:
        container = sample.container
        own = (
            sample.host,
            container.name,
            container.short_id,
            container.image,
            container.compose_project or "",
            container.compose_service or "",
            container.swarm_stack or "",
            container.swarm_service or "",
        )
        tags = {**dict(zip(TAGS, own, strict=True)), **self._labels.of(container)}
        texts = {name: getattr(sample, name) for name in TEXTS if self.texts}
        written = [f"{name}={string(text)}".encode() for name, text in texts.items() if text]
        return _Made(b"%b %b" % (series(POINT, tags), b",".join([SEEN, *written])), tags, {})

    def _interfaces(self, sample: ContainerSample, made: _Made) -> Iterable[bytes]:
        for name, interface in (sample.networks or {}).items():
            if name not in made.interfaces:
                made.interfaces[name] = series(NETWORK, {**made.tags, "interface": name})
            if fields := self._interface(interface):
                yield b"%b %b %d" % (made.interfaces[name], fields[1:], sample.time_ns)


def _fields(entries: Iterable[Entry]) -> Fields:
    entries = tuple(entries)
    integers = [entry.field for entry in entries if is_integer(entry)]
    floats = [entry.field for entry in entries if entry.derive is None and not is_integer(entry)]
    derived = {entry.field: entry.derive for entry in entries if entry.derive is not None}
    # To ask the sample for a derived one costs it a look-up that fails first; one with only some fields must be asked.
    quick, asked = followed(attributes(*floats), derived.values()), attributes(*floats, *derived)

    def floats_of(sample: ContainerSample) -> tuple[Any, ...]:
        return quick(sample) if type(sample) is ContainerSample else asked(sample)

    return Fields([*floats, *derived], integers, floats_of, attributes(*integers))
