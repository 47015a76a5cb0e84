"""``pollstats``: what some statistics came by since the line before, as vmstat does it for the machine."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from statspout.client.mmap import Found, MmStatsReader
from statspout.client.mmap.owners import owners_of
from statspout.cmd import statfiles
from statspout.cmd.arguments import Parser, number, run
from statspout.errors import ConfigError
from statspout.shapes import printable, to_json
from statspout.terminal.screen import is_interactive
from statspout.terminal.text import cells, shortened

_WIDTH = 20
"""Columns of a field."""

_REMEMBERED = 10_000
"""Fields of processes that are remembered, also when they are no more to be seen."""

_BOLD, _YELLOW, _USUAL = "\x1b[1m", "\x1b[1;33m", "\x1b[0;0m"

_USAGE = f"""\
Usage: pollstats [OPTIONS] FIELDS [FILE...]

Print by how much statistics changed since the line before, added up over all
files; the first line is all there is so far.

  FIELDS    labels, with commas between
{statfiles.FILES}
  -p, --prefix PREFIX        what all FIELDS begin with, and is not shown
  -f, --filter FILTER...     only files with a label that begins with FILTER, or, as
                             LABEL=VALUE, in which that label has that value; all of them
  -c, --count COUNT          end after COUNT lines; without it, by Ctrl-C
  -d, --delay SECONDS        between two lines (1)
  -n, --headers LINES        the header again every so many lines (20); 0: never again
  -v                         say which files are read; -vv: every time
      --color WHEN           auto, always or never: auto is on a terminal without NO_COLOR
      --json                 an object a line: time, interval_s and fields
      --version              the version

Unknown is --, in JSON null: a label that no file has, a text, NaN, and a moment in
which threads end all the time. A counter goes on from zero when its process is
another one; what has gone with a process, or a thread, is not taken off.

