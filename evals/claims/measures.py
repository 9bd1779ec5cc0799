"""What claims are about, as one number per training run: measures of the finished checkpoint and of the training itself.

Scores are those of the checkpoint of a selection rule that never looks at a benchmark. Training measures are taken from
metrics.parquet (docs/metrics.md); "late" is the later half of the steps, "early" the first tenth.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from evals.estimates.outcomes import AT, RUN, finished, of_frame, outcome_of
from evals.estimates.stats import DIGITS
from evals.io import DataError, read_table, table_metadata
from evals.tables.score import AVERAGE

SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("arm", pa.string()),
        ("train_seed", pa.int32()),
        ("measure", pa.string()),
        ("value", pa.float64()),
        ("sampling_sd", pa.float64()),  # null for training measures
        ("selection", pa.string()),  # null for training measures
        (AT, pa.int32()),  # the step at which the run diverged: it has no value
    ]
)


@dataclass(frozen=True)
class Measure:
    """One number of a run.

    about: what it is, for readers. unit: of what `shown` gives. relevant: the smallest difference that would matter (a choice of
    ours, made before the study was seen). shown: a difference in the units that readers see.
    """

    about: str
    unit: str
    relevant: float
    shown: Callable[[float], float]


def _points(x: float) -> float:
    return 100 * x


def _percent(x: float) -> float:
    return 100 * float(np.expm1(x))


MEASURES: dict[str, Measure] = {
    "accuracy": Measure("avg@n, mean over the benchmarks", "points", 0.01, _points),
    "pass_at_max": Measure("pass@k at the study's largest k, mean over the benchmarks", "points", 0.01, _points),
    "entropy_late": Measure("log of the mean entropy per token, late in training", "%", float(np.log(1.05)), _percent),
    "entropy_lost": Measure("log of the ratio of early to late entropy", "%", float(np.log(1.05)), _percent),
    "none_solved": Measure("share of prompts with no solved rollout, late in training", "points", 0.01, _points),
    "logp_gain": Measure(
        "change of log-probability per token of correct rollouts across a step's updates, mean over training",
        "10⁻³ nats",
        5e-4,
        lambda x: 1000 * x,
    ),
    "cov_correlation": Measure(
        "correlation between a group's share of correct rollouts and Cov(log π, A), over steps and groups with some but not "
        "all correct",
        "",
        0.1,
        float,
    ),
}
TRAINING = ("entropy_late", "entropy_lost", "none_solved", "logp_gain", "cov_correlation")
COLUMNS = ("step", "entropy", "none_solved_share", "logp_change_correct", "groups_by_correct", "cov_by_correct")


def late(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The later half of the steps.

    >>> late(np.arange(5.0))
    array([2., 3., 4.])
    """
    return values[len(values) // 2 :]


def early(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first tenth of the steps, at least one."""
    return values[: max(1, len(values) // 10)]


def cov_correlation(groups: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    """Correlation of p and the covariance, each cell weighted with its groups; NaN if there are no two values of p.

    Args:
        groups: [steps, G + 1] number of prompts with 0, ..., G correct rollouts.
        covariance: [steps, G + 1] their mean covariance, NaN where there is none.

    >>> round(cov_correlation(np.ones((1, 5)), np.array([[9.0, 1.0, 2.0, 3.0, 9.0]])), 6)
    1.0
    """
    size = groups.shape[1] - 1
    mixed = np.s_[:, 1:size]  # without a difference in reward there is no advantage and no covariance
    weights = np.where(np.isnan(covariance[mixed]), 0.0, groups[mixed])
    if np.count_nonzero(weights.sum(axis=0)) < 2:
        return float("nan")
    p = np.broadcast_to(np.arange(1, size) / size, weights.shape)
    both = np.cov(p.ravel(), np.nan_to_num(covariance[mixed]).ravel(), aweights=weights.ravel(), ddof=0)
    return float(both[0, 1] / np.sqrt(both[0, 0] * both[1, 1])) if both[1, 1] > 0 else float("nan")


def training_measures(metrics: pd.DataFrame) -> dict[str, float]:
    """The training measures of one run; NaN where a run has nothing to measure."""
    entropy = metrics["entropy"].to_numpy(float)
    groups = np.stack(metrics["groups_by_correct"].tolist()).astype(float)
    covariance = np.stack([np.asarray(row, float) for row in metrics["cov_by_correct"]])
    change = metrics["logp_change_correct"].to_numpy(float)
    known = change[np.isfinite(change)]
    return {
        "entropy_late": float(np.log(late(entropy).mean())),
        "entropy_lost": float(np.log(early(entropy).mean() / late(entropy).mean())),
        "none_solved": float(late(metrics["none_solved_share"].to_numpy(float)).mean()),
        "logp_gain": float(known.mean()) if len(known) else float("nan"),
        "cov_correlation": cov_correlation(groups, covariance),
    }


def score_measures(runs: pd.DataFrame, selection: str) -> list[dict[str, Any]]:
    """Rows of SCHEMA for `accuracy` and `pass_at_max` from the table of evals.tables.run_scores, under one selection rule."""
    chosen = runs[runs["selection"] == selection]
    several = chosen.groupby("model")["benchmark"].transform("nunique") > 1
    chosen = chosen[~several | (chosen["benchmark"] == AVERAGE)]
    largest = chosen.groupby("model")["k"].transform("max")
    kinds = {
        "accuracy": chosen["metric"] == "avg_at_n",
        "pass_at_max": (chosen["metric"] == "pass_at_k") & (chosen["k"] == largest),
    }
    rows: list[dict[str, Any]] = []
    for measure, which in kinds.items():
        found = finished(chosen[which])[[*RUN, "value", "sampling_sd", "selection"]]
        rows += found.assign(measure=measure).to_dict("records")  # type: ignore[arg-type]
        for (model, arm), seeds in of_frame(chosen[which]).items():
            about = {"model": model, "arm": arm, "measure": measure, "selection": selection}
            rows += [{**about, "train_seed": seed, AT: step} for seed, step in seeds.items()]
    return rows


def measure_runs(metrics: Sequence[Path], runs: pd.DataFrame, selection: str) -> pa.Table:
    """SCHEMA: every measure of every run, measures that a run does not have left out; a diverged run has rows without values.

    Raises:
        DataError: a metrics file does not say which run it is of.
    """
    rows = score_measures(runs, selection)
    for path in metrics:
        table = read_table(path, COLUMNS)
        about = table_metadata(table)
        if missing := [key for key in RUN if key not in about]:
            raise DataError(f"{path}: its metadata lack {', '.join(missing)}; write it with this version")
        run = {key: about[key] for key in RUN}
        if ended := outcome_of(path, about):
            rows += [{**run, "measure": name, "value": None, AT: ended.step} for name in TRAINING]
            continue
        found = training_measures(table.to_pandas())
        rows += [{**run, "measure": name, "value": value} for name, value in found.items() if np.isfinite(value)]
    for row in rows:
        row["value"] = None if AT in row else round(row["value"], DIGITS)
    order = [(name, "ascending") for name in ("model", "measure", "arm", "train_seed")]
    return pa.Table.from_pylist(rows, SCHEMA).sort_by(order)


def arms_of(measures: pd.DataFrame, measure: str) -> Mapping[str, pd.DataFrame]:
    """arm -> rows of one measure."""
    groups: Iterable[tuple[Any, pd.DataFrame]] = measures[measures["measure"] == measure].groupby("arm")
    return {str(arm): rows for arm, rows in groups}
