"""Paired differences with intervals between the arms of a result set. Two result sets: evals.artifacts.compare_results.

    python -m evals.tables.compare results/ --draws 10000 --seed 0 --seed-variance pooled
    python -m evals.tables.compare --counts counts.parquet --draws 10000 --seed 0 --seed-variance pooled
    python -m evals.tables.compare --graded G.parquet ... --selection S.json ... --draws 10000 --seed 0 --seed-variance pooled

What a directory of results must hold: evals.tables.result_set.
"""

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
from numpy.typing import NDArray

from asymgrpo.content import data_hash
from evals.cli import run
from evals.estimates.bootstrap import SeedVariance
from evals.estimates.cells import Counts, CountsOf, averaged, check_ks, need_samples
from evals.estimates.outcomes import Lost
from evals.estimates.stats import holm, paired_differences
from evals.io import DataError, derived, write_table
from evals.names import TABLE_1, in_order, percent, title
from evals.tables.counts import Counted, Graded, Problems, Selection, study_counts
from evals.tables.options import Against, Draws, Seed, SeedVarianceFrom, SeedVarianceRule, require_against
from evals.tables.result_set import read_result_set, with_lost
from evals.tables.score import AVERAGE, metrics_of, seed_variances

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("selection", "model", "benchmark", "metric")),
        ("k", pa.int64()),
        *((name, pa.string()) for name in ("a", "b")),
        *((name, pa.float64()) for name in ("estimate", "ci_low", "ci_high", "std_error", "p_value")),
        *((name, pa.int64()) for name in ("n_seeds_a", "n_seeds_b", "n_problems")),
        ("p_holm", pa.float64()),
        ("comparisons", pa.int64()),
        ("n_diverged_a", pa.int64()),  # training seeds that are in no estimate
        ("n_diverged_b", pa.int64()),
    ]
)
NOTHING = {"estimate": None, "p_value": None, "p_holm": None, "comparisons": 0}
"""A difference to an arm of which every run diverged."""


@dataclass(frozen=True)
class Settings:
    """How differences are estimated: k of pass@k, whose seed variance, stream and number of draws."""

    ks: tuple[int, ...]
    rule: SeedVarianceRule
    seed: int
    draws: int


def compare_arms(
    counts: CountsOf, against: str | None, settings: Settings, lost: Lost | None = None
) -> list[dict[str, Any]]:
    """Differences between all pairs of arms, or of every arm to `against`, per benchmark and metric.

    The p values are Holm-adjusted over the pairs of one model, benchmark, metric and k. A pair with an arm of which every run
    diverged has rows without numbers.
    """
    rows, lost = [], lost or {}
    for model, group in _groups(with_lost(counts, lost)):
        mine = _arms(counts, model, group)
        names = in_order({*mine, *(arm for where, arm in lost if where == model)}, TABLE_1)
        pairs = [(b, a) for a, b in itertools.combinations(names, 2)]
        if against is not None:
            pairs = [(arm, against) for arm in names if arm != against and against in names]
        rows += _differences(model, group, mine, mine, pairs, settings, (lost, lost))
    return rows


def compare_sets(
    first: CountsOf, second: CountsOf, settings: Settings, lost: tuple[Lost, Lost] = ({}, {})
) -> list[dict[str, Any]]:
    """Differences of the same arm between two result sets (first minus second), Holm over the arms.

    Raises:
        DataError: the sets share no arm, or an arm's problems differ.
    """
    shared = with_lost(first, lost[0]) & with_lost(second, lost[1])
    if not shared:
        raise DataError("the result sets have no model, arm and benchmark in common; nothing to compare")
    rows = []
    for model, group in _groups(shared):
        left, right = _arms(first, model, group), _arms(second, model, group)
        names = in_order((key[1] for key in shared if key[0] == model), TABLE_1)
        pairs = [(arm, arm) for arm in names if all((model, arm, name) in shared for name in group)]
        rows += _differences(model, group, left, right, pairs, settings, lost)
    return rows


ArmCounts = dict[str, list[Counts]]


def _arms(counts: CountsOf, model: str, group: list[str]) -> ArmCounts:
    """Arms of a model that were measured on every benchmark of the group, in the order of the table."""
    names = in_order((key[1] for key in counts if key[0] == model), TABLE_1)
    complete = [arm for arm in names if all((model, arm, name) in counts for name in group)]
    return {arm: averaged([counts[model, arm, name] for name in group]) for arm in complete}


def _differences(
    model: str,
    group: list[str],
    left: ArmCounts,
    right: ArmCounts,
    pairs: list[tuple[str, str]],
    settings: Settings,
    lost: tuple[Lost, Lost],
) -> list[dict[str, Any]]:
    """Rows for all metrics of arm a in `left` minus arm b in `right`, one Holm family per metric; rows without numbers for arms
    without a run that finished."""
    rows: list[dict[str, Any]] = []
    pairs, without = (
        [pair for pair in pairs if (pair[0] in left and pair[1] in right) is there] for there in (True, False)
    )
    for a, b in pairs:
        _need_same_problems(left[a], right[b], f"{a} and {b}" if a != b else f"the two sets' {a}")
    everything = [item for side in (left, right) for items in side.values() for item in items]
    for metric in metrics_of(everything, settings.ks, []) if everything else []:
        ours, variances = _measured(left, metric, settings.rule)
        theirs, others = (ours, variances) if right is left else _measured(right, metric, settings.rule)
        family = paired_differences(
            [(ours[a], theirs[b], (variances[a], others[b])) for a, b in pairs],
            seed=settings.seed,
            draws=settings.draws,
            level=0.95,
        )
        found = [_row(model, group, metric, a, b, vars(item)) for (a, b), item in zip(pairs, family, strict=True)]
        rows += _with_holm(found) + [_row(model, group, metric, a, b, NOTHING) for a, b in without]
    for row in rows:
        for side, runs in zip("ab", lost, strict=True):
            row[f"n_diverged_{side}"] = len(runs.get((model, row[side]), {}))
    return rows


