"""Counts of all runs -> tidy estimates with intervals, one row per arm, benchmark, metric and k.

    python -m evals.tables.score --counts counts.parquet --k 1 2 4 --seed-variance pooled --draws 10000 --seed 0 --out S.parquet
    python -m evals.tables.score --graded G.parquet ... --selection S.json ... --k 1 2 4 --maj-k 4 ...

Majority votes (maj@k) need graded samples; for everything else the counts of evals.tables.counts are enough.
A k larger than the samples of a benchmark gives no row there (benchmarks may have different n); a k that no
benchmark can serve is an error. `average` is the unweighted mean over benchmarks, for the k all of them have; a problem that
several share counts in the first of them (evals.tables.shared).
For avg_at_n, k is the number of samples per problem (null where that differs).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer

from asymgrpo.content import data_hash
from evals.cli import run
from evals.estimates.bootstrap import SeedVariance
from evals.estimates.cells import (
    Counts,
    CountsOf,
    averaged,
    check_ks,
    count_cells,
    counting_elsewhere,
    need_samples,
    read_graded,
)
from evals.estimates.outcomes import AT, STEPS, Lost
from evals.estimates.selection import BASE, lost_of, read_selection, select
from evals.estimates.selection import by_rule as selection_by_rule
from evals.estimates.stats import mean_intervals, own_seed_variance, pooled_seed_variance
from evals.io import DataError, check_table, derived, read_table, write_table
from evals.tables.counts import Counted, Graded, Problems, Selection, StudyCounts, of_one_verifier, study_counts
from evals.tables.options import Draws, Seed, SeedVarianceFrom, SeedVarianceRule
from evals.tables.shared import counted_elsewhere, keys_of

AVERAGE = "average"
OF_ALL_SAMPLES = ("avg_at_n", "bayes_at_n")
"""Metrics whose k is the number of samples per problem, null where that differs."""
SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("arm", pa.string()),
        ("benchmark", pa.string()),
        ("metric", pa.string()),
        ("k", pa.int32()),
        ("selection", pa.string()),
        ("estimate", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
        ("std_error", pa.float64()),
        ("n_problems", pa.int32()),
        ("n_samples", pa.int64()),
        ("n_seeds", pa.int32()),
        ("seed_degrees", pa.int32()),
        ("truncated_share", pa.float64()),
        ("unparsed_share", pa.float64()),
        ("grader_disagreement", pa.float64()),
        ("n_diverged", pa.int32()),  # training seeds that are in no estimate
        (AT, STEPS),  # the step of each
    ]
)


Metric = tuple[str, int | None]


def metrics_of(counts: Sequence[Counts], ks: Sequence[int], maj_ks: Sequence[int]) -> list[Metric]:
    """avg_at_n and every pass_at_k and maj_at_k whose k all of `counts` can serve."""
    smallest = min(int(item.n.min()) for item in counts)
    passes: list[Metric] = [("pass_at_k", k) for k in ks if k <= smallest]
    majorities: list[Metric] = [("maj_at_k", k) for k in maj_ks if k <= smallest]
    return [("avg_at_n", None), *passes, *majorities]


def seed_variances(cells: Mapping[str, list[np.ndarray]], rule: SeedVarianceRule) -> dict[str, SeedVariance | None]:
    """arm -> seed variance of its mean; None for the base model, which is not trained."""
    trained = {arm: blocks for arm, blocks in cells.items() if arm != BASE}
    if rule is SeedVarianceRule.pooled:
        pooled = pooled_seed_variance(list(trained.values()))
        return {arm: pooled if arm in trained else None for arm in cells}
    return {arm: own_seed_variance(blocks) if arm in trained else None for arm, blocks in cells.items()}


def score_selection(
    counts: Mapping[tuple[str, str, str], Counts],
    ks: Sequence[int],
    maj_ks: Sequence[int],
    rule: SeedVarianceRule,
    seed: int,
    draws: int,
) -> Iterator[dict[str, Any]]:
    """Rows (without `selection`) for the samples of one selection rule."""
    for model, name, mine in groups(counts):
        for row in _score_group(mine, ks, maj_ks, rule, seed, draws):
            yield {"model": model, "benchmark": name, **row}


def groups(counts: CountsOf) -> Iterator[tuple[str, str, dict[str, list[Counts]]]]:
    """Model, benchmark or AVERAGE, and the counts that each arm's number is of; an average has the arms with all benchmarks."""
    for model in dict.fromkeys(key[0] for key in counts):
        arms = list(dict.fromkeys(key[1] for key in counts if key[0] == model))
        benchmarks = list(dict.fromkeys(key[2] for key in counts if key[0] == model))
        names = [[name] for name in benchmarks]
        complete = [arm for arm in arms if all((model, arm, name) in counts for name in benchmarks)]
        if len(benchmarks) > 1 and complete:
            names.append(benchmarks)
        for group in names:
            present = [arm for arm in arms if all((model, arm, name) in counts for name in group)]
            mine = {arm: averaged([counts[model, arm, name] for name in group]) for arm in present}
            yield model, group[0] if len(group) == 1 else AVERAGE, mine


