"""Plots of what was measured, as SVG files that are the same for the same numbers.

They need matplotlib, the extra ``bench``; without it a line says so, and the table is all there is.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence

from measuring import RESULTS, told

INSTALL = "no plot, for want of matplotlib: .venv-test/bin/python -m pip install 'matplotlib>=3.8'"

Points = Sequence[tuple[float, float]]

_STYLE = {
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
    if importlib.util.find_spec("matplotlib") is None:
        told(INSTALL)
        return
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.2 * len(panels), 3.2), layout="constrained")
        for axes, (y, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
            for label, points in lines.items():
                axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=label)
            axes.set(xlabel=x, ylabel=y, xlim=(0, None), ylim=(0, None))
            axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.legend()
        RESULTS.mkdir(exist_ok=True)
        # A date or a version in the file would make a difference of what is none.
        figure.savefig(RESULTS / f"{name}.svg", metadata={"Date": None, "Creator": None})
