"""The current values of all containers in memory-mapped files, which any program reads without asking anybody."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from typing import ClassVar

from statspout import ConfigError, Container, ContainerSample, Repository, RepositoryError, Sample, option
from statspout.repositories.mmap_folder import Folder, check

_STALE_AFTER = 3
"""Intervals after which what was not renewed is no longer current."""


class Mmap(Repository):
    """Keep the current values of each container in a memory-mapped statistics file, which any program can read.

    The files are those of the client ``statspout.client.mmap``, format version 1: ``slurpstats`` shows them. A value
    that is not known is not in its file. A container that is gone has no file, and at the end none has.
    """

    name = "mmap"
    accepts: ClassVar[tuple[type, ...]] = (ContainerSample,)
    flush_interval = 0.0
    spooled = False  # what waited on disk is not what is so now

    directory: str = option(
        default="/run/statspout/mmap",
        help="Where the files are; it is made where it is not there.",
    )
    mode: str = option(default="644", help="Who may read the files, as for `chmod`: `644` is everybody, `600` only we.")

    def __post_init__(self) -> None:
        self._mode = _mode(self.mode)
        check(self.directory)
        self._folder = Folder(self.directory, self._mode, self.instance)

    def open(self) -> None:
        """Have the directory, without what a program that was killed has left in it."""
        self.idle_interval = self.interval if math.isfinite(self.interval) else 0.0
        try:
            self._folder.open()
        except OSError as error:
            raise RepositoryError(f"{self.directory} cannot be made: {error.strerror}") from error

    def push(self, batch: Sequence[Sample]) -> None:
        """Show the latest sample of each container. RepositoryError when one cannot be; the others are shown."""
        latest = {sample.container.id: sample for sample in batch if isinstance(sample, ContainerSample)}
        failed: OSError | None = None
        for sample in latest.values():
            try:
                self._folder.put(sample, time.monotonic())
            except OSError as error:
                failed = error
        self.idle()
        if failed is not None:
            raise RepositoryError(f"{failed.filename or self.directory}: {failed.strerror}") from failed

    def clear(self, container: Container) -> None:
        """Remove the file of a container that is gone."""
        self._folder.drop(container)

    def idle(self) -> None:
        """Remove the files that nothing came for."""
        self._folder.expire(time.monotonic() - _STALE_AFTER * self.interval)

    def close(self) -> None:
        """Remove all files; when each container is sampled once, leave them, for who is to read them else."""
        self._folder.close(keep=not math.isfinite(self.interval))


def _mode(text: str) -> int:
    """The permissions; ConfigError for what we could not write, or others could: who cuts a mapped file ends us."""
    if not re.fullmatch(r"0?[0-7]{3}", text) or int(text, 8) & 0o622 != 0o600:
        right = "644, 640 or 600 is right, where we may read and write, and others at most read"
        raise ConfigError(f"--mmap.mode: {text!r} is wrong: {right}")
    return int(text, 8)
