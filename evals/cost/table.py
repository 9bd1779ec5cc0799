"""What a study cost: seconds, CPU- and GPU-hours and memory of every job, and their sums for each arm of Table 1.

    python -m evals.cost results --source slurm --out cost.parquet --by-arm cost_by_arm.parquet --markdown cost_by_arm.md

`slurm` reads SLURM's accounting (sacct, on the head node): every start of every job, the interrupted ones too, and the hours of
what was allocated. `benchmarks` reads what Snakemake measured on any machine (results/benchmarks): the last, successful start of
each job; what was allocated is not known there and null. `auto` takes SLURM if its accounting knows a job of this study.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import pyarrow as pa
import typer

from evals.cost.jobs import WILDCARDS as OF_RUNS
from evals.cost.slurm import JobCost, job_costs, query
from evals.io import DataError, write_table, write_text
from evals.names import TABLE_1, title

UNHURT = ("COMPLETED", "RUNNING", "COMPLETING")
"""States of starts whose work is not lost."""
Source = Literal["auto", "slurm", "benchmarks"]
SHARED = ""
"""The arm of jobs that serve all arms: data, base models, tables, figures."""

JOBS = pa.schema(
    [
        ("source", pa.string()),
        ("job_id", pa.string()),
        ("rule", pa.string()),
        ("model", pa.string()),
        ("arm", pa.string()),
        ("train_seed", pa.int32()),
        ("item", pa.string()),
        ("state", pa.string()),
        ("seconds", pa.float64()),
        ("cpu_hours", pa.float64()),
        ("gpu_hours", pa.float64()),
        ("cpu_hours_used", pa.float64()),
        ("max_rss_gb", pa.float64()),
    ]
)
BY_ARM = pa.schema(
    [
        ("source", pa.string()),
        ("model", pa.string()),
        ("arm", pa.string()),
        ("n_seeds", pa.int32()),
        ("train_hours", pa.float64()),
        ("job_hours", pa.float64()),
        ("lost_hours", pa.float64()),
        ("cpu_hours", pa.float64()),
        ("gpu_hours", pa.float64()),
        ("max_rss_gb", pa.float64()),
    ]
)
WILDCARDS = {**OF_RUNS, "figure": ("figure",)}
"""What the folders below results/benchmarks/RULE stand for; a rule that is not here has none."""


def from_benchmarks(folder: Path) -> Iterator[JobCost]:
    """One job per file that Snakemake's `benchmark:` wrote, by path.

    Raises DataError where there is none, or a file is not one.
    """
    files = sorted(folder.rglob("*.tsv"))
    if not files:
        raise DataError(f"{folder}: no benchmark file; run the study first")
    for file in files:
        rule, *values = file.relative_to(folder).with_suffix("").parts
        try:
            row = pd.read_csv(file, sep="\t", na_values="-").iloc[-1]
            seconds, megabytes, cpu_seconds = float(row["s"]), float(row["max_rss"]), float(row["cpu_time"])
        except (KeyError, IndexError, ValueError, pd.errors.EmptyDataError):
            raise DataError(f"{file}: not a benchmark file of Snakemake; delete it and rerun its job") from None
        yield JobCost(
            job_id="",
            rule=rule,
            wildcards=dict(zip(WILDCARDS.get(rule, ()), values, strict=False)),
            state="COMPLETED",
            seconds=seconds,
            cpu_hours=None,
            gpu_hours=None,
            cpu_hours_used=None if pd.isna(cpu_seconds) else cpu_seconds / 3600,
            max_rss_gb=None if pd.isna(megabytes) else megabytes * 2**20 / 1e9,
        )


def job_table(costs: Iterable[JobCost], source: str) -> pa.Table:
    """One row per start of a job, by rule and wildcards."""
    rows = [
        {
            **{key: value for key, value in vars(cost).items() if key != "wildcards"},
            "source": source,
            "model": cost.wildcards.get("model", SHARED),
            "arm": cost.wildcards.get("arm", SHARED),
            "train_seed": int(cost.wildcards["seed"]) if "seed" in cost.wildcards else None,
            "item": next((v for k, v in cost.wildcards.items() if k not in ("model", "arm", "seed")), ""),
        }
        for cost in costs
    ]
    order = ("rule", "model", "arm", "item", "job_id")
    rows.sort(key=lambda row: (*(str(row[key]) for key in order), row["train_seed"] or 0))
    return pa.Table.from_pylist(rows, JOBS)


def by_arm(jobs: pa.Table) -> pa.Table:
    """Sums over all jobs of a model's arm, the arms in the order of Table 1, shared jobs last; seeds are those trained."""
    rows = []
    frame = jobs.to_pandas()
    for (source, model, arm), part in frame.groupby(["source", "model", "arm"]):
        training = part[part["rule"] == "train"]
        rows.append(
            {
                "source": source,
                "model": model,
                "arm": arm,
                "n_seeds": training["train_seed"].nunique(),
                "train_hours": training["seconds"].sum() / 3600,
                "job_hours": part["seconds"].sum() / 3600,
                "lost_hours": part.loc[~part["state"].isin(UNHURT), "seconds"].sum() / 3600,
                "cpu_hours": part["cpu_hours"].sum(min_count=1),
                "gpu_hours": part["gpu_hours"].sum(min_count=1),
                "max_rss_gb": part["max_rss_gb"].max(),
            }
        )
    rows.sort(key=lambda row: (row["arm"] == SHARED, row["model"], _place(row["arm"]), row["arm"]))
    return pa.Table.from_pandas(pd.DataFrame(rows, columns=BY_ARM.names), BY_ARM, preserve_index=False)


