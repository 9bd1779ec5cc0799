"""What several figures share: runs read from their metrics, means over seeds with a band, a legend that names it."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.special import stdtrit

from evals.estimates.outcomes import Lost, of_files, outcome_of
from evals.io import DataError, read_table, table_metadata
from evals.names import title
from evals.tables.score import AVERAGE

MIN_SEEDS = 3
"""From this many seeds on, bands are Student's intervals; below, from the lowest to the highest seed."""

Metrics = Annotated[list[Path], typer.Option(help="metrics.parquet of the runs")]
RunScores = Annotated[Path, typer.Option(help="scores of each run, of evals.tables.run_scores (Parquet)")]


class Band(StrEnum):
    """range: from the lowest to the highest seed. t: 95 % Student interval of the mean over seeds."""

    range = "range"
    t = "t"


IN_WORDS = {Band.range: "lowest to highest seed", Band.t: "95 % interval of the mean over seeds (Student)"}


@dataclass(frozen=True)
class Summary:
    """Mean over training seeds with the ends of its band."""

    mean: float
    low: float
    high: float
    n_seeds: int

    def text(self, form: str) -> str:
        """The mean with its band, each number formatted like `form`; a dash without a run.

        >>> Summary(0.5, 0.25, 0.75, 3).text(".2f"), Summary(np.nan, np.nan, np.nan, 0).text(".2f")
        ('0.50 [0.25, 0.75]', '–')
        """
        if not self.n_seeds:
            return "–"
        return f"{self.mean:{form}} [{self.low:{form}}, {self.high:{form}}]".replace("-", "−")


def read_runs(paths: Sequence[Path], columns: Sequence[str]) -> pa.Table:
    """`columns` of several metrics files, with model, arm and train_seed beside them; diverged runs are left out.

    Raises:
        DataError: no file is given, one does not say which run it is of, or a run is given twice.
    """
    parts, seen = [], set()
    for path in paths:
        table = read_table(path, columns)
        about = table_metadata(table)
        if missing := [key for key in ("model", "arm", "train_seed") if key not in about]:
            raise DataError(f"{path}: its metadata lack {', '.join(missing)}; write it with this version")
        run = (about["model"], about["arm"], about["train_seed"])
        if run in seen:
            raise DataError(f"{path}: the same run was given twice; pass each metrics file once")
        seen.add(run)
        if outcome_of(path, about):
            table = table.slice(0, 0)
        for key, kind in (("model", pa.string()), ("arm", pa.string()), ("train_seed", pa.int32())):
            table = table.append_column(key, pa.array([about[key]] * table.num_rows, kind))
        parts.append(table.replace_schema_metadata(None))
    if not parts:
        raise DataError("no metrics file was given; name at least one")
    return pa.concat_tables(parts)


def read_figure(
    paths: Sequence[Path], columns: Sequence[str], arms: Collection[str] = ()
) -> tuple[pa.Table, pd.DataFrame, Lost]:
    """What a figure needs of its runs: their table (`read_runs`), its rows of `arms` (() for all), and the runs that diverged."""
    table, lost = read_runs(paths, columns), of_files(paths)
    rows = table.to_pandas()
    return table, rows[rows["arm"].isin(arms)] if arms else rows, lost


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


def band_of(runs: pd.DataFrame) -> Band:
    """Student's interval if every arm has seeds enough, else the range: one kind of band per figure."""
    return Band.t if runs.groupby(["model", "arm"])["train_seed"].nunique().min() >= MIN_SEEDS else Band.range


def seed_band(values: NDArray[np.float64], band: Band) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper edge of the band at each step, from values [S seeds, steps]."""
    n_seeds = len(values)
    if band is Band.range or n_seeds == 1:
        return values.min(axis=0), values.max(axis=0)
    half = stdtrit(n_seeds - 1, 0.975) * values.std(axis=0, ddof=1) / np.sqrt(n_seeds)
    return values.mean(axis=0) - half, values.mean(axis=0) + half


def summary(values: Iterable[float], band: Band) -> Summary:
    """Mean and band of one value per seed; values that are missing are left out.

    >>> summary([1.0, 2.0, 3.0], Band.range)
    Summary(mean=2.0, low=1.0, high=3.0, n_seeds=3)
    """
    known = np.array([value for value in values if np.isfinite(value)], float)
    if not len(known):
        return Summary(np.nan, np.nan, np.nan, 0)
    low, high = seed_band(known[:, None], band)
    return Summary(float(known.mean()), float(low[0]), float(high[0]), len(known))


def late_means(runs: pd.DataFrame, column: str) -> pd.DataFrame:
    """model, arm, train_seed and the mean of `column` over the later half of each run's steps."""
    middle = runs.groupby(["model", "arm", "train_seed"])["step"].transform("median")
    chosen = runs[runs["step"] >= middle]
    return chosen.groupby(["model", "arm", "train_seed"])[column].mean().reset_index()


