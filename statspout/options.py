"""A setting is declared once, as a typed field; its flag, environment variable, help and docs follow.

::

    class Graphite(Repository):
        name = "graphite"
        port: int = option(default=2003, help="Carbon plaintext port.")

gives ``--graphite.port`` and ``STATSPOUT_GRAPHITE_PORT``. The type is ``str``, ``int``, ``float``, ``bool``, a
``Literal`` of choices, or ``tuple[str, ...]``; with ``| None`` it may be unset. What it was called before goes on
working, and is said once at the start, until the version that ``was`` names: ``option(..., was={"number": "2.0"})``.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import sys
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, dataclass_transform
from weakref import WeakKeyDictionary

from statspout.errors import ConfigError
from statspout.logs import censored, printed

_KEY = "statspout.option"
_FORMER = re.compile(r"[a-z][a-z0-9]*(?:[.-][a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class _Declared:
    help: str
    name: str | None
    secret: bool
    minimum: float | None
    maximum: float | None
    was: Mapping[str, str]


def option(
    *,
    help: str,  # noqa: A002 - the word of every option parser
    default: Any = dataclasses.MISSING,
    name: str | None = None,
    secret: bool = False,
    minimum: float | None = None,
    maximum: float | None = None,
    was: Mapping[str, str] | None = None,
) -> Any:
    """Declare one setting of an :class:`Options` class.

    ``help`` is one sentence. Without ``default`` the setting is required. ``name`` is its name after the prefix where
    the field's own will not do. A ``secret`` has a flag for a file that holds it and an environment variable, but
    no flag of its own, and never reaches a log or a repr. Numbers below ``minimum`` or above ``maximum`` are a
    ConfigError. ``was`` are the names after the prefix that it had before, each with the version that will not know it
    any more.
    """
    was = {} if was is None else was
    if not isinstance(was, Mapping) or not all(_FORMER.fullmatch(old) and until for old, until in was.items()):
        raise TypeError(
            f"was={was!r} is wrong: old names and the versions they go with, as {{'old-name': '2.0'}}, are right"
        )
    declared = _Declared(help=help, name=name, secret=secret, minimum=minimum, maximum=maximum, was=was)
    return dataclasses.field(default=default, repr=not secret, metadata={_KEY: declared})


@dataclass_transform(kw_only_default=True, field_specifiers=(option, dataclasses.field))
class Options:
    """A class whose typed fields are settings. Subclasses become keyword-only dataclasses as they are defined."""

    given: ClassVar[dict[str, Any]] = {}
    """What its constructor was called with, of each object its own."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            raise TypeError(f"{cls.__name__}: its settings make its __init__: write __post_init__ for what comes after")
        own = cls.__dict__.get("__doc__")
        dataclass(kw_only=True, eq=False, repr=False)(cls)
        # Without one, a dataclass shows its fields with their defaults, of which one may be a secret.
        cls.__doc__ = own
        made = cls.__init__

        @functools.wraps(made)
        def checked(self: Options, **values: Any) -> None:
            for setting in settings_of(cls, getattr(cls, "name", "")):
                if setting.field in values:
                    setting.check(values[setting.field])
            self.__dict__["given"] = values
            made(self, **values)

        cls.__init__ = checked  # type: ignore[method-assign, assignment]  # the same, held to the declared types first

    def __repr__(self) -> str:
        """The class and its settings, as a log line shows them: without what is nobody's business."""
        return f"{type(self).__name__}({described(self)})"


class Former(NamedTuple):
    """A whole name that a setting had before: it goes ``until`` that version."""

    name: str
    until: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as users meet it. ``name`` is a whole name, such as ``rest.path``; so are ``aliases``."""

    field: str
    name: str
    aliases: tuple[str, ...]
    type: Any
    default: Any
    help: str
    secret: bool
    minimum: float | None
    maximum: float | None
    former: tuple[Former, ...] = ()
    """What it was called before, under each spelling of what that begins with."""

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is dataclasses.MISSING

    @property
    def names(self) -> tuple[str, ...]:
        """Its name and the other spellings of it."""
        return (self.name, *self.aliases)

    @property
    def every_name(self) -> tuple[str, ...]:
        """Those, and what it was called before."""
        return (*self.names, *(old.name for old in self.former))

    @property
    def flag(self) -> str:
        """Its flag on the command line; a secret's names a file."""
        return f"--{self.name}-file" if self.secret else f"--{self.name}"

    @property
    def env(self) -> str:
        """Its environment variable."""
        return env_name(self.name)

    def check(self, value: Any, where: str = "") -> None:
        """Raise ConfigError when a value, written ``where``, is not of the setting's type, or out of its range."""
        where = where or f"--{self.name}"
        if not _is_of(self.type, value):
            shown = "the value" if self.secret else _quoted(value)
            raise ConfigError(f"{where}: {shown} is wrong: {wanted(self.type)} is right")
        if self.minimum is not None and isinstance(value, int | float) and not value >= self.minimum:
            raise ConfigError(f"{where}: {_quoted(value)} is too small: {_number(self.minimum)} or more is right")
        if self.maximum is not None and isinstance(value, int | float) and not value <= self.maximum:
            raise ConfigError(f"{where}: {_quoted(value)} is too large: {_number(self.maximum)} or less is right")

    def shown(self) -> str:
        """Its default as a user would write it; empty when there is none to show."""
        return "" if self.required or self.secret or self.default is None else _written(self.default)


