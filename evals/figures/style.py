"""The one style of all figures."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.colors
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from asymgrpo.method.arms import ARMS
from asymgrpo.study.settings import BASE

mpl.use("Agg")

WIDTH = 7.0  # inches, the text width of a page
BASE_LOOK = "#555555 1 1"
SPARE = (("#0072B2", "solid"), ("#D55E00", "dashed"), ("#009E73", "dashdot"), ("#CC79A7", "dotted"))
DASHES: tuple[Any, ...] = ("solid", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (2, 1)), (0, (1, 1)))

RC: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine draws the same letters
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.4,
    "lines.linewidth": 1.3,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
}


def look(arm: str, arms: Sequence[str]) -> dict[str, Any]:
    """Colour and dashes of an arm among those of a figure: its own if it has a look, else a spare one.

    Arms that no figure of ours compares share a look; where a study compares them, the later one has it in dots.

    >>> look("dr_grpo", ["grpo", "dr_grpo"]), look("rloo", ["grpo", "rloo"])
    ({'color': '#CC79A7', 'linestyle': (0, (5, 1, 1, 1))}, {'color': '#0072B2', 'linestyle': 'solid'})
    >>> [look(arm, ["asymgrpo", "negative_only"])["linestyle"] for arm in ("asymgrpo", "negative_only")]
    ['solid', 'dotted']
    """
    if own := _own_look(arm):
        colour, *dashes = own.split()
        if own in map(_own_look, arms[: arms.index(arm)] if arm in arms else ()):
            return {"color": colour, "linestyle": "dotted"}
        return {"color": colour, "linestyle": (0, tuple(map(int, dashes))) if dashes else "solid"}
    colour, style = SPARE[[name for name in arms if not _own_look(name)].index(arm) % len(SPARE)]
    return {"color": colour, "linestyle": style}


def _own_look(arm: str) -> str:
    return BASE_LOOK if arm == BASE else ARMS[arm].look if arm in ARMS else ""


def sweep(number: int) -> list[dict[str, Any]]:
    """Looks for the levels of a sweep, from dark to light: cividis is read alike with every common colour blindness."""
    shades = mpl.colormaps["cividis"](np.linspace(0.0, 0.75, number))
    return [{"color": mpl.colors.to_hex(shade), "linestyle": DASHES[i % len(DASHES)]} for i, shade in enumerate(shades)]


def panels(rows: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of text width with rows x columns panels of the given height in inches, in reading order."""
    figure = Figure(figsize=(WIDTH, rows * height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [axis for row in axes for axis in row]
