"""Finds repositories: entry points of installed packages, ``file.py:Class``, and classes handed over in code.

Clashes and broken classes fail here, before anything runs.
"""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from statspout.errors import ConfigError, told
from statspout.options import env_name, settings_of, supported
from statspout.repository import LiveRepository, Repository

GROUP = "statspout.repositories"

_OWN_PREFIXES = """
    cgroup client collector config daemons demo docker engine filter health host http ignore interval listen log mode
    once plugin proc repository socket spool web
"""

RESERVED = frozenset(_OWN_PREFIXES.split())
"""Prefixes of the program's own settings, which no repository may claim."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_CONSTRUCTOR = ("given", "handling", "instance")
_METHODS = ("open", "push", "clear", "idle", "close")


@dataclass(slots=True)
class Registry:
    """The repositories that can be selected, by name; aliases lead to names. ``broken`` says why others cannot."""

    classes: dict[str, type[Repository]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def add(self, cls: type[Repository], where: str) -> None:
        """Take ``cls`` in, or raise ConfigError. ``where`` says in the error where it comes from."""
        check_class(cls, where)
        for name in (cls.name, *cls.aliases):
            if name in self.classes or name in self.aliases:
                raise ConfigError(f"{where}: there is a repository {name!r} already: another name is needed")
        self.classes[cls.name] = cls
        self.aliases.update(dict.fromkeys(cls.aliases, cls.name))

    def canonical(self, name: str) -> str:
        """The name that ``name`` is another spelling of, or itself."""
        return self.aliases.get(name, name)

    def find(self, name: str) -> type[Repository]:
        """The class called ``name``, or ConfigError with the nearest names."""
        if name in self.broken:
            raise ConfigError(f"--repository: {name} cannot be used: {self.broken[name]}")
        cls = self.classes.get(self.canonical(name))
        if cls is None:
            known = sorted({*self.classes, *self.aliases})
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise ConfigError(f"--repository: there is no repository {name!r}: {hint}")
        return cls


def load(plugins: Iterable[str] = (), classes: Iterable[type[Repository]] = ()) -> Registry:
    """Every repository there is: installed ones, then ``plugins`` (``file.py:Class``), then ``classes``.

    An installed package that does not load is noted in ``broken``; it ends the program only when it is selected.
    """
    from importlib.metadata import entry_points  # with it come an e-mail parser and a zip reader: 2 MB

    registry = Registry()
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            registry.add(point.load(), f"entry point {point.name}")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code: anything may come out of an import
            registry.broken[point.name] = told(error)
    for spec in plugins:
        registry.add(load_plugin(spec), f"--plugin {spec}")
    for cls in classes:
        registry.add(cls, f"repositories: {getattr(cls, '__name__', repr(cls))}")
    return registry


def load_shipped(names: Iterable[str]) -> Registry | None:
    """Only the repositories of these names, which come with statspout: None when one of them does not."""
    registry = Registry()
    for name in sorted(names):
        cls = _shipped(name)
        if cls is None:
            return None
        registry.add(cls, f"repository {name}")
    return registry


def load_plugin(spec: str) -> type[Repository]:
    """The class that ``spec``, ``path/to/file.py:Class``, names."""
    path, separator, name = spec.rpartition(":")
    if not separator or not path.endswith(".py") or not name.isidentifier():
        raise ConfigError(f"--plugin {spec}: file.py:Class is right")
    try:
        there = Path(path).is_file()
    except OSError as error:  # its name is too long, or it is where we may not look
        raise ConfigError(f"--plugin {spec}: {path} cannot be read: {error.strerror}") from error
    if not there:
        raise ConfigError(f"--plugin {spec}: there is no file {path}")
    try:
        namespace = _execute(Path(path))
    except (Exception, SystemExit) as error:
        raise ConfigError(f"--plugin {spec}: it does not import: {told(error)}") from error
    if name not in namespace:
        close = difflib.get_close_matches(name, namespace, 1)
        raise ConfigError(f"--plugin {spec}: {path} has no {name}" + (f", did you mean {close[0]}?" if close else ""))
    found = namespace[name]
    if not (isinstance(found, type) and issubclass(found, Repository)):
        raise ConfigError(f"--plugin {spec}: {name} is not a subclass of statspout.Repository")
    return found


def check_class(cls: type[Repository], where: str) -> None:
    """Raise ConfigError unless ``cls`` keeps the contract as far as that shows before it runs."""
    if not (isinstance(cls, type) and issubclass(cls, Repository)):
        raise ConfigError(f"{where}: it is not a subclass of statspout.Repository")
    if not hasattr(cls, "name"):
        raise ConfigError(f'{where}: {cls.__name__} has no name: name = "graphite", or the like, is right')
    names = (cls.name, *cls.aliases)
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(f"{where}: the name {name!r} is wrong: a lower-case word such as 'graphite' is right")
        if name in RESERVED:
            raise ConfigError(f"{where}: the name {name!r} is reserved for the program's own settings")
    _check_methods(cls, where)
    _check_constants(cls, where)
    _check_settings(cls, where)


def check_instance(instance: str, where: str) -> None:
    """Raise ConfigError unless ``instance`` can tell a repository from others of its kind."""
    if not isinstance(instance, str) or not _NAME.fullmatch(instance):
        raise ConfigError(f"{where}: the instance {instance!r} is wrong: a lower-case word such as 'backup' is right")


def check_needs(cls: type[Repository]) -> None:
    """Raise ConfigError when a module that the repository works with is not installed."""
    for module in cls.needs:
        if importlib.util.find_spec(module) is None:
            ours = cls.__module__.startswith("statspout.")
            how = f"pip install 'statspout[{cls.name}]'" if ours else f"pip install what has {module}"
            raise ConfigError(f"repository {cls.name} needs {module}, which is not installed: {how}")


def _shipped(name: str) -> type[Repository] | None:
    """The class in the module of its name."""
    path = f"statspout.repositories.{name}"
    if not _NAME.fullmatch(name) or importlib.util.find_spec(path) is None:
        return None
    try:
        module = importlib.import_module(path)
    except (Exception, SystemExit):  # noqa: BLE001 - whoever loads them all says why
        return None
    for found in vars(module).values():
        if isinstance(found, type) and issubclass(found, Repository) and getattr(found, "name", None) == name:
            return found
    return None


def _check_methods(cls: type[Repository], where: str) -> None:
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(cls.__abstractmethods__))
        raise ConfigError(f"{where}: {cls.__name__} lacks {missing}")
    own = [method for method in _METHODS if getattr(cls, method) is not getattr(Repository, method)]
    coroutines = [method for method in own if inspect.iscoroutinefunction(getattr(cls, method))]
    if coroutines and (cls.live or len(coroutines) != len(own)):
        right = "all plain functions, as it is live" if cls.live else "all def or all async def"
        raise ConfigError(f"{where}: {', '.join(own)} must be {right}; async now: {', '.join(coroutines)}")
    if cls.live and not issubclass(cls, LiveRepository):
        raise ConfigError(f"{where}: a live repository is a subclass of statspout.LiveRepository")


def _check_constants(cls: type[Repository], where: str) -> None:
    if not isinstance(cls.batch_size, int) or cls.batch_size < 1:
        raise ConfigError(f"{where}: batch_size {cls.batch_size!r} is wrong: 1 or more is right")
    if not isinstance(cls.flush_interval, int | float) or not cls.flush_interval >= 0:
        raise ConfigError(f"{where}: flush_interval {cls.flush_interval!r} is wrong: 0 or more seconds is right")
    if not isinstance(cls.push_timeout, int | float) or not cls.push_timeout > 0:
        raise ConfigError(f"{where}: push_timeout {cls.push_timeout!r} is wrong: more than 0 seconds is right")
    if not isinstance(cls.accepts, tuple) or not all(isinstance(kind, type) for kind in cls.accepts):
        raise ConfigError(f"{where}: accepts {cls.accepts!r} is wrong: a tuple of record types is right")


def _check_settings(cls: type[Repository], where: str) -> None:
    try:
        settings = settings_of(cls, cls.name)
    except NameError as error:
        raise ConfigError(f"{where}: a setting's type is unknown: {error}") from error
    seen: set[str] = set()
    for setting in settings:
        if setting.field in _CONSTRUCTOR:
            raise ConfigError(
                f"{where}: the setting {setting.field!r} is every repository's own: another name is needed"
            )
        if not supported(setting.type):
            right = "str, int, float, bool, Literal or tuple[str, ...]"
            raise ConfigError(
                f"{where}: the setting {setting.field} is of a type that no flag can give: {right} is right"
            )
        for name in setting.every_name:
            if env_name(name) in seen:
                raise ConfigError(f"{where}: two settings would share the variable {env_name(name)}")
            seen.add(env_name(name))


def _execute(path: Path) -> Mapping[str, object]:
    name = f"statspout_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Postponed annotations of the plugin's fields are looked up in its module by name.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return vars(module)