def _quoted(value: Any) -> str:
    """A value in an error line: words for flags, a number as short as it can be, all else as Python writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float) and abs(value) <= sys.float_info.max:
        return _number(value)
    return _shortened(repr(value)) if not isinstance(value, int) else "a number of so many digits"


def _number(value: float) -> str:
    return str(int(value)) if abs(value) < _LONGEST_NUMBER and value == int(value) else f"{value:g}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


_LONGEST_NUMBER = 1e15
"""From here on a number is told by its power of ten."""

_LONGEST_SHOWN = 200
"""Characters of a wrong value that an error line shows."""


def env_name(name: str) -> str:
    """The environment variable of the setting ``name``: ``rest.path`` is STATSPOUT_REST_PATH."""
    return "STATSPOUT_" + name.upper().replace(".", "_").replace("-", "_")


def settings_of(cls: type[Options], prefix: str = "", aliases: tuple[str, ...] = ()) -> tuple[Setting, ...]:
    """The settings that ``cls`` declares, in order, base classes first.

    ``prefix`` is put before each name with a dot; each of ``aliases`` is another prefix for the same settings.
    """
    hints = _hints(cls)
    found = []
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # every subclass is a dataclass, see Options
        declared = field.metadata.get(_KEY)
        if isinstance(declared, _Declared):
            found.append(_setting(field, declared, hints[field.name], prefix, aliases))
    return tuple(found)


_found_hints: WeakKeyDictionary[type[Options], dict[str, Any]] = WeakKeyDictionary()
"""Weak, for a plugin's class is another one after each reload."""


def _hints(cls: type[Options]) -> dict[str, Any]:
    """The types of its fields; asked for often, and slow to find."""
    hints = _found_hints.get(cls)
    if hints is None:
        hints = _found_hints[cls] = typing.get_type_hints(cls)
    return hints


def described(options: Options, prefix: str = "", *, changed: bool = False) -> str:
    """The settings of ``options`` in one line, as ``rest.path=/stats``; secrets, and passwords in URLs, as ``***``.

    ``changed``: only those that are not as they are by default; else all but those that are empty by default.
    """
    shown = []
    for setting in settings_of(type(options), prefix):
        value = getattr(options, setting.field)
        if value != setting.default or not (changed or value in (None, "", ())):
            shown.append(f"{setting.name}={'***' if setting.secret and value else _written(value)}")
    return " ".join(shown)


def _written(value: Any) -> str:
    """A value as a user would write it."""
    if isinstance(value, tuple | list):
        return ",".join(map(_written, value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return printed(censored(f"{value:g}" if isinstance(value, float) else str(value)))


def _setting(
    field: dataclasses.Field[Any], declared: _Declared, type_: Any, prefix: str, aliases: tuple[str, ...]
) -> Setting:
    short = declared.name or field.name.replace("_", "-")
    return Setting(
        field=field.name,
        name=f"{prefix}.{short}" if prefix else short,
        aliases=tuple(f"{alias}.{short}" for alias in aliases),
        type=type_,
        default=field.default,
        help=declared.help,
        secret=declared.secret,
        minimum=declared.minimum,
        maximum=declared.maximum,
        former=tuple(_former(declared.was, (prefix, *aliases))),
    )


def _former(was: Mapping[str, str], prefixes: tuple[str, ...]) -> Iterator[Former]:
    for prefix in prefixes:
        for old, until in was.items():
            yield Former(f"{prefix}.{old}" if prefix else old, until)


def bare(type_: Any) -> Any:
    """The type without its ``| None``."""
    arguments = [arg for arg in typing.get_args(type_) if arg is not type(None)]
    return arguments[0] if type(None) in typing.get_args(type_) else type_


def supported(type_: Any) -> bool:
    """Whether a setting can be of this type: text, number, flag, choice, or a list of texts; each may be optional."""
    type_ = bare(type_)
    texts = is_list(type_) and set(typing.get_args(type_)) <= {str, Ellipsis}
    return type_ in (str, int, float, bool) or typing.get_origin(type_) is typing.Literal or texts


def wanted(type_: Any) -> str:
    """What a value of the type looks like, for an error: ``a number``, ``text or json``."""
    type_ = bare(type_)
    if typing.get_origin(type_) is typing.Literal:
        return " or ".join(map(str, typing.get_args(type_)))
    if is_list(type_):
        return "a list of texts"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(type_, str(type_))


def _is_of(type_: Any, value: Any) -> bool:
    if value is None:
        return type(None) in typing.get_args(type_)
    type_ = bare(type_)
    if typing.get_origin(type_) is typing.Literal:
        return value in typing.get_args(type_)
    if is_list(type_):
        return isinstance(value, tuple | list) and all(isinstance(item, str) for item in value)
    if type_ is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return isinstance(value, type_) and (type_ is bool or not isinstance(value, bool))


def is_list(type_: Any) -> bool:
    """Whether the setting takes several values, written with commas between them."""
    return typing.get_origin(type_) in (tuple, list)


def type_name(type_: Any) -> str:
    """A type in the words of the documentation: ``text``, ``number``, ``a, b or c``."""
    type_ = bare(type_)
    if typing.get_origin(type_) is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in typing.get_args(type_))
    if is_list(type_):
        return "list"
    return {str: "text", int: "integer", float: "number", bool: "flag"}.get(type_, str(type_))
