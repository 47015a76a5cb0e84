"""What every test run does: it says which package it tests, and which tests it could not run."""

from __future__ import annotations

import importlib.util
import os
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("statspout.testing.contract")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(NotRun(), "statspout-not-run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is for the night: CI has no time for it."""
    if os.environ.get("STATSPOUT_NIGHTLY") != "1":
        late = [item for item in items if item.get_closest_marker("nightly")]
        items[:] = [item for item in items if item not in late]
        config.hook.pytest_deselected(items=late)


def pytest_report_header() -> str:
    return f"statspout: {_tested_package()}"


def pytest_sessionstart() -> None:
    """Under `scripts/test`, refuse to test the checkout in the place of what users install."""
    package, installed = _tested_package(), Path(sysconfig.get_path("purelib")).resolve()
    if os.environ.get("STATSPOUT_TEST_INSTALLED") and not (package and package.is_relative_to(installed)):
        raise pytest.UsageError(f"the package in {installed} was to be tested, not {package}")


def _tested_package() -> Path | None:
    found = importlib.util.find_spec("statspout")
    return Path(found.origin).parent.resolve() if found and found.origin else None


@pytest.fixture(autouse=True)
def secrets_of_its_own() -> Iterator[None]:
    """What one test has hidden from the log is no secret of the next."""
    from statspout import logs  # when the package was found to be the one that is meant

    yield
    logs._secrets.clear()
    logs._hidden = ()


class NotRun:
    """Lists every skipped test with its reason; where nothing may be skipped, a skip fails the run."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.forbidden = os.environ.get("CI") == "true" or os.environ.get("STATSPOUT_TEST_NO_SKIP") == "1"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._count(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._count(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        passed = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        if self.forbidden and self.reasons and passed:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.reasons:
            return
        terminalreporter.section("not run, and how to get it")
        for reason, count in sorted(self.reasons.items()):
            terminalreporter.line(f"{count} x {reason}")
        if self.forbidden:
            terminalreporter.line("FAILED: nothing may be skipped in this run", red=True)

    def _count(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        self.reasons[f"{reason.removeprefix('Skipped: ')} ({report.nodeid.partition('::')[0]})"] += 1
