"""What the figures of the probes share: their table, the panels, and the options of their commands."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import pyarrow as pa
import typer

from asymgrpo.method.arms import ARMS
from evals.figures.series import MIN_SEEDS
from evals.io import DataError, read_table
from evals.tables.probes import KEYS

ProbeTable = Annotated[Path, typer.Option(help="table of evals.tables.probes (Parquet)")]
PANELS = {
    "entropy": "sequence entropy\n(nats)",
    "success": "success\n(points)",
    "logp_correct": "log π of correct\nresponses (nats)",
    "logp_wrong": "log π of wrong\nresponses (nats)",
}
"""Quantity -> title of its panel; all are changes."""
FACTORS = {"success": 100.0}
COLUMNS = ("value", "difference")
ONE_SIDE = {"positive_only", "negative_only"}
"""Dotted, for one of them has AsymGRPO's colour."""


def read_steps(path: Path) -> tuple[pa.Table, pd.DataFrame]:
    """The whole table, and its rows of real steps on prompts of the batch, in the units of the panels.

    Raises:
        DataError: there are none.
    """
    numbers = [f"{column}{end}" for column in COLUMNS for end in ("", "_low", "_high")]
    table = read_table(path, ["model", *KEYS, *numbers, "n_trajectories"])
    frame = table.to_pandas()
    rows = frame[(frame["part"] == "step") & (frame["prompts"] == "own") & frame["quantity"].isin(PANELS)]
    if rows.empty:
        raise DataError(f"{path}: no real step on prompts of a batch in it; make it again: snakemake probe")
    factor = rows["quantity"].map(FACTORS).fillna(1.0)
    return table, rows.assign(**{name: rows[name] * factor for name in numbers})


def arms_of(rows: pd.DataFrame) -> list[str]:
    """The arms of the rows, in the order of the table of arms, then the study's own."""
    there = set(rows["arm"])
    return [arm for arm in ARMS if arm in there] + sorted(there - set(ARMS))


def bars(rows: pd.DataFrame, column: str) -> np.ndarray:
    """[2, rows] lengths of the bars below and above a column's values; none of fewer than MIN_SEEDS trajectories."""
    ends = np.abs([rows[column] - rows[f"{column}_low"], rows[f"{column}_high"] - rows[column]])
    return np.where(rows["n_trajectories"].to_numpy() >= MIN_SEEDS, np.nan_to_num(ends), 0.0)


def counted(rows: pd.DataFrame) -> str:
    """How many trajectories the means are over, and what the bars are."""
    number = int(rows["n_trajectories"].max())
    told = "; bars: 95 % intervals (Student)" if number >= MIN_SEEDS else ""
    return f"one update less what momentum alone does; mean over {number} GRPO run{'s' * (number > 1)}{told}"
