"""What the figures of the theory share: its table, and the options of their commands."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pandas as pd
import pyarrow as pa
import typer

from evals.io import DataError, read_table

COLUMNS = (
    *("part", "arm", "gradient", "update", "quantity", "at", "value", "std_error"),
    *("difference", "difference_se", "n_seeds", "case"),
)
TheoryTable = Annotated[Path, typer.Option(help="table of asymgrpo.theory (Parquet)")]


def read_part(path: Path, part: str, wanted: Sequence[str] = ()) -> tuple[pa.Table, pd.DataFrame]:
    """The whole table, and its rows of one part; of `wanted` arms in their order as far as they are in it, or of all.

    Raises:
        DataError: there are none.
    """
    table = read_table(path, COLUMNS)
    frame = table.to_pandas()
    rows = frame[(frame["part"] == part) & (frame["arm"].isin(wanted) if wanted else True)]
    if rows.empty:
        raise DataError(f"{path}: no rows of {part} of {', '.join(wanted) or 'any arm'} in it; make it with all arms")
    return table, rows
