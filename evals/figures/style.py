"""The one style of all figures, and how they are saved: the same data and code give the same bytes."""

import hashlib
import importlib.metadata
import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from textwrap import wrap
from types import ModuleType
from typing import Any

import matplotlib as mpl
import matplotlib.colors
import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from asymgrpo.content import data_hash
from asymgrpo.method.arms import ARMS
from asymgrpo.study.settings import BASE
from evals import asked
from evals.io import replace_atomically, sha256_file, write_json

mpl.use("Agg")

WIDTH = 7.0  # inches, the text width of a page
LETTERS = 120  # of a line across a figure

NOTHING = "No run of this figure finished."

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
    "svg.fonttype": "none",
    "svg.hashsalt": "asymgrpo",
}
FORMATS: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}

CANVASES: dict[str, Any] = {"pdf": FigureCanvasPdf, "png": FigureCanvasAgg, "svg": FigureCanvasSVG}


def look(arm: str, arms: Sequence[str]) -> dict[str, Any]:
    """Colour and dashes of an arm among those of a figure: its own if it has a look, else a spare one.

    >>> look("dr_grpo", ["grpo", "dr_grpo"]), look("rloo", ["grpo", "rloo"])
    ({'color': '#CC79A7', 'linestyle': (0, (5, 1, 1, 1))}, {'color': '#0072B2', 'linestyle': 'solid'})
    """
    if own := _own_look(arm):
        colour, *dashes = own.split()
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


def nothing_finished() -> Figure:
    """What stands for a figure none of whose runs finished."""
    with mpl.rc_context(RC):
        figure, (axis,) = panels(1, 1, height=1.2)
        axis.set_axis_off()
        axis.text(0.5, 0.5, NOTHING, ha="center", va="center")
    return figure


def _print(figure: Figure, ending: str, metadata: Mapping[str, Any], path: Path) -> None:
    """Draw into a file: once. `savefig` draws everything once more before, in case a layout is still to be found."""
    figure.set_dpi(RC["savefig.dpi"])
    getattr(CANVASES[ending](figure), f"print_{ending}")(path, metadata=metadata)


def save(
    figure: Figure, prefix: Path, inputs: Mapping[str, pa.Table], module: ModuleType, notes: Mapping[str, Any]
) -> None:
    """Write prefix.pdf, .png and .svg, and prefix.json with the hashes of data, code and pictures.

    Args:
        figure: made within `mpl.rc_context(RC)`.
        prefix: path without an ending.
        inputs: tables the figure shows, by name; their data hashes enter the sidecar.
        module: the module that drew it; its source and what figures share enter the code hash.
        notes: what else to say in the sidecar (sizes, selection rule, ...); `diverged` is written on the picture too, which else
            would show fewer runs without a word.
    """
    hashes = {}
    with mpl.rc_context(RC):
        if notes.get("diverged"):
            figure.suptitle("\n".join(wrap(f"Not shown. {notes['diverged']}", LETTERS)), fontsize=7.5)
        if engine := figure.get_layout_engine():
            engine.execute(figure)  # the layout is found once, not once per format
        figure.set_layout_engine("none")
        for ending, metadata in FORMATS.items():
            path = prefix.with_name(f"{prefix.name}.{ending}")
            replace_atomically(path, partial(_print, figure, ending, metadata))
            hashes[path.name] = sha256_file(path)
    shared = [
        Path(__file__).with_name(name).read_text(encoding="utf-8")
        for name in ("__init__.py", "arms_compared.py", "series.py", "style.py")
    ]
    sources = inspect.getsource(module) + "".join(shared)
    sidecar = {
        "figure": Path(str(module.__file__)).stem,
        "data_hashes": {name: data_hash(table) for name, table in inputs.items()},
        "code_hash": hashlib.sha256(sources.encode()).hexdigest(),
        "outputs": hashes,
        "matplotlib": importlib.metadata.version("matplotlib"),
        **notes,
        **asked.statement(),
    }
    write_json(sidecar, prefix.with_name(f"{prefix.name}.json"))
