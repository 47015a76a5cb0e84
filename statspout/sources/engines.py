"""The engines that the settings name, each a source of its own: what befalls one is nothing to another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from statspout.loglines import about
from statspout.settings import Settings
from statspout.sources.collectors import Choice, choice_of
from statspout.sources.engine.client import EngineClient, api_override
from statspout.sources.engine.endpoint import Endpoint, endpoints_of
from statspout.sources.engine.source import EngineSource
from statspout.sources.filters import Filters
from statspout.sources.roster import Roster
from statspout.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class PlannedEngine:
    """An engine as the settings have it; nothing of it was touched yet. ``endpoint`` is None for the simulated one."""

    endpoint: Endpoint | None
    choice: Choice
    filters: Filters
    api: str | None


def planned_engines(settings: Settings, environ: Mapping[str, str]) -> list[PlannedEngine]:
    """Whom the settings name; ConfigError when one of them cannot be."""
    api = api_override()
    endpoints: list[Endpoint | None] = [None] if settings.demo else [*endpoints_of(settings, environ)]
    filters = Filters(settings.ignore, settings.filter_include, settings.filter_exclude)
    return [
        PlannedEngine(endpoint, choice_of(settings, endpoint.address if endpoint else None), filters, api)
        for endpoint in endpoints
    ]


class WatchedEngine:
    """One engine: where it is, its source, and its counts. ``simulated`` gives the demo's, where it is that.

    ``rosters`` are those of all engines, as they are now.
    """

    def __init__(
        self,
        planned: PlannedEngine,
        settings: Settings,
        simulated: Callable[[], Endpoint],
        rosters: Sequence[Roster] = (),
    ) -> None:
        self.endpoint = planned.endpoint or simulated()
        self.choice = planned.choice
        self.telemetry = Telemetry(self.endpoint.name)
        self.like = _like(self.endpoint, planned, settings)
        """What it is by the settings: another with an equal one is the same."""
        self.client = EngineClient(self.endpoint.address, planned.api, name=self.endpoint.name)
        self.source = EngineSource(
            self.client,
            self.telemetry,
            interval=settings.interval,
            daemons=settings.daemons,
            filters=planned.filters,
            host=self.endpoint.name or settings.host_name,
            roots=planned.choice.roots,
            insist=planned.choice.insist,
            rosters=rosters,
        )

    @property
    def about(self) -> dict[str, Any]:
        """What makes a log line one about this engine."""
        return about(engine=self.client.label)

    def follow(self, before: WatchedEngine) -> None:
        """Take over what is known of who runs there: who does not any more is told of, once the engine has said so."""
        self.source.roster.targets.update(before.source.roster.targets)
        self.telemetry.last_sample = before.telemetry.last_sample


def _like(endpoint: Endpoint, planned: PlannedEngine, settings: Settings) -> tuple[object, ...]:
    # Certificates may be others by now under the same names: such an engine is asked anew.
    encrypted = object() if endpoint.address.encrypted else None
    chosen = settings.ignore, settings.filter_include, settings.filter_exclude
    return str(endpoint), planned.choice, settings.interval, settings.daemons, settings.host_name, chosen, encrypted
