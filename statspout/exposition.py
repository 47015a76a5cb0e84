"""The formats that Prometheus scrapes: text 0.0.4 and OpenMetrics 1.0.

Our own, because a renderer that caches label strings costs a twentieth of prometheus-client's; ``bench/exposition.py``
compares them. Families and samples are written in the order given. The two formats differ in what is said before a
family's series and at the end of the page; the series are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar, Literal

from statspout.catalogue import Kind

FamilyKind = Kind | Literal["info", "histogram", "summary"]
"""What a family is; ``info`` is a constant 1 whose labels tell something, a gauge in the text format."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format, by the media type and version that a server asks for."""

    media_type: str
    version: str

    @property
    def content_type(self) -> str:
        """What the Content-Type header of a page says."""
        return f"{self.media_type}; version={self.version}; charset=utf-8"


TEXT = Format("text/plain", "0.0.4")
OPENMETRICS = Format("application/openmetrics-text", "1.0.0")
FORMATS = (TEXT, OPENMETRICS)

_SUFFIXES = {"counter": "_total", "info": "_info"}
_UNITS = ("seconds", "bytes", "ratio")

_IN_HELP = {
    TEXT: str.maketrans({"\\": r"\\", "\n": r"\n"}),
    OPENMETRICS: str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""}),
}
_IN_LABEL = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with all its series: ``samples`` are (labels, value), in base units.

    A value that is None, NaN or infinite is unknown: its series is left out.
    """

    name: str
    kind: FamilyKind
    help: str
    samples: Sequence[tuple[Mapping[str, str], float | None]]

    def lines(self) -> list[str]:
        """Its series."""
        labels = [label_string(labels) for labels, _ in self.samples]
        return series(self.name, labels, [value for _, value in self.samples])


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values were how large, in base units.

    ``samples`` are (labels, counts, total): ``counts`` has one number more than ``bounds``: of the values up to each
    bound and beyond the one before, and of those beyond the last; ``total`` is the sum of all values.
    """

    name: str
    help: str
    bounds: Sequence[float]
    samples: Sequence[tuple[Mapping[str, str], Sequence[int], float]]

    kind: ClassVar[FamilyKind] = "histogram"

    def lines(self) -> list[str]:
        """Its series: a bucket has all values up to its bound, as both formats want it."""
        bounds = [*(str(float(bound)) for bound in self.bounds), "+Inf"]
        lines: list[str] = []
        for labels, counts, total in self.samples:
            buckets = list(accumulate(counts))
            own = label_string(labels)
            lines += series(f"{self.name}_bucket", [with_label(own, "le", bound) for bound in bounds], buckets)
            lines += series(f"{self.name}_count", [own], buckets[-1:])
            lines += series(f"{self.name}_sum", [own], [total])
        return lines


def render(families: Iterable[Family | Histogram], format: Format = TEXT) -> bytes:  # noqa: A002 - what it is
    """The page that a server scrapes. ValueError as for :func:`head`."""
    lines = []
    for family in families:
        lines.append(head(family.name, family.kind, family.help, format))
        lines += family.lines()
    return encode(lines, format)


def head(name: str, kind: FamilyKind, help: str, format: Format = TEXT) -> str:  # noqa: A002 - the formats' words
    """The lines that come once, before a family's series; ``name`` is that of the series.

    ValueError for a counter whose name does not end in ``_total``, an info that does not end in ``_info``, and a gauge
    that ends in ``_total``.
    """
    suffix = _SUFFIXES.get(kind, "")
    if not name.endswith(suffix) or (kind == "gauge" and name.endswith("_total")):
        raise ValueError(f"{name} is a {kind}: counters, and nothing else, end in _total, and infos in _info")
    return declaration(name, kind, help, format)


def declaration(name: str, kind: FamilyKind, help: str, format: Format = TEXT) -> str:  # noqa: A002 - the formats' words
    """As :func:`head`, for a name that is not ours to choose: a gauge of an application may end in ``_total``."""
    suffix = _SUFFIXES.get(kind, "")
    text = help.translate(_IN_HELP[format])
    if format is TEXT:
        return f"# HELP {name} {text}\n# TYPE {name} {'gauge' if kind == 'info' else kind}\n"
    family = name.removesuffix(suffix)
    unit = next((f"# UNIT {family} {unit}\n" for unit in _UNITS if family.endswith(f"_{unit}")), "")
    return f"# TYPE {family} {kind}\n{unit}# HELP {family} {text}\n"


def label_string(labels: Mapping[str, str]) -> str:
    """``{a="x",b="y"}``, escaped; a label with an empty value is left out, which is the same to Prometheus."""
    pairs = ",".join([f'{name}="{_escaped(value)}"' for name, value in labels.items() if value])
    return f"{{{pairs}}}" if pairs else ""


def with_label(labels: str, name: str, value: str) -> str:
    """The label string ``labels`` with one label more at its end."""
    return f'{labels[:-1] + "," if labels else "{"}{name}="{_escaped(value)}"}}' if value else labels


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


def encode(lines: Iterable[str], format: Format = TEXT) -> bytes:  # noqa: A002 - what it is
    """The page of these lines. What UTF-8 cannot carry becomes ``?``, so that one odd name does not cost the page."""
    end = b"# EOF\n" if format is OPENMETRICS else b""
    return "".join(lines).encode("utf-8", "replace") + end


def _escaped(value: str) -> str:
    return value.translate(_IN_LABEL)
