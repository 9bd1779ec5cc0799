"""Prompts without a solved rollout, by the exponent on correct rollouts (analysis 5).

python -m evals.figures none_solved --metrics M.parquet ... --out-prefix F
"""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from asymgrpo.method.arms import BETA_POS
from evals.figures import series
from evals.figures.drawn import Drawn, diverged, nothing_finished
from evals.figures.series import IN_WORDS, Band, Metrics
from evals.figures.style import RC, panels, sweep

COLUMN = "none_solved_share"
LABEL = "unsolved prompts (%)"


def none_solved(runs: pd.DataFrame, band: Band, smooth: int) -> Figure:
    """The share over training, and its mean over the later half against beta_pos; a row of panels per model.

    Args:
        runs: rows of model, arm, train_seed, step, none_solved_share (fraction).
        band: what shading and bars show.
        smooth: odd window of the curves' moving average.
    """
    models, looks = sorted(runs["model"].unique()), dict(zip(BETA_POS, sweep(len(BETA_POS)), strict=True))
    late, seeds = series.late_means(runs, COLUMN), series.counted(runs)
    with mpl.rc_context(RC):
        figure, axes = panels(len(models), 2, height=2.7)
        for row, model in enumerate(models):
            left, right = axes[2 * row : 2 * row + 2]
            series.curves(left, runs[runs["model"] == model], COLUMN, 100.0, looks, band, smooth, LABEL)
            mine = late[late["model"] == model]
            found = [series.summary(mine.loc[mine["arm"] == arm, COLUMN], band) for arm in BETA_POS]
            series.points(right, list(BETA_POS.values()), found, 100.0, color="#0072B2")
            right.set(
                xlabel="beta_pos (beta_neg = 0.5)",
                ylabel="unsolved, later half (%)",
                xticks=list(BETA_POS.values()),
            )
            right.set_ylim(bottom=0)
            left.set_title(model if len(models) > 1 else "")
        figure.legend(
            axes[0].get_lines(),
            [f"beta_pos = {beta} (n = {seeds[arm]})" for arm, beta in BETA_POS.items()],
            loc="outside lower center",
            ncols=3,
            title=f"mean over n training seeds; shaded, bars: {IN_WORDS[band]}; curves: moving average over {smooth} steps",
            title_fontsize=7.5,
            handlelength=3,
        )
    return figure


def finding(runs: pd.DataFrame, band: Band) -> str:
    """What the figure shows, as one sentence."""
    late = series.late_means(runs, COLUMN)
    found = {beta: series.summary(100 * late.loc[late["arm"] == arm, COLUMN], band) for arm, beta in BETA_POS.items()}
    parts = [f"{point.text('.1f')} % with beta_pos = {beta}" for beta, point in found.items()]
    return f"Prompts without a solved rollout in the later half of training: {'; '.join(parts)}."


def draw(metrics: Metrics) -> Drawn:
    """Draw the share of prompts without a solved rollout."""
    table, runs, lost = series.read_figure(metrics, ["step", COLUMN], BETA_POS)
    if runs.empty:
        return nothing_finished({"metrics": table}, lost)
    band, smooth = series.band_of(runs), 3 * series.default_window(int(runs["step"].max()))  # a share of few prompts
    notes = {"band": band.value, "smooth": smooth, "seeds": series.counted(runs), "finding": finding(runs, band)}
    notes["caption"] = "Unsolved: no rollout of the prompt's group is correct."
    return Drawn(none_solved(runs, band, smooth), {"metrics": table}, notes, diverged(lost))
