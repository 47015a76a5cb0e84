"""The directory of ``--spool.dir``: a file for each repository, and nobody else's while the program runs."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
import time
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

from statspout.delivery.spool import Spool
from statspout.errors import ConfigError

log = logging.getLogger("statspout.delivery")

_SUFFIX = ".spool"


class SpoolDirectory:
    """Makes spools, each of at most ``most_bytes`` with samples no older than ``max_age`` seconds.

    Entered, it is locked against other processes. ConfigError when it cannot be had.
    """

    def __init__(self, path: str, most_bytes: int, max_age: float) -> None:
        self.path = Path(path)
        self._most_bytes, self._max_age = most_bytes, max_age
        self._lock = -1
        self._busy = threading.Lock()

    def check(self) -> None:
        """ConfigError when the directory, or the nearest that is there, cannot be written to. Nothing is made."""
        if "\0" in str(self.path):
            raise ConfigError(f"--spool.dir: {self.path} cannot be made: it has a NUL in it")
        try:
            there = next(path for path in (self.path, *self.path.absolute().parents) if path.exists())
        except OSError as error:  # its name is too long, or it is where we may not look
            raise ConfigError(f"--spool.dir: {self.path} cannot be made: {_reason(error)}") from error
        if not there.is_dir():
            raise ConfigError(f"--spool.dir: {there} is a file: a directory is right")
        if not os.access(there, os.W_OK | os.X_OK):
            raise ConfigError(f"--spool.dir: {there} cannot be written to by this user: one that can is right")

    def __enter__(self) -> Self:
        self.check()
        try:
            self.hold()
        except BlockingIOError as error:
            raise ConfigError(f"--spool.dir: {self.path} {error}: a directory of its own is right") from error
        except OSError as error:
            raise ConfigError(f"--spool.dir: {self.path} cannot be made or locked: {_reason(error)}") from error
        return self

    def hold(self) -> None:
        """Have the directory, and have it locked; also when it was removed meanwhile.

        BlockingIOError when another process has it, OSError when it cannot be made. May be called in any thread.
        """
        with self._busy:
            lock = self.path / "lock"
            with contextlib.suppress(OSError):
                if self._lock >= 0 and lock.stat().st_ino == os.fstat(self._lock).st_ino:
                    return
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            taken = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(taken, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                other = os.read(taken, 20).decode("ascii", "replace").strip()
                os.close(taken)
                raise BlockingIOError(error.errno, f"is in use by process {other or '?'}") from error
            self._unlock()
            self._lock = taken
            # Who holds it; a full disk is no reason to do without the lock.
            with contextlib.suppress(OSError):
                os.ftruncate(taken, 0)
                os.write(taken, str(os.getpid()).encode())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._unlock()

    def spool(self, name: str) -> Spool:
        """The spool of the repository called ``name``."""
        return Spool(self._file(name), name=name, most_bytes=self._most_bytes, max_age=self._max_age, hold=self.hold)

    def look_for_others(self, names: Collection[str]) -> None:
        """Tell of files of repositories that are not among ``names``; remove those that are too old."""
        ours = {self._file(name) for name in names}
        for path in sorted(self.path.glob(f"*{_SUFFIX}*")):
            if path.name.endswith(("-wal", "-shm")) or path in ours:
                continue
            try:
                self._look_at(path)
            except (OSError, ValueError) as error:  # a link that leads nowhere has no parts
                log.warning("spool: %s cannot be looked at, or removed: %s", path, _reason(error))

    def _look_at(self, path: Path) -> None:
        age = time.time() - max(p.stat().st_mtime for p in _parts(path))
        what = "it was damaged" if ".damaged-" in path.name else "its repository is not configured"
        if age <= self._max_age:
            left = (self._max_age - age) / 3600
            log.warning("spool: %s waits for nobody: %s; it is removed in %.0f h", path, what, left)
            return
        size = path.stat().st_size
        for part in _parts(path):
            part.unlink()
        log.warning("spool: %s, %d bytes, is removed: %s, and it is too old", path, size, what)

    def _file(self, name: str) -> Path:
        return self.path / f"{name.replace(':', '.')}{_SUFFIX}"

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _parts(path: Path) -> list[Path]:
    """The file and its log."""
    return [part for end in ("", "-wal", "-shm") if (part := Path(f"{path}{end}")).exists()]


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
