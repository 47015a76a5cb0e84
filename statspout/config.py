"""What the user asked for: flags, environment variables and a file become settings and repositories.

Two phases. The first reads which file and which plugins there are; the second reads everything, with the options of
every repository. A flag goes before a variable, a variable before the file, the file before a default.
Everything wrong is a ConfigError of one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from statspout.configfile import Entries, read_file, take_file
from statspout.errors import ConfigError, told
from statspout.files import only_files
from statspout.instances import Chosen, Groups, chosen, groups_of, idle_tables, shown
from statspout.logs import hide
from statspout.notes import exposed, without_effect
from statspout.options import Setting, env_name, settings_of
from statspout.registry import Registry, load, load_shipped
from statspout.repository import Repository
from statspout.settings import Settings
from statspout.values import Given, convert, secret_file, spellings

if TYPE_CHECKING:
    from cyclopts import App

_OWN = settings_of(Settings)
_CONFIG, _PLUGIN, _REPOSITORY, _FORMAT = (
    next(s for s in _OWN if s.name == n) for n in ("config", "plugin", "repository", "log.format")
)
_OWN_NAMES = {one.name for setting in _OWN for one in spellings(setting)}
_OWN_VARIABLES = {env_name(name) for name in _OWN_NAMES}
_FLAGS = re.compile(r"--[\w.-]+(?:, --[\w.-]+)*(?=[: ])")
"""What an error is about, as in `--rest.path: ...`, `--web.tls-cert, --web.tls-key: ...` and `--plugin x.py:X: ...`."""
_OWN_WORDS = {setting.name.partition(".")[0] for setting in _OWN}


@dataclass(frozen=True, slots=True)
class Understood:
    """What there is to be set, and what was given."""

    registry: Registry
    selected: list[Chosen]
    groups: Groups
    given: Given
    idle: list[str]
    """Tables of the file about instances that do not run."""


@dataclass(frozen=True, slots=True)
class Config:
    """One run of the program: its settings and its repositories, constructed but not opened."""

    settings: Settings
    repositories: list[Repository]
    registry: Registry
    given: Given
    notes: list[str]
    """What was given under an old name, or has no effect, a line each."""


def configure(
    argv: Sequence[str], environ: Mapping[str, str], classes: Sequence[type[Repository]] = (), *, every: bool = True
) -> Config:
    """Read flags, environment and file. ``argv`` has no program or command name in it.

    ``classes`` are repositories beside those that are installed. ``every``: all of those are loaded, whether or not
    anything was said about them.
    """
    found = understand(argv, environ, classes, every=every)
    registry, groups, given = found.registry, found.groups, found.given
    known = [setting for group in groups.values() for setting in group]
    notes = [*given.renamed, *without_effect(given.values, environ, known), *exposed(given, known)]
    notes += [*idle_notes(found), *unselected(found)]
    with placed(given):
        settings = Settings(**_arguments(groups[""], given))
        repositories = [_construct(one, given) for one in found.selected]
    return Config(settings, repositories, registry, given, notes)


def understand(
    argv: Sequence[str], environ: Mapping[str, str], classes: Sequence[type[Repository]] = (), *, every: bool = True
) -> Understood:
    """Both phases, without constructing anything."""
    argv = _go_dashes(argv)
    path, entries, first = _first_phase(argv, environ)
    registry = None if every or classes else _mentioned(argv, environ, entries, first)
    if registry is None:
        registry = _all(first, classes)
    with placed(first):
        selected = chosen(first.values.get("repository", _REPOSITORY.default), registry)
        groups = {"": _OWN, **groups_of(registry, selected)}
    given = read(argv, environ, groups)
    settings = [setting for group in groups.values() for setting in group if setting is not _CONFIG]
    idle = idle_tables(entries, groups, registry)
    take_file(given, path, {key: value for key, value in entries.items() if key not in idle}, settings, registry.broken)
    return Understood(registry, selected, groups, given, sorted({key.rpartition(".")[0] for key in idle}))


def idle_notes(found: Understood) -> Iterator[str]:
    """A line for each table about an instance that does not run, unless none of its kind does: it may be misspelt."""
    running = {one.cls.name for one in found.selected if one.instance}
    for table in found.idle:
        kind, _, instance = table.partition(".")
        if found.registry.canonical(kind) in running:
            yield f"[{table}] has no effect: {kind}:{instance} is not in --repository"


def unselected(found: Understood) -> Iterator[str]:
    """A line for each flag of a repository that does not run; in variables and files they may wait for their day."""
    running = {one.cls.name for one in found.selected}
    for name, where in found.given.origins.items():
        kind = name.partition(".")[0]
        if where.startswith("--") and name not in _OWN_NAMES and kind not in running:
            yield f"{where} has no effect: {kind} is not in --repository"


def own_settings(given: Given) -> Settings:
    """The program's own settings of what was given."""
    with placed(given):
        return Settings(**_arguments(_OWN, given))


def log_format(argv: Sequence[str], environ: Mapping[str, str]) -> Literal["text", "json"]:
    """What ``--log.format`` says, as far as that is known when something else is wrong."""
    given = Given()
    groups = {"": (_CONFIG, _FORMAT)}
    for flags, variables in ((_go_dashes(argv), {}), ([], environ)):
        with suppress(ConfigError):
            found = read(flags, variables, groups, strict=False)
            for name, value in found.values.items():
                given.take(name, {found.origins[name]: value})
    if path := given.values.get("config", ""):
        # What came by a pipe does not come again.
        with suppress(ConfigError), only_files():
            entries = {key: value for key, value in read_file(path, "").items() if key == _FORMAT.name}
            take_file(given, path, entries, [_FORMAT], ())
    return "json" if given.values.get(_FORMAT.name) == "json" else "text"


