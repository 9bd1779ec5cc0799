"""Options that the commands of several tables share, and the rules that one of them chooses among."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from evals.io import DataError
from evals.names import TABLE_1, in_order


class SeedVarianceRule(StrEnum):
    """own: each arm's seed variance from its own seeds. pooled: one for all trained arms of a model."""

    own = "own"
    pooled = "pooled"


SeedVarianceFrom = Annotated[SeedVarianceRule, typer.Option(help="whose seeds the seed variance is taken from")]
Draws = Annotated[int, typer.Option(min=1, help="bootstrap draws; 10000 for published numbers")]
Seed = Annotated[int, typer.Option(help="names the random streams of the bootstrap")]
Out = Annotated[Path, typer.Option(help="table to write (Parquet)")]
Markdown = Annotated[Path, typer.Option(help="the same to write, to read (Markdown)")]
Against = Annotated[str | None, typer.Option(help="compare every arm with this one only")]


def require_against(against: str | None, arms: Iterable[str], place: str) -> None:
    """Raises DataError where the arm to compare with is none of the arms at that place."""
    known = in_order(arms, TABLE_1)
    if against is not None and against not in known:
        raise DataError(f"{place}: no arm {against!r} in it; choose --against from {', '.join(known)}")
