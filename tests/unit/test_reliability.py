"""The page on reliability promises nothing that no test holds."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLES = (ROOT / "docs/reliability.md").read_text().partition("## Bad inputs")[0]
ROWS = [line for line in TABLES.splitlines() if line.startswith("| ") and not line.startswith("| fault ")]


@functools.cache
def functions(file: str) -> dict[str, str]:
    """The tests of a file, and what stands above each."""
    path = ROOT / file
    tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
    found = [one for one in tree.body if isinstance(one, ast.FunctionDef)]
    return {one.name: " ".join(map(ast.unparse, one.decorator_list)) for one in found}


def test_every_row_names_a_test_that_there_is() -> None:
    assert len(ROWS) > 25
    for row in ROWS:
        named = re.fullmatch(r"`(tests/[a-z_/]+\.py)::(test_\w+)`", row.rstrip(" |").rpartition("| ")[2])
        assert named is not None, row
        assert named[2] in functions(named[1]), row


def test_what_runs_at_night_alone_is_marked_so() -> None:
    for row in ROWS:
        file, _, name = row.rstrip(" |").rpartition("| ")[2].strip("`").partition("::")
        assert ("nightly" in functions(file)[name]) == (
            "†" in row or "by either collector" in row or "libfaketime" in row
        ), row
