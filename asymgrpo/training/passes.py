"""Which rows go through the model together in a step, and which need not go: forward passes, with and without gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from asymgrpo.study.sections.train import Train
from asymgrpo.training.batch import by_rows, by_tokens

Cut = Callable[..., list[Tensor]]
"""(rows, parts=1) -> the rows in micro-batches, at least `parts` of them as far as there are rows."""


@dataclass(frozen=True)
class Passes:
    """Rows of each pass of one rank. Ranks gather and reduce pass by pass, so all have the same number of each kind."""

    every: list[Tensor]
    """Each row once."""
    first: list[Tensor]
    """Scored before the updates: rows that the first update, or its first pass, does not see."""
    updates: list[list[Tensor]]
    """Micro-batches of each update; at least one, so that an update without a gradient is made as any other."""


def plan(
    widths: Tensor, learns: Tensor, train: Train, gather: Callable[[Any], list[Any]], score_others: bool = False
) -> Passes:
    """Passes of a step over rows of so many tokens (widths [B]), of which `learns` [B] bool have a gradient. Collective.

    The policy of the first update is the one that sampled: its own forward pass scores its rows. `gather`: a value of each rank
    -> those of all. `score_others`: the loss of each row needs the scores of all. The first pass gives those of its own rows
    before its loss is made; all other rows are scored in advance.

    A rank with fewer passes than another takes further rows. In an update these are rows without a gradient: they add 0 to it.
    """
    every = torch.arange(len(widths))
    shares = every.split(len(every) // train.updates_per_rollout)
    cut: Cut
    if train.micro_batch_tokens is None:
        cut = partial(by_rows, widths, size=train.micro_batch)
    else:
        cut = partial(by_tokens, widths, budget=train.micro_batch_tokens)
    wanted = [every, *(share[learns[share]] for share in shares)]
    whole, *updates = level(wanted, [every, *shares], widths, cut, gather, least=1)
    seen = torch.zeros(len(every), dtype=torch.bool)
    seen[torch.cat(updates[0][:1] if score_others else updates[0])] = True
    (first,) = level([every[~seen]], [every], widths, cut, gather, least=0)
    return Passes(whole, first, updates)


def level(
    wanted: Sequence[Tensor],
    among: Sequence[Tensor],
    widths: Tensor,
    cut: Cut,
    gather: Callable[[Any], list[Any]],
    least: int,
) -> list[list[Tensor]]:
    """Each set of wanted rows in micro-batches, as many on every rank, at least `least`. Collective.

    Where there are fewer rows than that, the narrowest others are taken from `among`, which has enough.
    """
    needed = gather([len(cut(rows)) for rows in wanted])
    most = [max(least, *counts) for counts in zip(*needed, strict=True)]
    return [
        cut(with_others(rows, spare, widths, parts), parts=parts) if parts else []
        for rows, spare, parts in zip(wanted, among, most, strict=True)
    ]


def with_others(rows: Tensor, among: Tensor, widths: Tensor, n: int) -> Tensor:
    """At least n rows: these, and if they are fewer, the narrowest of the others.

    >>> with_others(torch.tensor([2]), torch.arange(4), torch.tensor([5, 3, 9, 4]), 3).tolist()
    [2, 1, 3]
    """
    others = among[~torch.isin(among, rows)]
    narrow = others[torch.argsort(widths[others], stable=True)]
    return torch.cat([rows, narrow[: max(0, n - len(rows))]])
