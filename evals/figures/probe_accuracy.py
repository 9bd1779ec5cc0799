"""What one update does to a prompt, by the accuracy of the group that the prompt had in the batch (docs/probe.md).

python -m evals.figures probe_accuracy --probes probes.parquet --out-prefix F
"""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evals.figures.drawn import Drawn
from evals.figures.probe import ONE_SIDE, PANELS, ProbeTable, arms_of, bars, counted, read_steps
from evals.figures.style import RC, look, panels
from evals.io import DataError
from evals.names import title
from evals.tables.probes import BINS

ARMS = ("reinforce", "grpo", "asymgrpo", "positive_only", "negative_only")
"""Those of them that are in the table are drawn."""
SHIFT = 0.07


def probe_accuracy(rows: pd.DataFrame) -> Figure:
    """A row of panels per model, a line per arm over the bins; rows: those of `read_steps` of the bins, at equal step size."""
    models, arms = sorted(set(rows["model"])), arms_of(rows)
    with mpl.rc_context(RC):
        figure, axes = panels(len(models), len(PANELS), height=2.4)
        for number, model in enumerate(models):
            for column, (quantity, label) in enumerate(PANELS.items()):
                axis = axes[number * len(PANELS) + column]
                _panel(axis, rows[(rows["model"] == model) & (rows["quantity"] == quantity)], arms)
                axis.set_title(label)
            axes[number * len(PANELS)].set_ylabel(f"change ({model})" if len(models) > 1 else "change")
        figure.legend(
            [container[0] for container in axes[0].containers],
            [title(arm) for arm in arms],
            loc="outside lower center",
            ncols=3,
            title=f"at equal step size; {counted(rows)}",
            title_fontsize=7.5,
        )
    return figure


def _panel(axis: Axes, rows: pd.DataFrame, arms: list[str]) -> None:
    axis.axhline(0, color="#999999", linewidth=0.6)
    for number, arm in enumerate(arms):
        mine = rows[rows["arm"] == arm].set_index("accuracy").reindex(list(BINS))
        places = np.arange(len(BINS)) + SHIFT * (number - (len(arms) - 1) / 2)
        line = look(arm, arms) | ({"linestyle": "dotted"} if arm in ONE_SIDE else {})
        axis.errorbar(
            places, mine["value"], yerr=bars(mine, "value"), marker="o", markersize=2.5, elinewidth=0.7, **line
        )
    axis.set_xticks(range(len(BINS)), list(BINS))
    axis.set_xlabel("correct in the group")


def finding(rows: pd.DataFrame) -> str:
    """Change of sequence entropy on hard and on easy prompts, as one sentence."""
    mine = rows[rows["quantity"] == "entropy"].groupby(["arm", "accuracy"])["value"].mean()
    parts = [
        f"{title(arm)} {mine[arm, 'hard']:+.3f} and {mine[arm, 'easy']:+.3f}".replace("-0", "−0")
        for arm in arms_of(rows)
        if {(arm, "hard"), (arm, "easy")} <= set(mine.dropna().index)
    ]
    told = "; ".join(parts) or "no state has both"
    return f"Change of sequence entropy by one update of equal size on hard and on easy prompts, nats: {told}."


def draw(probes: ProbeTable) -> Drawn:
    """Draw what one update does, by group accuracy."""
    table, rows = read_steps(probes)
    rows = rows[rows["accuracy"].isin(BINS) & (rows["scale"] == "size") & rows["arm"].isin(ARMS)]
    if rows.empty:
        raise DataError(f"{probes}: none of {', '.join(ARMS)} is in it; name them in probe.arms.")
    notes = {
        "caption": "Groups of the batch with none, less than half, half or more, and all of their responses correct.",
        "finding": finding(rows),
    }
    return Drawn(probe_accuracy(rows), {"probes": table}, notes)
