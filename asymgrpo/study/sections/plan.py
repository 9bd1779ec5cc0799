"""`study`: which models, arms and seeds are run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from asymgrpo.section import Once, Section, Seed


class Plan(Section):
    """What is run: every model x arm x seed, and every model x analysis x analysis seed."""

    models: Annotated[list[str], Field(min_length=1), Once]
    """Names of models that the section `models` defines."""
    arms: Annotated[list[str], Field(min_length=1), Once]
    """Rows of Table 1 (names of asymgrpo/method/arms.py); the untrained model, `base`, is always beside them."""
    seeds: Annotated[list[Seed], Field(min_length=1), Once]
    """Training seeds of each arm: one run per seed."""
    analyses: Annotated[list[str], Once] = Field(default=[])
    """Further arms, for the figures and claims only."""
    analysis_seeds: Annotated[list[Seed], Once] = Field(default=[])
    """Training seeds of each analysis."""
