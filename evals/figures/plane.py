"""Accuracy, pass@k and entropy over the plane of exponents (beta_pos, beta_neg), for the arms of a study that lie on it.

python -m evals.figures plane --metrics M.parquet ... --run-scores run_scores.parquet --out-prefix F
"""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from asymgrpo.method.arms import PLANE
from evals.figures import series
from evals.figures.drawn import Drawn, diverged, nothing_finished
from evals.figures.series import IN_WORDS, Band, Metrics, RunScores, Summary
from evals.figures.style import RC, panels
from evals.names import describe_rule, rule_to_show, title
from evals.tables.run_scores import read_run_scores
from evals.tables.score import AVERAGE

COLUMNS = 3
Values = Mapping[str, Mapping[str, Summary]]
"""Label of a panel -> arm -> its value."""


def plane(values: Mapping[str, Values], band: Band) -> Figure:
    """Two rows of panels per model: values as colours at their exponents; the same with intervals over seeds, arm by arm.

    Args:
        values: model -> label of a panel -> arm -> value.
        band: what bars show.
    """
    most = max(len(arms) for panel in values.values() for arms in panel.values())
    with mpl.rc_context(RC):
        figure, axes = panels(2 * len(values), COLUMNS, height=max(2.5, 0.16 * most))
        for row, (model, panel) in enumerate(values.items()):
            for column, (label, arms) in enumerate(panel.items()):
                upper, lower = (axes[COLUMNS * (2 * row + below) + column] for below in (0, 1))
                on_the_plane(upper, arms, label)
                looks = {arm: {"color": "#0072B2", "linestyle": "solid"} for arm in arms}
                series.dots(lower, arms, looks, label)
                lower.tick_params(axis="y", labelsize=6, labelleft=column == 0)
            axes[COLUMNS * 2 * row].set_ylabel(f"{model}: beta_neg" if len(values) > 1 else "beta_neg")
        figure.supxlabel(f"mean over training seeds; bars: {IN_WORDS[band]}; dotted: groups sum to 0", fontsize=7.5)
    return figure


def on_the_plane(axis: Axes, arms: Mapping[str, Summary], label: str) -> None:
    """A coloured disc at each arm's exponents, and the line on which every group's advantages sum to 0."""
    x, y = np.array([PLANE[arm] for arm in arms]).T
    means = np.array([point.mean for point in arms.values()])
    axis.plot([-0.6, 1.1], [1.6, -0.1], color="0.7", linestyle="dotted", linewidth=0.9, zorder=0)
    discs = axis.scatter(x, y, c=means, cmap="cividis", s=42, edgecolors="0.3", linewidths=0.4, zorder=3)
    axis.figure.colorbar(discs, ax=axis, location="top", label=label, aspect=30)
    axis.set(xlabel="beta_pos", xlim=(-0.65, 1.15), ylim=(-0.65, 1.15))


def found(runs: pd.DataFrame, scores: pd.DataFrame, rule: str, band: Band) -> dict[str, Values]:
    """The values of every model: accuracy and pass@k of the selected checkpoint (per cent), late entropy (nats)."""
    late, accuracy = series.late_means(runs, "entropy"), series.accuracies(scores, rule)
    passed = scores[(scores["metric"] == "pass_at_k") & (scores["selection"] == rule)]
    k = int(passed.groupby("arm")["k"].max().min()) if len(passed) else 1  # the base model may have more samples
    passed = passed[passed["k"] == k] if len(passed) else accuracy
    several = passed.groupby("model")["benchmark"].transform("nunique") > 1
    passed = passed[~several | (passed["benchmark"] == AVERAGE)]
    parts = (
        ("avg@n (%)", accuracy, "value", 100),
        (f"pass@{k} (%)", passed, "value", 100),
        ("entropy, later half (nats)", late, "entropy", 1),
    )

    def arms(model: str, frame: pd.DataFrame, column: str, factor: float) -> dict[str, Summary]:
        mine = frame[frame["model"] == model]
        every = {arm: series.summary(factor * mine.loc[mine["arm"] == arm, column], band) for arm in PLANE}
        return {arm: point for arm, point in every.items() if point.n_seeds}

    return {
        str(model): {label: arms(model, frame, column, factor) for label, frame, column, factor in parts}
        for model in sorted(runs["model"].unique())
    }


def finding(values: Mapping[str, Values]) -> str:
    """What the figure shows, as one sentence for each model."""
    told = []
    for model, panel in values.items():
        best = (
            f"{label} {title(arm)} {arms[arm].text('.3g')}" for label, arms in panel.items() for arm in [_top(arms)]
        )
        told.append(f"Highest mean over seeds on the plane ({model}): {'; '.join(best)}.")
    return " ".join(told)


def _top(arms: Mapping[str, Summary]) -> str:
    return max(arms, key=lambda arm: arms[arm].mean)


def draw(metrics: Metrics, run_scores: RunScores) -> Drawn:
    """Draw accuracy, pass@k and entropy by the two exponents."""
    table, runs, lost = series.read_figure(metrics, ["step", "entropy"], PLANE)
    scored = read_run_scores(run_scores)
    inputs, scores = {"metrics": table, "run_scores": scored}, scored.to_pandas()
    scores = scores[scores["arm"].isin(PLANE)]
    if runs.empty:
        return nothing_finished(inputs, lost)
    band, rule = series.band_of(runs), rule_to_show(scores["selection"])
    values = found(runs, scores, rule, band)
    notes = {"band": band.value, "seeds": series.counted(runs), "selection": rule, "finding": finding(values)}
    notes["caption"] = f"Evaluation on the checkpoint {describe_rule(rule)}."
    return Drawn(plane(values, band), inputs, notes, diverged(lost))
