"""Paired differences with intervals between the arms of a result set. Two result sets: evals.compare_results.

    python -m evals.compare results/ --draws 10000 --seed 0 --seed-variance pooled
    python -m evals.compare --graded G.parquet ... --selection S.json ... --draws 10000 --seed 0 --seed-variance pooled

A result set is a directory with graded tables (Parquet files with verdicts, at any depth), selections
(`selection*.json`, optional where every run has one checkpoint) and `conventions.json` files (optional).
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pyarrow as pa
import typer

from evals.cells import COLUMNS as GRADED
from evals.cells import (
    SELECTION_COLUMNS,
    Counts,
    check_ks,
    count_cells,
    need_samples,
    read_graded,
    read_selection,
    select_samples,
)
from evals.cli import run
from evals.io import DataError, data_hash, derived, inputs_metadata, read_json, read_schema, write_table
from evals.score import AVERAGE, SeedVarianceRule, metrics_of, seed_variances
from evals.stats import holm, paired_difference
from evals.tables import ARMS, TITLES, in_order, percent

CountsOf = Mapping[tuple[str, str, str], Counts]
ONLY_CHECKPOINT = "only checkpoint"


@dataclass(frozen=True)
class ResultSet:
    """Graded samples by selection rule, the files they are from, and the conventions of every run by its place."""

    counts: dict[str, CountsOf]
    files: list[Path]
    conventions: dict[str, dict[str, Any]]


def read_result_set(directory: Path) -> ResultSet:
    """Read a result set.

    Raises:
        DataError: no graded table is found, or selections are needed and missing.
    """
    tables = sorted(directory.rglob("*.parquet"))
    graded_files = [path for path in tables if {*GRADED} <= set(read_schema(path).names)]
    if not graded_files:
        raise DataError(f"{directory}: no graded table in it; name a directory of results")
    drawn = directory / "figures"  # whose descriptions may be named after selections too
    selections = [path for path in sorted(directory.rglob("selection*.json")) if drawn not in path.parents]
    conventions = {
        str(path.parent.relative_to(directory)): read_json(path) for path in sorted(directory.rglob("conventions.json"))
    }
    return ResultSet(count_by_rule(graded_files, selections), graded_files, conventions)


def count_by_rule(graded_files: Sequence[Path], selections: Sequence[Path]) -> dict[str, CountsOf]:
    """selection rule -> counts of the checkpoints it picks.

    Raises:
        DataError: as in `evals.cells`, or selections are needed and none is given.
    """
    graded = read_graded(graded_files)
    selection = read_selection(selections) if selections else _only_checkpoints(graded, graded_files[0].parent)
    samples = select_samples(graded, selection)
    return {rule: count_cells(table, votes=False) for rule, table in samples.items()}


def _only_checkpoints(graded: pa.Table, directory: Path) -> pd.DataFrame:
    runs = graded.select(["model", "arm", "train_seed", "step"]).group_by(
        ["model", "arm", "train_seed", "step"], use_threads=False
    )
    frame = runs.aggregate([]).to_pandas()
    if frame.duplicated(["model", "arm", "train_seed"]).any():
        raise DataError(f"{directory}: a run has several checkpoints; add a selection*.json (evals.select)")
    return frame.assign(selection=ONLY_CHECKPOINT)[list(SELECTION_COLUMNS)]


@dataclass(frozen=True)
class Settings:
    """How differences are estimated: k of pass@k, whose seed variance, stream and number of draws."""

    ks: tuple[int, ...]
    rule: SeedVarianceRule
    seed: int
    draws: int


def compare_arms(counts: CountsOf, against: str | None, settings: Settings) -> list[dict[str, Any]]:
    """Differences between all pairs of arms, or of every arm to `against`, per benchmark and metric.

    The p values are Holm-adjusted over the pairs of one model, benchmark, metric and k.
    """
    rows = []
    for model, group in _groups(counts):
        mine = _arms(counts, model, group)
        pairs = [(b, a) for a, b in itertools.combinations(mine, 2)]
        if against is not None:
            pairs = [(arm, against) for arm in mine if arm != against and against in mine]
        rows += _differences(model, group, mine, mine, pairs, settings)
    return rows


def compare_sets(first: CountsOf, second: CountsOf, settings: Settings) -> list[dict[str, Any]]:
    """Differences of the same arm between two result sets (first minus second), Holm over the arms.

    Raises:
        DataError: the sets share no arm, or an arm's problems differ.
    """
    shared = first.keys() & second.keys()
    if not shared:
        raise DataError("the result sets have no model, arm and benchmark in common; nothing to compare")
    rows = []
    for model, group in _groups(shared):
        left, right = _arms(first, model, group), _arms(second, model, group)
        pairs = [(arm, arm) for arm in left if arm in right]
        rows += _differences(model, group, left, right, pairs, settings)
    return rows


ArmCounts = dict[str, list[Counts]]


def _arms(counts: CountsOf, model: str, group: list[str]) -> ArmCounts:
    """Arms of a model that were measured on every benchmark of the group, in the order of the table."""
    names = in_order((key[1] for key in counts if key[0] == model), ARMS)
    complete = [arm for arm in names if all((model, arm, name) in counts for name in group)]
    return {arm: [counts[model, arm, name] for name in group] for arm in complete}


def _differences(
    model: str,
    group: list[str],
    left: ArmCounts,
    right: ArmCounts,
    pairs: list[tuple[str, str]],
    settings: Settings,
) -> list[dict[str, Any]]:
    """Rows for all metrics of arm a in `left` minus arm b in `right`, one Holm family per metric."""
    rows: list[dict[str, Any]] = []
    for a, b in pairs:
        _need_same_problems(left[a], right[b], f"{a} and {b}" if a != b else f"the two sets' {a}")
    everything = [item for side in (left, right) for items in side.values() for item in items]
    for metric in metrics_of(everything, settings.ks, []) if pairs else []:
        cells = [{arm: [c.metric(*metric) for c in items] for arm, items in s.items()} for s in (left, right)]
        variances = [seed_variances(side, settings.rule) for side in cells]
        family = []
        for a, b in pairs:
            pair = (variances[0][a], variances[1][b])
            options = {"seed": settings.seed, "draws": settings.draws}
            found = paired_difference(cells[0][a], cells[1][b], pair, level=0.95, **options)
            family.append(_row(model, group, metric, a, b, vars(found)))
        rows += _with_holm(family)
    return rows


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


def render(rows: list[dict[str, Any]], metric: str) -> str:
    """Differences of one metric as Markdown, in percentage points."""
    lines = ["| model | checkpoint | benchmark | A − B | points [95 %] | p | p (Holm) |", "|---" * 7 + "|"]
    for row in rows:
        if row["metric"] == metric:
            a, b = TITLES.get(row["a"], row["a"]), TITLES.get(row["b"], row["b"])
            pair = a if a == b else f"{a} − {b}"
            points = percent(row["estimate"], row["ci_low"], row["ci_high"])
            lines.append(
                f"| {row['model']} | {row['selection']} | {TITLES.get(row['benchmark'], row['benchmark'])} "
                f"| {pair} | {points} | {row['p_value']:.4f} | {row['p_holm']:.4f} |"
            )
    return "\n".join(lines)


def _known_arms(by_rule: Mapping[str, CountsOf]) -> list[str]:
    return in_order((key[1] for counts in by_rule.values() for key in counts), ARMS)


def main(
    results: Annotated[Path | None, typer.Argument(help="directory of results")] = None,
    *,
    draws: Annotated[int, typer.Option(min=1, help="bootstrap draws; 10000 for published numbers")],
    seed: Annotated[int, typer.Option(help="names the random streams of the bootstrap")],
    seed_variance: Annotated[SeedVarianceRule, typer.Option(help="whose seeds the seed variance is from")],
    graded: Annotated[list[Path] | None, typer.Option(help="graded tables, instead of a directory")] = None,
    selection: Annotated[list[Path] | None, typer.Option(help="checkpoint selections of these")] = None,
    against: Annotated[str | None, typer.Option(help="compare every arm with this one only")] = None,
    k: Annotated[list[int] | None, typer.Option(help="k of pass@k; avg@n only by default")] = None,
    out: Annotated[Path | None, typer.Option(help="differences to write (Parquet)")] = None,
) -> None:
    """Paired differences between arms."""
    check_ks(k or [])
    if (results is None) == (not graded):
        raise DataError("name either a directory of results or --graded files")
    if results is not None:
        found = read_result_set(results)
        files, by_rule = found.files, found.counts
    else:
        files, by_rule = graded or [], count_by_rule(graded or [], selection or [])
    if against and not any(key[1] == against for counts in by_rule.values() for key in counts):
        raise DataError(
            f"{files[0]} and others: no arm {against!r} in them; choose --against from {', '.join(_known_arms(by_rule))}"
        )
    need_samples(k or [], [item for counts in by_rule.values() for item in counts.values()])
    settings = Settings(tuple(k or ()), seed_variance, seed, draws)
    rows: list[dict[str, Any]] = []
    for rule, counts in by_rule.items():
        rows += [{"selection": rule, **row} for row in compare_arms(counts, against, settings)]
    if not rows:
        raise DataError("nothing to compare: there must be two arms")
    typer.echo(render(rows, "avg_at_n"))
    if out:
        table = pa.Table.from_pylist(rows)
        origin = {
            "data_hash": data_hash(table),
            "draws": draws,
            "bootstrap_seed": seed,
            "seed_variance": seed_variance.value,
        }
        write_table(table, out, origin | derived(inputs_metadata(files)))


if __name__ == "__main__":
    run(main)
