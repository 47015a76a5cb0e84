"""A run that may not skip fails when it does, and every run says what it did not run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
SKIPS = "import pytest\n\ndef test_skips():\n    pytest.skip('needs a moon: build a rocket')\n\ndef test_runs(): ...\n"
XFAILS = "import pytest\n\n@pytest.mark.xfail\ndef test_xfails():\n    raise ValueError\n"
MODULE_SKIPS = "import pytest\n\npytest.skip('needs a sun: wait', allow_module_level=True)\n"


def pytest_run(folder: Path, test: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(CONFTEST, folder)
    (folder / "test_it.py").write_text(test)
    kept = {
        k: v
        for k, v in os.environ.items()
        if k not in ("CI", "STATSPOUT_TEST_NO_SKIP", "PYTEST_ADDOPTS") and "XDIST" not in k
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    return subprocess.run(
        [*command, *arguments], env=kept | variables, cwd=folder, text=True, capture_output=True, check=False
    )


def test_a_skip_is_listed_with_its_reason_and_does_no_harm(tmp_path: Path) -> None:
    run = pytest_run(tmp_path, SKIPS)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "not run, and how to get it" in run.stdout
    assert "1 x needs a moon: build a rocket (test_it.py)" in run.stdout


@pytest.mark.parametrize("variables", [{"CI": "true"}, {"STATSPOUT_TEST_NO_SKIP": "1"}])
@pytest.mark.parametrize("test", [SKIPS, MODULE_SKIPS])
@pytest.mark.parametrize("arguments", [(), ("-n", "2")])
def test_a_skip_fails_a_run_that_may_not_skip(
    tmp_path: Path, variables: dict[str, str], test: str, arguments: tuple[str, ...]
) -> None:
    run = pytest_run(tmp_path, test, *arguments, **variables)
    assert run.returncode == 1, run.stdout + run.stderr
    assert "nothing may be skipped" in run.stdout


def test_an_expected_failure_is_not_a_skip(tmp_path: Path) -> None:
    run = pytest_run(tmp_path, XFAILS, CI="true")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "not run" not in run.stdout