def accuracies(run_scores: pd.DataFrame, selection: str) -> pd.DataFrame:
    """model, arm, train_seed, value: avg@n of each run under a rule, the mean over benchmarks where there are several; null of a
    diverged run, which has no score."""
    chosen = run_scores[(run_scores["metric"] == "avg_at_n") & (run_scores["selection"] == selection)]
    several = chosen.groupby("model")["benchmark"].transform("nunique") > 1
    return chosen[~several | (chosen["benchmark"] == AVERAGE)]


def curves(
    axis: Axes,
    runs: pd.DataFrame,
    column: str,
    factor: float,
    looks: Mapping[str, dict[str, Any]],
    band: Band,
    smooth: int,
    label: str,
) -> None:
    """A line with its band for each arm of `looks`, from the runs of one model; a step that some seed lacks is left out.

    An arm that was not run on this model keeps its place in the legend.
    """
    for arm, look in looks.items():
        chosen = runs[runs["arm"] == arm]
        wide = chosen.pivot(index="train_seed", columns="step", values=column).dropna(axis=1)
        values = moving_average(wide.to_numpy(float) * factor, smooth)
        if values.size:
            axis.fill_between(wide.columns, *seed_band(values, band), color=look["color"], alpha=0.13, linewidth=0)
        axis.plot(wide.columns, values.mean(axis=0) if values.size else [], **look)
    axis.set(xlabel="training step (rollout batches)", ylabel=label)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.set_ylim(bottom=max(0.0, axis.get_ylim()[0]))


def dots(axis: Axes, found: Mapping[str, Summary], looks: Mapping[str, dict[str, Any]], label: str) -> None:
    """One row per arm, from the top: its mean with the band as a bar; hollow where the arm's line is dashed."""
    for row, (arm, point) in enumerate(found.items()):
        bars, dashed = [[point.mean - point.low], [point.high - point.mean]], looks[arm]["linestyle"] != "solid"
        fill: dict[str, Any] = {"markerfacecolor": "white"} if dashed else {}
        axis.errorbar([point.mean], [-row], xerr=bars, marker="o", markersize=4, capsize=2, **looks[arm], **fill)
    axis.set_yticks(-np.arange(len(found)), [short(arm) for arm in found])
    axis.set_ylim(-len(found) + 0.4, 0.6)
    axis.set_xlabel(label)


def points(axis: Axes, x: Sequence[float], found: Sequence[Summary], factor: float, **look: Any) -> None:
    """Means over seeds at x, with bands as bars, joined by a line."""
    means = np.array([factor * point.mean for point in found])
    below = means - [factor * point.low for point in found]
    above = np.array([factor * point.high for point in found]) - means
    axis.errorbar(x, means, yerr=np.abs([below, above]), marker="o", markersize=4, capsize=2, elinewidth=0.9, **look)


def short(arm: str) -> str:
    """An arm's title without its exponents.

    >>> short("positive_only"), short("grpo_clip_higher")
    ('positive-only', 'GRPO + Clip-higher')
    """
    return title(arm).split(" (")[0]


def legend(
    figure: Figure,
    handles: Sequence[Any],
    arms: Sequence[str],
    seeds: Mapping[str, int],
    band: Band,
    smooth: int,
    marks: str,
) -> None:
    """The legend of a figure of curves: arms with their numbers of seeds, and what `marks` ("shaded", ...) show."""
    smoothing = f"; curves: moving average over {smooth} steps" if smooth > 1 else ""
    figure.legend(
        handles,
        [f"{title(arm)} (n = {seeds.get(arm, 0)})" for arm in arms],
        loc="outside lower center",
        ncols=3,
        title=f"mean over n training seeds; {marks}: {IN_WORDS[band]}{smoothing}",
        title_fontsize=7.5,
        handlelength=3,
    )


def counted(runs: pd.DataFrame) -> Counter[str]:
    """arm -> number of training seeds, 0 for an arm that is not there."""
    return Counter({str(arm): int(n) for arm, n in runs.groupby("arm")["train_seed"].nunique().items()})
