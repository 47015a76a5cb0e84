"""``statspout config``: a configuration file with every setting."""

from __future__ import annotations

import inspect
import io
import os
import sys
from collections.abc import Sequence

from statspout.config import understand
from statspout.configfile import render
from statspout.repository import Repository


def config(arguments: Sequence[str], classes: Sequence[type[Repository]] = ()) -> int:
    """Print the file: what flags, environment and ``--config`` give now, and the rest commented out."""
    found = understand(arguments, os.environ, classes)
    titles = {name: first_line(cls) for name, cls in found.registry.classes.items()}
    titles |= {one.prefix: first_line(one.cls) for one in found.selected}
    groups = {name: [s for s in group if s.name != "config"] for name, group in found.groups.items()}
    if isinstance(sys.stdout, io.TextIOWrapper):
        # TOML is UTF-8, whatever the terminal is.
        sys.stdout.reconfigure(encoding="utf-8")
    print(render(groups, titles, found.given), end="")
    return 0


def first_line(cls: type[Repository]) -> str:
    """What the repository does, by its docstring."""
    return inspect.cleandoc(cls.__doc__ or "").split("\n")[0].replace("``", "")
