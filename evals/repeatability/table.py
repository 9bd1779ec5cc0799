"""How far repeated evaluations of the base models differ: arithmetic on the responses that evals.repeatability.measure stored.

python -m evals.repeatability.table --repeats repeats/tiny.parquet ... --out repeatability.parquet --markdown repeatability.md
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import typer

from asymgrpo.content import data_hash
from evals.cli import run
from evals.io import DataError, check_table, derived, inputs_metadata, read_table, write_table, write_text
from evals.names import in_order, title
from evals.repeatability import compare
from evals.tables.options import Markdown
from evals.tables.paper_values import BENCHMARKS

VARIANT, ENGINE, BATCH = "variant", "engine", "batch"
FIRST, AGAIN = "first", "again"
"""The evaluation that others are compared with, and the one that repeats it as it was."""
SCHEMA = pa.schema(
    [("model", pa.string()), (VARIANT, pa.string()), (ENGINE, pa.string()), (BATCH, pa.int32()), *compare.SCHEMA]
)


def repeatability_rows(stored: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows of SCHEMA of one model: every variant against the first evaluation.

    Raises:
        DataError: the first evaluation is missing, or a variant holds other samples.
    """
    variants = list(dict.fromkeys(stored[VARIANT].to_pylist()))
    if FIRST not in variants:
        raise DataError(f"no evaluation named {FIRST!r} to compare with; measure again (snakemake repeatability)")
    parts = {name: stored.filter(pc.equal(stored[VARIANT], name)) for name in variants}
    for name in variants:
        if name != FIRST:
            about = {column: parts[name][column][0].as_py() for column in ("model", VARIANT, ENGINE, BATCH)}
            for row in compare.compare(parts[FIRST], parts[name], (FIRST, name)):
                yield about | row


def footnote(rows: Sequence[Mapping[str, Any]]) -> str:
    """One sentence for Table 1: how much of a difference the harness makes by itself.

    >>> one = {"variant": "batch 4", "changed_share": 0.02, "n_texts": 50, "gained": 1, "lost": 0, "n_samples": 50}
    >>> footnote([{**one, "benchmark": "all", "difference": 0.02}])
    'Harness: greedy evaluations of the base model again (batch 4: 2.0 % of the texts changed, 1 of 50 verdicts, +2.0 points).'
    """
    parts = []
    for row in _overall(rows):
        flips = row["gained"] + row["lost"]
        points = f"{100 * row['difference']:+.1f} points" if flips else "no score"
        model = f"{row['model']}, " if len({each.get("model") for each in rows}) > 1 else ""
        share = f"{100 * row['changed_share']:.1f} % of the texts changed"
        parts.append(f"{model}{row['variant']}: {share}, {flips} of {row['n_samples']} verdicts, {points}")
    return f"Harness: greedy evaluations of the base model again ({'; '.join(parts)})." if parts else ""


def _overall(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    several = {row["benchmark"] for row in rows} - {compare.ALL}
    wanted = compare.ALL if len(several) > 1 else next(iter(several or {compare.ALL}))
    return [row for row in rows if row["benchmark"] == wanted]


def block(rows: Sequence[Mapping[str, Any]]) -> str:
    """The comparisons as a Markdown table."""
    head = [
        "compared",
        "benchmark",
        "samples",
        "texts changed",
        "wrong to correct",
        "correct to wrong",
        "score",
        "difference, points",
    ]
    lines = [f"| {' | '.join(head)} |", "|---|---|" + "--:|" * (len(head) - 2)]
    names = in_order((row["benchmark"] for row in rows), BENCHMARKS)
    for row in sorted(rows, key=lambda row: (row["benchmark"] == compare.ALL, names.index(row["benchmark"]))):
        share = f"{100 * row['changed_share']:.1f} %" if row["changed_share"] is not None else "no texts"
        graded = row.get("gained") is not None
        cells = [str(row["gained"]), str(row["lost"])] if graded else ["–", "–"]
        cells += [f"{100 * row['second_score']:.1f}", f"{100 * row['difference']:+.1f}"] if graded else ["–", "–"]
        lines.append(f"| {' | '.join([row[VARIANT], title(row['benchmark']), str(row['n_samples']), share, *cells])} |")
    return "\n".join(lines) + "\n"


def render(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table as Markdown, a block for each model."""
    parts = ["# Repeatability of the evaluation\n"]
    for model in dict.fromkeys(row["model"] for row in rows):
        parts += [f"## {model}\n", block([row for row in rows if row["model"] == model])]
    parts.append(
        "The base model answers every problem once, greedily: first as the study evaluates, then again in the same way, with "
        "smaller batches, and by the other engine where it is installed. What changes is the noise of the harness.\n"
    )
    return "\n".join(parts)


def read_repeatability(path: Path) -> pa.Table:
    """A table that this module wrote. Raises DataError when it is another one, or empty."""
    table = read_table(path)
    check_table(table, path, SCHEMA, nullable=[field.name for field in compare.SCHEMA if field.name != "benchmark"])
    return table


def main(
    repeats: Annotated[list[Path], typer.Option(help="responses of evals.repeatability.measure (Parquet)")],
    out: Annotated[Path, typer.Option(help="comparisons to write (Parquet)")],
    markdown: Markdown,
) -> None:
    """Compare repeated evaluations with the first one."""
    rows = [row for path in repeats for row in repeatability_rows(read_table(path))]
    table = pa.Table.from_pylist(rows, SCHEMA)
    write_table(table, out, {"data_hash": data_hash(table), **derived(inputs_metadata(repeats))})
    write_text(render(rows), markdown)


if __name__ == "__main__":
    run(main, frames=False)
