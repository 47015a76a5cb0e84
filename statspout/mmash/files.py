"""The files that are served: those of one pattern, in one folder, and nothing outside of it."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable

from statspout.client.mmap import Found, InvalidMmStatsVersion, MmStatsReader
from statspout.client.mmap.reading import read_settled

_PASSES = 10
"""Times that all is read at most, where threads end all the time."""

_LONGEST = 1000
"""Characters of a pattern that a client asks for."""


class Files:
    """The files of ``pattern``. Its folder is what of it has no wildcards: a client's own patterns begin there."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        folder = os.path.dirname(pattern)
        while glob.has_magic(folder) and not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        self.folder = folder or "."

    def read(self, asked: str | None = None) -> Found:
        """What they have, or those that match the pattern which a client ``asked`` for.

        ValueError for one that leads, or might lead, out of the folder. What a client's own pattern finds beside
        statistics files is not even told.
        """
        if asked is None:
            return self._read(self.pattern)
        found = self._read(os.path.join(glob.escape(self.folder), checked(asked)))
        bad = {path: error for path, error in found.errors.items() if _is_ours(error)}
        return found._replace(errors=bad)

    def _read(self, pattern: str) -> Found:
        def find() -> Iterable[str]:
            return filter(self._inside, sorted(glob.iglob(pattern)))

        return read_settled(find, MmStatsReader.from_file, passes=_PASSES)

    def _inside(self, path: str) -> bool:
        """Whether it is a file in the folder, also by its real path: a link may lead anywhere."""
        try:
            regular = stat.S_ISREG(os.lstat(path).st_mode)
        except (OSError, ValueError):
            return False
        folder = os.path.join(os.path.realpath(self.folder), "")
        return regular and os.path.realpath(path).startswith(folder)


def checked(pattern: str) -> str:
    """A client's pattern, if it is for names below a folder; else ValueError."""
    parts = pattern.split("/")
    if not 0 < len(pattern) <= _LONGEST or "\0" in pattern or pattern.startswith("/") or ".." in parts:
        raise ValueError(f"glob={pattern[:80]!r} is wrong: a pattern such as web-*.mmstats, without .., is right")
    if any(map(glob.has_magic, parts[:-1])):
        # Each would be all folders of a folder, for everybody who asks.
        raise ValueError(f"glob={pattern[:80]!r} is wrong: wildcards in the last part only are right")
    return pattern


def _is_ours(error: Exception) -> bool:
    """Whether it is a statistics file that is damaged; all else might be anything."""
    return isinstance(error, ValueError) and not isinstance(error, InvalidMmStatsVersion)
