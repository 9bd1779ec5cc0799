"""What a step's updates do to the log-probability of its own rollouts, by the exponent on wrong rollouts (analysis 6).

python -m evals.figures displacement --metrics M.parquet ... --out-prefix F
"""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from asymgrpo.method.arms import BETA_NEG
from evals.figures import series
from evals.figures.drawn import Drawn, diverged, nothing_finished
from evals.figures.series import IN_WORDS, Band, Metrics
from evals.figures.style import RC, panels

PANELS = (("logp_change_correct", "correct rollouts", "#0072B2"), ("logp_change_wrong", "wrong rollouts", "#D55E00"))
MILLI = 1000.0


def means(runs: pd.DataFrame) -> pd.DataFrame:
    """model, arm, train_seed and the mean over a run's measured steps of both changes."""
    return runs.groupby(["model", "arm", "train_seed"])[[column for column, *_ in PANELS]].mean().reset_index()


def displacement(runs: pd.DataFrame, band: Band) -> Figure:
    """Change of log-probability of correct and of wrong rollouts against beta_neg; a row of panels per model.

    Args:
        runs: rows of model, arm, train_seed, logp_change_correct, logp_change_wrong (nats per token, null where not measured).
        band: what the bars show.
    """
    models, found = sorted(runs["model"].unique()), means(runs)
    with mpl.rc_context(RC):
        figure, axes = panels(len(models), len(PANELS), height=2.6)
        for row, model in enumerate(models):
            mine = found[found["model"] == model]
            for axis, (column, title, colour) in zip(axes[len(PANELS) * row :], PANELS, strict=False):
                values = [series.summary(mine.loc[mine["arm"] == arm, column], band) for arm in BETA_NEG]
                axis.axhline(0, color="#999999", linewidth=0.6)
                series.points(axis, list(BETA_NEG.values()), values, MILLI, color=colour)
                axis.set_title(title if len(models) == 1 else f"{model}: {title}")
                axis.set(xlabel="beta_neg (beta_pos = 0.5)", xticks=list(BETA_NEG.values()))
                axis.set_ylabel("change of log-probability\n(10⁻³ nats per token)")
        seeds = series.counted(runs)
        numbers = ", ".join(f"{beta}: {seeds[arm]}" for arm, beta in BETA_NEG.items())
        figure.supxlabel(f"mean over steps and training seeds (n = {numbers})\nbars: {IN_WORDS[band]}", fontsize=7.5)
    return figure


def finding(runs: pd.DataFrame, band: Band) -> str:
    """What the figure shows, as one sentence."""
    found, column = means(runs), PANELS[0][0]
    texts = {
        beta: series.summary(MILLI * found.loc[found["arm"] == arm, column], band).text(".1f")
        for arm, beta in BETA_NEG.items()
    }
    parts = [f"{text} with beta_neg = {beta}" for beta, text in texts.items()]
    return f"Gain of log-probability of correct rollouts, in 10⁻³ nats per token: {'; '.join(parts)}."


def draw(metrics: Metrics) -> Drawn:
    """Draw the change of log-probability against beta_neg."""
    table, runs, lost = series.read_figure(metrics, ["step", *(column for column, *_ in PANELS)], BETA_NEG)
    if runs.empty:
        return nothing_finished({"metrics": table}, lost)
    band = series.band_of(runs)
    notes = {"band": band.value, "seeds": series.counted(runs), "finding": finding(runs, band)}
    return Drawn(displacement(runs, band), {"metrics": table}, notes, diverged(lost))
