"""What is installed is what is in the repository."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def tracked() -> set[str]:
    """The package's files by git, under the names that they are installed by."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout: clone the repository")
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files", "statspout", "repositories", "cmd"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    links = {"statspout/repositories", "statspout/cmd"}
    return {name if name.startswith("statspout/") else f"statspout/{name}" for name in names} - links


def test_the_wheel_has_every_file_of_the_package_and_no_other() -> None:
    record = distribution("statspout").read_text("RECORD")
    if record is None or "__editable__" in record:
        return  # a checkout under development is its own package; the tests of a release run on the wheel
    files = {line.split(",")[0] for line in record.splitlines()}
    assert {file for file in files if file.startswith("statspout/") and "__pycache__" not in file} == tracked()


def test_nothing_called_cmd_or_repositories_is_installed_at_the_top() -> None:
    tops = {str(file).split("/")[0] for file in distribution("statspout").files or ()}
    assert not tops & {"cmd", "repositories", "tests"}


def test_every_repository_has_an_extra_and_all_has_them_all() -> None:
    metadata = distribution("statspout").metadata
    extras = set(metadata.get_all("Provides-Extra") or ())
    entry_points = {point.name for point in distribution("statspout").entry_points if "repositories" in point.group}
    assert entry_points | {"all"} <= extras


def test_pytest_finds_the_fixtures_for_applications_where_statspout_is_installed() -> None:
    plugins = {point.value for point in distribution("statspout").entry_points if point.group == "pytest11"}
    assert plugins == {"statspout.client.redis.testing"}
