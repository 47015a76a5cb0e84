"""How statspout itself is doing: /healthz, /readyz and /metrics at ``--health.address``."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from statspout import __version__
from statspout.delivery.books import REASONS
from statspout.delivery.delivery import Delivery
from statspout.exposition import Family, FamilyKind, Histogram, render
from statspout.latest import STALE_AFTER
from statspout.logs import counted
from statspout.router import Route
from statspout.scrape import answer
from statspout.sources.filters import REASONS as FILTER_REASONS
from statspout.telemetry import BAD_LINES, HTTP_REFUSED, KINDS, LATE, LEFT_OUT, Heard, Telemetry

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from statspout.sources.applications import ApplicationSource


_OF_ENGINES: tuple[tuple[str, FamilyKind, str, str], ...] = (
    ("samples_total", "counter", "Container samples collected.", "samples"),
    ("containers", "gauge", "Containers that are sampled.", "containers"),
    ("engine_up", "gauge", "Whether the engine answers.", "engine_up"),
    ("polls_total", "counter", "Polls begun.", "polls"),
    ("ticks_skipped_total", "counter", "Due times passed by a poll under way.", "skipped_ticks"),
)
"""What is told of each engine: name, kind, help, and the attribute of its telemetry."""


class Health:
    """The state of the daemon, for people, orchestrators and Prometheus. ``interval`` in seconds.

    ``engines``, ``routes`` and ``applications`` are looked at as they are at the moment: all may change. ``refused``
    counts who asked us and was not answered, by one of :data:`statspout.telemetry.HTTP_REFUSED`.
    """

    def __init__(
        self,
        engines: Sequence[Telemetry],
        heard: Heard,
        routes: Sequence[Route],
        interval: float,
        refused: Counter[str] | None = None,
        applications: Sequence[ApplicationSource] = (),
    ) -> None:
        self.interval = interval
        self._engines = engines
        self._heard_of = heard
        self._routes = routes
        self._refused = Counter() if refused is None else refused
        self._applications = applications
        self._started = time.monotonic()

    open_paths = ("/healthz",)
    """For everybody, whoever else is asked for credentials: that it runs, and since when, is no secret of anybody's."""

    def routes(self) -> Sequence[BaseRoute]:
        """The Starlette routes."""
        from starlette.responses import JSONResponse
        from starlette.routing import Route as HttpRoute

        async def healthz(request: Request) -> Response:  # noqa: ARG001 - Starlette hands it over
            return JSONResponse({"status": "ok", "uptime_seconds": self._uptime()})

        async def readyz(request: Request) -> Response:  # noqa: ARG001 - Starlette hands it over
            state = self.readiness()
            return JSONResponse(state, 200 if state["ready"] else 503)

        async def metrics(request: Request) -> Response:
            return await answer(request, lambda chosen: render(self.families(), chosen))

        return [HttpRoute("/healthz", healthz), HttpRoute("/readyz", readyz), HttpRoute("/metrics", metrics)]

    def readiness(self) -> dict[str, Any]:
        """Whether samples come: ``ready``, the ``reason`` when not, and the age of the last one in seconds.

        Of several engines one is enough; ``engines`` tells of each by its name.
        """
        states = {telemetry.name: self._state(telemetry) for telemetry in self._engines}
        reasons = {name: state["reason"] for name, state in states.items() if state["reason"] is not None}
        ready = len(reasons) < len(states)
        ages = [state["last_sample_age_seconds"] for state in states.values()]
        return {
            "ready": ready,
            "reason": None if ready else "; ".join(_of_engine(*each) for each in reasons.items()),
            "last_sample_age_seconds": min((age for age in ages if age is not None), default=None),
            "engine_up": all(state["engine_up"] for state in states.values()),
            "containers": sum(state["containers"] for state in states.values()),
            "left_out": sum(state["left_out"] for state in states.values()),
            "engines": {name: state for name, state in states.items() if name},
            "queued": {route.name: route.books.queued for route in self._routes},
            "dropped": {route.name: route.books.dropped.total() for route in self._routes},
            "stuck": [delivery.name for delivery in self._deliveries() if delivery.stuck],
        }

    def _state(self, telemetry: Telemetry) -> dict[str, Any]:
        """The same of one engine."""
        age = None if telemetry.last_sample is None else time.monotonic() - telemetry.last_sample
        reason = self._not_ready(telemetry, age)
        return {
            "ready": reason is None,
            "reason": reason,
            "last_sample_age_seconds": age,
            "engine_up": telemetry.engine_up,
            "containers": telemetry.containers,
            "left_out": telemetry.left_out.total(),
        }

    def line(self) -> str:
        """The readiness in a few words."""
        return in_short(self.readiness())

    def _not_ready(self, telemetry: Telemetry, age: float | None) -> str | None:
        if telemetry.listed is None:
            return "the engine has not listed its containers yet"
        if not telemetry.engine_up:
            return "the engine does not answer"
        if telemetry.containers and (age is None or age > STALE_AFTER * self.interval):
            return f"no container gave a sample for {STALE_AFTER} intervals"
        return None

    def families(self) -> list[Family | Histogram]:
        """The metrics about statspout itself."""
        applications = [family for source in self._applications for family in source.families()]
        return [
            *self._collection(), *self._heard(), *applications, *self._delivery(), *self._served(), *self._process()
        ]  # fmt: skip

    def _collection(self) -> Iterator[Family | Histogram]:
        engines = [({"engine": telemetry.name}, telemetry) for telemetry in self._engines]
        for name, kind, help_, attribute in _OF_ENGINES:
            values = [(labels, getattr(telemetry, attribute)) for labels, telemetry in engines]
            yield Family(f"statspout_{name}", kind, help_, values)
        yield Family(
            "statspout_errors_total",
            "counter",
            "Polls that gave no sample, by kind.",
            [({**labels, "kind": kind}, telemetry.errors[kind]) for labels, telemetry in engines for kind in KINDS],
        )
        left_out = [(labels, telemetry.left_out) for labels, telemetry in engines]
        yield Family(
            "statspout_containers_left_out",
            "gauge",
            "Running containers that are not sampled, by reason.",
            [
                ({**labels, "reason": reason}, counts[reason])
                for labels, counts in left_out
                for reason in FILTER_REASONS
            ],
        )
        yield from self._punctuality(engines)

    def _punctuality(self, engines: Sequence[tuple[dict[str, str], Telemetry]]) -> Iterator[Family | Histogram]:
        yield Histogram(
            "statspout_tick_lateness_seconds",
            "Seconds from due time to poll.",
            LATE,
            [(labels, telemetry.lateness.counts, telemetry.lateness.total) for labels, telemetry in engines],
        )
        most = [(labels, telemetry.lateness.most) for labels, telemetry in engines]
        yield Family("statspout_tick_lateness_seconds_max", "gauge", "The longest of these since the start.", most)
        now = time.monotonic()
        ages = [(labels, now - each.last_sample) for labels, each in engines if each.last_sample is not None]
        if ages:
            yield Family("statspout_last_sample_age_seconds", "gauge", "Seconds since the last sample.", ages)

    def _heard(self) -> Iterator[Family]:
        heard = self._heard_of
        for name, help_, value in (
            ("packets", "StatsD datagrams received.", heard.packets),
            ("lines", "StatsD lines received, bad ones among them.", heard.lines),
            ("socket_drops", "Packets that the kernel dropped because a socket's buffer was full.", heard.socket_drops),
            ("refused_connections", "TCP connections beyond the most that are held.", heard.refused),
        ):
            yield _single(f"statspout_statsd_{name}_total", "counter", help_, value)
        bad = [({"kind": kind}, heard.bad[kind]) for kind in BAD_LINES]
        yield Family("statspout_statsd_bad_lines_total", "counter", "StatsD lines that were not taken, by kind.", bad)
        left_out = [({"reason": reason}, heard.left_out[reason]) for reason in LEFT_OUT]
        yield Family(
            "statspout_statsd_left_out_total",
            "counter",
            "What was understood and is not told, by reason.",
            left_out,
        )
        yield _single("statspout_statsd_series", "gauge", "StatsD series that are known.", heard.series)

    def _delivery(self) -> Iterator[Family]:
        books = [({"repository": route.name}, route.books) for route in self._routes]
        for name, help_, attribute in (
            ("collected", "Samples that the repository was to get.", "collected"),
            ("restored", "Samples found in the spool at the start.", "restored"),
            ("filtered", "Samples that the repository does not take, or was not to get.", "filtered"),
            ("delivered", "Samples stored.", "delivered"),
            ("repository_failures", "Pushes, opens and clears that failed.", "failures"),
        ):
            values = [(labels, getattr(account, attribute)) for labels, account in books]
            yield Family(f"statspout_{name}_total", "counter", help_, values)
        queued = [(labels, account.queued) for labels, account in books]
        yield Family(
            "statspout_queue_samples", "gauge", "Samples queued, those in flight and on disk among them.", queued
        )
        dropped = [
            ({**labels, "reason": reason}, account.dropped[reason]) for labels, account in books for reason in REASONS
        ]
        yield Family("statspout_dropped_total", "counter", "Samples lost, by reason.", dropped)
        yield from self._calls()
        yield from self._spools()

    def _calls(self) -> Iterator[Family]:
        found = [({"repository": delivery.name}, delivery) for delivery in self._deliveries()]
        stuck = [(labels, delivery.stuck) for labels, delivery in found]
        yield Family("statspout_stuck_calls", "gauge", "Calls given up that have not returned.", stuck)
        late = [(labels, delivery.late) for labels, delivery in found]
        yield Family("statspout_late_results_total", "counter", "Calls given up that returned after all.", late)

    def _spools(self) -> Iterator[Family]:
        found = [({"repository": delivery.name}, delivery.spool) for delivery in self._deliveries() if delivery.spool]
        sizes = [(labels, spool.bytes) for labels, spool in found]
        yield Family("statspout_spool_bytes", "gauge", "The size of the spool's file.", sizes)
        failures = [(labels, spool.failures) for labels, spool in found]
        yield Family(
            "statspout_spool_failures_total", "counter", "Writes and reads of the spool that failed.", failures
        )

    def _deliveries(self) -> Iterator[Delivery]:
        return (route for route in self._routes if isinstance(route, Delivery))

    def _served(self) -> Iterator[Family]:
        refused = [({"reason": reason}, self._refused[reason]) for reason in HTTP_REFUSED]
        help_ = "HTTP requests not answered, and connections cut, by reason."
        yield Family("statspout_http_refused_total", "counter", help_, refused)

    def _process(self) -> Iterator[Family]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu = usage.ru_utime + usage.ru_stime
        yield _single("process_cpu_seconds_total", "counter", "CPU time of statspout, user and system.", cpu)
        yield _single("process_resident_memory_bytes", "gauge", "Resident memory of statspout.", resident_memory())
        started = time.time() - self._uptime()
        yield _single("process_start_time_seconds", "gauge", "When statspout started, since the epoch.", started)
        yield Family("statspout_build_info", "info", "The version; always 1.", [({"version": __version__}, 1)])

    def _uptime(self) -> float:
        return time.monotonic() - self._started


def in_short(state: Mapping[str, Any]) -> str:
    """What :meth:`Health.readiness` returned, as a line of its own for people."""
    said = "ready" if state["ready"] else f"not ready: {state['reason']}"
    totals = {what: sum(state[what].values()) for what in ("queued", "dropped")}
    unwell = [f"{counted(number, 'sample')} {what}" for what, number in totals.items() if number]
    engines = state.get("engines", {}) if state["ready"] else {}
    away = [_of_engine(name, each["reason"]) for name, each in engines.items() if each["reason"] is not None]
    return ", ".join([said, counted(state["containers"], "container"), *unwell, *away])


def _of_engine(name: str, reason: str) -> str:
    return f"{name}: {reason}" if name else reason


def resident_memory() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _single(name: str, kind: FamilyKind, help_: str, value: float) -> Family:
    return Family(name, kind, help_, [({}, value)])
