"""``slurpstats``: what statistics files have, all of it, once or again and again."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from statspout.client.mmap import Found, MmStatsReader
from statspout.cmd import statfiles
from statspout.cmd.arguments import Parser, add_watch, run
from statspout.shapes import printable, to_json
from statspout.terminal.screen import Screen, is_interactive
from statspout.terminal.text import cells, shortened

_USAGE = f"""\
Usage: slurpstats [OPTIONS] [FILE...]

Print every label and its value of statistics files in memory.

{statfiles.FILES}
      --json              an array with an object for each file, on one line
      --watch[=SECONDS]   again and again, until Ctrl-C (1)
      --version           the version

The exit code is 0, 1 when a file could not be read or there is none, 2 when an
option is wrong.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; ``argv`` are its arguments without its name."""
    return run("slurpstats", _USAGE, slurpstats, argv)


def slurpstats(arguments: Sequence[str]) -> int:
    """Print the files; returns the exit code. A wrong flag is a ConfigError."""
    options = _parser().parse_args(arguments)
    patterns = statfiles.patterns_of(options.files)
    if not options.watch:
        return _once(patterns, options.json)
    with suppress(KeyboardInterrupt):
        _watch(patterns, options.watch, options.json)
    return 0


def _parser() -> Parser:
    parser = Parser("slurpstats")
    parser.add_argument("--json", action="store_true")
    add_watch(parser, 1.0)
    parser.add_argument("files", nargs="*", metavar="FILE")
    return parser


def _once(patterns: Sequence[str], json: bool) -> int:
    found = statfiles.read(patterns)
    _print(found, json)
    for path, error in found.errors.items():
        statfiles.say(f"Error reading: {printable(path)}: {statfiles.reason(path, error)}")
    if not found.readers and not found.errors:
        statfiles.say(f"slurpstats: {statfiles.none_found(patterns)}")
    return int(bool(found.errors) or not found.readers)


def _print(found: Found, json: bool) -> None:
    if json:
        print(to_json(list(objects(found))).decode())
        return
    for path, reader in found.readers.items():
        print("\n".join(lines(path, reader)), end="\n\n")


def _watch(patterns: Sequence[str], seconds: float, json: bool) -> None:
    if json or not is_interactive(sys.stdout):
        for _ in statfiles.every(seconds):
            _print(statfiles.read(patterns), json)
            sys.stdout.flush()
    signal.signal(signal.SIGTERM, _end)  # so that the terminal is left as it was found
    screen = Screen(_write, sys.stdout.fileno())
    try:
        for _ in statfiles.every(seconds):
            size = screen.size()
            screen.show(_page(statfiles.read(patterns), patterns, size.columns, size.lines - 1), size)
    finally:
        screen.close()


def _end(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.flush()


def _page(found: Found, patterns: Sequence[str], columns: int, rows: int) -> list[str]:
    """What fits on the terminal; the last line says how much does not."""
    every = [line for path, reader in found.readers.items() for line in (*lines(path, reader), "")]
    every += [f"Error reading: {printable(path)}: {statfiles.reason(path, e)}" for path, e in found.errors.items()]
    every = every or [statfiles.none_found(patterns)]
    if len(every) > rows:
        every = [*every[: rows - 1], f"... {len(every) - rows + 1} more lines"]
    return [shortened(line, columns) for line in every]


def lines(path: str, reader: MmStatsReader) -> Iterator[str]:
    """The file for people: its path, and a line for each label, the values one below the other."""
    yield f"==> {printable(path)}"
    labels = [(printable(label), value) for label, value in reader]
    width = max((cells(label) for label, _ in labels), default=0)
    for label, value in labels:
        yield f"  {label}{' ' * (width - cells(label))} {statfiles.shown(value)}".rstrip()


def objects(found: Found) -> Iterator[dict[str, Any]]:
    """An object for each file: ``path`` and ``stats``, or ``error``."""
    for path, reader in found.readers.items():
        yield {"path": path, "stats": statfiles.object_of(reader)}
    for path, error in found.errors.items():
        yield {"path": path, "error": statfiles.reason(path, error)}


if __name__ == "__main__":
    raise SystemExit(main())
