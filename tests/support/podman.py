"""A real Podman service of the tests' own, in a network namespace of its own; `close()` leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from support.dockerd import answers, owner_is_gone, program, unmount_below

# Podman raises limits to what a container may have at most, which not every machine allows.
_CONF = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
"""

_PREFIX = "statspout-podman-"


class Podman:
    """Answers at `socket` with Docker's API."""

    def __init__(self) -> None:
        missing = [name for name in ("podman", "conmon", "unshare", "iptables") if program(name) is None]
        if missing or os.geteuid() != 0:
            why = f"{', '.join(missing)} not found" if missing else "not root"
            pytest.skip(f"needs Podman ({why}): run scripts/setup-engine as root on Debian")
        _sweep()
        self.work = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        self.socket = self.work / "podman.sock"
        (self.work / "containers.conf").write_text(_CONF)

    def __enter__(self) -> Self:
        with (self.work / "log").open("wb") as log:
            # Bridges and firewall rules are made in there, and go with it.
            self._process = subprocess.Popen(
                ["unshare", "--net", *_podman(self.work, "system", "service", "--time=0", f"unix://{self.socket}")],
                env=_environment(self.work), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while not answers(self.socket):
            assert self._process.poll() is None, (self.work / "log").read_text()
            assert time.monotonic() < deadline, (self.work / "log").read_text()
            time.sleep(0.05)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        _remove(self.work)


def _podman(work: Path, *arguments: str) -> list[str]:
    places = [f"--root={work}/root", f"--runroot={work}/run", "--cgroup-manager=cgroupfs"]
    return [program("podman") or "podman", *places, *arguments]


def _environment(work: Path) -> dict[str, str]:
    return os.environ | {"CONTAINERS_CONF": str(work / "containers.conf")}


def _remove(work: Path) -> None:
    """Remove every container that was made there, and the place."""
    command = _podman(work, "rm", "--all", "--force", "--time=0")
    subprocess.run(command, env=_environment(work), capture_output=True, check=False)
    unmount_below(work)
    shutil.rmtree(work, ignore_errors=True)


def _sweep() -> None:
    """Remove what test runs that were killed left behind: containers outlive their service."""
    for work in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        if owner_is_gone(work.name.removeprefix(_PREFIX)):
            _remove(work)
