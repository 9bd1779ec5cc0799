"""Rollouts as padded tensors, and their split into optimizer updates and micro-batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from asymgrpo.rollout.base import Rollout


@dataclass(frozen=True)
class Batch:
    """B sequences, padded on the right to width T; responses sit in a grid of width R."""

    input_ids: Tensor
    """[B, T] prompt then response."""
    response_ids: Tensor
    """[B, R]"""
    predictors: Tensor
    """[B, R] column of input_ids whose hidden state predicts that response token."""
    mask: Tensor
    """[B, R] float, 1 on response tokens that exist."""
    logp_sampler: Tensor
    """[B, R] log-probability under the sampler, 0 where masked."""

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def widths(self) -> Tensor:
        """[B] tokens of each row that are fed: prompt and response but for the last."""
        return (self.predictors * self.mask.long()).amax(dim=1) + 1

    def to(self, device: torch.device) -> Batch:
        return Batch(*(getattr(self, f.name).to(device) for f in fields(self)))

    def rows(self, index: Tensor) -> Batch:
        """The named rows, trimmed to the width that they need (padding is work not worth doing)."""
        picked = Batch(*(getattr(self, f.name)[index] for f in fields(self)))
        width = int(picked.mask.sum(dim=1).max())
        total = int((picked.predictors * picked.mask.long()).max()) + 1
        return Batch(
            input_ids=picked.input_ids[:, :total],
            response_ids=picked.response_ids[:, :width],
            predictors=picked.predictors[:, :width],
            mask=picked.mask[:, :width],
            logp_sampler=picked.logp_sampler[:, :width],
        )


def pack(rollouts: Sequence[Rollout]) -> Batch:
    """A batch of rollouts in their order. The last token of a sequence is predicted but never fed (rows() trims it)."""
    width = max(len(r.response_ids) for r in rollouts)
    total = max(len(r.prompt_ids) + len(r.response_ids) for r in rollouts)
    prompt = torch.tensor([len(r.prompt_ids) for r in rollouts])

    def grid(rows: Sequence[Sequence], columns: int, dtype: torch.dtype) -> Tensor:
        out = torch.zeros(len(rows), columns, dtype=dtype)
        for i, row in enumerate(rows):
            out[i, : len(row)] = torch.tensor(row, dtype=dtype)
        return out

    lengths = torch.tensor([len(r.response_ids) for r in rollouts])
    columns = torch.arange(width)
    mask = (columns < lengths[:, None]).float()
    return Batch(
        input_ids=grid([r.prompt_ids + r.response_ids for r in rollouts], total, torch.long),
        response_ids=grid([r.response_ids for r in rollouts], width, torch.long),
        predictors=(prompt[:, None] - 1 + columns) * mask.long(),
        mask=mask,
        logp_sampler=grid([r.logprobs for r in rollouts], width, torch.float32),
    )


def by_rows(widths: Tensor, rows: Tensor, size: int, parts: int = 1) -> list[Tensor]:
    """Split `rows` into groups of at most `size` of similar width (widths [B] in tokens), widest first; ties keep row order.

    At least `parts` groups, as far as there are rows: the largest are halved until then.

    >>> [m.tolist() for m in by_rows(torch.tensor([3, 9, 4, 8]), torch.arange(4), size=2)]
    [[1, 3], [2, 0]]
    """
    ordered = widest_first(widths, rows)
    return halved([ordered[i : i + size] for i in range(0, len(ordered), size)], parts)


def by_tokens(widths: Tensor, rows: Tensor, budget: int, parts: int = 1) -> list[Tensor]:
    """The same, but into groups of at most `budget` tokens with padding. A row that is wider than that is alone.

    >>> [m.tolist() for m in by_tokens(torch.tensor([3, 9, 4, 8]), torch.arange(4), budget=18)]
    [[1, 3], [2, 0]]
    >>> [m.tolist() for m in by_tokens(torch.tensor([3, 9, 4, 8]), torch.arange(4), budget=18, parts=3)]
    [[1], [3], [2, 0]]
    """
    groups: list[list[int]] = []
    for row in widest_first(widths, rows):
        if groups and (len(groups[-1]) + 1) * int(widths[groups[-1][0]]) <= budget:
            groups[-1].append(row)
        else:
            groups.append([row])
    return halved(groups, parts)


def widest_first(widths: Tensor, rows: Tensor) -> list[int]:
    return rows[torch.argsort(widths[rows], descending=True, stable=True)].tolist()


def halved(groups: list[list[int]], parts: int) -> list[Tensor]:
    """At least `parts` groups, as far as there are members: the first of the largest is halved until then."""
    while len(groups) < min(parts, sum(map(len, groups))):
        most = max(range(len(groups)), key=lambda i: len(groups[i]))
        half = len(groups[most]) // 2
        groups[most : most + 1] = [groups[most][:half], groups[most][half:]]
    return [torch.tensor(group) for group in groups]
