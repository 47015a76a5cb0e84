"""Programs that tests start: those of the machine, and those that scripts/setup-servers put into .work/servers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2] / ".work" / "servers"


def server(name: str) -> str | None:
    """Where the program is, or None."""
    return shutil.which(name, path=os.pathsep.join(_folders()))


def server_environment() -> dict[str, str]:
    """The environment for a program from :func:`server`: it finds the libraries that came with it."""
    libraries = [str(folder) for folder in sorted(ROOT.glob("**/*-linux-gnu")) if folder.parent.name == "lib"]
    return os.environ | {"LD_LIBRARY_PATH": os.pathsep.join([*libraries, os.environ.get("LD_LIBRARY_PATH", "")])}


def _folders() -> Iterator[str]:
    yield os.environ.get("PATH", os.defpath)
    for folder in ("usr/local/sbin", "usr/sbin", "sbin"):
        yield f"/{folder}"
    for folder in ("usr/bin", "usr/sbin"):
        yield str(ROOT / folder)
