"""What the daemon says of itself is right, and documented."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.formats import PARSERS

from statspout.delivery.delivery import Delivery
from statspout.exposition import render
from statspout.health import Health
from statspout.repository import Repository
from statspout.router import Router
from statspout.settings import Settings
from statspout.sources.applications import Surroundings, application_sources
from statspout.telemetry import Heard, Telemetry
from statspout.testing import sample

DOCS = Path(__file__).parents[2] / "docs" / "operating.md"


class Sunk(Repository):
    """Nothing comes back."""

    name = "sunk"

    def push(self, batch: Any) -> None: ...


def health(**state: Any) -> Health:
    telemetry = Telemetry()
    for name, value in state.items():
        setattr(telemetry, name, value)
    wanted = Surroundings(
        Settings(listen_mmap=("/run/stats/*.mmstats",), listen_redis="redis://127.0.0.1"), [], lambda: "", Heard()
    )
    return Health([telemetry], Heard(), [], interval=5.0, applications=application_sources(wanted, []))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({}, "the engine has not listed its containers yet"),
        ({"listed": 1.0}, "the engine does not answer"),
        ({"listed": 1.0, "engine_up": True}, None),
        ({"listed": 1.0, "engine_up": True, "containers": 2}, "no container gave a sample for 3 intervals"),
        ({"listed": 1.0, "engine_up": True, "containers": 2, "last_sample": -99.0}, "no container gave a sample for"),
        ({"listed": 1.0, "engine_up": True, "containers": 2, "last_sample": "now"}, None),
    ],
)
def test_ready_means_that_samples_come(state: dict[str, Any], reason: str | None) -> None:
    if state.get("last_sample") == "now":
        state = {**state, "last_sample": time.monotonic()}
    got = health(**state).readiness()
    assert got["ready"] == (reason is None)
    assert (reason or "") in (got["reason"] or "")


def test_the_books_of_every_repository_are_shown_by_reason() -> None:
    router = Router([Delivery(Sunk())])
    router.push(sample())
    router.clear(sample().container)
    router.push(sample())
    text = render(Health([Telemetry()], Heard(), router.routes, 5.0).families()).decode()
    assert 'statspout_dropped_total{repository="sunk",reason="gone"} 1' in text
    assert 'statspout_queue_samples{repository="sunk"} 1' in text
    assert 'statspout_collected_total{repository="sunk"} 2' in text


def test_both_formats_say_the_same() -> None:
    families = health(last_sample=1.0).families()
    texts, openmetrics = (
        [sample for family in parse(render(families, each).decode()) for sample in family.samples]
        for each, parse in PARSERS.items()
    )
    assert texts == openmetrics
    assert texts


def test_every_metric_is_documented_and_every_documented_metric_exists() -> None:
    text = render(health(last_sample=1.0).families()).decode()
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    parsed = list(text_string_to_metric_families(text))
    assert len(parsed) == len(names)
    words = DOCS.read_text().replace("`", " ").replace("{", " ").replace(",", " ").split()
    documented = {word for word in words if word.startswith(("statspout_", "process_"))}
    assert documented == names
