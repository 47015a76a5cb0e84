"""The documentation cannot drift from the program."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from statspout.cmd.main import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_generated_parts_are_as_they_are_generated() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts/docs.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_flag_in_the_text_exists(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help", f"--plugin={ROOT / 'examples/graphite.py'}:Graphite"])
    known = set(re.findall(r"--[a-z.-]+[a-z]", capsys.readouterr().out))
    # Flags of other programs that the pages name.
    known |= {"--group-add", "--user", "--build-arg", "--network", "--strict", "--check", "--mode", "--plugin"}
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z.-]*[a-z]", page.read_text()))
    assert used <= known
