"""Entropy and accuracy over training, by arm, mean over seeds with a band.

python -m evals.figures training_curves --metrics M.parquet ... --out-prefix F
"""

from typing import Annotated

import matplotlib as mpl
import pandas as pd
import typer
from matplotlib.figure import Figure

from evals.figures import series
from evals.figures.drawn import Drawn, diverged, nothing_finished
from evals.figures.series import Band, Metrics
from evals.figures.style import RC, look, panels
from evals.names import TABLE_1, in_order, title

PANELS = (
    ("entropy", 1.0, "entropy (nats per token)"),
    ("reward_mean", 100.0, "training accuracy (%)"),
)


def training_curves(runs: pd.DataFrame, band: Band, smooth: int) -> Figure:
    """Entropy and training accuracy over steps, a row of panels per model, a line per arm.

    Args:
        runs: rows of model, arm, train_seed, step, entropy (nats), reward_mean (fraction).
        band: what the shading shows.
        smooth: odd window of the moving average, 1 for none.
    """
    arms, models = in_order(runs["arm"].unique(), TABLE_1), sorted(runs["model"].unique())
    looks = {arm: look(arm, arms) for arm in arms}
    with mpl.rc_context(RC):
        figure, axes = panels(len(models), len(PANELS), height=3.0)
        for row, model in enumerate(models):
            mine = runs[runs["model"] == model]
            for axis, (column, factor, label) in zip(axes[2 * row :], PANELS, strict=False):
                series.curves(axis, mine, column, factor, looks, band, smooth, label)
                if len(models) > 1:
                    axis.set_title(model)
            axes[2 * row].set_ylim(bottom=0)
        series.legend(figure, axes[0].get_lines(), arms, series.counted(runs), band, smooth, "shaded")
    return figure


def finding(runs: pd.DataFrame, band: Band) -> str:
    """What the figure shows, as one sentence."""
    late = {column: series.late_means(runs, column) for column in ("entropy", "reward_mean")}
    parts = []
    for arm in in_order(runs["arm"].unique(), TABLE_1):
        entropy, reward = (values.loc[values["arm"] == arm, column] for column, values in late.items())
        accuracy = series.summary(100 * reward, band).text(".1f")
        parts.append(f"{title(arm)} {series.summary(entropy, band).text('.3f')} nats and {accuracy} %")
    return f"Entropy and training accuracy in the later half of training: {'; '.join(parts)}."


def draw(
    metrics: Metrics,
    band: Annotated[
        Band | None, typer.Option(help="range of the seeds, or 95 % Student interval; default: by the number of seeds")
    ] = None,
    smooth: Annotated[
        int | None, typer.Option(help="steps of the moving average (odd); default: a sixteenth of the run")
    ] = None,
) -> Drawn:
    """Draw entropy and accuracy over training."""
    table, runs, lost = series.read_figure(metrics, ["step", "entropy", "reward_mean"])
    if runs.empty:
        return nothing_finished({"metrics": table}, lost)
    smooth = series.default_window(int(runs["step"].max())) if smooth is None else smooth
    band = band or series.band_of(runs)
    notes = {"band": band.value, "smooth": smooth, "seeds": series.counted(runs), "finding": finding(runs, band)}
    return Drawn(training_curves(runs, band, smooth), {"metrics": table}, notes, diverged(lost))
