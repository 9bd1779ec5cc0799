"""What claims are about, as one number per training run: measures of the finished checkpoint and of the training itself.

Scores are those of the checkpoint of a selection rule that never looks at a benchmark. Training measures are taken from
metrics.parquet and eval.parquet (evals.claims.training).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from evals.claims.training import COLUMNS, EVALUATED, OPTIONAL, REFERENCE, matched_level, training_measures
from evals.estimates.outcomes import AT, RUN, finished, of_frame, outcome_of
from evals.estimates.stats import DIGITS
from evals.io import DataError, read_schema, read_table, table_metadata
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
    """One number of a run. about: what it is, for readers. unit: of what `shown` gives. shown: a difference in the units that
    readers see."""

    about: str
    unit: str
    shown: Callable[[float], float]


def _points(x: float) -> float:
    return 100 * x


def _percent(x: float) -> float:
    return 100 * float(np.expm1(x))


def _thousandths(x: float) -> float:
    return 1000 * x


COV = "correlation between a group's share p of correct rollouts and Cov(log π, A), over steps and"
MEASURES: dict[str, Measure] = {
    "accuracy": Measure("avg@n, mean over the benchmarks", "points", _points),
    "accuracy_late": Measure(
        "avg@n on the held-out problems of training, mean over the evaluations late in training", "points", _points
    ),
    "pass_at_max": Measure("pass@k at the largest k that every arm has, mean over the benchmarks", "points", _points),
    "reward_late": Measure("mean reward of the training rollouts, late in training", "points", _points),
    "entropy_late": Measure("log of the mean entropy per token, late in training", "%", _percent),
    "sequence_entropy_late": Measure("log of the mean entropy per response, late in training", "%", _percent),
    "entropy_lost": Measure("log of the ratio of early to late entropy", "%", _percent),
    "entropy_matched": Measure("log of the entropy per token at a success that all arms share", "%", _percent),
    "entropy_moved": Measure("log of entropy on correct over wrong rollouts, late less early", "%", _percent),
    "none_solved": Measure("share of prompts with no solved rollout, late in training", "points", _points),
    "all_solved": Measure("share of prompts with only solved rollouts, late in training", "points", _points),
    "hard_weight": Measure(
        "share of all advantages, by size, on prompts with less than half of the rollouts correct, mean over training",
        "points",
        _points,
    ),
    "logp_gain": Measure(
        "change of log-probability per token of correct rollouts across a step's updates, mean over training",
        "10⁻³ nats",
        _thousandths,
    ),
    "cov_correlation": Measure(f"{COV} groups with a correct rollout", "", float),
    "cov_rise": Measure(f"{COV} groups with a correct rollout and p ≤ 1/2", "", float),
    "cov_fall": Measure(f"{COV} groups with p ≥ 1/2, sign reversed", "", float),
    "cov_every": Measure(f"{COV} all groups", "", float),
    "cov_mixed": Measure(f"{COV} groups with some but not all correct", "", float),
    "clip_high": Measure("share of tokens whose ratio met the upper bound, mean over training", "points", _points),
    "mixed_share": Measure(
        "share of groups with some but not all rollouts correct, mean over training", "points", _points
    ),
    "update_norm": Measure("length by which an update moves the weights, mean over training", "", float),
}
SCORES = ("accuracy", "pass_at_max")
TRAINING = tuple(name for name in MEASURES if name not in SCORES)


def score_measures(runs: pd.DataFrame, selection: str) -> list[dict[str, Any]]:
    """Rows of SCHEMA for `accuracy` and `pass_at_max` from the table of evals.tables.run_scores, under one selection rule."""
    chosen = runs[runs["selection"] == selection]
    several = chosen.groupby("model")["benchmark"].transform("nunique") > 1
    chosen = chosen[~several | (chosen["benchmark"] == AVERAGE)]
    largest = chosen.groupby(["model", "arm"])["k"].transform("max").groupby(chosen["model"]).transform("min")
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


def run_of(path: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """{model, arm, train_seed} that the metadata of a run's file state. Raises DataError if they do not."""
    if missing := [key for key in RUN if key not in about]:
        raise DataError(f"{path}: its metadata lack {', '.join(missing)}; write it with this version")
    return {key: about[key] for key in RUN}


def measure_runs(
    metrics: Sequence[Path], runs: pd.DataFrame, selection: str, evaluations: Sequence[Path] = ()
) -> pa.Table:
    """SCHEMA: every measure of every run, measures that a run does not have left out; a diverged run has rows without values.

    Args:
        metrics, evaluations: metrics.parquet and eval.parquet of the runs, each in any order.
        runs, selection: see `score_measures`.

    Raises:
        DataError: a file does not say which run it is of.
    """
    rows = score_measures(runs, selection)
    evaluated: dict[tuple[Any, ...], pd.DataFrame] = {}
    for path in evaluations:
        table = read_table(path, EVALUATED)
        evaluated[tuple(run_of(path, table_metadata(table)).values())] = table.to_pandas()
    curves: list[tuple[dict[str, Any], pd.DataFrame]] = []
    for path in metrics:
        there = read_schema(path).names
        table = read_table(path, [*COLUMNS, *(name for name in OPTIONAL if name in there)])
        about = table_metadata(table)
        run = run_of(path, about)
        if ended := outcome_of(path, about):
            rows += [{**run, "measure": name, "value": None, AT: ended.step} for name in TRAINING]
        else:
            curves.append((run, table.to_pandas()))
    levels = {
        model: matched_level([frame for run, frame in curves if (run["model"], run["arm"]) == (model, REFERENCE)])
        for model in {run["model"] for run, _ in curves}
    }
    for run, frame in curves:
        found = training_measures(frame, levels[run["model"]], evaluated.get(tuple(run.values())))
        rows += [{**run, "measure": name, "value": value} for name, value in found.items() if np.isfinite(value)]
    for row in rows:
        row["value"] = None if AT in row else round(row["value"], DIGITS)
    order = [(name, "ascending") for name in ("model", "measure", "arm", "train_seed")]
    return pa.Table.from_pylist(rows, SCHEMA).sort_by(order)


def arms_of(measures: pd.DataFrame, measure: str) -> Mapping[str, pd.DataFrame]:
    """arm -> rows of one measure."""
    groups: Iterable[tuple[Any, pd.DataFrame]] = measures[measures["measure"] == measure].groupby("arm")
    return {str(arm): rows for arm, rows in groups}
