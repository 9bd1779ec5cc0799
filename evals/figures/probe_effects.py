"""What one update of each arm does to entropy, success and log-probabilities, from the same states (docs/probe.md).

python -m evals.figures probe_effects --probes probes.parquet --out-prefix F
"""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evals.figures import series
from evals.figures.drawn import Drawn
from evals.figures.probe import COLUMNS, PANELS, ProbeTable, arms_of, bars, counted, read_steps
from evals.figures.series import Summary
from evals.figures.style import RC, panels
from evals.tables.probes import ALL, REFERENCE

MARKS = {"size": ("o", "#000000", "equal step size"), "rate": ("D", "white", "equal learning rate")}


def probe_effects(rows: pd.DataFrame) -> Figure:
    """Two rows of panels per model, effects and their differences from GRPO's, a line per arm; rows: those of `read_steps`."""
    models, arms = sorted(set(rows["model"])), arms_of(rows)
    with mpl.rc_context(RC):
        figure, axes = panels(len(models) * len(COLUMNS), len(PANELS), height=0.9 + 0.16 * len(arms))
        places = [(model, column, quantity) for model in models for column in COLUMNS for quantity in PANELS]
        for axis, (model, column, quantity) in zip(axes, places, strict=True):
            mine = rows[(rows["model"] == model) & (rows["quantity"] == quantity)]
            _panel(axis, mine, column, [arm for arm in arms if column == "value" or arm != REFERENCE])
            if column == "value":
                axis.set_title(PANELS[quantity])
            if quantity != next(iter(PANELS)):
                axis.set_yticklabels([])
            elif len(models) > 1 and column == "value":
                axis.set_title(model, loc="left")
        figure.legend(
            [container[0] for container in axes[0].containers],
            [words for _, _, words in MARKS.values()],
            loc="outside lower center",
            ncols=2,
            title=counted(rows),
            title_fontsize=7.5,
        )
    return figure


def _panel(axis: Axes, rows: pd.DataFrame, column: str, arms: list[str]) -> None:
    axis.axvline(0, color="#999999", linewidth=0.6)
    for shift, (scale, (marker, fill, _)) in zip((-0.15, 0.15), MARKS.items(), strict=True):
        mine = rows[rows["scale"] == scale].set_index("arm").reindex(arms)
        look: dict[str, Any] = {"marker": marker, "markerfacecolor": fill, "color": "black", "markersize": 3.5}
        places = np.arange(len(arms)) + shift
        axis.errorbar(mine[column], places, xerr=bars(mine, column), linestyle="none", elinewidth=0.9, **look)
    axis.set_yticks(range(len(arms)), [series.short(arm) for arm in arms])
    axis.set(xlabel="change" if column == "value" else "change less GRPO's", ylim=(len(arms) - 0.5, -0.5))


def finding(rows: pd.DataFrame) -> str:
    """Change of sequence entropy by each arm at equal step size, as one sentence for each model."""
    told = []
    for model, mine in rows[(rows["quantity"] == "entropy") & (rows["scale"] == "size")].groupby("model"):
        of_arm = {str(row.arm): row for row in mine.itertuples()}
        parts = [f"{series.short(arm)} {_text(of_arm[arm])}" for arm in arms_of(mine)]
        told.append(f"Change of sequence entropy by one update of equal size, nats ({model}): {'; '.join(parts)}.")
    return " ".join(told)


def _text(row: Any) -> str:
    if np.isnan(row.value_low):
        return f"{row.value:+.3f}".replace("-", "−")
    return Summary(row.value, row.value_low, row.value_high, row.n_trajectories).text("+.3f")


def draw(probes: ProbeTable) -> Drawn:
    """Draw what one update does, by arm."""
    table, rows = read_steps(probes)
    rows = rows[rows["accuracy"] == ALL]
    notes = {
        "caption": "Fresh responses to the prompts of the batch, scored before and after each arm's update from the same state.",
        "finding": finding(rows),
    }
    return Drawn(probe_effects(rows), {"probes": table}, notes)
