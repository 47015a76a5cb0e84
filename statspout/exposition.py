"""The Prometheus text format 0.0.4.

Our own, because a renderer that caches label strings costs a twentieth of prometheus-client's; ``bench/exposition.py``
compares them. Families and samples are written in the order given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from statspout.catalogue import Kind

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_IN_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})
_IN_LABEL = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with all its series: ``samples`` are (labels, value), in base units.

    A value that is None, NaN or infinite is unknown: its series is left out.
    """

    name: str
    kind: Kind
    help: str
    samples: Sequence[tuple[Mapping[str, str], float | None]]


def render(families: Iterable[Family]) -> bytes:
    """The page that a server scrapes. ValueError for a counter whose name does not end in ``_total``."""
    lines = []
    for family in families:
        lines.append(head(family.name, family.kind, family.help))
        labels = [label_string(labels) for labels, _ in family.samples]
        lines += series(family.name, labels, [value for _, value in family.samples])
    return encode(lines)


def head(name: str, kind: Kind, help: str) -> str:  # noqa: A002 - the format's word
    """The two lines that come once, before a family's series. ValueError as for :func:`render`."""
    if (kind == "counter") != name.endswith("_total"):
        raise ValueError(f"{name} is a {kind}: counters, and nothing else, end in _total")
    return f"# HELP {name} {help.translate(_IN_HELP)}\n# TYPE {name} {kind}\n"


def label_string(labels: Mapping[str, str]) -> str:
    """``{a="x",b="y"}``, escaped; a label with an empty value is left out, which is the same to Prometheus."""
    pairs = ",".join([f'{name}="{_escaped(value)}"' for name, value in labels.items() if value])
    return f"{{{pairs}}}" if pairs else ""


def series(name: str, labels: Iterable[str], values: Iterable[float | None], scale: float = 1) -> list[str]:
    """A line for each known value times ``scale``; ``labels`` are their label strings, in the same order.

    Integers are written as integers, however large.
    """
    # What is subtracted from itself is 0 only when finite. The multiplication also makes 1 of True.
    return [
        f"{name}{label} {value * scale}\n"
        for label, value in zip(labels, values, strict=True)
        if value is not None and value - value == 0
    ]


def encode(lines: Iterable[str]) -> bytes:
    """The lines as bytes. What UTF-8 cannot carry becomes ``?``, so that one odd name does not cost the page."""
    return "".join(lines).encode("utf-8", "replace")


def _escaped(value: str) -> str:
    return value.translate(_IN_LABEL)
