"""What a user may think to have said: settings that were given and have no effect."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from statspout.logs import censored
from statspout.options import Setting, env_name
from statspout.values import Given, spellings


def without_effect(given: Mapping[str, Any], environ: Mapping[str, str], settings: Sequence[Setting]) -> list[str]:
    """A line each; ``given`` are values by setting name, ``settings`` all that there are."""
    return [*_unused(given), *_misspelt(environ, settings)]


def exposed(given: Given, settings: Sequence[Setting]) -> Iterator[str]:
    """A line for each secret that everybody on the machine can read, in a configuration file or a command line."""
    path = given.values.get("config", "")
    for setting in settings:
        where = given.origins.get(setting.name, "")
        value = given.values.get(setting.name)
        if where.startswith("--") and not setting.secret and isinstance(value, str) and censored(value) != value:
            yield f"{where}: everybody can read the password in a command line: {setting.env} or the file is right"
        in_file = path and setting.secret and where.startswith(f"{path}: ") and not where.endswith("-file")
        if in_file and _for_everybody(path):
            yield f"{where}: it is a secret, and everybody can read this file: chmod o= {path}"


def _for_everybody(path: str) -> bool:
    try:
        return bool(Path(path).stat().st_mode & 0o004)
    except OSError:
        return False  # it was read a moment ago, and has gone since


_TLS = ("docker.tls", "docker.tls-ca", "docker.tls-cert", "docker.tls-key", "docker.tls-verify")
_ENGINE = ("engine", "mode", "socket.path", "http.address", "docker.host", "docker.context", *_TLS)


def _unused(given: Mapping[str, Any]) -> Iterator[str]:
    mode = given.get("mode")
    of_mode = {"http": "socket.path", "socket": "http.address"}.get(str(mode))
    for name in _ENGINE:
        if name in given and (given.get("demo") or name == of_mode):
            yield f"--{name} has no effect with {'--demo' if given.get('demo') else f'--mode={mode}'}"
    for name in ("spool.max-bytes", "spool.max-age"):
        if name in given and not given.get("spool.dir"):
            yield f"--{name} has no effect without --spool.dir"
    for name in given:
        source = name.partition("-")[0]
        if name.startswith("listen.") and source != name and not given.get(source):
            yield f"--{name} has no effect without --{source}"


def _misspelt(environ: Mapping[str, str], settings: Sequence[Setting]) -> Iterator[str]:
    """Variables that are nearly ours. Those of repositories that are not loaded here are none of our business."""
    known = {env_name(one.name): one for setting in settings for one in spellings(setting)}
    right = [name for name, one in known.items() if not one.until]
    for variable in sorted(environ):
        if variable.startswith("STATSPOUT_") and variable not in known:
            for close in difflib.get_close_matches(variable, right, 1, 0.85):
                yield f"{variable} is no setting: did you mean {close}?"
