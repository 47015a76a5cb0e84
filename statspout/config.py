"""What the user asked for: flags and environment variables become settings and repositories.

Two phases. The first reads the program's own settings, which name the plugins; the second reads the whole command line
with the options of every repository that there is. A flag goes before a variable, a variable before a default.
Everything wrong is a ConfigError of one line.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from cyclopts import App, Group, Parameter

from statspout.errors import ConfigError, told
from statspout.logs import hide
from statspout.notes import without_effect
from statspout.options import Setting, bare, env_name, is_list, settings_of, wanted
from statspout.registry import Registry, load
from statspout.repository import Repository
from statspout.settings import Settings

Given = dict[str, Any]
"""Values by whole setting name; only those that were given."""


@dataclass(frozen=True, slots=True)
class Config:
    """One run of the program: its settings and its repositories, constructed but not opened."""

    settings: Settings
    repositories: list[Repository]
    registry: Registry
    notes: list[str]
    """What was given and has no effect, a line each."""


def configure(argv: Sequence[str], environ: Mapping[str, str]) -> Config:
    """Read flags and environment. ``argv`` has no program or command name in it."""
    registry, groups, given = understand(argv, environ)
    notes = without_effect(given, environ, [setting for group in groups.values() for setting in group])
    settings = Settings(**_arguments(groups[""], given))
    repositories = [_construct(registry.find(name), groups, given) for name in _selected(settings, registry)]
    return Config(settings, repositories, registry, notes)


def understand(
    argv: Sequence[str], environ: Mapping[str, str]
) -> tuple[Registry, dict[str, tuple[Setting, ...]], Given]:
    """Both phases: the repositories, all settings by repository (the program's own under ``""``), those given."""
    argv = go_dashes(argv)
    registry = _registry(argv, environ)
    groups = _groups(registry)
    return registry, groups, read(argv, environ, groups)


def _registry(argv: Sequence[str], environ: Mapping[str, str]) -> Registry:
    """The first phase: every repository there is, with those that ``--plugin`` names."""
    return load(read(argv, environ, {"": settings_of(Settings)}, strict=False).get("plugin", ()))


def _groups(registry: Registry) -> dict[str, tuple[Setting, ...]]:
    return {"": settings_of(Settings), **repository_settings(registry)}


def help_app(argv: Sequence[str], environ: Mapping[str, str]) -> App:
    """A command line that can print the help of every setting, those of plugins named in ``argv`` included."""
    rest = [argument for argument in argv if argument.lstrip("-") not in ("h", "help")]
    return command_line(_groups(_registry(go_dashes(rest), environ)))


def repository_settings(registry: Registry) -> dict[str, tuple[Setting, ...]]:
    """The settings of every repository by the repository's name."""
    return {name: settings_of(cls, name, cls.aliases) for name, cls in sorted(registry.classes.items())}


def go_dashes(argv: Iterable[str]) -> list[str]:
    """Double the dash of ``-interval=3``: the Go program took one dash, as Go's flags do."""
    return [f"-{arg}" if re.match(r"-[a-z]{2}", arg) else arg for arg in argv]


def read(
    argv: Sequence[str], environ: Mapping[str, str], groups: Mapping[str, Sequence[Setting]], strict: bool = True
) -> Given:
    """The settings given in ``argv`` and ``environ``. Not ``strict``: flags of others are let pass."""
    settings = [setting for group in groups.values() for setting in group]
    app = command_line(groups)
    try:
        if strict:
            _, bound, _ = app.parse_args(list(argv), exit_on_error=False, print_error=False)
        else:
            _, bound, _, _ = app.parse_known_args(list(argv))
    except cyclopts.CycloptsError as error:
        raise ConfigError(_one_line(error)) from error
    flags = {settings[int(key[1:])].name: value for key, value in bound.arguments.items()}
    return _with_environment(flags, environ, settings)


def command_line(groups: Mapping[str, Sequence[Setting]]) -> App:
    """The command line that takes ``groups`` of settings; each group has a heading of its own in the help."""

    def main(**values: Any) -> Given:
        return values

    parameters: list[inspect.Parameter] = []
    for title, group in groups.items():
        heading = Group(f"Repository {title}" if title else "Settings", sort_key=(bool(title), title))
        parameters += [_parameter(f"p{len(parameters) + i}", s, heading) for i, s in enumerate(group)]
    main.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # how inspect wants it
    return App(name="statspout", default_command=main, help_flags=[], version_flags=[], usage="", help="")


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
    setting.check(value)
    return value


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


def _parameter(key: str, setting: Setting, heading: Group) -> inspect.Parameter:
    """The setting as cyclopts takes it. A secret's flag names the file that holds it."""
    is_flag = bare(setting.type) is bool

    def converter(_: Any, tokens: Sequence[cyclopts.Token]) -> Any:
        if setting.secret:
            return _secret_file(tokens[0].value, tokens[0].keyword or setting.flag)
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


def _secret_file(path: str, where: str) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"{where}: {path} cannot be read: {reason}") from error


