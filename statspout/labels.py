"""Labels of containers as tags: those that an allow-list names, under names that every database can take.

A label that changes with each deployment makes a new series each time, and a label may hold what is nobody's
business: none becomes a tag unasked. Environment variables never do.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from statspout.errors import ConfigError
from statspout.options import option
from statspout.sample import Container

_MOST_KEPT = 10_000
"""Containers whose tags are remembered; more only cost time."""


def labels_option() -> Any:
    """Declare the allow-list of a repository that has tags, as a field of it.

    ::

        labels: tuple[str, ...] = labels_option()
    """
    return option(
        default=(),
        help="Container labels that become tags: names or patterns, as `com.docker.compose.*`, with commas between.",
    )


class LabelTags:
    """Makes tags of containers' labels.

    ``allowed`` are names and patterns (``*``, ``?``, ``[a-z]``) of labels, case counting; ``setting`` is what the user
    knows them by, as ``prometheus.labels``. A tag's name is ``prefix`` and the label's, with ``_`` for what is not
    ``[a-zA-Z0-9_]``, and is never one of ``taken``. Of labels that come to one name the first in order of their own
    names has it, the next has ``_2`` behind it, and so on. A label without a value makes no tag. ``verbatim`` leaves
    labels' names as they are, for who can write any.
    """

    def __init__(
        self,
        allowed: Iterable[str],
        *,
        setting: str = "labels",
        prefix: str = "",
        taken: Collection[str] = (),
        verbatim: bool = False,
    ) -> None:
        patterns = [_checked(pattern, setting) for pattern in allowed]
        self._allowed = re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)")
        self._prefix = prefix
        self._verbatim = verbatim
        self._taken = frozenset(taken)
        self._kept: dict[str, tuple[Mapping[str, str], Mapping[str, str]]] = {}

    def of(self, container: Container) -> Mapping[str, str]:
        """The tags of the labels that are allowed, in order of label name; the same object for the same run."""
        kept = self._kept.get(container.id)
        if kept is not None and kept[0] is container.labels:
            return kept[1]
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        made = MappingProxyType(self._tags(container.labels, self._taken, allowed=True))
        self._kept[container.id] = container.labels, made
        return made

    def drop(self, container: Container) -> None:
        """Forget a container that is gone."""
        self._kept.pop(container.id, None)

    def rest(self, container: Container) -> Mapping[str, str]:
        """The tags of all other labels; no name is one of :meth:`of`'s."""
        return self._tags(container.labels, self._taken | self.of(container).keys(), allowed=False)

    def _tags(self, labels: Mapping[str, str], taken: Collection[str], *, allowed: bool) -> dict[str, str]:
        tags: dict[str, str] = {}
        for label, value in sorted(labels.items()):
            if value and (self._allowed.match(label) is not None) == allowed:
                name = label if self._verbatim else _sanitised(label, self._prefix)
                tags[_free(self._prefix + name, taken, tags)] = value
        return tags


def exported(
    own: Mapping[str, str],
    tags: Mapping[str, str],
    *,
    taken: Collection[str] = (),
    clean: Callable[[str], str] = str,
) -> dict[str, str]:
    """``own`` tags and behind them an application's: none takes the place of another, so that two series stay two.

    ``clean`` makes of a tag's name one that the database can take. One that is then in ``own`` or ``taken`` has
    ``exported_`` before it, as Prometheus does it; of two that come to one name the second has ``_2`` behind it. One
    without a value is ``true``, as Telegraf has it: where an empty one is none, the series with it and the one without
    would be one.
    """
    found = dict(own)
    for tag, value in sorted(tags.items()):
        name = clean(tag) or "_"
        found[_free(f"exported_{name}" if name in own or name in taken else name, found)] = value or "true"
    return found


def label_name(tag: str) -> str:
    """The name of a tag as Prometheus can take it; what begins with two ``_`` is Prometheus' own."""
    name = _sanitised(tag, "")
    return f"exported{name}" if name.startswith("__") else name


def _checked(pattern: str, setting: str) -> str:
    right = "a label's name or a pattern such as com.docker.compose.* is right"
    if not pattern.strip():
        raise ConfigError(f"--{setting}: an empty pattern allows no label: {right}")
    if "=" in pattern:
        raise ConfigError(f"--{setting}: {pattern!r} has a value in it: {right}")
    if pattern.count("[") != pattern.count("]"):
        raise ConfigError(f"--{setting}: {pattern!r} has a bracket without its other half: {right}")
    return pattern.strip()


def _sanitised(label: str, prefix: str) -> str:
    name = re.sub(r"[^a-zA-Z0-9_]", "_", label)
    return name if prefix or re.match(r"[a-zA-Z_]", name) else f"_{name}"


def _free(name: str, *taken: Collection[str]) -> str:
    """``name``, or the first of ``name_2``, ``name_3``, ... that nobody has."""
    found, number = name, 1
    while any(found in names for names in taken):
        number += 1
        found = f"{name}_{number}"
    return found
