"""Forward passes over a whole batch without gradient, and the choice of tokens that needs the batches of all ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from asymgrpo.method.arm import Arm
from asymgrpo.training.batch import Batch
from asymgrpo.training.engine import Engine

Forward = Callable[[Batch], tuple[Tensor, Tensor]]
"""Batch of b rows on the device -> log-probability and entropy, [b, r] each."""


@dataclass(frozen=True)
class Scores:
    """What a policy says of the tokens of a batch; rows are filled as they go through the model, and are 0 before."""

    logp: Tensor
    """[B, R] log-probabilities, on the CPU."""
    entropy: Tensor
    """[B, R] entropies, on the CPU."""

    @classmethod
    def blank(cls, batch: Batch) -> Scores:
        return cls(torch.zeros_like(batch.mask), torch.zeros_like(batch.mask))

    @torch.no_grad()
    def fill(self, rows: Tensor, logp: Tensor, entropy: Tensor) -> None:
        """Put the results [b, r] of one pass over `rows` in their places."""
        width = logp.shape[1]
        self.logp[rows, :width], self.entropy[rows, :width] = logp.cpu(), entropy.cpu()


@torch.no_grad()
def score(forward: Forward, batch: Batch, parts: Sequence[Tensor], device: torch.device) -> Scores:
    """Scores of the rows in `parts`, one micro-batch at a time, without gradient."""
    scores = Scores.blank(batch)
    for rows in parts:
        scores.fill(rows, *forward(batch.rows(rows).to(device)))
    return scores


@torch.no_grad()
def sequence_change(
    forward: Forward, batch: Batch, parts: Sequence[Tensor], device: torch.device, logp_old: Tensor
) -> Tensor:
    """[B] change of each sequence's log-probability since `logp_old` [B, R]."""
    change = torch.zeros(len(batch))
    for rows in parts:
        part = batch.rows(rows)
        logp, _ = forward(part.to(device))
        change[rows] = ((logp.cpu() - logp_old[rows, : logp.shape[1]]) * part.mask).sum(dim=1)
    return change


def select_tokens(
    arm: Arm, engine: Engine, logp_old: Tensor, advantages: Tensor, trains: Tensor, seeds: Sequence[int]
) -> Tensor | None:
    """[B, R] choice of a covariance method, None for other arms.

    Made once per update (one seed each) over the prompts of all ranks, in rank order: covariance and rank of a token depend on
    all others. `logp_old`, `advantages`, `trains`: this rank's, [B, R] each, update after update.
    """
    if arm.covariance is None:
        return None
    chosen = torch.zeros_like(trains, dtype=torch.bool)
    per_update = len(trains) // len(seeds)
    for rows, seed in zip(torch.arange(len(trains)).split(per_update), seeds, strict=True):
        grids = engine.gather_objects([grid[rows] for grid in (logp_old, advantages, trains)])
        width = max(part[0].shape[1] for part in grids)
        pads = [[torch.nn.functional.pad(g, (0, width - g.shape[1])) for g in part] for part in grids]
        all_logp, all_advantages, all_trains = (torch.cat(part) for part in zip(*pads, strict=True))
        picked = arm.select_tokens(all_logp, all_advantages, all_trains, seed)
        assert picked is not None
        chosen[rows] = picked.split(per_update)[engine.rank][:, : chosen.shape[1]]
    return chosen
