"""What of the whole host the figures of a container are measured against."""

from __future__ import annotations

import os
import time

from statspout.sources.cgroup.parse import value

_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
"""Nanoseconds of one tick of the host's CPU counters."""

_COARSEST = 1.0
"""Seconds: over less than this, ticks of 10 ms are too coarse to measure by, and the clock is the measure."""

_SECOND = 1_000_000_000


class Host:
    """The host's CPU time and memory, by ``proc``; ``interval`` is in seconds."""

    def __init__(self, proc: str, interval: float) -> None:
        self.cpus: int | None = None
        """CPUs that are online."""
        self.memory = _memory(proc)
        """Bytes; None when it is not known."""
        self.system: int | None = None
        """The CPU time of all CPUs at the last look, in nanoseconds; None when the clock is the measure."""
        self.at = 0
        """When that was, in monotonic nanoseconds."""
        self._coarse = interval < _COARSEST
        try:
            self._file = os.open(f"{proc}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = -1

    def look(self) -> None:
        """Read /proc/stat, once for all containers of a sweep; where the clock is the measure, once a second."""
        now = time.monotonic_ns()
        if self._coarse and self.at and now - self.at < _SECOND:
            return
        self.cpus, self.system = read_stat(self._read())
        self.at = time.monotonic_ns()
        if self._coarse:
            self.system = None

    def system_at(self, now: int) -> int | None:
        """The CPU time of all CPUs at ``now`` (monotonic nanoseconds), which is a moment after the last look.

        A container that is read late in a long sweep is measured against its own moment.
        """
        return None if self.system is None else self.system + (now - self.at) * (self.cpus or 1)

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _read(self) -> bytes:
        if self._file < 0:
            return b""
        size = 16384
        try:
            while b"\nintr" not in (data := os.pread(self._file, size, 0)) and len(data) == size:
                size *= 4
        except OSError:
            return b""
        return data


def read_stat(data: bytes) -> tuple[int | None, int | None]:
    """CPUs online, and the CPU time of them all in nanoseconds without what was stolen, as the engine has it.

    Source: readSystemCPUUsage and getSystemCPUUsage of the engine.
    """
    line, newline, _ = data.partition(b"\n")
    fields = line.split()
    if not newline or fields[:1] != [b"cpu"] or len(fields) < 8:
        return None, None
    return data.count(b"\ncpu") or None, sum(map(int, fields[1:8])) * _TICK


def _memory(proc: str) -> int | None:
    try:
        with open(f"{proc}/meminfo", "rb") as file:
            kib = value(file.read().replace(b" kB", b"").replace(b":", b" "), b"MemTotal ")
    except OSError:
        return None
    return None if kib is None else kib * 1024
