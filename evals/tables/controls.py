"""How much of a base model's score is its prompt: the untrained model under several prompt templates, with paired differences.

    python -m evals.tables.controls --graded base/seed0.parquet base@plain_boxed/seed0.parquet --k 1 2 4 --draws 10000 --seed 0 \\
        --out templates.parquet --markdown templates.md

The arm `base` has the template of the study, `base@NAME` the template NAME; both are sampled and graded like any arm
(docs/evaluation.md has the commands). A gain of training that is smaller than the gain of another template
may be the learning of a format. Intervals cover problems and samples; nothing is trained here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer

from asymgrpo.content import data_hash
from evals.cli import print_or_write, run
from evals.estimates.cells import Counts, check_ks, count_cells, need_samples, read_graded
from evals.io import DataError, derived, read_metadata, read_table, write_table
from evals.names import percent
from evals.tables.compare import Settings, compare_arms
from evals.tables.counts import of_one_verifier
from evals.tables.options import Draws, Out, Seed, SeedVarianceRule
from evals.tables.score import score_selection

BASE, MARK = "base", "base@"
SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("arm", pa.string()),
        ("template", pa.string()),
        ("benchmark", pa.string()),
        ("metric", pa.string()),
        ("k", pa.int32()),
        ("estimate", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
        ("n_problems", pa.int32()),
        ("n_samples", pa.int64()),
        ("truncated_share", pa.float64()),
        ("unparsed_share", pa.float64()),
        ("difference", pa.float64()),
        ("difference_low", pa.float64()),
        ("difference_high", pa.float64()),
        ("p_value", pa.float64()),
        ("p_holm", pa.float64()),
    ]
)


def template_control(
    counts: Mapping[tuple[str, str, str], Counts],
    templates: Mapping[str, str],
    ks: Sequence[int],
    seed: int,
    draws: int,
) -> pa.Table:
    """Scores of every template, and the difference to `base` (null for `base`), paired by problem.

    Args:
        counts: (model, arm, benchmark) -> counts. templates: arm -> prompt template. ks: k of pass@k.
        seed, draws: of the bootstrap. p_holm is adjusted over the templates of one model, benchmark, metric and k.
    """
    settings = Settings(tuple(ks), SeedVarianceRule.own, seed, draws)
    differences = {_key(row, row["a"]): row for row in compare_arms(counts, BASE, settings)}
    rows = []
    for row in score_selection(counts, ks, [], SeedVarianceRule.own, seed, draws):
        found = differences.get(_key(row, row["arm"]), {})
        named = {"difference": "estimate", "difference_low": "ci_low", "difference_high": "ci_high"}
        named |= {"p_value": "p_value", "p_holm": "p_holm"}
        extra = {ours: found.get(theirs) for ours, theirs in named.items()}
        rows.append(row | extra | {"template": templates[row["arm"]]})
    return pa.Table.from_pylist(rows, SCHEMA)


def _key(row: Mapping[str, Any], arm: str) -> tuple[Any, ...]:
    k = None if row["metric"] == "avg_at_n" else row["k"]  # scores name n there, differences nothing
    return row["model"], row["benchmark"], row["metric"], k, arm


def arm_templates(graded: Sequence[Path]) -> dict[str, str]:
    """arm -> prompt template, from the files' metadata.

    Raises:
        DataError: an arm is not a base model, has two templates, or is named after another template than it was sampled with.
    """
    templates: dict[str, str] = {}
    for path in graded:
        used = {sample["evaluation"]["template"] for sample in read_metadata(path).get("samples", [])}
        for arm in set(read_table(path, ("arm",))["arm"].to_pylist()):
            if arm != BASE and not arm.startswith(MARK):
                raise DataError(f"{path}: arm {arm!r} is trained; pass graded samples of base models only")
            names = used | ({templates[arm]} if arm in templates else set())
            if len(names) != 1:
                raise DataError(f"{path}: {len(names)} prompt templates, not one; grade every arm into its own file")
            (templates[arm],) = names
            if arm != BASE and arm != MARK + templates[arm]:
                raise DataError(f"{path}: arm {arm!r} was sampled with template {templates[arm]!r}; name it after that")
    return templates


def render(table: pa.Table) -> str:
    """avg@n per template and benchmark as Markdown, in per cent and percentage points."""
    lines = [
        "# The base model under several prompt templates",
        "",
        "| model | benchmark | template | avg@n [95 %] | no answer found | cut | against `base`, points [95 %] | p (Holm) |",
        "|---" * 8 + "|",
    ]
    for row in table.to_pylist():
        if row["metric"] != "avg_at_n":
            continue
        against, p = "", ""
        if row["difference"] is not None:
            against = percent(row["difference"], row["difference_low"], row["difference_high"])
            p = f"{row['p_holm']:.4f}"
        lines.append(
            f"| {row['model']} | {row['benchmark']} | {row['template']} "
            f"| {percent(row['estimate'], row['ci_low'], row['ci_high'])} "
            f"| {100 * row['unparsed_share']:.1f} | {100 * row['truncated_share']:.1f} | {against} | {p} |"
        )
    return "\n".join(lines) + "\n"


def main(
    graded: Annotated[list[Path], typer.Option(help="graded tables (Parquet) of base and base@TEMPLATE")],
    k: Annotated[list[int], typer.Option(help="k of pass@k")],
    draws: Draws,
    seed: Seed,
    out: Out,
    markdown: Annotated[Path | None, typer.Option(help="table to write (Markdown)")] = None,
) -> None:
    """Compare prompt templates on the base model."""
    check_ks(k)
    templates = arm_templates(graded)
    if BASE not in templates or len(templates) < 2:
        raise DataError("pass the graded samples of arm base and of at least one arm base@TEMPLATE")
    inputs = of_one_verifier(graded)
    counts = count_cells(read_graded(graded), votes=False)
    need_samples(k, counts.values())
    table = template_control(counts, templates, k, seed, draws)
    origin = {"data_hash": data_hash(table), "draws": draws, "bootstrap_seed": seed, **derived(inputs)}
    write_table(table, out, origin)
    print_or_write(render(table), markdown)


if __name__ == "__main__":
    run(main, frames=False)
