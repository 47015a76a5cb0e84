"""Where statistics files are, and what they are called, unless a model says otherwise.

``MMSTATS_PATH`` is the folder, else that of temporary files; ``MMSTATS_FILES`` a file's name in it; ``MMSTATS_GLOB``
what readers look for.
"""

from __future__ import annotations

import os
import sys

PATH, FILES, GLOB = "MMSTATS_PATH", "MMSTATS_FILES", "MMSTATS_GLOB"

NAME = "{CMD}-{PID}-{TID}.mmstats"


def default_path() -> str:
    """The folder, as a template."""
    found = os.environ.get(PATH)
    if found:
        return found
    import tempfile  # loads much, and who has a folder of his own does without

    return tempfile.gettempdir()


def default_filename() -> str:
    """A file's name, as a template."""
    return os.environ.get(FILES) or NAME


def default_glob() -> str:
    """The pattern that all files match which are called as they are by default."""
    found = os.environ.get(GLOB)
    if found:
        return found
    import glob  # as above

    return os.path.join(glob.escape(default_path()), "*.mmstats")


def place_of(path: str, filename: str, tid: int) -> str:
    """The file of this thread of this process; thread 0 is none, and stands for all that have ended.

    The places in both templates are ``{CMD}``, the program's name, ``{PID}`` and ``{TID}``; ValueError for any other.
    """
    program = sys.argv[0] if getattr(sys, "argv", None) else ""  # who embeds Python may have none
    values = {"CMD": os.path.basename(program), "PID": os.getpid(), "TID": tid}
    try:
        place = os.path.join(path.format(**values), filename.format(**values))
    except (LookupError, AttributeError, ValueError) as error:
        raise ValueError(
            f"path {path!r}, filename {filename!r}: {{CMD}}, {{PID}} and {{TID}} are right: {error}"
        ) from None
    if os.path.basename(place) in ("", ".", ".."):
        raise ValueError(f"path {path!r}, filename {filename!r}: {place!r} is a folder: a file's name is right")
    return place
