"""What each training run scored: one row per run, selection rule, benchmark, metric and k, without intervals.

    python -m evals.tables.run_scores --counts counts.parquet --k 1 4 16 --out run_scores.parquet

Training seeds are the unit of replication: claims and figures with intervals over seeds start from this table. `average` is the
unweighted mean over the benchmarks. `sampling_sd` is what drawing the answers again from the same weights would change.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
from numpy.typing import NDArray

from asymgrpo.content import data_hash
from evals.cli import run
from evals.estimates.cells import Counts, CountsOf, averaged, check_ks, need_samples
from evals.estimates.outcomes import AT, Lost
from evals.estimates.passk import pass_at_k
from evals.estimates.selection import BASE
from evals.io import DataError, check_table, derived, read_table, write_table
from evals.tables.counts import Counted, Graded, Problems, Selection, study_counts
from evals.tables.score import AVERAGE, metrics_of

SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("arm", pa.string()),
        ("train_seed", pa.int32()),
        ("selection", pa.string()),
        ("benchmark", pa.string()),
        ("metric", pa.string()),
        ("k", pa.int32()),  # null for avg_at_n
        ("value", pa.float64()),
        ("sampling_sd", pa.float64()),
        (AT, pa.int32()),  # the step at which the run diverged: it has no value
    ]
)


def sampling_variance(n: NDArray[np.int64], c: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Variance of pass@k of one problem when its n samples are drawn again; avg@n is k = 1.

    C is binomial with the share (c + 1/2) / (n + 1), so that a problem never or always solved is not taken for certain.

    >>> sampling_variance(np.array([4]), np.array([2]), 1), sampling_variance(np.array([4]), np.array([0]), 1)
    (array([0.0625]), array([0.0225]))
    """
    result = np.empty(n.shape)
    for size in np.unique(n):
        result[n == size] = _variances(int(size), k)[c[n == size]]
    return result


@lru_cache(maxsize=64)
def _variances(size: int, k: int) -> NDArray[np.float64]:
    """[size + 1] the variance for every number of correct samples."""
    could = np.arange(size + 1)
    law = _binomial(size, (could + 0.5) / (size + 1))
    values = pass_at_k(np.full(size + 1, size), could, k)
    return law @ values**2 - (law @ values) ** 2


def _binomial(size: int, p: NDArray[np.float64]) -> NDArray[np.float64]:
    """[len(p), size + 1] binomial probabilities: those of scipy.stats, whose import takes longer than all scores of a study.

    >>> _binomial(2, np.array([0.5]))
    array([[0.25, 0.5 , 0.25]])
    """
    could, wide = (
        np.arange(size + 1),
        p[:, None].astype(np.longdouble),
    )  # 64 bits would round (1 - p)^size, and overflow
    ways = np.array([np.longdouble(math.comb(size, c)) for c in range(size + 1)])
    return (ways * wide**could * (1 - wide) ** (size - could)).astype(float)


def run_scores(counts: CountsOf, ks: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Rows of SCHEMA without `selection`, for the counts of one selection rule."""
    for model in dict.fromkeys(key[0] for key in counts):
        benchmarks = sorted({key[2] for key in counts if key[0] == model})
        for arm in dict.fromkeys(key[1] for key in counts if key[0] == model):
            mine = {name: counts[model, arm, name] for name in benchmarks if (model, arm, name) in counts}
            groups = {name: [item] for name, item in mine.items()}
            if len(mine) == len(benchmarks) > 1:
                groups[AVERAGE] = list(mine.values())
            for name, items in groups.items():
                for row in _rows(averaged(items), ks):
                    yield {"model": model, "arm": arm, "benchmark": name, **row}


def diverged_runs(rows: Sequence[dict[str, Any]], lost: Lost) -> Iterator[dict[str, Any]]:
    """Rows without a value for every run that diverged: one for each cell that the rows of its model have."""
    for (model, arm), seeds in lost.items():
        mine = [row for row in rows if row["model"] == model]
        trained = [row for row in mine if row["arm"] != BASE] or mine  # the base model may have more k
        cells = dict.fromkeys((row["benchmark"], row["metric"], row["k"]) for row in trained)
        for seed, step in seeds.items():
            for benchmark, metric, k in cells:
                where = {"model": model, "arm": arm, "benchmark": benchmark, "train_seed": seed}
                yield where | {"metric": metric, "k": k, AT: step}


def _rows(items: Sequence[Counts], ks: Sequence[int]) -> Iterator[dict[str, Any]]:
    for metric, k in metrics_of(items, ks, []):
        values = np.mean([item.metric(metric, k).mean(axis=1) for item in items], axis=0)
        noise = [sampling_variance(item.n, item.c, k or 1).sum(axis=1) / item.n.shape[1] ** 2 for item in items]
        spread = np.sqrt(np.sum(noise, axis=0)) / len(items)
        for seed, value, sd in zip(items[0].train_seeds, values, spread, strict=True):
            measured = {"value": round(float(value), 12), "sampling_sd": round(float(sd), 12)}
            yield {"train_seed": seed, "metric": metric, "k": k, **measured}


def read_run_scores(path: Path, selection: str | None = None) -> pa.Table:
    """A table that this module wrote. Raises DataError when it is another one or empty, or knows no such checkpoint rule."""
    table = read_table(path)
    check_table(table, path, SCHEMA, nullable=["k", "value", "sampling_sd", AT])
    rules = sorted(set(table["selection"].to_pylist()))
    if selection is not None and selection not in rules:
        raise DataError(f"{path}: no selection {selection!r}; choose from {', '.join(rules)}")
    return table


def main(
    *,
    counts: Counted = None,
    graded: Graded = None,
    selection: Selection = None,
    problems: Problems = None,
    k: Annotated[list[int], typer.Option(help="k of pass@k")],
    out: Annotated[Path, typer.Option(help="scores of each run to write (Parquet)")],
) -> None:
    """Score every training run by itself."""
    check_ks(k)
    study = study_counts(counts, graded, selection, problems)
    need_samples(k, [item for mine in study.counts.values() for item in mine.values()])
    rows: list[dict[str, Any]] = []
    for rule, mine in study.counts.items():
        found = list(run_scores(mine, k))
        rows += [{"selection": rule, **row} for row in [*found, *diverged_runs(found, study.lost[rule])]]
    order = [(name, "ascending") for name in ("model", "selection", "benchmark", "metric", "k", "arm", "train_seed")]
    table = pa.Table.from_pylist(rows, SCHEMA).sort_by(order)
    write_table(table, out, {"data_hash": data_hash(table), **derived(study.origin)})


if __name__ == "__main__":
    run(main, frames=False)
