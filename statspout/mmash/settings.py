"""What ``mmash`` can be told: its own flags, those of the daemon's web server, and the original's file of settings."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from statspout.client.mmap import default_glob
from statspout.config import own_settings, placed, read
from statspout.errors import ConfigError
from statspout.files import Unreadable
from statspout.files import read as read_file
from statspout.logs import printed
from statspout.options import Options, option, settings_of
from statspout.settings import Settings
from statspout.web.access import Access, access_of
from statspout.web.address import show_address
from statspout.web.tls import ServedTls, tls_of

FILE = "MMASH_SETTINGS"
"""The variable that names the original's file of settings."""

_LARGEST = 64 * 1024
"""Bytes of it that are read."""

_HOST, _PORT = "127.0.0.1", 5002
_RIGHT = {"PORT": "a port", "DEBUG": "True or False"}
_IS: dict[str, Callable[[Any], bool]] = {
    "a text": lambda value: isinstance(value, str),
    "a port": lambda value: type(value) is int and 0 <= value <= 65535,
    "True or False": lambda value: isinstance(value, bool),
}
_KNOWN = ("HOST", "PORT", "MMSTATS_GLOB", "DEBUG")


class Own(Options):
    """The program's own flags; they have no variables."""

    address: str = option(default="", help="Where to serve.")
    glob: str = option(default="", help="The files that are served.")


class Asked(NamedTuple):
    """What there is to do; ``notes`` are lines about what has no effect."""

    address: str
    glob: str
    access: Access
    tls: ServedTls | None
    notes: list[str]


def asked(arguments: Sequence[str], environ: Mapping[str, str]) -> Asked:
    """What flags, variables and the original's file say: in that order one goes before the other. Or ConfigError."""
    web = [setting for setting in settings_of(Settings) if setting.name.startswith("web.")]
    own = settings_of(Own)
    variables = {name: value for name, value in environ.items() if name.startswith("STATSPOUT_WEB_")}
    given = read(arguments, variables, {"": [*own, *web]})
    path = environ.get(FILE, "")
    file = file_settings(path) if path else {}
    host, port = file.get("HOST") or _HOST, file.get("PORT", _PORT)
    settings = own_settings(given)
    with placed(given):
        return Asked(
            given.values.get("address") or show_address(host, port),
            given.values.get("glob") or file.get("MMSTATS_GLOB") or default_glob(),
            access_of(settings),
            tls_of(settings),
            [f"{FILE}: DEBUG has no effect: there is no debugger here"] if file.get("DEBUG") else [],
        )


def file_settings(path: str) -> dict[str, Any]:
    """The names that the original knows, and their values. The file is not run: all else in it is a ConfigError."""
    try:
        parsed = ast.parse(read_file(path, _LARGEST, pipe=True).decode())
    except (Unreadable, UnicodeDecodeError) as error:
        raise ConfigError(f"{FILE}: {printed(path)} cannot be read: {error}") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"{FILE}: {printed(path)} is wrong: lines such as PORT = 5002 are right") from error
    found: dict[str, Any] = {}
    for node in parsed.body:
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):  # a docstring says nothing
            name, value = _assigned(node, path)
            found[name] = value
    return found


def _assigned(node: ast.stmt, path: str) -> tuple[str, Any]:
    where = f"{FILE}: {printed(path)}, line {node.lineno}"
    target = node.targets[0] if isinstance(node, ast.Assign) else None
    if not isinstance(node, ast.Assign) or not isinstance(target, ast.Name) or not isinstance(node.value, ast.Constant):
        raise ConfigError(f"{where}: only a name and a value, such as PORT = 5002, are right: nothing is run")
    name = target.id
    value: Any = node.value.value
    if name not in _KNOWN:
        raise ConfigError(f"{where}: there is no {name}: {', '.join(_KNOWN)} are right")
    right = _RIGHT.get(name, "a text")
    if not _IS[right](value):
        raise ConfigError(f"{where}: {name} = {value!r} is wrong: {right} is right")
    return name, value
