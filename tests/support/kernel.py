"""What the kernel itself says of a container, to hold samples against."""

from __future__ import annotations

import contextlib
from datetime import datetime
from pathlib import Path
from typing import Any


def cgroup(pid: int, controller: str) -> tuple[Path, int]:
    """Where the kernel keeps the figures of this process's container, and the version of that interface."""
    rows = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    for _, controllers, path in rows:
        if controller in controllers.split(","):
            return Path(f"/sys/fs/cgroup/{controller}{path}"), 1
    return Path("/sys/fs/cgroup" + next(path for number, _, path in rows if number == "0")), 2


def cpu_seconds(pid: int) -> float:
    """CPU time of the container with this process."""
    folder, version = cgroup(pid, "cpuacct")
    if version == 1:
        return int((folder / "cpuacct.usage").read_text()) / 1e9
    return counter(folder / "cpu.stat", "usage_usec") / 1e6


def counter(file: Path, name: str) -> int:
    return next(int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith(f"{name} "))


def seconds_of(sample: dict[str, Any]) -> float:
    return datetime.fromisoformat(sample["@timestamp"][:26] + "+00:00").timestamp()


def network_bytes(pid: int) -> dict[str, tuple[int, int]]:
    """Bytes received and sent by each interface in the network namespace of this process."""
    rows = [line.replace(":", " ").split() for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]]
    return {row[0]: (int(row[1]), int(row[9])) for row in rows}


def open_files(below: Path, pid: int | str = "self") -> int:
    """How many descriptors of a process are of files in that folder, or were before those were removed."""
    found = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += str(descriptor.readlink()).startswith(f"{below}/")
    return found
