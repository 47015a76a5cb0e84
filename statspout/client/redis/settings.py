"""What the environment says: where Redis is, under which names, and how much is kept.

It is read when this module is loaded; :data:`config` may be changed afterwards, and holds for all that comes then.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from statspout.client.losses import say_once
from statspout.client.redis.keys import Keyspace

T = TypeVar("T")

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


@dataclass(repr=False)
class Settings:
    """Each is the variable ``AKA_STATS_`` and its name in capitals; the first four are those of Aka Stats."""

    history_size: int = 1000
    """Entries of a label's history at most; 0 keeps none."""
    timezone: str = "Europe/London"
    """Has never had an effect: what is stored are seconds of the Unix epoch, which have no time zone."""
    namespace: str = "AKA-STATS"
    """What all keys begin with. The variable ``AKA_STATS_DEFAULT_PREFIX`` is an older name of it."""
    redis_url: str = field(default="redis://127.0.0.1:6379")
    """Where Redis is: ``redis://``, ``rediss://`` for TLS, or ``unix://``."""
    hash_tags: bool = False
    """Whether keys begin with ``{NS}``, as they must in a Redis Cluster."""
    timeout: float = 2.0
    """Seconds at most for a connection to be made, and for each answer."""
    buffer_size: int = 100_000
    """Stats that wait in a ``Stats`` at most; when there are more, the oldest go, and are counted."""
    context_size: int = 65_536
    """Bytes of a context at most; of a longer one, the middle is left out."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """What it says. A value that cannot be is said once in the log, and is as if it were not there."""
        settings = cls()
        for name, read in _READERS.items():
            variable = f"AKA_STATS_{name.upper()}"
            if name == "namespace" and variable not in environ:
                variable = "AKA_STATS_DEFAULT_PREFIX"
            if variable in environ:
                setattr(settings, name, _read(variable, environ[variable], read, getattr(settings, name)))
        return settings

    def space(self, namespace: str | None = None) -> Keyspace:
        """The keys, of another namespace if one is given."""
        return Keyspace(self.namespace if namespace is None else namespace, self.hash_tags)

    @property
    def default_prefix(self) -> str:
        """The namespace, as it was called once."""
        warnings.warn("default_prefix is called namespace now", DeprecationWarning, stacklevel=2)
        return self.namespace

    def __str__(self) -> str:
        values = {name: getattr(self, name) for name in _READERS} | {"redis_url": without_password(self.redis_url)}
        return "\n".join(f"AKA_STATS_{name.upper()} = {value}" for name, value in values.items())

    __repr__ = __str__


def without_password(url: str) -> str:
    """The address without what must not be seen in a log."""
    return re.sub(r"(password=)[^&#]*", r"\1***", re.sub(r"(//[^/?#:@]*:)[^/?#]*@", r"\1***@", url))


def _read(variable: str, text: str, read: Callable[[str], T], default: T) -> T:
    try:
        return read(text)
    except ValueError as error:
        say_once(f"{variable}: {error}; it is {default} instead")
        return default


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text!r} is no number of 0 and more")
    return int(text)


def _positive(text: str) -> float:
    seconds = float(text)  # its own error says it well
    if not 0 < seconds < 86_400:
        raise ValueError(f"{text} s: above 0 and below a day is right")
    return seconds


def _truth(text: str) -> bool:
    if text.lower() not in (*_TRUE, *_FALSE):
        raise ValueError(f"{text!r}: true or false is right")
    return text.lower() in _TRUE


_READERS: Mapping[str, Callable[[str], object]] = {
    "history_size": _whole,
    "timezone": str,
    "namespace": str,
    "redis_url": str,
    "hash_tags": _truth,
    "timeout": _positive,
    "buffer_size": _whole,
    "context_size": _whole,
}

config = Settings.from_environ(os.environ)
"""The settings of this process."""
