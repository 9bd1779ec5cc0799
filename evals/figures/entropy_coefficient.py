"""Entropy and accuracy by the coefficient of an entropy bonus, beside positive-only modulation (analysis 3).

python -m evals.figures entropy_coefficient --metrics M.parquet ... --run-scores run_scores.parquet --out-prefix F
"""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evals.figures import series
from evals.figures.drawn import Drawn, diverged, nothing_finished
from evals.figures.series import IN_WORDS, Band, Metrics, RunScores, Summary
from evals.figures.style import RC, look, panels
from evals.figures.table import FIGURES
from evals.io import read_table
from evals.names import describe_rule, rule_to_show

REFERENCE = "positive_only"
SHOWN = FIGURES["entropy_coefficient"].arms
PANELS = (
    ("entropy", 1.0, "entropy, later half\n(nats per token)"),
    ("reward_mean", 100.0, "training accuracy,\nlater half (%)"),
    ("value", 100.0, "benchmarks: avg@n (%)"),
)


def coefficients(runs: pd.DataFrame) -> dict[str, float]:
    """arm -> coefficient, ascending; the reference left out."""
    found = runs[runs["arm"] != REFERENCE].groupby("arm")["entropy_coef"].first().sort_values()
    return {str(arm): float(value) for arm, value in found.items()}


def entropy_coefficient(runs: pd.DataFrame, accuracy: pd.DataFrame, band: Band) -> Figure:
    """Three panels per model: entropy, training accuracy and accuracy on the benchmarks.

    Args:
        runs: rows of model, arm, train_seed, step, entropy (nats), reward_mean (fraction), entropy_coef.
        accuracy: rows of model, arm, train_seed, value (fraction): avg@n of the selected checkpoint.
        band: what bars and shading show.
    """
    models, levels, seeds = sorted(runs["model"].unique()), coefficients(runs), series.counted(runs)
    with mpl.rc_context(RC):
        figure, axes = panels(len(models), len(PANELS), height=2.4)
        for row, model in enumerate(models):
            mine, scores = runs[runs["model"] == model], accuracy[accuracy["model"] == model]
            for axis, (column, factor, label) in zip(axes[len(PANELS) * row :], PANELS, strict=False):
                values = scores if column == "value" else series.late_means(mine, column)
                found = {arm: series.summary(values.loc[values["arm"] == arm, column], band) for arm in SHOWN}
                _panel(axis, found, levels, factor, label)
            axes[len(PANELS) * row].set_title(model if len(models) > 1 else "")
        numbers = ", ".join(f"{level:g}: {seeds[arm]}" for arm, level in levels.items())
        first = axes[0]
        figure.legend(
            [first.containers[0][0], first.get_lines()[-1]],
            [f"GRPO + entropy bonus (n = {numbers})", f"positive-only (n = {seeds[REFERENCE]})"],
            loc="outside lower center",
            ncols=2,
            title=f"mean over n training seeds; bars, shaded: {IN_WORDS[band]}",
            title_fontsize=7.5,
            handlelength=3,
        )
    return figure


def _panel(axis: Axes, found: Mapping[str, Summary], levels: Mapping[str, float], factor: float, label: str) -> None:
    series.points(axis, range(len(levels)), [found[arm] for arm in levels], factor, **look("grpo_entropy", SHOWN))
    reference = found[REFERENCE]
    style = look(REFERENCE, SHOWN)
    if reference.n_seeds:
        axis.axhspan(factor * reference.low, factor * reference.high, color=style["color"], alpha=0.13, linewidth=0)
    axis.axhline(factor * reference.mean, **style)
    axis.set_xticks(range(len(levels)), [f"{level:g}" for level in levels.values()])
    axis.set(xlabel="coefficient of the entropy bonus", ylabel=label)


def finding(runs: pd.DataFrame, accuracy: pd.DataFrame, band: Band) -> str:
    """What the figure shows, as one sentence."""
    entropy, parts = series.late_means(runs, "entropy"), []
    names = {arm: f"coefficient {level:g}" for arm, level in coefficients(runs).items()}
    for arm, name in {**names, REFERENCE: "positive-only"}.items():
        late = series.summary(entropy.loc[entropy["arm"] == arm, "entropy"], band).text(".3f")
        scored = series.summary(100 * accuracy.loc[accuracy["arm"] == arm, "value"], band).text(".1f")
        parts.append(f"{name}: {late} nats and {scored} %")
    return f"Entropy in the later half of training, and avg@n on the benchmarks: {'; '.join(parts)}."


def draw(metrics: Metrics, run_scores: RunScores) -> Drawn:
    """Draw entropy and accuracy against the coefficient."""
    table, runs, lost = series.read_figure(metrics, _columns(), SHOWN)
    scores = read_table(run_scores)
    frame, inputs = scores.to_pandas(), {"metrics": table, "run_scores": scores}
    if runs.empty:
        return nothing_finished(inputs, lost)
    rule = rule_to_show(frame["selection"])
    accuracy, band = series.accuracies(frame, rule), series.band_of(runs)
    notes = {"band": band.value, "seeds": series.counted(runs), "selection": rule}
    notes["caption"] = f"Evaluation on the checkpoint {describe_rule(rule)}."
    notes["finding"] = finding(runs, accuracy, band)
    return Drawn(entropy_coefficient(runs, accuracy, band), inputs, notes, diverged(lost))


def _columns() -> Sequence[str]:
    return ("step", "entropy_coef", *(column for column, *_ in PANELS if column != "value"))