def _with_environment(flags: Given, environ: Mapping[str, str], settings: Sequence[Setting]) -> Given:
    given = dict(flags)
    for setting in settings:
        if setting.name not in given:
            value = _from_environment(setting, environ)
            if value is not None:
                given[setting.name] = value
    return given


def _from_environment(setting: Setting, environ: Mapping[str, str]) -> Any:
    """The setting's value in the environment, by any of its spellings; an empty variable is one that is not set."""
    found: dict[str, Any] = {}
    for name in setting.names:
        variable = env_name(name)
        if text := environ.get(variable):
            found[variable] = convert(setting, text, variable)
        if setting.secret and (path := environ.get(f"{variable}_FILE")):
            found[f"{variable}_FILE"] = _secret_file(path, f"{variable}_FILE")
    if len(set(map(repr, found.values()))) > 1:
        raise ConfigError(f"{' and '.join(found)}: they are one setting with two values: give one")
    return next(iter(found.values()), None)


def _arguments(settings: Sequence[Setting], given: Given) -> dict[str, Any]:
    return {setting.field: given[setting.name] for setting in settings if setting.name in given}


def _selected(settings: Settings, registry: Registry) -> list[str]:
    """The names to construct, without repetitions."""
    if not settings.repository:
        raise ConfigError(f"--repository: it is empty: one of {', '.join(sorted(registry.classes))} is right")
    chosen: dict[str, None] = {}
    for name in settings.repository:
        cls = registry.find(name)
        if cls.name in chosen:
            raise ConfigError(f"--repository: {cls.name} is named twice: once is right")
        chosen[cls.name] = None
    return list(chosen)


def _construct(cls: type[Repository], groups: Mapping[str, Sequence[Setting]], given: Given) -> Repository:
    for setting in groups[cls.name]:
        if setting.required and setting.name not in given:
            raise ConfigError(f"repository {cls.name} needs {setting.flag} (or {setting.env})")
        if setting.secret and setting.name in given:
            hide(str(given[setting.name]))
    try:
        return cls(**_arguments(groups[cls.name], given))
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"repository {cls.name}: {told(error)}") from error


def _one_line(error: cyclopts.CycloptsError) -> str:
    """The parser's complaint in our words where it has none of its own."""
    if isinstance(error, cyclopts.UnusedCliTokensError):
        return f"unexpected argument {' '.join(error.unused_tokens or [])!r}: flags are written --name=value"
    if isinstance(error, cyclopts.MissingArgumentError) and error.argument:
        return f"{error.argument.name}: a value is missing: {error.argument.name}=VALUE is right"
    text = str(error).strip().splitlines()[-1].rstrip(".")
    return re.sub(
        r'^Invalid value for (\S+): unable to convert "(.*)" into bool$',
        r"\1: '\2' is wrong: true or false is right",
        text,
    )
