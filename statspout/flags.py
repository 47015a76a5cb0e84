"""The command line: its flags are the settings, its values are read as settings are."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

import cyclopts
from cyclopts import App, Group, Parameter

from statspout.errors import ConfigError
from statspout.options import Setting, bare, is_list
from statspout.values import Given, convert, secret_file


def take_flags(given: Given, argv: Sequence[str], groups: Mapping[str, Sequence[Setting]], strict: bool) -> None:
    """Add to ``given`` what the flags in ``argv`` say. Not ``strict``: flags of others are let pass."""
    settings = [setting for group in groups.values() for setting in group]
    app = command_line(groups)
    try:
        if strict:
            _, bound, _ = app.parse_args(list(argv), exit_on_error=False, print_error=False)
        else:
            _, bound, _, _ = app.parse_known_args(list(argv))
    except cyclopts.CycloptsError as error:
        known = [setting.flag for setting in settings]
        raise ConfigError(_one_line(error, known)) from error
    for key, value in bound.arguments.items():
        setting = settings[int(key[1:])]
        given.take(setting.name, {setting.flag: value})


def command_line(groups: Mapping[str, Sequence[Setting]]) -> App:
    """The command line that takes ``groups`` of settings; each group has a heading of its own in the help."""

    def main(**values: Any) -> None: ...

    parameters: list[inspect.Parameter] = []
    for title, group in groups.items():
        heading = Group(f"Repository {title}" if title else "Settings", sort_key=(bool(title), title))
        parameters += [_parameter(f"p{len(parameters) + i}", s, heading) for i, s in enumerate(group)]
    main.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # how inspect wants it
    return App(name="statspout", default_command=main, help_flags=[], version_flags=[], usage="", help="")


def _parameter(key: str, setting: Setting, heading: Group) -> inspect.Parameter:
    """The setting as cyclopts takes it. A secret's flag names the file that holds it."""
    is_flag = bare(setting.type) is bool

    def converter(_: Any, tokens: Sequence[cyclopts.Token]) -> Any:
        if setting.secret:
            return secret_file(tokens[0].value, tokens[0].keyword or setting.flag)
        if is_flag:
            return _bool_flag(setting, tokens[0])
        # A list may also be given by naming its flag several times.
        return convert(setting, ",".join(token.value for token in tokens), tokens[0].keyword or setting.flag)

    suffix = "-file" if setting.secret else ""
    declared = Parameter(
        name=[f"--{name}{suffix}" for name in setting.names],
        help=setting.help + (" (a file that holds it)" if setting.secret else ""),
        group=heading,
        converter=converter,
        n_tokens=0 if is_flag else 1,
        negative="",
        show_default=(lambda _: setting.shown() or "required") if setting.shown() or setting.required else False,
        show_env_var=False,
    )
    # What the help shows; the converter above does the work.
    shape: Any = (
        bool if is_flag else list[str] if is_list(setting.type) else str if setting.secret else bare(setting.type)
    )
    default = None if setting.required else setting.default
    return inspect.Parameter(
        key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[shape, declared]
    )


def _bool_flag(setting: Setting, token: cyclopts.Token) -> bool:
    """A bare flag is true; ``--once=false`` says no."""
    if token.implicit_value is not cyclopts.UNSET:
        return bool(token.implicit_value)
    return bool(convert(setting, token.value, token.keyword or setting.flag))


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
