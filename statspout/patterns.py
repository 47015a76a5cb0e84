"""Globs about containers: by name, image, label and state."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import translate
from typing import Literal

from statspout.errors import ConfigError
from statspout.sample import Container

_STATES = ("running", "paused", "restarting")
_KINDS = ("name", "image", "label", "state")

Matches = Callable[[Container, "str | None"], bool]
"""Whether a container matches; the second argument is its state, None when unknown."""


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One glob: what it is about, and whether a container matches."""

    kind: str
    matches: Matches


class Patterns:
    """Decides about a container by globs, each ``name=``, ``image=``, ``label=`` or ``state=`` something.

    Without one of these words a glob is about the name. To be included a container must match, of each kind that is
    there, at least one. ``prefix`` is what the settings ``include`` and ``exclude`` are called by in a ConfigError,
    which is raised for what can match nothing.
    """

    def __init__(self, include: Iterable[str], exclude: Iterable[str], prefix: str) -> None:
        self._exclude = [_parse(text, f"{prefix}.exclude") for text in exclude]
        self._include: dict[str, list[_Pattern]] = {}
        for pattern in [_parse(text, f"{prefix}.include") for text in include]:
            self._include.setdefault(pattern.kind, []).append(pattern)

    def __bool__(self) -> bool:
        return bool(self._exclude or self._include)

    def reason(self, container: Container, state: str | None) -> Literal["exclude", "include"] | None:
        """What leaves the container out: a match of an exclusion, or none of an inclusion; None when it is in."""
        if any(pattern.matches(container, state) for pattern in self._exclude):
            return "exclude"
        if not all(any(p.matches(container, state) for p in patterns) for patterns in self._include.values()):
            return "include"
        return None


def _parse(text: str, setting: str) -> _Pattern:
    kind, separator, glob = text.partition("=")
    if not separator:
        kind, glob = "name", text
    kind, glob = kind.strip(), glob.strip()
    if kind not in _KINDS:
        close = difflib.get_close_matches(kind, _KINDS, 1)
        right = f"did you mean {close[0]}={glob}?" if close else "name=, image=, label= or state= and a glob is right"
        raise ConfigError(f"--{setting}: {text!r} is wrong: {right}")
    if not glob or (kind == "label" and glob.startswith("=")):
        raise ConfigError(f"--{setting}: {text!r} is wrong: a glob such as {kind}={_EXAMPLES[kind]} is right")
    if glob[0] in "'\"" and glob[-1] == glob[0]:
        raise ConfigError(f"--{setting}: {text!r} is wrong: the quotes would have to match too: {glob[1:-1]} is right")
    if kind == "state" and not any(map(_glob(glob), _STATES)):
        close = difflib.get_close_matches(glob, _STATES, 1)
        right = (
            f"did you mean state={close[0]}?" if close else f"{', '.join(_STATES)} are the states of running containers"
        )
        raise ConfigError(f"--{setting}: {text!r} is wrong: {right}")
    return _Pattern(kind, _MATCHERS[kind](glob))


_EXAMPLES = {"name": "web-*", "image": "nginx*", "label": "team=core", "state": "running"}


def _glob(glob: str) -> Callable[[str], bool]:
    """Whether a whole text matches; upper and lower case differ, as they do to the engine."""
    matches = re.compile(translate(glob)).match
    return lambda text: matches(text) is not None


def _name(glob: str) -> Matches:
    matches = _glob(glob)
    return lambda container, _: matches(container.name)


def _image(glob: str) -> Matches:
    """By the image as the container names it, or by that without its tag and digest: ``nginx`` is any nginx.

    Podman writes out the name of the registry that Docker leaves out; without a tag it is ``latest``.
    """
    matches = _glob(glob)

    def match(container: Container, _: str | None) -> bool:
        image = container.image
        short = image.removeprefix("docker.io/").removeprefix("library/")
        names = {image, short, _untagged(image), _untagged(short)}
        if image == _untagged(image):
            names |= {f"{image}:latest", f"{short}:latest"}
        return any(map(matches, names))

    return match


def _label(glob: str) -> Matches:
    """``key`` asks for the label, ``key=value`` for its value too; both are globs."""
    key, separator, value = glob.partition("=")
    key_matches, value_matches = _glob(key), _glob(value if separator else "*")
    return lambda container, _: any(key_matches(k) and value_matches(v) for k, v in container.labels.items())


def _state(glob: str) -> Matches:
    """By the state; a container whose state is unknown runs, or it would not be looked at."""
    matches = _glob(glob)
    return lambda _, state: matches(state or "running")


_MATCHERS = {"name": _name, "image": _image, "label": _label, "state": _state}


def _untagged(image: str) -> str:
    """``registry:5000/nginx:1.25@sha256:...`` without what follows the last part's name."""
    folder, slash, last = image.partition("@")[0].rpartition("/")
    return folder + slash + last.partition(":")[0]
