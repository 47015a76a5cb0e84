"""The engine that the fault tests watch."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from statspout.testing import FakeEngine


@pytest.fixture
def engine(caplog: pytest.LogCaptureFixture) -> Iterator[FakeEngine]:
    """Three containers; whatever a test did, only GETs were sent and few lines were logged."""
    caplog.set_level(logging.INFO, "statspout")
    with FakeEngine() as engine:
        for name in ("web", "db", "cache"):
            engine.add(name, cpu=0.5)
        yield engine
        assert {request.method for request in engine.requests} == {"GET"}
        assert len(caplog.records) < 20, caplog.text
        assert "Traceback" not in caplog.text