def _score_group(
    mine: Mapping[str, list[Counts]],
    ks: Sequence[int],
    maj_ks: Sequence[int],
    rule: SeedVarianceRule,
    seed: int,
    draws: int,
) -> Iterator[dict[str, Any]]:
    """Rows of one benchmark, or of the average over several, for every arm and metric."""
    keys, cells, variances = [], [], []
    served = {arm: metrics_of(items, ks, maj_ks) for arm, items in mine.items()}
    for metric in dict.fromkeys(metric for metrics in served.values() for metric in metrics):
        values = {arm: [item.metric(*metric) for item in mine[arm]] for arm in mine if metric in served[arm]}
        by_arm = seed_variances(values, rule)
        for arm, blocks in values.items():
            keys.append((arm, metric))
            cells.append(blocks)
            variances.append(by_arm[arm])
    intervals = mean_intervals(cells, variances, seed=seed, draws=draws, level=0.95)
    for (arm, metric), variance, interval in zip(keys, variances, intervals, strict=True):
        estimates = {field: getattr(interval, field) for field in _FROM_INTERVAL}
        yield {"arm": arm, **_row(mine[arm], metric, variance), **estimates}


_FROM_INTERVAL = ("estimate", "ci_low", "ci_high", "std_error", "n_problems", "n_seeds")


def _row(items: list[Counts], metric: Metric, variance: SeedVariance | None) -> dict[str, Any]:
    sizes = {int(n) for item in items for n in (item.n.min(), item.n.max())}
    name, k = metric
    return {
        "metric": name,
        "k": k if k is not None else (sizes.pop() if len(sizes) == 1 else None),
        "n_samples": int(sum(item.n.sum() for item in items)),
        "seed_degrees": variance.degrees if variance else 0,
        "truncated_share": float(np.mean([item.truncated.sum() / item.n.sum() for item in items])),
        "unparsed_share": float(np.mean([item.unparsed.sum() / item.n.sum() for item in items])),
        "grader_disagreement": float(np.mean([item.disagreed.sum() / item.n.sum() for item in items])),
    }


def with_diverged(rows: Iterable[dict[str, Any]], lost: Lost, *also: str) -> list[dict[str, Any]]:
    """Rows of one selection rule with the diverged runs of their arms; an arm without a finished run has rows without estimates.

    `also`: columns that tell rows apart, beside benchmark, metric and k.

    Raises:
        DataError: a model has no run that finished, and no base model: nothing says what it would have been measured on.
    """
    found = [row | _lost_of(lost, row["model"], row["arm"]) for row in rows]
    for model, arm in lost:
        mine = [row for row in found if row["model"] == model]
        if not mine:
            raise DataError(f"{model}: every run diverged, and there is no base model to score; add its graded samples")
        if not any(row["arm"] == arm for row in mine):
            columns = ("benchmark", "metric", *also)
            trained = [row for row in mine if row["arm"] != BASE] or mine  # the base model may have more k
            cells = {(*(row[name] for name in columns), _k(row)): row["k"] for row in trained}
            zeros = {"n_samples": 0, "n_seeds": 0, "seed_degrees": 0}
            for (*values, _), k in cells.items():
                where = {"model": model, "arm": arm, **dict(zip(columns, values, strict=True)), "k": k}
                found.append(where | zeros | _lost_of(lost, model, arm))
    return found


