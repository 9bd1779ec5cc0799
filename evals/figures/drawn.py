"""What a figure's `draw` returns, and how it is saved: the same data and code give the same bytes."""

import hashlib
import importlib.metadata
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import wrap
from types import ModuleType
from typing import Any

import matplotlib as mpl
import pyarrow as pa
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure

from asymgrpo.content import data_hash
from evals import asked
from evals.estimates.outcomes import Lost, sentence
from evals.figures.fonts import letters_alone
from evals.figures.style import RC, panels
from evals.io import replace_atomically, sha256_file, write_json

LETTERS = 120  # of a line across a figure
NOTHING = "No run of this figure finished."
SHARED = ("table.py", "arms_compared.py", "series.py", "style.py", "drawn.py", "fonts.py")
"""Files of this folder that every figure depends on."""

FORMATS: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
    "png": {"Software": None},
}
CANVASES: dict[str, Any] = {"pdf": FigureCanvasPdf, "png": FigureCanvasAgg}


@dataclass(frozen=True)
class Drawn:
    """A figure and what is written beside it.

    figure: made within `mpl.rc_context(RC)`. inputs: the tables it shows, by name; their data hashes enter the sidecar.
    notes: what else the sidecar says: `finding` (one sentence), `caption`, rule, bands, numbers of seeds. diverged: the sentence
    about runs that it cannot show, "" if every run finished; it is written on the picture too, which else would show fewer runs
    without a word.
    """

    figure: Figure
    inputs: Mapping[str, pa.Table]
    notes: Mapping[str, Any]
    diverged: str = ""


def nothing_finished(inputs: Mapping[str, pa.Table], lost: Lost) -> Drawn:
    """What stands for a figure none of whose runs finished."""
    with mpl.rc_context(RC):
        figure, (axis,) = panels(1, 1, height=1.2)
        axis.set_axis_off()
        axis.text(0.5, 0.5, NOTHING, ha="center", va="center")
    return Drawn(figure, inputs, {"finding": NOTHING}, diverged(lost))


def diverged(lost: Lost) -> str:
    """The sentence about runs that a figure cannot show, "" if every run finished."""
    return sentence(lost) if lost else ""


def save(name: str, drawn: Drawn, module: ModuleType, prefix: Path) -> None:
    """Write prefix.pdf and .png, and prefix.json with the hashes of data, code and pictures.

    Args:
        name: of the figure.
        drawn: the figure.
        module: the module that drew it; its source and that of SHARED enter the code hash.
        prefix: path without an ending.
    """
    figure, hashes = drawn.figure, {}
    with mpl.rc_context(RC), letters_alone():
        if drawn.diverged:
            figure.suptitle("\n".join(wrap(f"Not shown. {drawn.diverged}", LETTERS)), fontsize=7.5)
        if engine := figure.get_layout_engine():
            engine.execute(figure)  # the layout is found once, not once per format
        figure.set_layout_engine("none")
        for ending, metadata in FORMATS.items():
            path = prefix.with_name(f"{prefix.name}.{ending}")
            replace_atomically(path, partial(_print, figure, ending, metadata))
            hashes[path.name] = sha256_file(path)
    shared = [Path(__file__).with_name(file).read_text(encoding="utf-8") for file in SHARED]
    sources = inspect.getsource(module) + "".join(shared)
    sidecar = {
        "figure": name,
        "data_hashes": {name: data_hash(table) for name, table in drawn.inputs.items()},
        "code_hash": hashlib.sha256(sources.encode()).hexdigest(),
        "outputs": hashes,
        "matplotlib": importlib.metadata.version("matplotlib"),
        **drawn.notes,
        **({"diverged": drawn.diverged} if drawn.diverged else {}),
        **asked.statement(),
    }
    write_json(sidecar, prefix.with_name(f"{prefix.name}.json"))


def _print(figure: Figure, ending: str, metadata: Mapping[str, Any], path: Path) -> None:
    """Draw into a file: once. `savefig` draws everything once more before, in case a layout is still to be found."""
    figure.set_dpi(RC["savefig.dpi"])
    getattr(CANVASES[ending](figure), f"print_{ending}")(path, metadata=metadata)
