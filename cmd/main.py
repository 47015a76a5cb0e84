"""The program ``statspout``: reads the command line, and runs the daemon or one of the small commands."""

from __future__ import annotations

import importlib
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from statspout import __version__, signals
from statspout.errors import ConfigError
from statspout.logs import censored, setup

if TYPE_CHECKING:
    from statspout.repository import Repository

_COMMANDS = ("check", "config", "health", "listen", "repositories")
_HELP = {"--help", "-h", "-help"}
_OWN_FLAGS = ("listen",)
"""Commands with flags of their own, among them --help; a command of the user's may stand behind them."""

_USES = {
    "check": """\
Print what would run with these settings, and whether each engine answers; run nothing.
Databases are not asked. Exit code 1 when an engine does not answer, 2 for a wrong setting.

  statspout check --config=statspout.toml""",
    "config": """\
Print a configuration file: what is set now by flags, environment and --config, and
every other setting as a comment, with its default and what it does.

  statspout config --repository=rest --interval=10 > statspout.toml""",
    "health": """\
Ask the running daemon whether samples come, and print one line. Exit code 0 when they
do, else 1. It needs the daemon's own --health.address.

  statspout health --health.address=127.0.0.1:8081""",
    "repositories": """\
List what --repository can select: the name, other spellings, and what it does.

  statspout repositories --plugin=graphite.py:Graphite""",
}
"""What a command that takes all of statspout's settings does with them."""

USAGE = """\
Usage: statspout [COMMAND] [OPTIONS]

What your containers use, routed to the database you already have.

Commands:
  (none)         collect until SIGTERM or SIGINT
  check          check the settings and the engine, and end
  config         print a configuration file with every setting
  health         ask the daemon at --health.address whether samples come
  listen         print what StatsD clients send, and check it
  repositories   list the repositories that can be selected

  --help, -h     this text; behind a command, what that does
  --version      the version

Every option --a.b is also the environment variable STATSPOUT_A_B and, in the
file that --config names, the key b of the table [a]. An option goes before a
variable, a variable before the file. A wrong setting ends the program with
exit code 2.

  statspout --repository=rest,prometheus --interval=10
  statspout --once --stdout.format=json
"""


def main(argv: Sequence[str] | None = None, *, repositories: Sequence[type[Repository]] = ()) -> int:
    """Run one command; returns the exit code: 0, 1 when a command found trouble, 2 when a setting is wrong.

    ``argv`` are the arguments without the program's name, by default those of this process. ``repositories`` are
    classes that can be selected beside those that are installed.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _take_standard_places()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A path or a name that the terminal's encoding lacks is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    try:
        return _dispatch(arguments, repositories)
    except BrokenPipeError:
        # The reader of our output has gone; nothing more is to be said, not even by the interpreter at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ConfigError, OSError) as error:
        print(f"statspout: {censored(' '.join(_said(error).split()))}", file=sys.stderr)
        return _code(error)
    except KeyboardInterrupt:
        return 130


def _take_standard_places() -> None:
    """Have nothing where a standard descriptor is closed: a file of ours there would get what is meant for it.

    An error is printed nowhere then, and not on standard output, as Python would have it.
    """
    for place in range(3):
        try:
            os.fstat(place)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it takes the lowest place that is free
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - open to the end


def _said(error: ConfigError | OSError) -> str:
    return str(getattr(error, "strerror", None) or error)


def _code(error: ConfigError | OSError) -> int:
    return 2 if isinstance(error, ConfigError) else 1


def _dispatch(arguments: list[str], classes: Sequence[type[Repository]]) -> int:
    if _is_daemon(arguments):
        return _run(arguments, classes)
    signals.release()
    if arguments and arguments[0] in _OWN_FLAGS:
        return _command_of(arguments[0])(arguments[1:], classes)
    if _HELP & set(arguments) or arguments[:1] == ["help"]:
        return _help(arguments, classes)
    if {"--version", "-version"} & set(arguments):
        print(f"statspout {__version__}")
        return 0
    command = _command(arguments)
    if command not in _COMMANDS:
        raise ConfigError(f"there is no command {command!r}: {', '.join(_COMMANDS)}, or none, is right")
    return _command_of(command)(arguments, classes)


def _is_daemon(arguments: list[str]) -> bool:
    """Whether they name no command, and ask for nothing that is only printed."""
    asks = {"--help", "-h", "-help", "--version", "-version"} & set(arguments)
    return not asks and not _command(arguments.copy())


def _command_of(name: str) -> Callable[[Sequence[str], Sequence[type[Repository]]], int]:
    """Each is a function in the module of its name."""
    found: Callable[..., int] = getattr(importlib.import_module(f"statspout.cmd.{name}"), name)
    return found


def _command(arguments: list[str]) -> str:
    """Take the command out of the arguments: the first of them, or, when it is a command for sure, the last."""
    if arguments and not arguments[0].startswith("-"):
        return arguments.pop(0)
    if arguments and arguments[-1] in _COMMANDS:
        return arguments.pop()
    return ""


def _run(arguments: list[str], classes: Sequence[type[Repository]]) -> int:
    from statspout.config import Config, configure, log_format, placed
    from statspout.program import run_daemon

    # A run for one sample has failed without it.
    signals.end_with(int(_says_once(arguments)))

    def read() -> Config:
        return configure(arguments, os.environ, classes, every=False)

    try:
        config = read()
        signals.end_with(int(config.settings.once))
        with placed(config.given):
            return run_daemon(config.settings, config.repositories, config.notes, read)
    except BrokenPipeError:
        raise
    except (ConfigError, OSError) as error:
        return _wrong(arguments, error)
    except Exception as error:
        setup("info", log_format(arguments, os.environ))
        logging.getLogger("statspout").critical("it ends by a fault of its own: %r", error, exc_info=error)
        return 1


def _says_once(arguments: list[str]) -> bool:
    """Whether flags or variables speak of ``--once``, as far as that shows before they are read."""
    return "STATSPOUT_ONCE" in os.environ or any(one.lstrip("-").partition("=")[0] == "once" for one in arguments)


def _wrong(arguments: list[str], error: ConfigError | OSError) -> int:
    """The exit code; the error is a log line where those are read by a program."""
    from statspout.config import log_format

    if log_format(arguments, os.environ) != "json":
        raise error
    setup("info", "json")
    logging.getLogger("statspout").error("%s", " ".join(_said(error).split()))
    return _code(error)


def _help(arguments: list[str], classes: Sequence[type[Repository]]) -> int:
    from statspout.config import help_app

    command = _command([argument for argument in arguments if argument not in {*_HELP, "help"}])
    if command in _USES:
        print(f"Usage: statspout {command} [OPTIONS]\n\n{_USES[command]}\n\nOPTIONS are those of statspout --help.")
        return 0
    print(USAGE)
    try:
        app = help_app(arguments, os.environ, classes)
    except ConfigError:
        # Whoever asks for help may have the rest wrong; only a plugin's own options are left out then.
        app = help_app([], {}, classes)
    app.help_print([])
    if sys.stdout is not None:
        sys.stdout.flush()
    return 0
