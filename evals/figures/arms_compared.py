"""The layout of several figures: entropy and training accuracy as curves, accuracy on the benchmarks beside them.

python -m evals.figures synergy --metrics M.parquet ... --run-scores run_scores.parquet --out-prefix F
"""

from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from evals.figures import series
from evals.figures.drawn import Drawn, diverged, nothing_finished
from evals.figures.series import Band, Metrics, RunScores
from evals.figures.style import RC, look, panels
from evals.io import DataError
from evals.names import describe_rule, rule_to_show, title
from evals.tables.run_scores import read_run_scores

CURVES = (("entropy", 1.0, "entropy (nats per token)"), ("reward_mean", 100.0, "training accuracy (%)"))
COLUMNS = 3


def compared(runs: pd.DataFrame, accuracy: pd.DataFrame, arms: Sequence[str], band: Band, smooth: int) -> Figure:
    """A row of three panels per model.

    Args:
        runs: rows of model, arm, train_seed, step, entropy (nats), reward_mean (fraction).
        accuracy: rows of model, arm, train_seed, value (fraction): avg@n of the selected checkpoint.
        arms: in the order to show them.
        band: what shading and bars show.
        smooth: odd window of the curves' moving average.
    """
    models, looks = sorted(runs["model"].unique()), {arm: look(arm, arms) for arm in arms}
    with mpl.rc_context(RC):
        figure, axes = panels(len(models), COLUMNS, height=2.4)
        for row, model in enumerate(models):
            mine, scores = runs[runs["model"] == model], accuracy[accuracy["model"] == model]
            for axis, (column, factor, label) in zip(axes[COLUMNS * row :], CURVES, strict=False):
                series.curves(axis, mine, column, factor, looks, band, smooth, label)
            axes[COLUMNS * row].set_ylim(bottom=0)
            if len(models) > 1:
                axes[COLUMNS * row].set_title(model)
            last = axes[COLUMNS * row + 2]
            points = {arm: series.summary(100 * scores.loc[scores["arm"] == arm, "value"], band) for arm in arms}
            series.dots(last, points, looks, "benchmarks: avg@n (%)")
        series.legend(figure, axes[0].get_lines(), arms, series.counted(runs), band, smooth, "shaded, bars")
    return figure


def finding(runs: pd.DataFrame, accuracy: pd.DataFrame, arms: Sequence[str], band: Band) -> str:
    """What the figure shows, as one sentence."""
    entropy, parts = series.late_means(runs, "entropy"), []
    for arm in arms:
        late = series.summary(entropy.loc[entropy["arm"] == arm, "entropy"], band).text(".3f")
        scored = series.summary(100 * accuracy.loc[accuracy["arm"] == arm, "value"], band).text(".1f")
        parts.append(f"{title(arm)} {late} nats and {scored} %")
    return f"Entropy in the later half of training, and avg@n on the benchmarks: {'; '.join(parts)}."


def draw(arms: Sequence[str], metrics: Metrics, run_scores: RunScores) -> Drawn:
    """Draw entropy, training accuracy and accuracy on the benchmarks of the arms, which the table of figures names.

    Raises:
        DataError: an arm of the figure has no runs.
    """
    table, runs, lost = series.read_figure(metrics, ["step", "entropy", "reward_mean"], arms)
    scores = read_run_scores(run_scores)
    frame, inputs = scores.to_pandas(), {"metrics": table, "run_scores": scores}
    if missing := [arm for arm in arms if arm not in {*runs["arm"], *(name for _, name in lost)}]:
        raise DataError(f"no run of {', '.join(missing)} was given; name the metrics of every arm of the figure")
    if runs.empty:
        return nothing_finished(inputs, lost)
    rule = rule_to_show(frame["selection"])
    accuracy, band = series.accuracies(frame, rule), series.band_of(runs)
    accuracy = accuracy[accuracy["arm"].isin(arms)]
    smooth = series.default_window(int(runs["step"].max()))
    notes = {"band": band.value, "smooth": smooth, "seeds": series.counted(runs), "selection": rule}
    notes["caption"] = f"Evaluation on the checkpoint {describe_rule(rule)}."
    notes["finding"] = finding(runs, accuracy, arms, band)
    return Drawn(compared(runs, accuracy, arms, band, smooth), inputs, notes, diverged(lost))
