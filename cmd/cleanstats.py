"""``cleanstats``: removes the statistics files of processes that are no more, and no others."""

from __future__ import annotations

import fcntl
import glob
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from statspout.client.mmap import FormatError, MmStatsReader, default_glob, held
from statspout.client.mmap.owners import fate, mapped, owners_of
from statspout.cmd import statfiles
from statspout.cmd.arguments import Parser, add_watch, run
from statspout.shapes import printable, to_json

_USAGE = f"""\
Usage: cleanstats [OPTIONS] [FILE...]

Remove statistics files whose process is gone, or has another's id by now: not a
file that somebody has locked or mapped, nor one that does not say whose it is.

{statfiles.FILES}
  -n, --dry-run           say what would be removed, and remove nothing
      --json              an object with what became of each file, on one line
      --watch[=SECONDS]   again and again, until Ctrl-C (60)
      --version           the version

The exit code is 0, 1 when a file is no statistics file, does not say whose it
is, or could not be read or removed, 2 when an option is wrong.
"""

_BEGUN = re.compile(r"\..+\.[0-9a-f]{8}\.new")
"""What files are called before they are finished: hidden, and beside the place that they are for."""

_FIRST_BYTES = (b"", b"\0", b"\1")
"""How such a file begins."""

_TIME_TO_FINISH = 60.0
"""Seconds for which a file is not finished at most; it takes milliseconds."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; ``argv`` are its arguments without its name."""
    return run("cleanstats", _USAGE, cleanstats, argv)


def cleanstats(arguments: Sequence[str]) -> int:
    """Remove what is stale and say so; returns the exit code. A wrong flag is a ConfigError."""
    options = _parser().parse_args(arguments)
    patterns = statfiles.patterns_of(options.files)
    if not options.files:
        folder, name = os.path.split(default_glob())
        patterns.append(os.path.join(folder, f".{name}.????????.new"))
    if not options.watch:
        return _clean(patterns, options.dry_run, options.json)
    with suppress(KeyboardInterrupt):
        for _ in statfiles.every(options.watch):
            _clean(patterns, options.dry_run, options.json)
    return 0


def _parser() -> Parser:
    parser = Parser("cleanstats")
    parser.add_argument("-n", "--dry-run", action="store_true")
    parser.add_argument("--json", action="store_true")
    add_watch(parser, 60.0)
    parser.add_argument("files", nargs="*", metavar="FILE")
    return parser


def _clean(patterns: Sequence[str], dry_run: bool, json: bool) -> int:
    cleaning = Cleaning(dry_run, quiet=json)
    for pattern in patterns:
        if os.path.lexists(pattern):
            cleaning.look_at(pattern)
        elif glob.has_magic(pattern):
            for path in sorted(glob.iglob(pattern)):
                cleaning.look_at(path)
        else:
            cleaning.keep(pattern, "No such file", "no such file")
    if json:
        told = {"removed": cleaning.removed, "alive": cleaning.alive, "kept": cleaning.kept, "dry_run": dry_run}
        print(to_json(told).decode(), flush=True)
    else:
        print(
            f"{'Would remove' if dry_run else 'Removed'} {len(cleaning.removed)}  -  {len(cleaning.alive)} alive",
            flush=True,
        )
    return int(bool(cleaning.kept))


@dataclass
class Cleaning:
    """What became of the files: paths of those ``removed`` and of those of the living, and why others were ``kept``."""

    dry_run: bool = False
    quiet: bool = False
    removed: list[str] = field(default_factory=list)
    alive: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    _mapped: set[tuple[int, int]] | None = None

    def look_at(self, path: str) -> None:
        """Remove the file, if it is stale for sure. A folder is left alone, and so is what has gone meanwhile."""
        try:
            mode = os.lstat(path).st_mode
            if stat.S_ISDIR(mode):
                return
            if not stat.S_ISREG(mode):
                self.keep(path, "Not a regular file", "not a regular file")
                return
            if held(path):
                self.alive.append(path)
                return
            with _locked(path) as ours:
                if ours:
                    self._judge(path)
                else:
                    self.alive.append(path)
        except FileNotFoundError:
            return
        except PermissionError:
            self.keep(path, "Permission denied", "permission denied")
        except FormatError as error:
            why = statfiles.reason(path, error)
            self.keep(path, "Invalid file", why, f" ({why})")
        except OSError as error:
            why = statfiles.reason(path, error)
            self.keep(path, why, why)

    def keep(self, path: str, says: str, why: str, more: str = "") -> None:
        """Leave the file, and say why."""
        self.kept[path] = why
        self._say(f"{says}: {printable(path)}{more}")

    def _judge(self, path: str) -> None:
        """Of a file that nobody holds; it is locked, so that nobody puts another one in its place meanwhile."""
        found = os.lstat(path)
        if _BEGUN.fullmatch(os.path.basename(path)) and _first_byte(path) in _FIRST_BYTES:
            if time.time() - found.st_mtime > _TIME_TO_FINISH:
                self._remove(path, "It was never finished")
            else:
                self.alive.append(path)
            return
        owners = owners_of(MmStatsReader.from_file(path))
        if not owners:
            self.keep(path, "File has no sys.pid entry", "no sys.pid")
            return
        fates = {owner.pid: fate(owner) for owner in owners}
        if "alive" in fates.values() or (found.st_dev, found.st_ino) in self._somebody_has():
            self.alive.append(path)
            return
        pid, how = next(iter(fates.items()))
        self._remove(path, f"PID {pid} not found" if how == "gone" else f"PID {pid} is another process by now")

    def _somebody_has(self) -> set[tuple[int, int]]:
        """Which files are mapped; looked up once, and only where there is one to remove."""
        if self._mapped is None:
            self._mapped = mapped()
        return self._mapped

    def _remove(self, path: str, why: str) -> None:
        if not self.dry_run:
            os.unlink(path)
        self.removed.append(path)
        self._say(f"{why}. {'Would delete' if self.dry_run else 'Deleting'} {printable(path)}")

    def _say(self, line: str) -> None:
        if not self.quiet:
            print(line)


def _first_byte(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(1)


@contextmanager
def _locked(path: str) -> Iterator[bool]:
    """Whether the file is ours for as long as the block takes; a file system without locks has none to wait for."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass
        yield os.path.samestat(os.fstat(fd), os.lstat(path))
    finally:
        os.close(fd)


if __name__ == "__main__":
    raise SystemExit(main())
