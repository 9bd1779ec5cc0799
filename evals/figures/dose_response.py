"""Outcomes of training against the dose of each arm, with the fitted lines.

python -m evals.figures dose_response --doses dose_response.parquet --out-prefix F
"""

from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import numpy as np
import pandas as pd
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evals.claims.measures import MEASURES
from evals.figures.drawn import Drawn
from evals.figures.style import RC, panels
from evals.io import DataError, check_table, read_table
from evals.names import title
from evals.protocol.dose import OUTCOMES
from evals.tables.dose_fit import STEP
from evals.tables.dose_response import SCHEMA
from evals.tables.dose_words import NAMES, UNITS, interval

Doses = Annotated[Path, typer.Option(help="table of evals.tables.dose_response (Parquet)")]
INSIDE, OUTSIDE = "#0072B2", "#777777"


def shown(measure: str, values: pd.Series) -> np.ndarray:
    """Levels in the units of the axis."""
    numbers = values.to_numpy(float)
    return np.exp(numbers) if measure == "entropy_late" else 100 * numbers


def dose_response(rows: pd.DataFrame) -> Figure:
    """A row of panels per model, a panel per measure: arms with 95 % intervals over runs, filled if they are in the fit."""
    models = sorted(set(rows["model"]))
    with mpl.rc_context(RC):
        figure, axes = panels(2 * len(models), 2, height=2.3)
        for number, model in enumerate(models):
            for axis, measure in zip(axes[4 * number :], OUTCOMES, strict=False):
                panel(axis, rows[(rows["model"] == model) & (rows["measure"] == measure)], measure)
                axis.set_title(model if len(models) > 1 else "")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def panel(axis: Axes, rows: pd.DataFrame, measure: str) -> None:
    arms = rows[(rows["part"] == "arm") & rows["dose"].notna()]
    for inside, colour, label in (
        (True, INSIDE, "differs from GRPO in its advantage alone"),
        (False, OUTSIDE, "in more: not in the fit"),
    ):
        mine = arms[arms["in_fit"] == inside]
        middle, low, high = (shown(measure, mine[name]) for name in ("estimate", "ci_low", "ci_high"))
        axis.errorbar(
            mine["dose"],
            middle,
            yerr=np.nan_to_num([middle - low, high - middle]),
            label=label,
            color=colour,
            markerfacecolor=colour if inside else "white",
            linestyle="none",
            marker="o",
            markersize=3.5,
            elinewidth=0.7,
            zorder=3 if inside else 2,
        )
    line(axis, rows, arms[arms["in_fit"]], measure)
    axis.set(xlabel="dose: weight on hard prompts", ylabel=f"{NAMES[measure]} ({UNITS[measure]})")


def line(axis: Axes, rows: pd.DataFrame, arms: pd.DataFrame, measure: str) -> None:
    """The fitted line, and its slope over runs above the panel; nothing where nothing was fitted."""
    slopes = rows[rows["quantity"] == "slope"]
    if slopes.empty:
        return
    (slope,) = slopes.to_dict("records")
    at = np.linspace(arms["dose"].min(), arms["dose"].max(), 50)
    value = arms["estimate"].mean() + slope["estimate"] * (at - arms["dose"].mean()) / STEP
    axis.plot(at, shown(measure, pd.Series(value)), color=INSIDE, linewidth=1)
    told = {str(name): None if pd.isna(x) else x for name, x in slope.items()}
    text = f"per {STEP:g}: {interval(told)} {MEASURES[measure].unit}"
    axis.annotate(text, (0.02, 0.98), xycoords="axes fraction", va="top", fontsize=7)


def finding(rows: pd.DataFrame) -> str:
    """Each measure's rank correlation with the dose, as one sentence for each model."""
    told = []
    for model, mine in rows[rows["quantity"] == "spearman"].groupby("model"):
        parts = [f"{NAMES[row['measure']]} {row['estimate']:+.2f}" for row in mine.to_dict("records")]
        told.append(
            f"Spearman's correlation with the dose over {int(mine['n_arms'].iloc[0])} arms ({model}): {'; '.join(parts)}."
        )
    return " ".join(told) or "Fewer than three different doses were run."


def draw(doses: Doses) -> Drawn:
    """Draw outcomes against doses."""
    table = read_table(doses)
    check_table(table, doses, SCHEMA, nullable=SCHEMA.names)
    rows = table.to_pandas()
    if rows[rows["dose"].notna()].empty:
        raise DataError(f"{doses}: no arm in it has a dose; make it with runs of arms that have one")
    strongest = rows[(rows["measure"] == OUTCOMES[0]) & rows["in_fit"].fillna(False) & rows["dose"].notna()]
    extremes = strongest.sort_values("dose")["arm"].tolist()
    notes = {
        "finding": finding(rows),
        "caption": f"The doses: {rows['declared'].iloc[0]}. Bars: 95 %, over runs.",
        **({"lowest": title(extremes[0]), "highest": title(extremes[-1])} if extremes else {}),
    }
    return Drawn(dose_response(rows), {"dose_response": table}, notes)
