"""What a user wrote becomes values of the settings' types. What is wrong is a ConfigError that says where it was."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from statspout.errors import ConfigError
from statspout.files import Unreadable, read
from statspout.logs import printed
from statspout.options import Setting, bare, is_list, wanted

_LARGEST_SECRET = 64 * 1024
"""Bytes of a secret's file that are read."""


@dataclass(frozen=True, slots=True)
class Given:
    """What was given: ``values`` by whole setting name, and the ``origins`` of each, as an error line names them."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    renamed: list[str] = field(default_factory=list)
    """A line for each old name that was used."""

    def take(self, name: str, found: Mapping[str, Any]) -> None:
        """Keep the value in ``found``, by where it was written, unless one goes before it.

        ConfigError when one setting has several values there.
        """
        if len(set(map(repr, found.values()))) > 1:
            raise ConfigError(f"{' and '.join(found)}: they are one setting with two values: give one")
        for where, value in found.items():
            self.values.setdefault(name, value)
            self.origins.setdefault(name, where)

    def note(self, spelling: Spelling, where: str, right: str) -> None:
        """Take note should the name that was written ``where`` be an old one; ``right`` is the same with today's."""
        if spelling.until:
            self.renamed.append(f"{where} is now {right}, and will go with version {spelling.until}")


class Spelling(NamedTuple):
    """A name under which a setting may be written, and the one that is ``right``.

    ``is_file``: what is there names a file that holds it. ``until`` is the version that will not know an old name.
    """

    name: str
    right: str
    is_file: bool
    until: str


def spellings(setting: Setting) -> Iterator[Spelling]:
    """Every name under which the setting may be written, the old ones last."""
    known = [(name, name, "") for name in setting.names]
    for name, right, until in [*known, *((old.name, setting.name, old.until) for old in setting.former)]:
        yield Spelling(name, right, False, until)
        if setting.secret:
            yield Spelling(f"{name}-file", f"{right}-file", True, until)


def convert(setting: Setting, text: str, where: str) -> Any:
    """``text`` as a value of the setting's type, or ConfigError naming ``where`` it was written."""
    type_ = bare(setting.type)
    shown = "the value" if setting.secret else repr(text)
    if is_list(type_):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        if typing.get_origin(type_) is typing.Literal:
            return {str(choice): choice for choice in typing.get_args(type_)}[text.strip()]
        value = _SCALARS[type_](text.strip())
    except (ValueError, KeyError):
        raise ConfigError(f"{where}: {shown} is wrong: {wanted(type_)} is right") from None
    setting.check(value, where)
    return value


def typed(setting: Setting, value: Any, where: str) -> Any:
    """A value that has a type already as one of the setting's type, or ConfigError naming ``where`` it was written.

    A list may also be one text with commas; a whole number may stand for any number.
    """
    if is_list(bare(setting.type)):
        if isinstance(value, str):
            return convert(setting, value, where)
        setting.check(value, where)
        return tuple(value)
    if bare(setting.type) is str and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # an amount such as 65536, or a token of digits
    setting.check(value, where)
    return float(value) if bare(setting.type) is float else value


def secret_file(path: str, where: str) -> str:
    """What the file holds, without white space around it, or ConfigError naming ``where`` its path was written."""
    try:
        data = read(path, _LARGEST_SECRET + 1, pipe=True)
    except Unreadable as error:
        raise ConfigError(f"{where}: {printed(path)} cannot be read: {error}") from error
    if len(data) > _LARGEST_SECRET:
        raise ConfigError(f"{where}: {printed(path)} is larger than {_LARGEST_SECRET // 1024} KiB: it is no secret")
    try:
        secret = data.decode().strip()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: {printed(path)} cannot be read: it is not text") from error
    if not secret:
        raise ConfigError(f"{where}: {printed(path)} is empty: a file with the secret in it is right")
    return secret


def _bool(text: str) -> bool:
    return {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}[
        text.lower()
    ]


def _float(text: str) -> float:
    value = float(text)
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError
    return value


_SCALARS: dict[Any, Callable[[str], Any]] = {int: int, float: _float, bool: _bool, str: str}
