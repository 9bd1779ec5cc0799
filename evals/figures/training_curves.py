"""Entropy and accuracy over training, by arm, mean over seeds with a band.

python -m evals.figures.training_curves --metrics M.parquet ... --band range --smooth 1 --out-prefix F
"""

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow as pa
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.stats import t as student

from evals.cli import run
from evals.figures.style import RC, look, panels, save
from evals.io import DataError, read_table, table_metadata
from evals.tables import ARMS, TITLES, in_order

PANELS = (
    ("entropy", 1.0, "entropy (nats per token)"),
    ("reward_mean", 100.0, "training accuracy (%)"),
)


class Band(StrEnum):
    """range: from the lowest to the highest seed. t: 95 % Student interval of the mean over seeds."""

    range = "range"
    t = "t"


def read_runs(paths: Sequence[Path]) -> pa.Table:
    """model, arm, train_seed, step, entropy and reward_mean of several metrics files."""
    parts = []
    for path in paths:
        table = read_table(path, ["step", "entropy", "reward_mean"])
        about = table_metadata(table)
        missing = [key for key in ("model", "arm", "train_seed") if key not in about]
        if missing:
            raise DataError(f"{path}: its metadata lack {', '.join(missing)}; write it with this version")
        for key, kind in (("model", pa.string()), ("arm", pa.string()), ("train_seed", pa.int32())):
            table = table.append_column(key, pa.array([about[key]] * table.num_rows, kind))
        parts.append(table.replace_schema_metadata(None))
    if not parts:
        raise DataError("no metrics file was given; name at least one")
    return pa.concat_tables(parts)


def moving_average(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Centred mean over `window` steps along the last axis; near the ends over the steps there are.

    >>> moving_average(np.array([1.0, 2.0, 3.0, 7.0]), 3)
    array([1.5, 2. , 4. , 5. ])
    """
    if window < 1 or window % 2 == 0:
        raise DataError(f"--smooth {window}: the window must be an odd number of steps")
    steps, half = values.shape[-1], window // 2
    total = np.concatenate([np.zeros((*values.shape[:-1], 1)), values.cumsum(axis=-1)], axis=-1)
    last = np.minimum(np.arange(steps) + half + 1, steps)
    first = np.maximum(np.arange(steps) - half, 0)
    return (total[..., last] - total[..., first]) / (last - first)


def default_window(steps: int) -> int:
    """The odd window nearest below a sixteenth of the run, at least 1.

    >>> [default_window(steps) for steps in (2, 80, 150)]
    [1, 5, 9]
    """
    return max(1, (steps // 16 - 1) // 2 * 2 + 1)


def seed_band(values: NDArray[np.float64], band: Band) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper edge of the band at each step, from values [S seeds, steps]."""
    n_seeds = len(values)
    if band is Band.range or n_seeds == 1:
        return values.min(axis=0), values.max(axis=0)
    half = student.ppf(0.975, n_seeds - 1) * values.std(axis=0, ddof=1) / np.sqrt(n_seeds)
    return values.mean(axis=0) - half, values.mean(axis=0) + half


def training_curves(runs: pd.DataFrame, band: Band, smooth: int) -> Figure:
    """Entropy and training accuracy over steps, a row of panels per model, a line per arm.

    Args:
        runs: rows of model, arm, train_seed, step, entropy (nats), reward_mean (fraction).
        band: what the shading shows.
        smooth: odd window of the moving average, 1 for none.
    """
    arms, models = in_order(runs["arm"], ARMS), sorted(set(runs["model"]))
    with mpl.rc_context(RC):
        figure, axes = panels(len(models), len(PANELS), height=3.0)
        for row, model in enumerate(models):
            for axis, (column, factor, label) in zip(axes[2 * row :], PANELS, strict=False):
                for arm in arms:
                    chosen = runs[(runs["arm"] == arm) & (runs["model"] == model)]
                    _line(axis, chosen, column, factor, band, smooth, look(arm, arms))
                axis.set(xlabel="training step (rollout batches)", ylabel=label)
                if len(models) > 1:
                    axis.set_title(model)
                axis.xaxis.set_major_locator(MaxNLocator(integer=True))
                axis.set_ylim(bottom=max(0.0, axis.get_ylim()[0]))
            axes[2 * row].set_ylim(bottom=0)
        _legend(figure, axes[0], runs, arms, band, smooth)
    return figure


def _legend(figure: Figure, axis: Axes, runs: pd.DataFrame, arms: Sequence[str], band: Band, smooth: int) -> None:
    seeds = runs.groupby("arm")["train_seed"].nunique()
    shading = "lowest to highest seed" if band is Band.range else "95 % interval of the mean (Student)"
    smoothing = f"; moving average over {smooth} steps" if smooth > 1 else ""
    figure.legend(
        axis.get_lines(),
        [f"{TITLES.get(arm, arm)} (n = {seeds[arm]})" for arm in arms],
        loc="outside lower center",
        ncols=3,
        title=f"mean over n training seeds; shaded: {shading}{smoothing}",
        title_fontsize=7.5,
        handlelength=3,
    )


def _line(axis: Axes, runs: pd.DataFrame, column: str, factor: float, band: Band, smooth: int, look_: dict) -> None:
    if runs.empty:  # an arm that was not run on this model keeps its place in the legend
        axis.plot([], [], **look_)
        return
    wide = runs.pivot(index="train_seed", columns="step", values=column).dropna(axis=1)
    values = moving_average(wide.to_numpy(float) * factor, smooth)
    low, high = seed_band(values, band)
    steps = wide.columns.to_numpy()
    axis.fill_between(steps, low, high, color=look_["color"], alpha=0.13, linewidth=0)
    axis.plot(steps, values.mean(axis=0), **look_)


def main(
    inputs: Annotated[list[Path], typer.Option(help="metrics.parquet of the runs")],
    out_prefix: Annotated[Path, typer.Option(help="path of the pictures without ending")],
    band: Annotated[Band, typer.Option(help="range of the seeds, or 95 % Student interval")] = Band.range,
    smooth: Annotated[
        int | None, typer.Option(help="steps of the moving average (odd); default: a sixteenth of the run")
    ] = None,
) -> None:
    """Draw entropy and accuracy over training."""
    table = read_runs(inputs)
    runs = table.to_pandas()
    if runs.duplicated(["model", "arm", "train_seed", "step"]).any():
        raise DataError("the same run was given twice; pass each metrics file once")
    smooth = default_window(int(runs["step"].max())) if smooth is None else smooth
    figure = training_curves(runs, band, smooth)
    seeds = runs.groupby("arm")["train_seed"].nunique()
    notes = {"band": band.value, "smooth": smooth, "seeds": {arm: int(n) for arm, n in seeds.items()}}
    save(figure, out_prefix, {"metrics": table}, sys.modules[__name__], notes)


if __name__ == "__main__":
    run(main)
