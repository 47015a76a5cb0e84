"""The configuration file: TOML, a key for every setting, a table for every part of the program and every repository."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from statspout.errors import ConfigError
from statspout.files import Unreadable, read
from statspout.logs import censored
from statspout.options import Setting, bare, is_list, type_name
from statspout.values import Given, Spelling, secret_file, spellings, typed

Entries = dict[str, Any]
"""What a file says: values by dotted key."""

_LARGEST = 4 * 2**20
"""Bytes of a file that are read."""


def read_file(path: str, where: str) -> Entries:
    """The file's entries, or ConfigError; ``where`` is the setting that named the file."""
    import tomllib  # most runs have no file

    try:
        data = read(path, _LARGEST + 1, pipe=True)
    except Unreadable as error:
        raise ConfigError(f"{where}: {path} cannot be read: {error}") from error
    if len(data) > _LARGEST:
        raise ConfigError(f"{where}: {path} is larger than {_LARGEST // 2**20} MiB: it is no configuration")
    try:
        # Some editors begin a file with a mark that TOML does not have.
        return dict(_flat(tomllib.loads(data.decode("utf-8-sig"))))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: it is not UTF-8 text: TOML is right, as `statspout config` prints it") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: it is nested too deeply: see what `statspout config` prints") from error
    except ValueError as error:
        raise ConfigError(f"{path}: it is not TOML: {error}: see what `statspout config` prints") from error


def take_file(
    given: Given, path: str, entries: Entries, settings: Sequence[Setting], strangers: Collection[str]
) -> None:
    """Add to ``given`` what the file's entries say, or raise ConfigError naming the file and the key.

    ``strangers`` are tables that are no concern of this run, as of a repository that cannot be used here.
    """
    known: dict[str, Spelling] = {}
    for setting in settings:
        found = {}
        for one in spellings(setting):
            known[one.name] = one
            if one.name in entries:
                where, value = f"{path}: {one.name}", entries[one.name]
                found[where] = _secret(value, where) if one.is_file else typed(setting, value, where)
                given.note(one, where, one.right)
        given.take(setting.name, found)
    for key in entries:
        if key not in known and key.partition(".")[0] not in strangers:
            raise ConfigError(f"{path}: {key}: {_unknown(key, [n for n, one in known.items() if not one.until])}")


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _secret(path: object, where: str) -> str:
    if not isinstance(path, str):
        raise ConfigError(f"{where}: {path!r} is wrong: the path of a file is right")
    return secret_file(path, where)


def _unknown(key: str, known: Collection[str]) -> str:
    if any(name.startswith(f"{key}.") for name in known):
        return f"it is a table, not a value: [{key}] is right"
    return f"there is no such setting: {_nearest(key, known)}"


def _nearest(key: str, known: Collection[str]) -> str:
    if close := difflib.get_close_matches(key, known, 1, 0.75):
        return f"did you mean {close[0]}?"
    table = key.rpartition(".")[0]
    tables = sorted({name.rpartition(".")[0] for name in known} - {""})
    if table and table not in tables:
        close = difflib.get_close_matches(table, tables, 1)
        return f"did you mean the table [{close[0]}]?" if close else f"there are the tables {', '.join(tables)}"
    there = sorted(name.rpartition(".")[2] for name in known if name.rpartition(".")[0] == table)
    return f"[{table}] has {', '.join(there)}" if table else f"there are {', '.join(there)}, and tables"


# The file that `statspout config` prints


def render(groups: Mapping[str, Sequence[Setting]], titles: Mapping[str, str], given: Given) -> str:
    """A file with every setting: what was given as it is, the rest commented out with its default.

    ``titles`` say what the repositories do. A secret is never written, only the key for the file that holds it.
    """
    lines = ["# The configuration of statspout. A flag goes before a variable, a variable before this file."]
    for group, settings in groups.items():
        if not settings:
            continue
        if group:
            lines += ["", "", f"# Repository {group}: {' '.join(titles[group].split())}", f"[{group}]"]
        for table in dict.fromkeys(setting.name.rpartition(".")[0] for setting in settings):
            if not group and table:
                lines += ["", f"[{table}]"]
            for setting in settings:
                if setting.name.rpartition(".")[0] == table:
                    lines += ["", *_entry(setting, given)]
    return "\n".join(lines) + "\n"


def _entry(setting: Setting, given: Given) -> Iterator[str]:
    key = setting.name.rpartition(".")[2]
    kind = type_name(setting.type)
    yield f"# {' '.join(setting.help.split())} {_nature(setting, kind)}".rstrip()
    if setting.secret:
        known = " (one is given)" if setting.name in given.values else ""
        yield f'# A secret{known}: it can also stand here itself, as {key} = "...".'
        yield f'#{key}-file = "/run/secrets/{setting.name}"'
    elif setting.name in given.values:
        written = _given_as_toml(setting, given)
        if censored(written) != written:
            yield "# One is given, with a password in it; a file that nobody else can read may hold it: chmod 600."
            yield f"#{key} = {censored(written)}"
        else:
            yield f"{key} = {written}"
    elif setting.required or setting.default is None:
        yield f"#{key} ="
    else:
        yield f"#{key} = {_toml(setting.default)}"


def _nature(setting: Setting, kind: str) -> str:
    if setting.required:
        return f"Required: {kind}."
    if setting.default is None:
        return f"Unset by default: {kind}."
    return f"One of {kind}." if kind.startswith("`") else "A list." if is_list(bare(setting.type)) else ""


def _given_as_toml(setting: Setting, given: Given) -> str:
    text = _toml(given.values[setting.name])
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{given.origins[setting.name]}: it is not UTF-8 text, which TOML is") from error
    return text


def _toml(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    # A JSON text is a TOML text but for one control character that JSON lets stand.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