The exit code is 0, 1 when one of the FIELDS was in no file, or is a text, or a file
could not be read, 2 when an option is wrong.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; ``argv`` are its arguments without its name."""
    return run("pollstats", _USAGE, pollstats, argv)


def pollstats(arguments: Sequence[str]) -> int:
    """Print until there were enough lines; returns the exit code. A wrong flag is a ConfigError."""
    options = _parser().parse_args(arguments)
    fields = [options.prefix + field for field in options.fields.split(",")]
    if not all(options.fields.split(",")):
        raise ConfigError(f"FIELDS: {options.fields!r} is wrong: labels with commas between are right")
    poll = Poll(fields, statfiles.patterns_of(options.files), options.filter, options.verbosity)
    page = Page([field.removeprefix(options.prefix) for field in fields], options.headers, _coloured(options.color))
    with suppress(KeyboardInterrupt):
        for line, _ in enumerate(statfiles.every(options.delay), 1):
            changes = poll.changes()
            print(_object(fields, poll, changes) if options.json else page.line(changes), flush=True)
            if line == options.count:
                break
    return poll.trouble()


def _parser() -> Parser:
    parser = Parser("pollstats")
    parser.add_argument("-c", "--count", type=number(int, 1))
    parser.add_argument("-d", "--delay", type=number(float, 0.01), default=1.0)
    parser.add_argument("-f", "--filter", nargs="*", action="extend", default=[])
    parser.add_argument("-n", "--headers", type=number(int, 0), default=20)
    parser.add_argument("-p", "--prefix", default="")
    parser.add_argument("-v", action="count", dest="verbosity", default=0)
    parser.add_argument("--color", choices=["auto", "always", "never"], default="auto")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("fields", metavar="FIELDS")
    parser.add_argument("files", nargs="*", metavar="FILE")
    return parser


def _coloured(when: str) -> bool:
    return when == "always" or (when == "auto" and is_interactive(sys.stdout) and not os.environ.get("NO_COLOR"))


def _object(fields: Sequence[str], poll: Poll, changes: Sequence[float | None]) -> str:
    told = {"time": time.time(), "interval_s": poll.interval, "fields": dict(zip(fields, changes, strict=True))}
    return to_json(told).decode()


class Page:
    """The lines for people: ``headers`` is after how many of them the header stands again, 0 for never."""

    def __init__(self, titles: Sequence[str], headers: int, coloured: bool) -> None:
        self._titles = titles
        self._headers = headers
        self._bold, self._yellow, self._usual = (_BOLD, _YELLOW, _USUAL) if coloured else ("", "", "")
        self._lines = 0

    def line(self, changes: Sequence[float | None]) -> str:
        """The next line, with the header above it where it is its turn."""
        first = self._lines % self._headers == 0 if self._headers else not self._lines
        self._lines += 1
        body = "|".join(f"{self._yellow}{_number(change):>19}{self._usual} " for change in changes)
        return f"{self._header()}\n{body}" if first else body

    def _header(self) -> str:
        return "|".join(f"{self._bold}{_centred(title)}{self._usual}" for title in self._titles)


def _centred(title: str) -> str:
    text = shortened(printable(title), _WIDTH)
    room = _WIDTH - cells(text)
    return " " * (room // 2) + text + " " * (room - room // 2)


def _number(value: float | None) -> str:
    if value is None:
        return "--"
    return str(value) if isinstance(value, int) else f"{value:.6g}"


class Seen(NamedTuple):
    """A field in the files of one process: its sum, and which files those were."""

    sum: int | float
    files: frozenset[tuple[object, ...]]


class Poll:
    """Reads files, and knows what was in them the last time that they could be added up.

    ``interval`` is the seconds since then, None at first.
    """

    def __init__(
        self, fields: Sequence[str], patterns: Sequence[str], filters: Sequence[str], verbosity: int = 0
    ) -> None:
        self.interval: float | None = None
        self._fields = fields
        self._patterns = patterns
        self._filters = [_filter(text) for text in filters]
        self._verbosity = verbosity
        self._last: dict[tuple[str, object], Seen] = {}  # who was seen last stands last
        self._when: float | None = None
        self._unknown = dict.fromkeys(fields, "is in no file")
        self._told: set[str] = set()
        self._failed = False

    def changes(self) -> list[int | float | None]:
        """For each field by how much it changed, over all processes that there are; None where no file has it."""
        found = statfiles.read(self._patterns)
        now = time.monotonic()
        self.interval = None if self._when is None else now - self._when
        self._tell(found)
        if not found.settled:  # what threads leave to their process might be in it twice, or not at all
            return [None] * len(self._fields)
        self._when = now
        changes: dict[str, int | float] = {}
        for (field, process), seen in self._added_up(found).items():
            before = self._last.pop((field, process), None)
            changes[field] = changes.get(field, 0) + _change(before, seen)
            self._last[field, process] = seen
        # What is away for a moment, as a file that cannot be read, does not begin again from zero.
        for key in list(self._last)[:-_REMEMBERED]:
            del self._last[key]
        return [_known(changes.get(field)) for field in self._fields]

    def trouble(self) -> int:
        """The exit code: 1 where a field was in no file, or a file could not be read."""
        for field, why in self._unknown.items():
            statfiles.say(f"pollstats: {printable(field)} {why}")
        return int(bool(self._unknown) or self._failed)

    def _tell(self, found: Found) -> None:
        for path, error in found.errors.items():
            self._failed = True
            self._say(f"Skipping {printable(path)}: {statfiles.reason(path, error)}")
        for path, reader in found.readers.items():
            if self._verbosity:
                self._say(f"Reading {printable(path)}: {len(reader.entries)} fields")

    def _say(self, line: str) -> None:
        if self._verbosity > 1 or line not in self._told:
            statfiles.say(line)
            self._told.add(line)

    def _added_up(self, found: Found) -> dict[tuple[str, object], Seen]:
        """By field and process, what its files have together."""
        sums: dict[tuple[str, object], int | float] = {}
        files: dict[tuple[str, object], set[tuple[object, ...]]] = {}
        for path, reader in found.readers.items():
            if not all(keeps(reader) for keeps in self._filters):
                continue
            owners = owners_of(reader)
            process: object = owners[0].pid if owners else path
            file = (path, _inode(path), owners[0].created if owners else None)
            for entry in reader.entries:
                if entry.label not in self._fields:
                    continue
                value = entry.value
                if isinstance(value, str):
                    if entry.label in self._unknown:
                        self._unknown[entry.label] = "is a text: a number is right"
                    continue
                self._unknown.pop(entry.label, None)
                if not math.isnan(value):
                    key = entry.label, process
                    sums[key] = sums.get(key, 0) + value
                    files.setdefault(key, set()).add(file)
        return {key: Seen(sum_, frozenset(files[key])) for key, sum_ in sums.items()}


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def _change(before: Seen | None, now: Seen) -> int | float:
    """By how much a process's sum changed. What a file that is gone had is not taken off."""
    if before is None:
        return now.sum
    change = now.sum - before.sum
    if now.files >= before.files:
        return change
    if now.files & before.files:
        return max(0, change)
    # Another process with the same id, unless all that is here was handed over by threads that have ended.
    return change if change >= 0 else now.sum


def _known(change: int | float | None) -> int | float | None:
    """None for what is no number: from infinity to infinity."""
    return None if change is None or not math.isfinite(change) else change


def _filter(text: str) -> Callable[[MmStatsReader], bool]:
    """Whether a file is to be read; of ``LABEL=VALUE`` the value may be written as any number that is equal."""
    label, separator, value = text.partition("=")
    if not separator:
        return lambda reader: any(stat.label.startswith(text) for stat in reader)
    wanted = {value, *_numbers(value)}
    return lambda reader: any(stat.label == label and {stat.value, str(stat.value)} & wanted for stat in reader)


def _numbers(text: str) -> Iterator[int | float]:
    for kind in (int, float):
        with suppress(ValueError):
            yield kind(text)


if __name__ == "__main__":
    raise SystemExit(main())
