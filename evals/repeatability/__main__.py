"""Compare two evaluations of the same checkpoint: share of changed texts, flipped verdicts, difference of scores.

    python -m evals.repeatability --first graded/seed0.parquet --second again/seed0.parquet --out repeatability.parquet

Both files are sampled or both graded; of samples that were not graded only texts are compared. `python -m
evals.repeatability.measure` evaluates a base model again and again (`snakemake repeatability`).
"""

from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from asymgrpo.content import data_hash
from evals.cli import run
from evals.io import derived, inputs_metadata, read_table, write_table
from evals.repeatability.compare import SCHEMA, compare
from evals.repeatability.table import block


def main(
    first: Annotated[Path, typer.Option(help="sampled or graded table (Parquet)")],
    second: Annotated[Path, typer.Option(help="the same samples, drawn again")],
    out: Annotated[Path | None, typer.Option(help="comparison to write (Parquet)")] = None,
) -> None:
    """Compare two evaluations of the same checkpoint."""
    rows = compare(read_table(first), read_table(second), (str(first), str(second)))
    typer.echo(block([{"variant": "second file", **row} for row in rows]))
    if out:
        table = pa.Table.from_pylist(rows, SCHEMA)
        write_table(table, out, {"data_hash": data_hash(table), **derived(inputs_metadata([first, second]))})


if __name__ == "__main__":
    run(main, frames=False)
