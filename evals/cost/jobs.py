"""Seconds and memory of every job of a study, as Snakemake measured them: a table out of benchmarks/**/*.tsv.

A bundle has the table itself, jobs.parquet: what was measured when the study ran, not when its figures were drawn again.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from evals.io import DataError, read_table

FILE = "jobs.parquet"
WILDCARDS = {
    "base_model": ("model",),
    "problems": ("dataset",),
    "train": ("model", "arm", "seed"),
    "select": ("model", "arm", "seed"),
    "sample": ("model", "arm", "seed"),
    "grade": ("model", "arm", "seed"),
    "control": ("model",),
}
"""Rule -> what the folders below benchmarks/<rule> stand for; jobs of other rules have only their `name`."""

SCHEMA = pa.schema(
    [
        ("rule", pa.string()),
        ("name", pa.string()),  # wildcards, joined by /
        ("model", pa.string()),
        ("arm", pa.string()),
        ("seed", pa.int32()),
        ("benchmark", pa.string()),
        ("dataset", pa.string()),
        ("seconds", pa.float64()),
        ("cpu_seconds", pa.float64()),
        ("max_rss_mb", pa.float64()),
        ("mean_load_percent", pa.float64()),
    ]
)
MEASURED = {"seconds": "s", "cpu_seconds": "cpu_time", "max_rss_mb": "max_rss", "mean_load_percent": "mean_load"}


def read_jobs(results: Path) -> pa.Table:
    """One row of SCHEMA per job, sorted by rule and name. A repeated benchmark file counts with its last line; what was not
    measured (`-` and NA in Snakemake's files: the job was too short) is null.

    Raises:
        DataError: a benchmark file cannot be read.
    """
    if (results / FILE).exists():
        return read_table(results / FILE, SCHEMA.names)
    folder = results / "benchmarks"
    rows = [_row(path, path.relative_to(folder).with_suffix("").parts) for path in sorted(folder.rglob("*.tsv"))]
    return pa.Table.from_pylist(rows, SCHEMA).sort_by([("rule", "ascending"), ("name", "ascending")])


def _row(path: Path, parts: tuple[str, ...]) -> dict[str, object]:
    import pandas as pd  # whoever unpacks a bundle imports this module, and needs no frames

    try:
        last = pd.read_csv(path, sep="\t", na_values=["-", "NA"]).iloc[-1]
        measured = {ours: None if pd.isna(last[theirs]) else float(last[theirs]) for ours, theirs in MEASURED.items()}
    except (KeyError, IndexError, ValueError) as error:
        raise DataError(f"{path}: not a benchmark file of Snakemake ({error}); delete it") from None
    rule, wildcards = parts[0], parts[1:]
    names = WILDCARDS.get(rule, ())
    named: dict[str, object] = dict(zip(names, wildcards, strict=False)) if len(names) == len(wildcards) else {}
    if "seed" in named:
        named["seed"] = int(str(named["seed"]))
    return {"rule": rule, "name": "/".join(wildcards), **named, **measured}
