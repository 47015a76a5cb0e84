"""The directory of ``--spool.dir``: a file for each repository, and nobody else's while the program runs."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
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

    def check(self) -> None:
        """Make the directory where it is missing; ConfigError when it cannot be written to."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileExistsError:
            raise ConfigError(f"--spool.dir: {self.path} is a file: a directory is right") from None
        except (OSError, ValueError) as error:
            raise ConfigError(f"--spool.dir: {self.path} cannot be made: {_reason(error)}") from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise ConfigError(f"--spool.dir: {self.path} cannot be written to by this user: one that can is right")

    def __enter__(self) -> Self:
        self.check()
        lock = self.path / "lock"
        try:
            self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"--spool.dir: {lock} cannot be opened: {_reason(error)}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            other = os.read(self._lock, 20).decode("ascii", "replace").strip()
            self._unlock()
            raise ConfigError(
                f"--spool.dir: {self.path} is in use by process {other or '?'}: a directory of its own is right"
            ) from error
        # Who holds it; a full disk is no reason to do without the lock.
        with contextlib.suppress(OSError):
            os.ftruncate(self._lock, 0)
            os.write(self._lock, str(os.getpid()).encode())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._unlock()

    def spool(self, name: str) -> Spool:
        """The spool of the repository called ``name``."""
        return Spool(self._file(name), name=name, most_bytes=self._most_bytes, max_age=self._max_age)

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
        os.close(self._lock)


def _parts(path: Path) -> list[Path]:
    """The file and its log."""
    return [part for end in ("", "-wal", "-shm") if (part := Path(f"{path}{end}")).exists()]


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
