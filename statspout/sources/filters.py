"""Which of the running containers are sampled, by name, image, label and state."""

from __future__ import annotations

from collections.abc import Collection

from statspout.patterns import Patterns
from statspout.source import Target

OPT_OUT = "statspout.enable"
"""The label by which a container says that it is not to be sampled."""

REASONS = ("ignore", "label", "exclude", "include")
"""Why a container is left out: its name is ignored, it opted out, it matches an exclusion, or no inclusion."""

_NO = ("false", "0", "no", "off")


class Filters:
    """Decides about a container by what discovery knows of it; a rename or a pause may change that.

    ``ignore`` are exact names; ``include`` and ``exclude`` are :class:`Patterns`.
    """

    def __init__(
        self, ignore: Collection[str] = (), include: Collection[str] = (), exclude: Collection[str] = ()
    ) -> None:
        self._ignore = frozenset(ignore)
        self._patterns = Patterns(include, exclude, "filter")

    def reason(self, target: Target) -> str | None:
        """Why the container is left out, one of :data:`REASONS`; None when it is sampled."""
        if target.container.name in self._ignore:
            return "ignore"
        if target.container.labels.get(OPT_OUT, "").strip().lower() in _NO:
            return "label"
        return self._patterns.reason(target.container, target.state)
