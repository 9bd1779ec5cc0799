"""Covariance of log-probability and advantage against the share of correct rollouts in a group (analysis 4).

python -m evals.figures covariance --metrics M.parquet ... --out-prefix F
"""

from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evals.claims.training import mixed_correlation
from evals.figures import series
from evals.figures.drawn import Drawn, diverged, nothing_finished
from evals.figures.series import IN_WORDS, Band, Metrics
from evals.figures.style import RC, look, panels
from evals.names import TABLE_1, in_order, title

RUN = ["model", "arm", "train_seed"]
COLUMNS = ("step", "groups_by_correct", "cov_by_correct")


def by_share(runs: pd.DataFrame) -> pd.DataFrame:
    """model, arm, train_seed, correlation, and `covariance`: [G + 1] means over steps and groups, NaN where there is none."""
    rows = []
    for key, mine in runs.groupby(RUN, sort=False):
        groups = np.stack(mine["groups_by_correct"].tolist()).astype(float)
        covariance = np.stack([np.asarray(row, float) for row in mine["cov_by_correct"]])
        found = {"covariance": mean_by_share(groups, covariance), "correlation": mixed_correlation(groups, covariance)}
        rows.append(dict(zip(RUN, key, strict=True)) | found)
    return pd.DataFrame(rows)


def mean_by_share(groups: NDArray[np.float64], covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """[G + 1] covariance for each number correct, from counts and means by step [steps, G + 1].

    >>> mean_by_share(np.array([[1, 3, 0], [1, 1, 0]]), np.array([[0.0, 2.0, np.nan], [0.0, 6.0, np.nan]]))
    array([ 0.,  3., nan])
    """
    weights = np.where(np.isnan(covariance), 0, groups)
    number = weights.sum(axis=0)
    total = (weights * np.nan_to_num(covariance)).sum(axis=0)
    return np.divide(total, number, out=np.full(len(number), np.nan), where=number > 0)


def covariance(found: pd.DataFrame, band: Band) -> Figure:
    """One panel per model, a line per arm, from the rows of `by_share`."""
    arms, models = in_order(found["arm"], TABLE_1), sorted(set(found["model"]))
    with mpl.rc_context(RC):
        figure, axes = panels(len(models), 1, height=3.0)
        for axis, model in zip(axes, models, strict=True):
            mine = found[found["model"] == model]
            axis.axhline(0, color="#999999", linewidth=0.6)
            for position, arm in enumerate(arms):
                rows = mine.loc[mine["arm"] == arm, "covariance"]
                if len(rows):
                    _line(axis, np.stack(rows.tolist()), band, (position - len(arms) / 2 + 0.5) / 250, look(arm, arms))
            axis.set(xlabel="share of correct rollouts in the group, p", ylabel="Cov(log π, A) (nats)")
            axis.set_title(model if len(models) > 1 else "")
        label = correlations(found, band)
        figure.legend(
            [bars[0] for bars in axes[0].containers],
            [f"{title(arm)}: r = {label[arm]} (n = {series.counted(found)[arm]})" for arm in arms],
            loc="outside lower center",
            ncols=2,
            title=f"mean over n training seeds, all steps; bars, brackets: {IN_WORDS[band]}",
            title_fontsize=7.5,
            handlelength=3,
        )
    return figure


def _line(axis: Axes, values: NDArray[np.float64], band: Band, shift: float, look_: dict[str, Any]) -> None:
    x = np.arange(values.shape[1]) / (values.shape[1] - 1)
    x, values = x[1:-1], values[:, 1:-1]
    found = [series.summary(column, band) for column in values.T]
    there = [i for i, point in enumerate(found) if point.n_seeds]
    series.points(axis, (x + shift)[there].tolist(), [found[i] for i in there], 1.0, **look_)


def correlations(found: pd.DataFrame, band: Band) -> dict[str, str]:
    """arm -> correlation of the covariance with p, mean over seeds with its band."""
    rows = found.groupby("arm")["correlation"]
    return {str(arm): series.summary(values, band).text(".2f") for arm, values in rows}


def finding(found: pd.DataFrame, band: Band, arms: Sequence[str]) -> str:
    """What the figure shows, as one sentence."""
    label = correlations(found, band)
    parts = [
        f"{title(arm)} {label[arm]}, largest at p = {peak(found[found['arm'] == arm]['covariance']):g}" for arm in arms
    ]
    return f"Correlation of Cov(log π, A) with the share of correct rollouts: {'; '.join(parts)}."


def peak(covariances: Iterable[NDArray[np.float64]]) -> float:
    """The share of correct rollouts at which the mean of [G + 1] covariances is largest, among groups with some but not all; NaN
    without such groups.

    >>> peak([np.array([0.0, 1.0, 3.0, 2.0, 9.0])])
    0.5
    """
    mean = np.mean(list(covariances), axis=0)
    inside = mean[1:-1]
    return float(np.nan if np.isnan(inside).all() else (1 + np.nanargmax(inside)) / (len(mean) - 1))


def draw(metrics: Metrics) -> Drawn:
    """Draw the covariance against the share of correct rollouts."""
    table, runs, lost = series.read_figure(metrics, COLUMNS)
    if runs.empty:
        return nothing_finished({"metrics": table}, lost)
    found = by_share(runs)
    band = series.band_of(found)
    notes = {"band": band.value, "seeds": series.counted(found)}
    notes["caption"] = (
        "At p = 0 and p = 1 all advantages are equal and the covariance is 0; r is over the groups between."
    )
    notes["finding"] = finding(found, band, in_order(found["arm"], TABLE_1))
    return Drawn(covariance(found, band), {"metrics": table}, notes, diverged(lost))
