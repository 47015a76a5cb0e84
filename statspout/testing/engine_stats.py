"""How the simulated engine answers ``/containers/{id}/stats``: when, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from statspout.testing.engine_frames import (
    DIRECT_ONE_SHOT_SINCE,
    Before,
    cpu_stats,
    empty_frame,
    frame,
    wrong_types_frame,
)
from statspout.testing.engine_http import Exchange, RequestLog
from statspout.testing.engine_state import SECOND, FakeContainer, Fault, LostNetworkError, World

TICK = SECOND
"""Engines before 25 read all containers once in so many ns, and so do streams on any engine."""

STREAM_WINS_SINCE = (29,)
"""Before this release a client that wants both a stream and one shot is refused."""

FALSE_WORDS = frozenset({"", "0", "no", "false", "none"})


def is_true(query: Mapping[str, str], key: str, default: bool = False) -> bool:
    """Read a boolean of a query as the engine does."""
    return query[key].strip().lower() not in FALSE_WORDS if key in query else default


@dataclass(eq=False, slots=True)
class Reading:
    """One client's stats request: the container, what is wrong with it, and the reading before."""

    exchange: Exchange
    container: FakeContainer
    fault: str = ""
    one_shot: bool = False
    before: Before | None = None


class Stats:
    """Answers stats requests."""

    def __init__(self, world: World, log: RequestLog) -> None:
        self._world = world
        self._log = log
        self._tick_ns = 0
        self._misbehaviour: dict[str, Callable[[Reading], None]] = {
            "hang": self._hang,
            "hang_headers": self._hang,
            "hang_body": self._hang_body,
            "cut": self._cut,
            "garbage": lambda reading: reading.exchange.answer(b'{"read":\xff\xfe not json'),
            "wrong_types": self._wrong_types,
            "empty": lambda reading: reading.exchange.answer(empty_frame(reading.container, world.host)),
            "error": lambda reading: reading.exchange.refuse(500, "simulated failure"),
            "gone": lambda reading: reading.exchange.refuse(404, f"No such container: {reading.container.id}"),
            "conflict": lambda reading: reading.exchange.refuse(409, "simulated conflict"),
        }

    def answer(self, exchange: Exchange, container: FakeContainer, query: Mapping[str, str], one_shot: bool) -> None:
        """Answer one request; ``one_shot`` says whether the client's API version has it."""
        streaming, one_shot = is_true(query, "stream", default=True), one_shot and is_true(query, "one-shot")
        if streaming and one_shot and self._world.host.release < STREAM_WINS_SINCE:
            exchange.refuse(400, "cannot have stream=true and one-shot=true")
            return
        self._log.enter()
        exchange.when_done(self._log.leave)
        fault = self._world.faults.take(container.id)
        self._begin(Reading(exchange, container, fault.kind if fault else "", one_shot), fault, streaming)

    def _begin(self, reading: Reading, fault: Fault | None, streaming: bool) -> None:
        misbehave = self._misbehaviour.get(reading.fault)
        if misbehave:
            misbehave(reading)
        else:
            self._sample(reading, self._world.latency + _slowness(fault), streaming)

    def _sample(self, reading: Reading, wait: float, streaming: bool) -> None:
        if streaming:
            reading.exchange.stream()
            reading.exchange.after(wait, lambda: self._next_frame(reading))
        elif reading.one_shot:
            reading.exchange.after(wait + self._until_tick(), lambda: self._once(reading))
        elif reading.container.running:
            reading.exchange.after(wait + self._until_tick(), lambda: self._first_of_two(reading))
        else:
            self._once(reading)

    def _until_tick(self) -> float:
        """Return the seconds until the collector's next turn: none when it idles, or on an engine that needs none."""
        if self._world.host.release >= DIRECT_ONE_SHOT_SINCE:
            return 0.0
        now = self._world.clock()
        if now >= self._tick_ns + TICK:
            self._tick_ns = now
        elif self._tick_ns <= now:
            self._tick_ns += TICK
        return (self._tick_ns - now) / SECOND

    def _first_of_two(self, reading: Reading) -> None:
        now = self._world.clock()
        reading.container.advance(now)
        reading.before = Before(now, cpu_stats(reading.container, self._world.host, now))
        reading.exchange.after(TICK / SECOND, lambda: self._once(reading))

    def _once(self, reading: Reading) -> None:
        if reading.container.state == "removed":
            reading.exchange.refuse(404, f"No such container: {reading.container.id}")
            return
        body, read_ns = self._read(reading)
        reading.exchange.answer(body)
        self._note(reading, read_ns)

    def _next_frame(self, reading: Reading) -> None:
        if reading.container.state == "removed":
            reading.exchange.end()
            return
        body, read_ns = self._read(reading)
        reading.exchange.chunk(body + b"\n")
        self._note(reading, read_ns)
        reading.exchange.after(TICK / SECOND, lambda: self._next_frame(reading))

    def _read(self, reading: Reading) -> tuple[bytes, int]:
        """Return an answer and its time in ns, 0 for that of a container without readings."""
        container, host, now = reading.container, self._world.host, self._world.clock()
        if not container.running:
            return empty_frame(container, host), 0
        try:
            network = self._world.network_of(container, now)
        except LostNetworkError:
            return empty_frame(container, host), 0
        if reading.fault == "rollback":
            container.advance(now)
            container.roll_back()
        body, reading.before = frame(
            container, host, now, network, before=reading.before, one_shot=reading.one_shot, fault=reading.fault
        )
        return body, now

    def _note(self, reading: Reading, read_ns: int) -> None:
        if read_ns:
            reading.exchange.when_written(lambda: self._log.answered(reading.container.id, read_ns))

    def _hang(self, reading: Reading) -> None:
        """Never answer; the client's leaving ends it."""

    def _hang_body(self, reading: Reading) -> None:
        body, _ = self._read(reading)
        reading.exchange.part(body, len(body) // 2)

    def _cut(self, reading: Reading) -> None:
        self._hang_body(reading)
        reading.exchange.cut()

    def _wrong_types(self, reading: Reading) -> None:
        reading.exchange.answer(wrong_types_frame(reading.container, self._world.clock()))


def _slowness(fault: Fault | None) -> float:
    return fault.seconds if fault and fault.kind == "slow" else 0.0