def _first_phase(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[str, Entries, Given]:
    """The configuration file, what is in it, and what was given so far."""
    first = read(argv, environ, {"": (_CONFIG, _PLUGIN, _REPOSITORY)}, strict=False)
    path = first.values.get("config", "")
    entries = read_file(path, first.origins["config"]) if path else {}
    early = {key: value for key, value in entries.items() if key in ("plugin", "repository")}
    take_file(first, path, early, [_PLUGIN, _REPOSITORY], ())
    return path, entries, first


def _all(first: Given, classes: Sequence[type[Repository]]) -> Registry:
    """Every repository there is."""
    with placed(first):
        return load(first.values.get("plugin", ()), classes)


def _mentioned(argv: Sequence[str], environ: Mapping[str, str], entries: Entries, first: Given) -> Registry | None:
    """The repositories that this run has anything to say about, when they all come with statspout; else None.

    What is said of others takes all of them to be understood, or to be told that it is wrong. To load those for
    nothing would take a good part of the start, and of the memory.
    """
    selected = [name.partition(":")[0] for name in first.values.get("repository", _REPOSITORY.default)]
    if first.values.get("plugin") or not selected:
        return None
    names = {argument[2:].partition("=")[0] for argument in argv if argument.startswith("--")} | entries.keys()
    variables = {variable for variable in environ if variable.startswith("STATSPOUT_")}
    others = {name.partition(".")[0] for name in names - _OWN_NAMES}
    others |= {variable.split("_")[1].lower() for variable in variables - _OWN_VARIABLES}
    # A setting of ours that there is not may be meant for anybody: to say for whom takes all of them.
    return None if others & _OWN_WORDS else load_shipped({*selected, *others})


def read(
    argv: Sequence[str], environ: Mapping[str, str], groups: Mapping[str, Sequence[Setting]], strict: bool = True
) -> Given:
    """The settings given in ``argv`` and ``environ``. Not ``strict``: flags of others are let pass."""
    given = Given()
    if argv:
        from statspout.flags import take_flags  # the parser: 4 MB, for those who need it

        take_flags(given, argv, groups, strict)
    for group in groups.values():
        for setting in group:
            given.take(setting.name, _in_environment(setting, environ, given))
    return given


def help_app(argv: Sequence[str], environ: Mapping[str, str], classes: Sequence[type[Repository]] = ()) -> App:
    """A command line that can print the help of every setting, those of plugins that ``argv`` leads to included."""
    from statspout.flags import command_line

    rest = _go_dashes(argument for argument in argv if argument.lstrip("-") not in ("h", "help"))
    return command_line({"": _OWN, **shown(_all(_first_phase(rest, environ)[2], classes))})


def _go_dashes(argv: Iterable[str]) -> list[str]:
    """Double the dash of ``-interval=3``: the Go program took one dash, as Go's flags do."""
    return [f"-{arg}" if re.match(r"-[a-z]{2}", arg) else arg for arg in argv]


@contextmanager
def placed(given: Given) -> Iterator[None]:
    """A ConfigError from within that begins with flags begins with where the settings were written instead."""
    try:
        yield
    except ConfigError as error:
        text = str(error)
        if (head := _FLAGS.match(text)) is None:
            raise
        flags = head[0].split(", ")
        written = ", ".join(dict.fromkeys(_origin(flag.removeprefix("--"), given) or flag for flag in flags))
        raise ConfigError(written + text[head.end() :]) from error


def _origin(name: str, given: Given) -> str | None:
    """Where the setting was written; a secret by its file's flag, an instance's perhaps for all of its kind."""
    kind, _, short = name.partition(".")
    names = [name, name.removesuffix("-file"), f"{kind}.{short.rpartition('.')[2]}"]
    return next((given.origins[one] for one in names if one in given.origins), None)


def _in_environment(setting: Setting, environ: Mapping[str, str], given: Given) -> dict[str, Any]:
    """The setting's values in the environment by variable; an empty variable is one that is not set."""
    found: dict[str, Any] = {}
    for one in spellings(setting):
        variable = env_name(one.name)
        if text := environ.get(variable):
            found[variable] = secret_file(text, variable) if one.is_file else convert(setting, text, variable)
            given.note(one, variable, env_name(one.right))
    return found


def _arguments(settings: Sequence[Setting], given: Given) -> dict[str, Any]:
    return {setting.field: given.values[setting.name] for setting in settings if setting.name in given.values}


def _construct(one: Chosen, given: Given) -> Repository:
    for setting in one.own():
        try:
            value = one.value(setting, given)
        except KeyError:
            if setting.required:
                raise ConfigError(_missing(setting, one)) from None
            continue
        if setting.secret:
            hide(str(value))
    try:
        return one.cls(instance=one.instance, handling=one.handling(given), **one.arguments(one.own(), given))
    except ConfigError as error:
        raise ConfigError(_of_instance(str(error), one, given)) from error
    except (Exception, SystemExit) as error:  # foreign code, which may be run again while others work
        raise ConfigError(f"repository {one.name}: {told(error)}") from error


def _of_instance(text: str, one: Chosen, given: Given) -> str:
    """An error about ``--influxdb.url`` as one about ``--influxdb.a.url``, where it is that which was given."""
    kind = f"--{one.cls.name}."
    name = text.removeprefix(kind).partition(":")[0].removesuffix("-file")
    is_own = one.instance and text.startswith(kind) and f"{one.prefix}.{name}" in given.values
    return f"--{one.prefix}.{text.removeprefix(kind)}" if is_own else text


def _missing(setting: Setting, one: Chosen) -> str:
    key = setting.name.rpartition(".")[2]
    others = f"or {setting.env}, or {key} under [{one.prefix}] in a --config file"
    return f"repository {one.name} needs {setting.flag} ({others})"
