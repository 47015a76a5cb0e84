"""The engine's answers about containers, as far as they are used, and what they come to in our terms."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from statspout.errors import BadAnswer
from statspout.sample import Container
from statspout.source import Target

T = TypeVar("T")

NOT_DECODED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What the decoder raises of bytes that are something else; the last for what is nested a thousand deep."""


class Component(msgspec.Struct, rename="pascal"):
    """One of the programs that an engine is made of."""

    name: str = ""


class Version(msgspec.Struct, rename="pascal"):
    """GET /version."""

    version: str = ""
    api_version: str = ""
    components: list[Component] | None = None

    @property
    def podman(self) -> bool:
        """Whether it is Podman that speaks Docker's API here."""
        return any(component.name == "Podman Engine" for component in self.components or ())


class Info(msgspec.Struct, rename="pascal"):
    """GET /info."""

    name: str = ""


class ListedHostConfig(msgspec.Struct, rename="pascal"):
    """The part of the host configuration that a list and an inspect share."""

    network_mode: str | None = None


class HostConfig(ListedHostConfig, rename="pascal"):
    """The host configuration of an inspect. Memory in bytes; without a limit it is 0, and that of the pids 0 or -1."""

    memory: int | None = None
    pids_limit: int | None = None


class EndpointSettings(msgspec.Struct, rename="pascal"):
    """One network that a container is in."""

    driver_opts: dict[str, str] | None = None


class NetworkSettings(msgspec.Struct, rename="pascal"):
    """The networks of an inspect, by name."""

    networks: dict[str, EndpointSettings | None] | None = None

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The names that interfaces were given in place of eth0 and so on, as engines from 28 on let them be."""
        options = [(network.driver_opts or {}) for network in (self.networks or {}).values() if network is not None]
        return tuple(sorted(name for one in options if (name := one.get("com.docker.network.endpoint.ifname"))))


class Listed(msgspec.Struct, rename="pascal"):
    """One container of GET /containers/json."""

    id: str
    names: list[str] | None = None
    image: str | None = None
    labels: dict[str, str | None] | None = None
    state: str | None = None
    status: str | None = None
    host_config: ListedHostConfig | None = None

    @property
    def name(self) -> str:
        """Its own name; the others, with a second slash, are links to it."""
        own = [name for name in self.names or () if name.count("/") < 2]
        return own[0].removeprefix("/") if own else self.id[:12]

    @property
    def health(self) -> str | None:
        """Its health as the status text tells it."""
        found = re.search(r"\((?:health: )?(healthy|unhealthy|starting)\)", self.status or "")
        return found[1] if found else None

    @property
    def young(self) -> bool:
        """Whether the status text counts its uptime in seconds, as it does in the first minute."""
        return re.match(r"Up (\d+ second|Less than a second)", self.status or "") is not None


class HealthState(msgspec.Struct, rename="pascal"):
    """The health of an inspect."""

    status: str | None = None


class State(msgspec.Struct, rename="pascal"):
    """The state of an inspect."""

    status: str | None = None
    running: bool = False
    started_at: str = ""
    pid: int | None = None
    health: HealthState | None = None


class ContainerConfig(msgspec.Struct, rename="pascal"):
    """The configuration of an inspect."""

    image: str | None = None
    labels: dict[str, str | None] | None = None


class Inspected(msgspec.Struct, rename="pascal"):
    """GET /containers/ID/json."""

    id: str
    name: str = ""
    restart_count: int | None = None
    state: State = msgspec.field(default_factory=State)
    config: ContainerConfig = msgspec.field(default_factory=ContainerConfig)
    host_config: HostConfig | None = None
    network_settings: NetworkSettings | None = None

    def target(self) -> Target:
        """What discovery makes of it."""
        health = self.state.health.status if self.state.health else None
        config = self.host_config or HostConfig()
        return Target(
            container=Container(
                id=self.id,
                name=self.name.removeprefix("/") or self.id[:12],
                image=self.config.image or "",
                labels=read_only(self.config.labels),
                started_at=time_ns(self.state.started_at),
            ),
            state=self.state.status,
            health=health if health in ("healthy", "unhealthy", "starting") else None,
            restarts=self.restart_count,
            network_mode=config.network_mode,
            pid=_positive(self.state.pid),
            memory_limit=_positive(config.memory),
            pids_limit=_positive(config.pids_limit),
            interfaces=self.network_settings.interfaces if self.network_settings else (),
        )


def _positive(value: int | None) -> int | None:
    return value if value and value > 0 else None


def read_only(labels: Mapping[str, str | None] | None) -> Mapping[str, str]:
    """The labels as everybody may read and nobody can change them: one object serves every sample and repository."""
    return MappingProxyType({key: value or "" for key, value in (labels or {}).items()})


_DOCKERS_WORDS = {"died": "die", "remove": "destroy"}
"""For those that Podman has of its own, and does not always translate."""


class Actor(msgspec.Struct):
    """Whom an event is about."""

    ID: str = ""
    Attributes: Mapping[str, str] = {}


class Event(msgspec.Struct):
    """One line of GET /events. Engines before API 1.52 also send ``status`` and ``id``, old proxies only those."""

    Type: str = "container"
    Action: str = ""
    Actor: Actor = msgspec.field(default_factory=Actor)
    timeNano: int = 0  # noqa: N815 - the engine's name
    status: str = ""
    id: str = ""

    @property
    def action(self) -> str:
        """What happened, such as ``start``, in Docker's words; an exec's command is cut off."""
        word = (self.Action or self.status).partition(":")[0]
        return _DOCKERS_WORDS.get(word, word)

    @property
    def container_id(self) -> str:
        """Whom it happened to."""
        return self.Actor.ID or self.id


def decode(body: bytes, type_: type[T], what: str) -> T:
    """``body`` as ``type_``, or BadAnswer that says what was expected where."""
    try:
        return msgspec.json.decode(body, type=type_)
    except NOT_DECODED as error:
        raise BadAnswer(f"{what}: {error}") from error


def decode_list(body: bytes) -> list[Listed]:
    """The containers of a list. One that cannot be read does not hide the others."""
    try:
        return msgspec.json.decode(body, type=list[Listed])
    except msgspec.ValidationError:
        return [listed for listed in map(_listed, decode(body, list[Any], "container list")) if listed is not None]
    except NOT_DECODED as error:
        # What is no UTF-8 is an error of its own to some versions of msgspec only.
        if (readable := body.decode("utf-8", "replace").encode()) != body:
            return decode_list(readable)
        raise BadAnswer(f"container list: {error}") from error


def _listed(value: Any) -> Listed | None:
    """One container of a list; of one that cannot be read the id is enough, for an inspect will tell the rest."""
    try:
        return msgspec.convert(value, Listed)
    except msgspec.ValidationError:
        found = value.get("Id") if isinstance(value, dict) else None
        return Listed(id=found) if isinstance(found, str) and found else None


_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d):(\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_ns(text: str) -> int | None:
    """RFC 3339 as nanoseconds since the epoch; None for what is no time, or before 1970 like the engine's zero time."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    minute, second, fraction, zone = found.groups()
    seconds = _minute(minute, zone)
    if seconds is None or seconds < 0 or second > "59":
        return None
    return (seconds + int(second)) * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


@functools.lru_cache(maxsize=64)
def _minute(text: str, zone: str) -> int | None:
    """Seconds from the epoch to this minute. Many answers are of one minute."""
    try:
        passed = datetime.fromisoformat(f"{text}:00{zone.replace('Z', '+00:00')}") - _EPOCH
    except ValueError:
        return None
    return passed.days * 86400 + passed.seconds
