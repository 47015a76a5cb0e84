"""The Docker Engine API, as much of it as reading needs. Every request is a GET."""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import quote

from statspout import __version__
from statspout.errors import BadAnswer, ConfigError, Refused, SourceError
from statspout.sources.engine.address import Address
from statspout.sources.engine.answers import (
    Event,
    Info,
    Inspected,
    Listed,
    Version,
    decode,
    decode_list,
)
from statspout.sources.engine.http import Answer, Pool, error_message

NEWEST_API = (1, 52)
"""The newest API whose answers we know; a newer engine is asked in this one."""

ONE_SHOT_API = (1, 41)
DIRECT_ONE_SHOT_API = (1, 44)
"""Engine 25: the first whose one-shot answer does not wait for the engine's own one-second collector."""

EVENTS = ("start", "die", "destroy", "stop", "pause", "unpause", "rename", "update")
PODMAN_EVENTS = (*EVENTS, "died", "remove")
"""Podman filters by its own words, and then translates some of them."""

DEADLINE = 5.0
"""Seconds for the rare calls: version, info, list, inspect."""

_AT_ONCE, _BY_AND_BY = 0.02, 0.1
"""Seconds that an answer waits for others: they come together, or, before engine 25, all over a second."""

_LONGEST_EVENT = 1024 * 1024
_MOST_STATS = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Engine:
    """What an engine says of itself. ``api`` is the version that both sides speak, None when it would not say.

    ``podman``: it is Podman's API in Docker's words, by its ``Server`` header or its components, never by a name.
    """

    name: str
    version: str
    api: tuple[int, int] | None
    podman: bool = False

    @property
    def one_shot(self) -> bool:
        """Whether it can answer with one reading instead of two that are a second or two apart."""
        return self.api is not None and self.api >= ONE_SHOT_API

    @property
    def direct(self) -> bool:
        """Whether that answer comes at once."""
        return self.podman or (self.api is not None and self.api >= DIRECT_ONE_SHOT_API)


class EngineClient:
    """One engine at one address. ``deadline`` is in seconds, for all but the statistics.

    ``name`` is what it is called where there are several.
    """

    def __init__(
        self, address: Address, api_override: str | None = None, deadline: float = DEADLINE, *, name: str = ""
    ) -> None:
        self.address = address
        self.name = name
        self.engine = Engine("", "", None)
        self._pool = Pool(address)
        self._samples = Pool(address)
        self._prefix = ""
        self._override = api_override
        self._deadline = deadline

    def __str__(self) -> str:
        """The engine as a log line tells it from others."""
        return f"engine {self.name} ({self.address})" if self.name else f"engine {self.address}"

    @property
    def label(self) -> str:
        """Its name, or, of the only one, its address."""
        return self.name or str(self.address)

    async def negotiate(self) -> Engine:
        """Ask who the engine is, and agree on an API version. A proxy may forbid some of it; the unknown is empty."""
        version, podman = await self._version()
        api = _parse_api(self._override or version.api_version)
        spoken = min(api, NEWEST_API) if api is not None and not self._override else api
        self._prefix = f"/v{spoken[0]}.{spoken[1]}" if spoken else ""
        self.engine = Engine(await self._name(), version.version, spoken, podman)
        self._samples.patience = _AT_ONCE if self.engine.direct else _BY_AND_BY
        return self.engine

    async def list_running(self) -> list[Listed]:
        """The running containers, paused ones among them."""
        return decode_list((await self._get("/containers/json")).body)

    async def inspect(self, container_id: str) -> Inspected:
        """One container in detail."""
        return decode((await self._get(f"/containers/{container_id}/json")).body, Inspected, "inspect")

    def stats_request(self, container_id: str) -> bytes:
        """The request for one reading of one container, to be sent again and again."""
        one_shot = "&one-shot=true" if self.engine.one_shot else ""
        return self._request(f"{self._prefix}/containers/{container_id}/stats?stream=false{one_shot}")

    async def stats(self, request: bytes, deadline: float) -> bytes:
        """The body of the answer to a :meth:`stats_request`."""
        answer = await self._samples.get(request, deadline, _MOST_STATS)
        if answer.status != 200:
            raise Refused(answer.status, error_message(answer.body))
        return answer.body

    async def events(self) -> AsyncIterator[Event | None]:
        """What happens to containers from now on: None once the engine listens to us, then each event until its end."""
        words = PODMAN_EVENTS if self.engine.podman else EVENTS
        filters = quote(json.dumps({"type": ["container"], "event": words}, separators=(",", ":")))
        rest = b""
        async for piece in self._pool.stream(self._request(f"{self._prefix}/events?filters={filters}"), self._deadline):
            if not piece:
                yield None
                continue
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.strip(b"\x1e\r "):
                    yield decode(line.strip(b"\x1e\r "), Event, "event")
            if len(rest) > _LONGEST_EVENT:
                raise BadAnswer("event: a line without end")

    def close(self) -> None:
        """Close the idle connections."""
        self._samples.close()
        self._pool.close()

    async def _version(self) -> tuple[Version, bool]:
        """What it says of its version, and whether it is Podman."""
        try:
            answer = await self._get("/version", prefix="")
            version = decode(answer.body, Version, "version")
        except (Refused, BadAnswer):
            answer = await self._pool.get(self._request("/_ping"), self._deadline)
            version = Version(api_version=answer.header("api-version"))
        return version, version.podman or answer.header("server").startswith("Libpod/")

    async def _name(self) -> str:
        try:
            return decode((await self._get("/info")).body, Info, "info").name
        except SourceError:
            # Only a name is lost: a proxy forbids this call, or the engine is busy with it.
            return ""

    async def _get(self, path: str, prefix: str | None = None) -> Answer:
        whole = (self._prefix if prefix is None else prefix) + path
        answer = await self._pool.get(self._request(whole), self._deadline)
        if answer.status != 200:
            raise Refused(answer.status, error_message(answer.body))
        return answer

    def _request(self, path: str) -> bytes:
        return (
            f"GET {path} HTTP/1.1\r\nHost: {self.address.host}\r\nUser-Agent: statspout/{__version__}\r\n"
            "Accept: application/json\r\n\r\n"
        ).encode("latin-1")


def _parse_api(text: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"([0-9]{1,3})\.([0-9]{1,4})", text)
    return (int(found[1]), int(found[2])) if found else None


def api_override() -> str | None:
    """DOCKER_API_VERSION, which forces an API version as it does for the docker command."""
    text = os.environ.get("DOCKER_API_VERSION")
    if text and _parse_api(text) is None:
        raise ConfigError(f"DOCKER_API_VERSION: {text!r} is wrong: a version such as 1.43 is right")
    return text or None
