"""Options that the commands of several tables share, and the rules that one of them chooses among."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class SeedVarianceRule(StrEnum):
    """own: each arm's seed variance from its own seeds. pooled: one for all trained arms of a model."""

    own = "own"
    pooled = "pooled"


SeedVarianceFrom = Annotated[SeedVarianceRule, typer.Option(help="whose seeds the seed variance is taken from")]
Draws = Annotated[int, typer.Option(min=1, help="bootstrap draws; 10000 for published numbers")]
Seed = Annotated[int, typer.Option(help="names the random streams of the bootstrap")]
Out = Annotated[Path, typer.Option(help="table to write (Parquet)")]
Markdown = Annotated[Path, typer.Option(help="the same to write, to read (Markdown)")]