def _k(row: Mapping[str, Any]) -> int | None:
    """k where it says what is estimated, and not of how many samples."""
    return None if row["metric"] in OF_ALL_SAMPLES else row["k"]


def _lost_of(lost: Lost, model: str, arm: str) -> dict[str, Any]:
    steps = list(lost.get((model, arm), {}).values())
    return {"n_diverged": len(steps), AT: steps}


def score(
    by_rule: Mapping[str, CountsOf],
    lost: Mapping[str, Lost],
    ks: Sequence[int],
    maj_ks: Sequence[int],
    rule: SeedVarianceRule,
    seed: int,
    draws: int,
) -> pa.Table:
    """Scores of all selection rules (rule -> counts, rule -> diverged runs).

    Rows are sorted by model, selection, benchmark, metric, k, arm.

    Raises:
        DataError: no benchmark has enough samples for some k.
    """
    need_samples([*ks, *maj_ks], [item for counts in by_rule.values() for item in counts.values()])
    rows: list[dict[str, Any]] = []
    for name, counts in by_rule.items():
        estimated = score_selection(counts, ks, maj_ks, rule, seed, draws)
        rows += [row | {"selection": name} for row in with_diverged(estimated, lost[name])]
    order = ("model", "selection", "benchmark", "metric", "k", "arm")
    return pa.Table.from_pylist(rows, schema=SCHEMA).sort_by([(name, "ascending") for name in order])


NAMES = ("model", "arm", "benchmark", "metric", "selection")


def read_scores(path: Path) -> pa.Table:
    """A table that this module wrote. Raises DataError when it is another one, or empty."""
    table = read_table(path)
    check_table(table, path, SCHEMA, nullable=[name for name in SCHEMA.names if name not in NAMES])
    return table


def with_votes(graded: Sequence[Path], selection: Sequence[Path], problems: Sequence[Path] = ()) -> StudyCounts:
    """The counts of graded tables with what majority votes need. Raises DataError as in `evals.estimates.cells`."""
    chosen, samples = read_selection(selection), read_graded(graded)
    elsewhere = counted_elsewhere(keys_of(problems))
    found = {rule: count_cells(rows, votes=True) for rule, rows in select(samples, chosen).items()}
    counts = {rule: counting_elsewhere(mine, elsewhere) for rule, mine in found.items()}
    lost = {rule: lost_of(rows) for rule, rows in selection_by_rule(chosen).items()}
    return StudyCounts(counts, lost, of_one_verifier(graded))


def main(
    *,
    counts: Counted = None,
    graded: Graded = None,
    selection: Selection = None,
    problems: Problems = None,
    k: Annotated[list[int], typer.Option(help="k of pass@k")],
    seed_variance: SeedVarianceFrom,
    draws: Draws,
    seed: Seed,
    out: Annotated[Path, typer.Option(help="scores to write (Parquet)")],
    maj_k: Annotated[list[int] | None, typer.Option(help="k of maj@k; none by default")] = None,
) -> None:
    """Estimate avg@n, pass@k and maj@k with intervals."""
    check_ks(k)
    check_ks(maj_k or [], "maj-k")
    if maj_k and not graded:
        raise DataError("--maj-k needs samples, not counts: give --graded and --selection")
    voted = with_votes(graded or [], selection or [], problems or []) if maj_k else None
    found = voted or study_counts(counts, graded, selection, problems)
    table = score(found.counts, found.lost, k, maj_k or [], seed_variance, seed, draws)
    metadata = {
        "data_hash": data_hash(table),
        "seed_variance": seed_variance.value,
        "draws": draws,
        "bootstrap_seed": seed,
        **derived(found.origin),
    }
    write_table(table, out, metadata)


if __name__ == "__main__":
    run(main, frames=False)
