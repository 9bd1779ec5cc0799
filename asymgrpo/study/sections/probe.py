"""`probe`: what one update does, in states of GRPO runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from asymgrpo.section import Once, Positive, Section, Seed


class Probe(Section):
    """One-update probes (asymgrpo.probe): in states of GRPO runs every arm makes its update, and responses are scored again."""

    seeds: Annotated[list[Seed], Field(min_length=1), Once]
    """Training seeds of the GRPO runs (trajectories) that states are taken from, for each model; tests are over them."""
    states: Annotated[list[Positive], Field(min_length=1), Once]
    """Steps after which a trajectory is probed."""
    batches: Positive
    """Batches of rollouts that are drawn in each state."""
    arms: Annotated[list[str], Once]
    """Arms that make their update beside GRPO, which always does."""
    responses: Annotated[int, Field(ge=2)]
    """Held-out responses to each prompt, scored before and after every update."""
    prompts: Annotated[int, Field(ge=0)]
    """Problems of the validation set that responses are drawn for, beside those of the batch; if it has fewer, all of them."""
    linear_prompts: Annotated[int, Field(ge=0)]
    """Groups of the batch whose gradients the linear probe takes, each as large as the model; 0: no linear probe."""
