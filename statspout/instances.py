"""Which repositories run, and what each can be told: its own settings, and those that all have.

Several of one kind have names: ``--repository=influxdb:a,influxdb:b``. The settings of ``influxdb:a`` are
``influxdb.a.url`` and so on; what is not said there is as ``influxdb.url`` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from statspout.errors import ConfigError
from statspout.handling import Choice, Handling
from statspout.options import Setting, env_name, settings_of
from statspout.registry import Registry, check_class, check_instance, check_needs
from statspout.repository import Repository, handling_of, name_of
from statspout.values import Given, spellings

Groups = dict[str, tuple[Setting, ...]]
"""All settings: the program's own under ``""``, those of repositories under what they begin with."""


EVERY = "NAME"
"""Stands for the name of any repository."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """One repository of ``--repository``; ``instance`` is empty for the only one of its kind."""

    cls: type[Repository]
    instance: str = ""

    @property
    def prefix(self) -> str:
        """What its settings begin with."""
        return self.name.replace(":", ".")

    @property
    def name(self) -> str:
        """What it is called, as in ``--repository``."""
        return f"{self.cls.name}:{self.instance}" if self.instance else self.cls.name

    @property
    def aliases(self) -> tuple[str, ...]:
        """The same under the other spellings of its name."""
        return tuple(f"{alias}.{self.instance}" if self.instance else alias for alias in self.cls.aliases)

    def own(self) -> tuple[Setting, ...]:
        """The settings that its class declares."""
        return settings_of(self.cls, self.prefix, self.aliases)

    def common(self) -> tuple[Setting, ...]:
        """The settings that every repository has, but for what its class takes for itself."""
        taken = {name for setting in self.own() for name in setting.every_name}
        return tuple(s for s in settings_of(handling_of(self.cls), self.prefix, self.aliases) if s.name not in taken)

    def value(self, setting: Setting, given: Given) -> Any:
        """What was given for one of its settings, or for all of its kind; KeyError when nothing was."""
        if setting.name in given.values:
            return given.values[setting.name]
        return given.values[self.cls.name + setting.name.removeprefix(self.prefix)]

    def arguments(self, settings: Iterable[Setting], given: Given) -> dict[str, Any]:
        """What was given, by field."""
        found = {}
        for setting in settings:
            try:
                found[setting.field] = self.value(setting, given)
            except KeyError:
                continue
        return found

    def handling(self, given: Given) -> Choice | None:
        """What was given of the settings that every repository has; None when nothing was."""
        found = self.arguments(self.common(), given)
        return handling_of(self.cls)(**found) if found else None


def chosen(names: Iterable[str], registry: Registry) -> list[Chosen]:
    """What ``--repository`` says. ConfigError for what there is not, or twice."""
    found: dict[str, Chosen] = {}
    for text in names:
        name, separator, instance = text.partition(":")
        if separator:
            check_instance(instance, f"--repository: {text}")
        one = Chosen(registry.find(name), instance)
        if one.prefix in found:
            kind = one.cls.name
            raise ConfigError(
                f"--repository: {text} is named twice: once is right, or {kind}:a and {kind}:b, two of a kind"
            )
        found[one.prefix] = one
    if not found:
        raise ConfigError(f"--repository: it is empty: one of {', '.join(sorted(registry.classes))} is right")
    return list(found.values())


def groups_of(registry: Registry, selected: Iterable[Chosen] = ()) -> Groups:
    """The settings of every repository there is, and of those ``selected`` that have names of their own."""
    kinds = [Chosen(cls) for _, cls in sorted(registry.classes.items())]
    groups = {one.prefix: (*one.own(), *one.common()) for one in (*kinds, *selected)}
    _check_variables(groups)
    return groups


def idle_tables(keys: Iterable[str], groups: Groups, registry: Registry) -> set[str]:
    """Which keys of a file are right, but about instances that do not run, as ``influxdb.far.url``."""
    known = {one.name for group in groups.values() for setting in group for one in spellings(setting)}
    found = set()
    for key in keys:
        kind, _, rest = key.partition(".")
        _, _, short = rest.partition(".")
        if short and key not in known and f"{kind}.{short}" in known and registry.canonical(kind) in registry.classes:
            found.add(key)
    return found


def shown(registry: Registry) -> Groups:
    """What a person is shown: the settings of each repository, and once, as NAME's, those that all of them have."""
    own = {name: Chosen(cls).own() for name, cls in sorted(registry.classes.items())}
    return {**own, EVERY: settings_of(Handling, EVERY)}


def _check_variables(groups: Groups) -> None:
    """ConfigError when two settings would share a variable, as those of ``influxdb:tls`` and ``influxdb.tls-ca``."""
    seen: dict[str, str] = {}
    for prefix, group in groups.items():
        for name in (name for setting in group for name in (setting.name, *(old.name for old in setting.former))):
            variable = env_name(name)
            if seen.setdefault(variable, name) != name:
                raise ConfigError(
                    f"--repository: {prefix.replace('.', ':')}: {name} and {seen[variable]} would share the"
                    f" variable {variable}: another name is right"
                )


def check_instances(repositories: Sequence[Repository]) -> None:
    """ConfigError unless these can run together, whoever constructed them."""
    if not isinstance(repositories, Sequence) or not repositories:
        raise ConfigError("repositories: a list of at least one instance is right, such as [Graphite()]")
    classes: dict[str, type[Repository]] = {}
    names: set[str] = set()
    for repository in repositories:
        if not isinstance(repository, Repository):
            name = getattr(repository, "__name__", type(repository).__name__)
            raise ConfigError(f"repositories: {name} is no instance of a repository: {name}() is right")
        _check_instance(repository, classes, names)


def _check_instance(repository: Repository, classes: dict[str, type[Repository]], names: set[str]) -> None:
    cls, name = type(repository), name_of(repository)
    where = f"repositories: {cls.__name__}"
    if cls not in classes.values():
        check_class(cls, where)
        check_needs(cls)
    if classes.setdefault(cls.name, cls) is not cls or name in names:
        raise ConfigError(f"{where}: there is a repository {name!r} already: another name, or instance=, is needed")
    if repository.instance:
        check_instance(repository.instance, where)
    names.add(name)
    if repository.handling is not None and not isinstance(repository.handling, handling_of(cls)):
        raise ConfigError(f"{where}: handling={repository.handling!r} is wrong: a {handling_of(cls).__name__} is right")
