"""What the tools for statistics files have in common: how files are named, and how labels and values are shown."""

from __future__ import annotations

import errno
import glob
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from statspout.client.mmap import FormatError, Found, MmStatsReader, default_glob
from statspout.client.mmap.reading import read_settled
from statspout.errors import ConfigError
from statspout.shapes import printable

Json = int | float | bool | str | list["Json"] | None

_PASSES = 10
"""Times that all is read at most, where threads end all the time."""

FILES = """\
  FILE      a file, or a pattern in quotes, which finds files that come later, too;
            by default the pattern of MMSTATS_GLOB, else *.mmstats in the folder of
            MMSTATS_PATH, else in that of temporary files
"""
"""The lines of each tool's help about its arguments."""


def patterns_of(arguments: Sequence[str]) -> list[str]:
    """What to read: files and patterns, or the pattern by default. ConfigError for an argument that can be neither."""
    for argument in arguments:
        if not argument or "\0" in argument:
            raise ConfigError(f"FILE: {argument!r} is wrong: a path or a pattern is right")
    return list(arguments) or [default_glob()]


def read(patterns: Sequence[str]) -> Found:
    """What the files have. One that is named, and no pattern, is an error where it is not there."""
    paths: dict[str, bool] = {}

    def find() -> list[str]:
        paths.clear()
        paths.update(_paths(patterns))
        return [path for path, there in paths.items() if there]

    found = read_settled(find, MmStatsReader.from_file, passes=_PASSES)
    errors = {
        path: FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) for path, there in paths.items() if not there
    }
    return found._replace(errors={path: error for path in paths if (error := (found.errors | errors).get(path))})


def _paths(patterns: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Each path, and whether it is there."""
    for pattern in patterns:
        # A file may be called as a pattern is written.
        if os.path.lexists(pattern):
            yield pattern, True
        elif glob.has_magic(pattern):
            yield from ((path, True) for path in sorted(glob.iglob(pattern)))
        else:
            yield pattern, False


def none_found(patterns: Sequence[str]) -> str:
    """What to say where there is no file at all."""
    return f"no file: {printable(' '.join(patterns))}"


def reason(path: str, error: FormatError | OSError) -> str:
    """What is wrong with the file, without its path."""
    said = error.strerror or str(error) if isinstance(error, OSError) else str(error).removeprefix(f"{path}: ")
    return printable(said)


def shown(value: object) -> str:
    """A value on one line that steers no terminal."""
    return printable(str(value))


def as_json(value: object) -> Json:
    """A value as JSON has it; there is no NaN and no infinity: they are null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    assert isinstance(value, int | float | str)
    return value


def object_of(reader: MmStatsReader) -> dict[str, Json]:
    """The file as an object, in its order; a label that comes more than once has a list."""
    found: dict[str, list[Json]] = {}
    for label, value in reader:
        found.setdefault(label, []).append(as_json(value))
    return {label: values if len(values) > 1 else values[0] for label, values in found.items()}


def every(seconds: float, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Once now, and again after each ``seconds``, without drifting; turns that were missed are left out."""
    due = clock()
    while True:
        yield
        due = max(due + seconds, clock())
        time.sleep(max(0.0, due - clock()))


def say(text: str) -> None:
    """A line on standard error."""
    sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)
