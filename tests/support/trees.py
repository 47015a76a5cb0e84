"""Checked-in trees of the kernel's files, one container in each, and copies of them that a test may change."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from statspout.sample import Container
from statspout.source import Target
from statspout.sources.cgroup.container import Roots

TREES = Path(__file__).parents[1] / "data" / "cgroup"
ID = "4f1e0123456789abcdef0123456789abcdef0123456789abcdefaa55aa55aa55"
PID = 100


def target(**values: Any) -> Target:
    """The container of every tree, as discovery would tell of it."""
    container = Container(id=values.pop("id", ID), name=values.pop("name", "web"), started_at=values.pop("started", 1))
    usual: dict[str, Any] = {"pid": PID, "network_mode": "bridge", "state": "running"}
    return Target(container=container, **usual | values)


class Tree:
    """A tree by its name; with ``into``, a copy of it."""

    def __init__(self, name: str, into: Path | None = None) -> None:
        self.path = TREES / name
        if into is not None:
            self.path = Path(shutil.copytree(self.path, into / name))
        self.roots = Roots(str(self.path / "proc"), str(self.path / "cgroup"))

    def file(self, name: str) -> Path:
        """The container's file of that name, such as memory.stat or net/dev."""
        if name.startswith("net/"):
            return self.path / "proc" / str(PID) / name
        [found] = (path for path in (self.path / "cgroup").rglob(name) if ID in str(path))
        return found

    def folders(self) -> list[Path]:
        """Every folder of the container's cgroup."""
        return sorted({path for path in (self.path / "cgroup").rglob(f"*{ID}*") if path.is_dir()})
