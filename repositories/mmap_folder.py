"""The directory of the files: one for each container, held by us for as long as it shows what is so now.

A file is locked by whoever writes it. So what nobody has locked, and says that statspout has published it, was left by
one of us who was killed: that, and nothing else, is removed at the start.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import weakref
from pathlib import Path

from statspout import ConfigError, Container, ContainerSample
from statspout.client.mmap import FormatError, MmStatsReader
from statspout.client.mmap.layout import PUBLISHED
from statspout.repositories.mmap_file import Published, file_name

_LARGEST = 2**20
"""Bytes of a file that may be one of ours; none is larger."""

_folders: weakref.WeakSet[Folder] = weakref.WeakSet()
"""Those that are open in this process."""


class Folder:
    """Files in ``path``, with the permissions ``mode``. ``owner`` tells which of several in this process it is.

    When another of the same path and owner is opened, this one is at its end: a call of it has not returned in time.
    """

    def __init__(self, path: str, mode: int, owner: str) -> None:
        self.path = Path(path)
        self.mode = mode
        self.owner = owner
        self._files: dict[str, Published] = {}
        self._open = False

    def open(self) -> None:
        """Make it if it is not there, and remove what was left. OSError when it cannot be made."""
        for other in list(_folders):
            if other is not self and (other.path, other.owner) == (self.path, self.owner):
                other.close()
        if not self.path.is_dir():
            self.path.mkdir(parents=True)
            # Who may read the files may look for them.
            self.path.chmod(self.mode | 0o700 | (self.mode & 0o444) >> 2)
        for path in self.path.iterdir():
            if path.name.endswith((".mmstats", ".new")):
                with contextlib.suppress(OSError):
                    _remove_left(path)
        _folders.add(self)
        self._open = True

    def put(self, sample: ContainerSample, now: float) -> None:
        """Show this sample, which came at ``now``, in monotonic seconds. OSError when it cannot be shown."""
        if not self._open:
            return
        file = self._files.get(sample.container.id)
        if file is not None and file.newer_than(sample):
            return
        path = self.path / file_name(sample.container)
        if file is None or file.path != path:  # a container can be renamed
            if file is not None:
                file.remove()
            file = self._files[sample.container.id] = Published(path, self.mode)
        file.show(sample)
        file.came = now

    def drop(self, container: Container) -> None:
        """Remove the file of this run of this container."""
        file = self._files.get(container.id)
        if file is not None and (file.sample is None or file.sample.container.same_run(container)):
            del self._files[container.id]
            file.remove()

    def expire(self, oldest: float) -> None:
        """Remove the files whose samples came before this moment."""
        for container_id, file in list(self._files.items()):
            if file.came < oldest:
                del self._files[container_id]
                file.remove()

    def close(self, *, keep: bool = False) -> None:
        """Remove all files, or only let go of them."""
        self._open = False
        _folders.discard(self)
        while self._files:
            _, file = self._files.popitem()
            if keep:
                file.let_go()
            else:
                file.remove()


def check(path: str) -> None:
    """ConfigError when the directory, or the nearest that is there, cannot be written to. Nothing is made."""
    if not path or "\0" in path:
        raise ConfigError(f"--mmap.directory: {path!r} is wrong: a path such as /run/statspout/mmap is right")
    folder = Path(path)
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not there.is_dir():
        raise ConfigError(f"--mmap.directory: {there} is a file: a directory is right")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"--mmap.directory: {there} cannot be written to by this user: one that can is right")


def _remove_left(path: Path) -> None:
    """Remove a file that we have published, if nobody writes it any more."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        # Where there are no locks, nothing tells whether somebody is alive: then nothing is removed.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_published(os.pread(fd, _LARGEST, 0)) and os.path.samestat(os.fstat(fd), path.lstat()):
            path.unlink()
    finally:
        os.close(fd)


def _is_published(data: bytes) -> bool:
    try:
        return any(label.endswith(PUBLISHED) for label, _ in MmStatsReader.from_bytes(data))
    except FormatError:
        return False