def _place(arm: str) -> int:
    return TABLE_1.index(arm) if arm in TABLE_1 else len(TABLE_1)


def markdown(table: pa.Table) -> str:
    """The sums as a Markdown table; a dash is what the source does not know."""
    heads = (
        "model",
        "arm",
        "seeds",
        "training h",
        "all jobs h",
        "of it lost h",
        "CPU-hours",
        "GPU-hours",
        "peak memory GB",
    )
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in table.to_pylist():
        name = "(shared by all arms)" if row["arm"] == SHARED else title(row["arm"])
        numbers = [row[key] for key in BY_ARM.names[4:]]
        cells = [row["model"], name, str(row["n_seeds"]), *("–" if n is None else f"{n:.3g}" for n in numbers)]
        lines.append(f"| {' | '.join(cells)} |")
    source = table["source"][0].as_py()
    what = {
        "slurm": "SLURM's accounting; hours are of what was allocated, interrupted starts are counted (lost).",
        "benchmarks": "Snakemake's benchmark files: the last start of each job; what was allocated is not known.",
    }
    return "\n".join([*lines, "", f"From {what[source]}"]) + "\n"


def read_costs(results: Path, source: Source, since: str) -> pa.Table:
    """The jobs of a study from SLURM's accounting or from the benchmark files.

    Raises DataError when the source that was asked for knows none.
    """
    if source != "benchmarks" and shutil.which("sacct"):
        try:
            found = list(job_costs(query(since), results))
        except RuntimeError as error:
            if source == "slurm":
                raise DataError(str(error)) from None
            found = []
        if found:
            return job_table(found, "slurm")
    if source == "slurm":
        raise DataError(
            f"{results}: SLURM's accounting has no job of this study since {since}; give an earlier --since"
        )
    return job_table(from_benchmarks(results / "benchmarks"), "benchmarks")


def main(
    results: Annotated[Path, typer.Argument(help="The study's results folder.")],
    out: Annotated[Path, typer.Option(help="One row per start of a job (Parquet).")],
    by_arm_out: Annotated[Path, typer.Option("--by-arm", help="Sums per arm (Parquet).")],
    markdown_out: Annotated[Path, typer.Option("--markdown", help="The same sums as Markdown.")],
    source: Annotated[str, typer.Option(help="slurm, benchmarks, or auto.")],
    since: Annotated[str, typer.Option(help="How far back SLURM is asked; a time as sacct takes it.")],
) -> None:
    if not re.fullmatch("auto|slurm|benchmarks", source):
        raise DataError(f"--source {source}: use auto, slurm or benchmarks")
    jobs = read_costs(results, source, since)  # type: ignore[arg-type]
    sums = by_arm(jobs)
    write_table(jobs, out, {})
    write_table(sums, by_arm_out, {})
    write_text(markdown(sums), markdown_out)
