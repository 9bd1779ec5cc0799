"""Counts of a study: how many samples of each run and problem are correct, truncated, ... All scores are arithmetic on them.

    python -m evals.tables.counts --graded G.parquet ... --selection S.json ... --out counts.parquet

One row per selection rule, run, benchmark and problem, at the checkpoint that the rule picks; `selection` is null for the base
model, which belongs to every rule. A run that diverged has one row per rule with `diverged_at` and no counts. If benchmarks share
problems, metadata say which of them averages leave out (evals.tables.shared).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import typer

from asymgrpo.content import data_hash
from evals.cli import run
from evals.estimates.cells import CELL, COUNTED, CountsOf, codes, count_graded, counting_elsewhere, counts_of, take
from evals.estimates.outcomes import AT, Lost, of_files
from evals.estimates.selection import BASE, Chosen, lost_of, read_selection, select
from evals.io import (
    DataError,
    check_table,
    concatenated,
    derived,
    inputs_metadata,
    read_table,
    write_table,
)
from evals.tables.shared import Elsewhere, counted_elsewhere, keys_of

SCHEMA = pa.schema(
    [
        ("selection", pa.string()),
        ("model", pa.string()),
        ("arm", pa.string()),
        ("train_seed", pa.int32()),
        ("step", pa.int32()),
        ("benchmark", pa.string()),
        ("problem_id", pa.string()),
        *((name, pa.int32()) for name in COUNTED),
        (AT, pa.int32()),  # the step at which the run diverged
    ]
)
ONLY_CHECKPOINT = "only checkpoint"
ELSEWHERE = "counted_elsewhere"
"""Key of the metadata: benchmark -> ids of its problems that an average counts in another benchmark."""
NAMED = 3
"""Files of each version that a refusal names."""

Counted = Annotated[list[Path] | None, typer.Option(help="counts of evals.tables.counts (Parquet)")]
Graded = Annotated[list[Path] | None, typer.Option(help="graded tables (Parquet), in place of counts")]
Selection = Annotated[list[Path] | None, typer.Option(help="checkpoint selections (JSON or Parquet) of graded tables")]

Problems = Annotated[
    list[Path] | None,
    typer.Option(help="problem tables of the benchmarks of graded tables: averages count what they share once"),
]


@dataclass(frozen=True)
class StudyCounts:
    """Per selection rule the counts of the checkpoints that it picks, and the runs that diverged; `origin` describes the files
    that they are from, for `evals.io.derived`."""

    counts: dict[str, CountsOf]
    lost: dict[str, Lost]
    origin: dict[str, dict[str, Any]]


def counts_table(graded: Sequence[Path], selections: Sequence[Path]) -> pa.Table:
    """SCHEMA of graded tables at the selected checkpoints; without selections every run must have one checkpoint only.

    Raises:
        DataError: as in `evals.estimates.cells` and `evals.estimates.selection`, or selections are needed and none is given.
    """
    cells = count_graded(graded)
    selection = read_selection(selections) if selections else _only_checkpoints(cells, graded)
    base = np.array(cells["arm"].to_pylist(), object) == BASE
    parts = [cells.filter(base)]
    for rule, chosen in select(cells.filter(~base), selection).items():
        parts.append(chosen.append_column("selection", pa.array([rule] * chosen.num_rows, pa.string())))
    diverged = [row._asdict() for row in selection if row.diverged_at is not None]
    parts.append(pa.Table.from_pylist(diverged, SCHEMA))
    return pa.concat_tables(parts, promote_options="permissive").select(SCHEMA.names).cast(SCHEMA)


def _only_checkpoints(cells: pa.Table, graded: Sequence[Path]) -> list[Chosen]:
    keys = ["model", "arm", "train_seed", "step"]
    _, first = np.unique(codes(cells, keys), return_index=True)
    found = [
        Chosen(r["model"], r["arm"], r["train_seed"], ONLY_CHECKPOINT, r["step"], None)
        for r in take(cells.select(keys), np.sort(first)).to_pylist()
    ]
    if len({row[:3] for row in found}) < len(found):
        raise DataError(f"{graded[0].parent}: a run has several checkpoints; add a selection*.json (evals.select)")
    lost = [
        Chosen(*run_, seed, ONLY_CHECKPOINT, None, step)
        for run_, seeds in of_files(graded).items()
        for seed, step in seeds.items()
    ]
    return found + lost


def by_rule(table: pa.Table) -> tuple[dict[str, CountsOf], dict[str, Lost]]:
    """Rule -> counts of its checkpoints, and rule -> its diverged runs, of a table of SCHEMA. Raises DataError as `counts_of`."""
    counts: dict[str, CountsOf] = {}
    lost: dict[str, Lost] = {}
    gone = pc.is_valid(table[AT])
    cells = table.filter(pc.invert(gone)).drop_columns([AT])
    base = pc.is_null(cells["selection"])
    rules = sorted(set(table["selection"].unique().to_pylist()) - {None})
    for rule in rules or [ONLY_CHECKPOINT]:  # of the base model alone
        counts[rule] = counts_of(cells.filter(pc.or_kleene(base, pc.equal(cells["selection"], rule))))
        rows = table.filter(pc.and_kleene(gone, pc.equal(table["selection"], rule))).to_pylist()
        lost[rule] = lost_of(Chosen(*(row[name] for name in Chosen._fields)) for row in rows)
    return counts, lost


def read_counts(paths: Sequence[Path]) -> pa.Table:
    """Tables that this module wrote, as one.

    Raises:
        DataError: a file is another one or empty, or two hold the same run.
    """
    tables = [read_table(path) for path in paths]
    for path, table in zip(paths, tables, strict=True):
        check_table(table, path, SCHEMA, nullable=[name for name in SCHEMA.names if name not in ("model", "arm")])
    table = concatenated(paths, tables).select(SCHEMA.names).cast(SCHEMA)
    if len(np.unique(codes(table, ["selection", *CELL]))) < table.num_rows:
        raise DataError(f"{paths[0]} and others: the same run is in them twice; pass the counts of each run once")
    return table


def study_counts(
    counts: Sequence[Path] | None,
    graded: Sequence[Path] | None,
    selection: Sequence[Path] | None,
    problems: Sequence[Path] | None = None,
) -> StudyCounts:
    """What a command was given: counts, or graded tables with the selections of their runs.

    Counts say which problems benchmarks share; for graded tables that is found in `problems`, tables named by benchmarks.

    Raises:
        DataError: both or neither, or as `read_counts` and `counts_table`.
    """
    if bool(counts) == bool(graded):
        raise DataError("give either --counts, or --graded with --selection")
    if counts:
        told = inputs_metadata(counts)
        refuse_other_verifiers(
            (f"{name} of {table}", about)
            for table, one in told.items()
            for name, about in one.get("inputs", {}).items()
        )
        about = {name: _without_inputs(one) for name, one in told.items()}
        shared = {name: ids for one in told.values() for name, ids in one.get(ELSEWHERE, {}).items()}
        return _marked(by_rule(read_counts(counts)), about, shared)
    origin = of_one_verifier(graded or [])
    found = by_rule(counts_table(graded or [], selection or []))
    return _marked(found, origin, counted_elsewhere(keys_of(problems or [])))


def of_one_verifier(graded: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """`evals.io.inputs_metadata` of graded tables. Raises DataError, also as `refuse_other_verifiers`."""
    found = inputs_metadata(graded)
    refuse_other_verifiers(found.items())
    return found


def refuse_other_verifiers(graded: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Refuse graded tables, (name, metadata) of each, with verdicts of several versions of the verifier: an answer may be right
    by one and wrong by another. Tables that state none are let through. Raises DataError."""
    of: dict[str, list[str]] = {}
    for name, about in graded:
        if version := about.get("verifier_version"):
            of.setdefault(str(version), []).append(name)
    if len(of) > 1:
        told = "; ".join(f"{version}: {_some(names)}" for version, names in sorted(of.items()))
        raise DataError(
            f"graded by several versions of the verifier ({told}), which cannot be compared; grade the study again: "
            "snakemake --forcerun grade"
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def _marked(
    found: tuple[dict[str, CountsOf], dict[str, Lost]], origin: dict[str, dict[str, Any]], elsewhere: Elsewhere
) -> StudyCounts:
    counts, lost = found
    return StudyCounts({rule: counting_elsewhere(mine, elsewhere) for rule, mine in counts.items()}, lost, origin)


def _without_inputs(told: dict[str, Any]) -> dict[str, Any]:
    """What counts say of themselves, without the description of each graded file, which grows with the study."""
    return {key: value for key, value in told.items() if key != "inputs"}


def main(
    graded: Annotated[list[Path], typer.Option(help="graded tables (Parquet)")],
    selection: Annotated[list[Path], typer.Option(help="checkpoint selections (JSON or Parquet)")],
    out: Annotated[Path, typer.Option(help="counts to write (Parquet)")],
    problems: Problems = None,
) -> None:
    """Count correct, truncated and other samples of each run and problem."""
    origin = of_one_verifier(graded)
    table = counts_table(graded, selection)
    elsewhere = counted_elsewhere(keys_of(problems or []))
    shared = {ELSEWHERE: elsewhere} if elsewhere else {}
    write_table(table, out, {"data_hash": data_hash(table), **shared, **derived(origin)})


if __name__ == "__main__":
    run(main, frames=False)
