"""Forward passes over a whole batch without gradient, and the choice of tokens that needs the batches of all ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from asymgrpo.method.arm import Arm
from asymgrpo.training.batch import Batch
from asymgrpo.training.engine import Engine

Forward = Callable[[Batch], tuple[Tensor, Tensor]]
"""Batch of b rows on the device -> log-probability and entropy, [b, r] each."""


@torch.no_grad()
def score(forward: Forward, batch: Batch, parts: Sequence[Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy [B, R] on the CPU, one micro-batch (rows of `parts`) at a time."""
    logp, entropy = torch.zeros_like(batch.mask), torch.zeros_like(batch.mask)
    for rows in parts:
        part_logp, part_entropy = forward(batch.rows(rows).to(device))
        width = part_logp.shape[1]
        logp[rows, :width], entropy[rows, :width] = part_logp.cpu(), part_entropy.cpu()
    return logp, entropy


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
