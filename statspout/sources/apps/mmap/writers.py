"""Who writes a file, as the kernel says: whoever has it locked, or mapped.

The process id in a file is the writer's own idea: in a container another process may have that number on the host. The
kernel's list of locks names the writer of each locked file by the number that it has where ``/proc`` is from; where
there is no lock, as with the original's writers, the maps of that process tell whether it has the file.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from statspout.client.mmap.processes import FileId, file_id, mapped_by, process_of

_LOCK = re.compile(rb"^\d+: FLOCK +ADVISORY +WRITE +(\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) ", re.MULTILINE)

_OWN = re.compile(r"^NSpid:(?:\s+\d+)*\s+(\d+)$", re.MULTILINE)


class Writer(NamedTuple):
    """``pid`` is the writing process in our own ``/proc``, None where that is not certain."""

    pid: int | None
    alive: bool


class Writers:
    """Knows writers of files by the ``/proc`` that is mounted at ``proc``."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._locked: dict[FileId, int] = {}
        self._mapped: dict[int, frozenset[FileId] | None] = {}

    def look(self) -> None:
        """Read anew who has locked what."""
        text = b""
        with suppress(OSError):
            text = Path(self._proc, "locks").read_bytes()
        self._locked = {file_id(*file): int(pid) for pid, *file in _LOCK.findall(text)}
        self._mapped.clear()

    def of(self, file: FileId, pid: int | None, created: float | None) -> Writer:
        """The writer of a file in which a process id stands and when it was made, or neither."""
        locker = self._locked.get(file)
        if locker:
            return Writer(locker if self._calls_itself(locker, pid) else None, alive=True)
        has = self._has(file, pid) if pid else False
        if has:
            return Writer(pid, alive=True)
        return Writer(None, alive=has is None and pid is not None and self._ran(pid, created))

    def _calls_itself(self, pid: int, own: int | None) -> bool:
        """Whether a process is ``own`` to itself, in whatever container; a lock may outlast who took it, in a child."""
        if own is None:
            return True
        try:
            found = _OWN.search(Path(self._proc, str(pid), "status").read_text(errors="replace"))
        except OSError:
            return False
        return found is None or int(found[1]) == own  # kernels before 4.1 do not say

    def _has(self, file: FileId, pid: int) -> bool | None:
        """Whether this process has mapped the file; None where we may not know."""
        if pid not in self._mapped:
            self._mapped[pid] = self._read_maps(pid)
        mapped = self._mapped[pid]
        return None if mapped is None else file in mapped

    def _read_maps(self, pid: int) -> frozenset[FileId] | None:
        try:
            return mapped_by(pid, self._proc, written=True)
        except PermissionError:
            return None
        except OSError:
            return frozenset()

    def _ran(self, pid: int, created: float | None) -> bool:
        """Whether a process of this number is there that can have made the file."""
        try:
            process = process_of(pid, self._proc)
        except OSError:
            return False
        return not process.ended and process.can_have_made(created)
