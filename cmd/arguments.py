"""Command lines that have flags of their own, and how programs end: with a line for what is wrong, no traceback."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from statspout import __version__
from statspout.errors import ConfigError
from statspout.logs import censored, printed


class Parser(argparse.ArgumentParser):
    """A parser whose errors are ConfigErrors, and which has ``help`` for whoever wants to print it."""

    def __init__(self, program: str) -> None:
        super().__init__(prog=program, add_help=False, allow_abbrev=False)
        self.add_argument("-h", "--help", action="store_true")
        self.alone: dict[str, str] = {}
        """What a flag stands for that is written without a value: what comes behind it is never taken for one."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As the base class."""
        return super().parse_known_args([self.alone.get(argument, argument) for argument in args], namespace)

    def error(self, message: str) -> NoReturn:
        """What is wrong, as everywhere."""
        raise ConfigError(f"{message}: {self.prog} --help says what is right")


def number(kind: Callable[[str], float], least: float) -> Callable[[str], float]:
    """What makes a number of an argument: ``least`` or more, and finite."""

    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = -1
        if not least <= value < float("inf"):
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is wrong: {what} of {least} or more is right")
        return value

    return convert


def add_watch(parser: Parser, seconds: float) -> None:
    """``--watch`` and ``--watch=SECONDS``, of 0.01 and more."""
    parser.add_argument("--watch", type=number(float, 0.01), metavar="SECONDS")
    parser.alone["--watch"] = f"--watch={seconds}"


def run(program: str, usage: str, command: Callable[[Sequence[str]], int], argv: Sequence[str] | None = None) -> int:
    """Run a program of its own; the exit code is what ``command`` returns, 2 for a wrong flag, 1 for other trouble.

    ``--help`` and ``--version`` are taken here.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _have_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A path or a label that the terminal's encoding lacks is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    try:
        own = arguments[: arguments.index("--")] if "--" in arguments else arguments
        if {"-h", "--help", "--version"} & set(own):
            print(f"{program} {__version__}" if "--version" in own else usage.rstrip("\n"))
            code = 0
        else:
            code = command(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has gone; nothing more is to be said, not even by the interpreter at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ConfigError, OSError) as error:
        print(f"{program}: {censored(printed(' '.join(str(error).split())))}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        return 130
    return code


def _have_streams() -> None:
    """Python has None in the place of what is closed, and the first file that is opened would be taken for it."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - for as long as the program runs
