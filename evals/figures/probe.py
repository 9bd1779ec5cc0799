"""What the figures of the probes share: their table, the panels, and the options of their commands."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import pyarrow as pa
import typer

from asymgrpo.method.arms import ARMS
from evals.io import DataError, read_table
from evals.tables.probes import KEYS

ProbeTable = Annotated[Path, typer.Option(help="table of evals.tables.probes (Parquet)")]
PANELS = {
    "entropy": "sequence entropy (nats)",
    "success": "success (points)",
    "logp_correct": "log π of correct\nresponses (nats)",
    "logp_wrong": "log π of wrong\nresponses (nats)",
}
"""Quantity -> what its axis says; all are changes."""
FACTORS = {"success": 100.0}


def read_steps(path: Path) -> tuple[pa.Table, pd.DataFrame]:
    """The whole table, and its rows of real steps on prompts of the batch, in the units of the panels.

    Raises:
        DataError: there are none.
    """
    table = read_table(path, ["model", *KEYS, "value", "value_low", "value_high", "n_trajectories"])
    frame = table.to_pandas()
    rows = frame[(frame["part"] == "step") & (frame["prompts"] == "own") & frame["quantity"].isin(PANELS)]
    if rows.empty:
        raise DataError(f"{path}: no real step on prompts of a batch in it; make it again: snakemake probe")
    factor = rows["quantity"].map(FACTORS).fillna(1.0)
    columns = ["value", "value_low", "value_high"]
    return table, rows.assign(**{name: rows[name] * factor for name in columns})


def arms_of(rows: pd.DataFrame) -> list[str]:
    """The arms of the rows, in the order of the table of arms, then the study's own."""
    there = set(rows["arm"])
    return [arm for arm in ARMS if arm in there] + sorted(there - set(ARMS))


def counted(rows: pd.DataFrame) -> str:
    """How many trajectories the means are over, and what the bars are."""
    number = int(rows["n_trajectories"].max())
    bars = "; bars: 95 % intervals (Student)" if number > 1 else ""
    return f"one update less what momentum alone does; mean over {number} GRPO runs{bars}"
