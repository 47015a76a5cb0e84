"""The arrows of the design: imports point one way, and the public door is cheap."""

from __future__ import annotations

import ast
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import statspout

PACKAGE = Path(statspout.__file__).parent

# Each layer may import those before it, and its own row's other modules only where it is a package.
LAYERS = [
    ["client"],
    ["loglines"],
    ["errors", "catalogue", "telemetry", "logs", "gathering", "notify", "files", "signals"],
    ["sample"],
    ["options"],
    ["values", "quantities", "statuses"],
    ["patterns"],
    ["handling"],
    ["latest", "shapes", "exposition", "labels"],
    ["scrape"],
    ["repository", "source", "terminal"],
    ["registry", "settings", "notes", "flags", "configfile"],
    ["instances"],
    ["config"],
    ["web"],
    ["sources", "delivery", "repositories", "mmash"],
    ["router"],
    ["health", "announce", "reload", "running", "succession"],
    ["daemon"],
    ["program"],
    ["cmd"],
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
# The simulated engine stands alone, and the contract suite is for authors: neither is part of the flow.
OUTSIDE = {"testing", "__main__", "__init__"}


def modules() -> Iterator[tuple[str, Path]]:
    # In a checkout two of the folders are links, which rglob does not follow.
    for folder, _, files in os.walk(PACKAGE, followlinks=True):
        for path in sorted(Path(folder, name) for name in files if name.endswith(".py")):
            yield path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path


@functools.cache
def imports(path: Path) -> tuple[str, ...]:
    """Every statspout module that the file imports at run time, ``if TYPE_CHECKING`` left out."""
    return tuple(_imports(ast.parse(path.read_text())))


def _imports(tree: ast.AST) -> Iterator[str]:
    """Those below ``tree``; names and numbers, which are most of a file, are not looked at."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("statspout."):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("statspout."))
        elif not isinstance(node, ast.expr) and not _is_type_checking(node):
            yield from _imports(node)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def test_every_module_has_its_place() -> None:
    assert {part for part, _ in modules()} - OUTSIDE == set(RANK)


def test_imports_point_one_way() -> None:
    wrong = []
    for part, path in modules():
        for imported in imports(path):
            target = imported.split(".")[1]
            if part in OUTSIDE or (target in OUTSIDE and part in ("daemon", "cmd")):
                continue
            if target != part and (target in OUTSIDE or RANK[target] >= RANK[part]):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {imported}")
    assert not wrong


def test_repositories_use_the_public_door_only() -> None:
    # Labels and scrapes: the same settings and formats in every repository that has tags, or is scraped.
    # Terminal: what is pure in stdout's table, and what it stands on. Quantities and statuses: one way to write 14d,
    # and one reading of what an HTTP server answers. Logs: a secret inside of a setting is hidden from them. Client:
    # one way to write StatsD. Files: one way to look at a file that a user names.
    modules_of_ours = {
        "client", "shapes", "exposition", "catalogue", "files", "labels", "logs", "quantities", "scrape", "statuses",
        "terminal",
    }  # fmt: skip
    wrong = [
        f"{path.name} imports {imported}"
        for part, path in modules()
        if part == "repositories"
        for imported in imports(path)
        if imported.split(".")[1] not in modules_of_ours and not imported.startswith(_own_modules(path))
    ]
    assert not wrong


def _own_modules(path: Path) -> str:
    """What the modules that a repository keeps beside it begin with: its name and an underscore."""
    part = path.relative_to(PACKAGE / "repositories").parts[0].removesuffix(".py")
    return f"statspout.repositories.{part.partition('_')[0]}_"


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import statspout", set()),
        ("from statspout import ContainerSample, Repository, option", {"msgspec"}),
    ],
)
def test_the_public_door_loads_little(statement: str, allowed: set[str]) -> None:
    third_party = {"msgspec", "cyclopts", "rich", "httptools", "starlette", "uvicorn", "docker", "prometheus_client"}
    code = f"import sys; {statement}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert third_party & set(loaded) <= allowed


def test_every_public_name_resolves() -> None:
    assert sorted(statspout.__all__) == statspout.__all__
    assert all(getattr(statspout, name) is not None for name in statspout.__all__)


def test_cmd_is_no_package_of_its_own() -> None:
    # It would shadow the standard library's cmd, and break pdb and pytest.
    assert not (PACKAGE / "cmd" / "__init__.py").exists()
