"""Plots of what was measured, as SVG files that are the same for the same numbers.

They need matplotlib, the extra ``bench``; without it a line says so, and the table is all there is.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from measuring import RESULTS, told

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INSTALL = "no plot, for want of matplotlib: .venv-test/bin/python -m pip install 'matplotlib>=3.8'"

Points = Sequence[tuple[float, float]]

_STYLE: dict[Any, object] = {
    "svg.hashsalt": "statspout",  # ids are random otherwise
    "svg.fonttype": "none",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}


def save(name: str, x: str, panels: Mapping[str, Mapping[str, Points]]) -> None:
    """Keep ``NAME.svg`` for the documentation: side by side a panel for each label of a y axis, over the same ``x``.

    A panel has a line for each of its names.
    """
    with _figure(name, 4.2 * len(panels), 3.2) as figure:
        if figure is None:
            return
        for axes, (y, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
            for label, points in lines.items():
                axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=label)
            axes.set(xlabel=x, ylabel=y, xlim=(0, None), ylim=(0, None))
            axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.legend()


def bars(name: str, x: str, parts: Sequence[str], rows: Mapping[str, Sequence[float]]) -> None:
    """Keep ``NAME.svg``: a bar for each row, its values stacked and called ``parts``, over a logarithmic ``x``."""
    with _figure(name, 8.4, 0.6 + 0.4 * len(rows)) as figure:
        if figure is None:
            return
        axes = figure.subplots()
        names, left = list(rows)[::-1], [0.0] * len(rows)
        for part, label in enumerate(parts):
            values = [rows[row][part] for row in names]
            axes.barh(names, values, left=left, label=label, height=0.6)
            left = [a + b for a, b in zip(left, values, strict=True)]
        for row, total in enumerate(left):
            axes.text(total * 1.06, row, f"{total:,.0f}", va="center")
        axes.set(xlabel=x, xscale="log", xlim=(10, max(left) * 2))
        axes.grid(visible=False, axis="y")
        axes.legend(loc="lower right")


@contextmanager
def _figure(name: str, width: float, height: float) -> Iterator[Figure | None]:
    """A figure that is kept at the end; None without matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        told(INSTALL)
        yield None
        return
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        RESULTS.mkdir(exist_ok=True)
        # A date or a version in the file would make a difference of what is none.
        figure.savefig(RESULTS / f"{name}.svg", metadata={"Date": None, "Creator": None})
