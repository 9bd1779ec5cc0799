"""The samples to read: a few texts of every run, the same few in a finished study and in a bundle of it.

A bundle keeps the verdict of every sample and the texts of these only (evals.artifacts.bundle). Whoever shows texts takes them
from here. Of a benchmark whose texts may not be passed on there is none: a response repeats its problem.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evals.artifacts.withheld import withheld_licence
from evals.io import read_table

PROBLEMS, SAMPLES = 10, 2
"""Texts are kept of the first SAMPLES samples of the first PROBLEMS problems, of each run, step and benchmark."""

VERDICTS = (
    *("model", "arm", "train_seed", "step", "benchmark", "problem_id", "sample_id"),
    *("extracted", "verdict", "correct", "second_correct", "n_tokens"),
)
"""Columns of a graded table that a bundle has for every sample; `response` comes after them."""


def for_reading(graded: pa.Table) -> NDArray[np.bool_]:
    """[rows] whether a sample's text is kept; problems are counted in the order of the table.

    >>> rows = [{"step": 5, "benchmark": "b", "problem_id": f"b/{p}", "sample_id": s} for p in range(12) for s in range(3)]
    >>> int(for_reading(pa.Table.from_pylist(rows)).sum()) == PROBLEMS * SAMPLES
    True
    """
    frame = graded.select(["step", "benchmark", "problem_id", "sample_id"]).to_pandas()
    problems = frame.drop_duplicates(["step", "benchmark", "problem_id"])
    first = problems[problems.groupby(["step", "benchmark"]).cumcount() < PROBLEMS]
    wanted = frame.merge(first.assign(wanted=True).drop(columns="sample_id"), how="left")["wanted"].notna()
    hidden = {name for name in frame["benchmark"].unique() if withheld_licence(str(name))}
    return (wanted & (frame["sample_id"] < SAMPLES) & ~frame["benchmark"].isin(hidden)).to_numpy(bool)


def read_samples(paths: Iterable[str | Path]) -> pa.Table:
    """VERDICTS and `response` of the samples to read, in the order of the files and of their rows.

    Raises:
        DataError: a file is missing or not a graded table.
    """
    tables = [read_table(path, [*VERDICTS, "response"]).replace_schema_metadata(None) for path in paths]
    return pa.concat_tables([table.filter(pa.array(for_reading(table))) for table in tables])


def without_other_texts(graded: pa.Table) -> pa.Table:
    """VERDICTS of every sample, `response` of those to read and null elsewhere; metadata stay."""
    kept = pc.if_else(pa.array(for_reading(graded)), graded["response"].combine_chunks(), pa.scalar(None, pa.string()))
    return graded.select(list(VERDICTS)).append_column("response", kept)
