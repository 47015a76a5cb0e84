"""Numbers and names as text for people, and how much room it takes."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

UNKNOWN = "--"

TREND = 10
"""Samples that a trend shows."""

_TREND_FLOOR = 10.0
"""CPU percent that a full mark stands for at least: the noise of an idle container is no trend."""


def size(value: float | None, base: int = 1000, digits: int = 3) -> str:
    """Bytes in the largest unit of which there is one, as ``docker stats`` writes them: ``1.46kB``, ``97.7MiB``.

    Memory is in powers of 1024 with four digits, traffic in powers of 1000 with three.
    """
    if value is None:
        return UNKNOWN
    infix = "i" if base == 1024 else ""
    units = ("B", *(f"{prefix}{infix}B" for prefix in ("k" if base == 1000 else "K", *"MGTPE")))
    amount = float(value)
    for unit in units:
        # What is rounded up to the next unit is written in it.
        if float(f"{amount:.{digits}g}") < base or unit == units[-1]:
            return f"{float(f'{amount:.{digits}g}'):g}{unit}"
        amount /= base
    raise AssertionError("the last unit takes everything")


def memory(value: float | None) -> str:
    """Bytes of memory: ``97.66MiB``."""
    return size(value, 1024, 4)


def sparkline(values: Sequence[float | None]) -> str:
    """One mark a value, the newest at the right end; unknown is a gap. A full mark is the largest of them."""
    most = max([_TREND_FLOOR, *(value for value in values if value is not None)])
    marks = [" " if value is None else _MARKS[min(7, int(value / most * 8))] for value in values]
    return "".join(marks).rjust(TREND)


_MARKS = "▁▂▃▄▅▆▇█"


def cells(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shortened(text: str, room: int) -> str:
    """The text in at most ``room`` columns; ``…`` stands for what is missing."""
    if cells(text) <= room:
        return text
    kept, left = [], room - 1
    for character in text:
        left -= _cells(character)
        if left < 0:
            break
        kept.append(character)
    return "".join(kept) + "…" if room > 0 else ""
