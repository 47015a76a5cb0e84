"""What a run of the fuzz tests says of itself: with which seed, and how many inputs it tried."""

from __future__ import annotations

import pytest
from support.fuzz import SEED, TIMES, TRIED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TRIED:
        each = ", ".join(f"{what} {count:,}" for what, count in sorted(TRIED.items()))
        terminalreporter.section("bad inputs")
        terminalreporter.line(f"STATSPOUT_FUZZ_SEED={SEED} STATSPOUT_FUZZ_TIMES={TIMES:g}: {TRIED.total():,}: {each}")
