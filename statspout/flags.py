"""The command line: its flags are the settings, its values are read as settings are."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

import cyclopts
from cyclopts import App, Group, Parameter

from statspout.errors import ConfigError
from statspout.options import Setting, bare, is_list
from statspout.values import Given, Spelling, convert, secret_file, spellings


def take_flags(given: Given, argv: Sequence[str], groups: Mapping[str, Sequence[Setting]], strict: bool) -> None:
    """Add to ``given`` what the flags in ``argv`` say. Not ``strict``: flags of others are let pass."""
    flags = dict(_keyed(flag for group in groups.values() for flag in _flags(group)))
    try:
        arguments = _parsed(argv, flags) if strict else _parsed_in_part(argv, flags)
    except cyclopts.CycloptsError as error:
        known = [flag.setting.flag for flag in flags.values()]
        raise ConfigError(_one_line(error, known)) from error
    found: dict[str, dict[str, Any]] = {}
    for key, value in arguments.items():
        setting, names = flags[key]
        # The parser takes true and false for itself, and does not tell by which alias.
        where, value = value if isinstance(value, tuple) else (f"--{names[0].name}", value)
        found.setdefault(setting.name, {})[where] = value
        given.note(names[0], where, setting.flag)
    for name, values in found.items():
        given.take(name, values)


def command_line(groups: Mapping[str, Sequence[Setting]]) -> App:
    """The command line that takes ``groups`` of settings; each group has a heading of its own in the help."""
    headings = {
        title: Group(f"Repository {title}" if title else "Settings", sort_key=(bool(title), title)) for title in groups
    }
    under = [(flag, headings[title]) for title, group in groups.items() for flag in _flags(group)]
    return _app([_parameter(key, flag, heading) for key, (flag, heading) in _keyed(under)])


T = TypeVar("T")


def _keyed(values: Iterable[T]) -> Iterator[tuple[str, T]]:
    """Each with a name that a parameter may have."""
    return ((f"p{number}", value) for number, value in enumerate(values))


def _parsed(argv: Sequence[str], flags: Mapping[str, _Flag]) -> Mapping[str, Any]:
    """What is given, by the keys of the flags. CycloptsError when that is not all there is in ``argv``."""
    # To tell the parser of a flag costs more than all else; of those that are not written it need not know.
    written = {argument.partition("=")[0] for argument in argv}
    some = {key: flag for key, flag in flags.items() if any(f"--{one.name}" in written for one in flag.names)}
    try:
        return _all_parsed(argv, some)
    except cyclopts.UnknownOptionError:
        return _all_parsed(argv, flags)  # what is a flag, and how else it may be written, is the parser's to say


def _all_parsed(argv: Sequence[str], flags: Mapping[str, _Flag]) -> Mapping[str, Any]:
    return _app_of(flags).parse_args(list(argv), exit_on_error=False, print_error=False)[1].arguments


def _parsed_in_part(argv: Sequence[str], flags: Mapping[str, _Flag]) -> Mapping[str, Any]:
    """As above, but what is no flag of these is let pass."""
    return _app_of(flags).parse_known_args(list(argv))[1].arguments


def _app_of(flags: Mapping[str, _Flag]) -> App:
    return _app([_parameter(key, flag) for key, flag in flags.items()])


def _app(parameters: Sequence[inspect.Parameter]) -> App:
    def main(**values: Any) -> None: ...

    main.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # how inspect wants it
    return App(name="statspout", default_command=main, help_flags=[], version_flags=[], usage="", help="")


class _Converted:
    """Tells pydantic to take a value as it is.

    The parser has it check what a converter made, against the shape for the help, in every program that has loaded it.
    """

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> dict[str, str]:
        return {"type": "any"}


class _Flag(NamedTuple):
    """A setting under the names that are one to the parser: its own, or one that it had before."""

    setting: Setting
    names: Sequence[Spelling]


def _flags(settings: Iterable[Setting]) -> Iterator[_Flag]:
    for setting in settings:
        # A secret has no flag but that for its file.
        known = [one for one in spellings(setting) if one.is_file == setting.secret]
        yield _Flag(setting, [one for one in known if not one.until])
        yield from (_Flag(setting, [one]) for one in known if one.until)


def _parameter(key: str, flag: _Flag, heading: Group | None = None) -> inspect.Parameter:
    """The setting as cyclopts takes it; what it makes of it is the flag that was written, and the value."""
    setting, names = flag
    is_flag = bare(setting.type) is bool

    def converter(_: Any, tokens: Sequence[cyclopts.Token]) -> tuple[str, Any]:
        where = tokens[0].keyword or setting.flag
        if setting.secret:
            return where, secret_file(tokens[0].value, where)
        # A list may also be given by naming its flag several times.
        return where, convert(setting, ",".join(token.value for token in tokens), where)

    declared = Parameter(
        name=[f"--{one.name}" for one in names],
        show=not names[0].until,
        help=setting.help
        + (" (a file that holds it)" if setting.secret else "")
        + (" Required." if setting.required else ""),
        group=heading,
        converter=None if is_flag else converter,
        n_tokens=0 if is_flag else 1,
        negative="",
        show_default=(lambda _: setting.shown()) if setting.shown() else False,
        show_env_var=False,
    )
    # What the help shows; the converter above does the work, but for true and false.
    shape: Any = (
        bool if is_flag else list[str] if is_list(setting.type) else str if setting.secret else bare(setting.type)
    )
    default = None if setting.required else setting.default
    return inspect.Parameter(
        key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[shape, declared, _Converted()]
    )


def _one_line(error: cyclopts.CycloptsError, flags: Collection[str]) -> str:
    """The parser's complaint in our words; ``flags`` are those that there are."""
    if isinstance(error, cyclopts.UnknownOptionError):
        flag = error.token.keyword or error.token.value
        close = [f"{flag}-file"] if f"{flag}-file" in flags else difflib.get_close_matches(flag, flags, 1, 0.75)
        return f"{flag}: there is no such flag: {f'did you mean {close[0]}?' if close else '--help lists them'}"
    if isinstance(error, cyclopts.UnusedCliTokensError):
        return f"unexpected argument {' '.join(error.unused_tokens or [])!r}: flags are written --name=value"
    if isinstance(error, cyclopts.MissingArgumentError) and error.argument:
        return f"{error.argument.name}: a value is missing: {error.argument.name}=VALUE is right"
    if isinstance(error, cyclopts.RepeatArgumentError):
        return f"{error.token.keyword}: it is given twice: once is right"
    text = str(error).strip().splitlines()[-1].rstrip(".")
    return re.sub(
        r'^Invalid value for (\S+): unable to convert "(.*)" into bool$',
        r"\1: '\2' is wrong: true or false is right",
        text,
    )
