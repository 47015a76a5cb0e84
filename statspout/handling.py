"""What every repository can be told beside its own settings: which samples it gets, and how they are handed to it."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable
from typing import Any

import msgspec

from statspout.catalogue import ENTRIES
from statspout.errors import ConfigError
from statspout.options import Options, option
from statspout.patterns import Patterns
from statspout.quantities import amount
from statspout.sample import Container, ContainerSample, Sample

_TEXTS = ("networks", "state", "health")
_FIELDS = (*(entry.field for entry in ENTRIES), *_TEXTS)
_DERIVED = frozenset(entry.field for entry in ENTRIES if entry.derive is not None)
_MOST_KEPT = 10_000


class Choice(Options):
    """Which samples a repository gets, and which of their fields."""

    include: tuple[str, ...] = option(default=(), help="Only containers that match: globs, as for `filter.include`.")
    exclude: tuple[str, ...] = option(default=(), help="Not these containers: globs, as for `filter.exclude`.")
    fields: tuple[str, ...] = option(
        default=(), help="Only these fields: names of docs/metrics.md or globs, such as `cpu_*,mem_usage`."
    )


class Handling(Choice):
    """How a repository that stores is handed its samples."""

    batch_size: int | None = option(
        default=None,
        minimum=1,
        maximum=1_000_000,
        help="The most samples of one write; each repository has its own default.",
    )
    flush_interval: float | None = option(
        default=None,
        minimum=0,
        maximum=3600,
        help="Seconds that a write waits for more samples; each repository has its own default.",
    )
    push_timeout: float | None = option(
        default=None,
        minimum=0.1,
        maximum=86_400,
        help="Seconds after which a write that hangs is given up; each repository has its own default.",
    )
    queue_samples: int = option(
        default=50_000, minimum=1, maximum=100_000_000, help="Samples that wait in memory; the oldest go first."
    )
    queue_bytes: str = option(default="64MiB", help="About how much memory they may take.")

    def most_bytes(self, prefix: str) -> int:
        """``queue_bytes`` as a number. ConfigError where it is none."""
        return amount(self.queue_bytes, f"{prefix}.queue-bytes")


class NarrowedSample(ContainerSample, frozen=True, kw_only=True):
    """A sample of which some derived fields are left out."""

    hidden: frozenset[str] = frozenset()

    def __getattr__(self, name: str) -> float | None:
        """As for the whole sample, None for what is left out."""
        return None if name in self.hidden else super().__getattr__(name)  # type: ignore[misc]  # hidden from type checkers


class Selection:
    """Applies a :class:`Choice`. ``prefix`` is the repository's name; ConfigError for what can match nothing."""

    def __init__(self, choice: Choice, prefix: str) -> None:
        self._patterns = Patterns(choice.include, choice.exclude, prefix)
        hidden = _hidden(choice.fields, f"{prefix}.fields")
        self._unknown: dict[str, Any] = {name: None for name in _FIELDS if name in hidden - _DERIVED}
        self._derived = hidden & _DERIVED
        self._kept: dict[str, tuple[Any, str | None, bool]] = {}

    @property
    def whole(self) -> bool:
        """Whether samples are handed on as they are."""
        return not (self._unknown or self._derived)

    def takes(self, sample: Sample) -> bool:
        """Whether the repository gets it. A sample without a container only where no container is asked for."""
        if not self._patterns:
            return True
        container = sample.container
        if container is None:
            return False
        kept = self._kept.get(container.id)
        # What an application reports follows the state that its container was last in.
        last = None if kept is None else kept[1]
        state = sample.state if isinstance(sample, ContainerSample) else last
        if kept is not None and kept[0] is container and kept[1] == state:
            return kept[2]
        taken = self._patterns.reason(container, state) is None
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[container.id] = container, state, taken
        return taken

    def drop(self, container: Container) -> None:
        """Forget a container that is gone."""
        self._kept.pop(container.id, None)

    def narrow(self, samples: Iterable[Sample]) -> list[Sample]:
        """The samples with only the fields that are asked for."""
        if self.whole:
            return list(samples)
        return [self._narrowed(sample) if isinstance(sample, ContainerSample) else sample for sample in samples]

    def _narrowed(self, sample: ContainerSample) -> ContainerSample:
        if not self._derived:
            return msgspec.structs.replace(sample, **self._unknown)
        return NarrowedSample(**{**msgspec.structs.asdict(sample), **self._unknown, "hidden": self._derived})


def _hidden(globs: Iterable[str], setting: str) -> frozenset[str]:
    """The fields that no glob asks for."""
    asked: set[str] = set()
    for glob in globs:
        found = fnmatch.filter(_FIELDS, glob)
        if not found:
            close = difflib.get_close_matches(glob, _FIELDS, 1)
            right = f"did you mean {close[0]}?" if close else f"there are {', '.join(_FIELDS)}"
            raise ConfigError(f"--{setting}: there is no field {glob!r}: {right}")
        asked |= set(found)
    return frozenset(_FIELDS) - asked if asked else frozenset()
