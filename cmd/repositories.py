"""``statspout repositories``: what ``--repository`` can select."""

from __future__ import annotations

import os
from collections.abc import Sequence

from statspout.cmd.config import first_line
from statspout.config import understand
from statspout.repository import Repository


def repositories(arguments: Sequence[str], classes: Sequence[type[Repository]] = ()) -> int:
    """Print a table: name, aliases, what it does, and those that cannot be used with the reason."""
    registry = understand(arguments, os.environ, classes).registry
    rows = [("NAME", "ALIASES", "WHAT IT DOES")]
    for name, cls in sorted(registry.classes.items()):
        rows.append((name, ",".join(cls.aliases) or "-", first_line(cls)))
    rows += [(name, "-", f"cannot be used: {reason}") for name, reason in sorted(registry.broken.items())]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, aliases, text in rows:
        print(f"{name:<{widths[0]}}  {aliases:<{widths[1]}}  {text}")
    return 0
