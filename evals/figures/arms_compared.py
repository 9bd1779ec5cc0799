"""The layout of several figures: entropy and training accuracy as curves, accuracy on the benchmarks beside them."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from evals.estimates.outcomes import of_files
from evals.figures import series
from evals.figures.series import Band
from evals.figures.style import NOTHING, RC, look, nothing_finished, panels, save
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
    models, looks = sorted(set(runs["model"])), {arm: look(arm, arms) for arm in arms}
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


def draw(metrics: Sequence[Path], run_scores: Path, prefix: Path, arms: Sequence[str], module: ModuleType) -> None:
    """Read, draw and save.

    Raises:
        DataError: an arm of the figure has no runs.
    """
    table, scores = series.read_runs(metrics, ["step", "entropy", "reward_mean"]), read_run_scores(run_scores)
    runs, frame = table.to_pandas(), scores.to_pandas()
    lost = of_files(metrics)
    if missing := [arm for arm in arms if arm not in {*runs["arm"], *(name for _, name in lost)}]:
        raise DataError(f"no run of {', '.join(missing)} was given; name the metrics of every arm of the figure")
    runs = runs[runs["arm"].isin(arms)]
    if runs.empty:
        save(
            nothing_finished(),
            prefix,
            {"metrics": table, "run_scores": scores},
            module,
            {"finding": NOTHING, **series.diverged(lost)},
        )
        return
    rule = rule_to_show(frame["selection"])
    accuracy, band = series.accuracies(frame, rule), series.band_of(runs)
    accuracy = accuracy[accuracy["arm"].isin(arms)]
    smooth = series.default_window(int(runs["step"].max()))
    notes = {"band": band.value, "smooth": smooth, "seeds": series.counted(runs), "selection": rule}
    notes["caption"] = f"Evaluation on the checkpoint {describe_rule(rule)}."
    notes["finding"] = finding(runs, accuracy, arms, band)
    notes |= series.diverged(lost)
    save(compared(runs, accuracy, arms, band, smooth), prefix, {"metrics": table, "run_scores": scores}, module, notes)