def _measured(
    arms: ArmCounts, metric: tuple[str, int | None], rule: SeedVarianceRule
) -> tuple[dict[str, list[NDArray[np.float64]]], dict[str, SeedVariance | None]]:
    """Per arm its cells of one metric, and its seed variance."""
    cells = {arm: [item.metric(*metric) for item in items] for arm, items in arms.items()}
    return cells, seed_variances(cells, rule)


def _groups(counts: Iterable[tuple[str, str, str]]) -> Iterable[tuple[str, list[str]]]:
    """(model, [benchmark]) for each benchmark, then (model, all benchmarks) where there are several."""
    keys = list(counts)
    for model in sorted({key[0] for key in keys}):
        names = sorted({key[2] for key in keys if key[0] == model})
        for name in names:
            yield model, [name]
        if len(names) > 1:
            yield model, names


def _row(
    model: str, group: list[str], metric: tuple[str, int | None], a: str, b: str, found: dict[str, Any]
) -> dict[str, Any]:
    name = group[0] if len(group) == 1 else AVERAGE
    return {"model": model, "benchmark": name, "metric": metric[0], "k": metric[1], "a": a, "b": b, **found}


def _with_holm(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    adjusted = holm([row["p_value"] for row in rows])
    return [row | {"p_holm": float(p), "comparisons": len(rows)} for row, p in zip(rows, adjusted, strict=True)]


def _need_same_problems(a: list[Counts], b: list[Counts], who: str) -> None:
    for left, right in zip(a, b, strict=True):
        if left.problem_ids != right.problem_ids:
            odd = sorted(set(left.problem_ids) ^ set(right.problem_ids))[0]
            raise DataError(f"{who} do not have the same problems (for one, {odd}); sample the missing ones")


def difference_cells(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Points with their interval, p and Holm's p of a difference, for readers.

    >>> one = {"estimate": 0.1, "ci_low": 0.0, "ci_high": 0.2, "p_value": 0.01, "p_holm": 0.02, "n_diverged_a": 1}
    >>> difference_cells(one), difference_cells(one | {"estimate": None})
    (('10.0 [0.0, 20.0]; diverged: 1 run', '0.0100', '0.0200'), ('diverged: 1 run', '–', '–'))
    """
    number = row.get("n_diverged_a", 0) + row.get("n_diverged_b", 0)
    diverged = f"diverged: {number} run{'s' if number > 1 else ''}" if number else ""
    if row["estimate"] is None or math.isnan(row["estimate"]):
        return diverged or "–", "–", "–"
    points = percent(row["estimate"], row["ci_low"], row["ci_high"])
    return "; ".join(filter(None, [points, diverged])), f"{row['p_value']:.4f}", f"{row['p_holm']:.4f}"


def render(rows: list[dict[str, Any]], metric: str) -> str:
    """Differences of one metric as Markdown, in percentage points."""
    lines = ["| model | checkpoint | benchmark | A − B | points [95 %] | p | p (Holm) |", "|---" * 7 + "|"]
    for row in rows:
        if row["metric"] == metric:
            a, b = title(row["a"]), title(row["b"])
            pair = a if a == b else f"{a} − {b}"
            points, p, p_holm = difference_cells(row)
            lines.append(
                f"| {row['model']} | {row['selection']} | {title(row['benchmark'])} "
                f"| {pair} | {points} | {p} | {p_holm} |"
            )
    return "\n".join(lines)


def main(
    results: Annotated[Path | None, typer.Argument(help="directory of results")] = None,
    *,
    draws: Draws,
    seed: Seed,
    seed_variance: SeedVarianceFrom,
    counts: Counted = None,
    graded: Graded = None,
    selection: Selection = None,
    problems: Problems = None,
    against: Against = None,
    k: Annotated[list[int] | None, typer.Option(help="k of pass@k; avg@n only by default")] = None,
    out: Annotated[Path | None, typer.Option(help="differences to write (Parquet)")] = None,
) -> None:
    """Paired differences between arms."""
    check_ks(k or [])
    if (results is None) == (not graded and not counts):
        raise DataError("name either a directory of results, or --counts or --graded files")
    files = counts or graded or [results or Path()]
    found = read_result_set(results).found if results else study_counts(counts, graded, selection, problems)
    by_rule, lost = found.counts, found.lost
    there = {key[1] for rule, mine in by_rule.items() for key in with_lost(mine, lost[rule])}
    require_against(against, there, f"{files[0]}{' and others' if len(files) > 1 else ''}")
    need_samples(k or [], [item for mine in by_rule.values() for item in mine.values()])
    settings = Settings(tuple(k or ()), seed_variance, seed, draws)
    rows: list[dict[str, Any]] = []
    for rule, mine in by_rule.items():
        rows += [{"selection": rule, **row} for row in compare_arms(mine, against, settings, lost[rule])]
    if not rows:
        raise DataError("nothing to compare: there must be two arms")
    typer.echo(render(rows, "avg_at_n"))
    if out:
        table = pa.Table.from_pylist(rows, SCHEMA)
        origin = {
            "data_hash": data_hash(table),
            "draws": draws,
            "bootstrap_seed": seed,
            "seed_variance": seed_variance.value,
        }
        write_table(table, out, origin | derived(found.origin))


if __name__ == "__main__":
    run(main, frames=False)
