"""The tokens of a batch that a causal model has to compute: no padding, and a prompt that several rows share once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from asymgrpo.models.layers import attention, hidden_states
from asymgrpo.training.batch import Batch

SCORES = 2**20
"""Of attention, in one layer: only as many are held at once and kept for the gradient."""


@dataclass(frozen=True)
class Queries:
    """The queries of a layer, in rows: all tokens, or those alone that predict."""

    tokens: Tensor
    """[B, Q] which of the queries; beyond a row's end, any."""
    homes: Tensor
    """[n] a place of each query in `tokens`, flattened."""
    positions: Tensor
    """[1 or B, Q] where in its row a query stands."""
    width: int
    """W, of the rows."""

    @cached_property
    def bias(self) -> Tensor:
        """[1 or B, Q, W] -inf on what comes after the query, else 0."""
        later = torch.arange(self.width) > self.positions[:, :, None]
        return torch.zeros(1).masked_fill(later, -math.inf)


@dataclass(frozen=True)
class Packed:
    """N tokens: first those of the prompts but their last ones, which predict nothing; then, row by row, those that predict."""

    ids: Tensor
    """[N]"""
    positions: Tensor
    """[N] in their sequences, from 0."""
    slots: Tensor
    """[B, W] which token is at each position of each row; beyond the row's end, any."""
    every: Queries
    predicting: Queries

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Causal attention within each row, as asymgrpo.models.layers.Attention wants it.

        Each row has its own copy of its prompt; what is beyond a row's end comes last, so that no other token sees it.
        """
        queries = self.every if len(q) == len(k) else self.predicting
        keys, values = spread(k, self.slots), spread(v, self.slots)
        if queries.tokens.numel() * q.shape[1] * queries.width <= SCORES:
            out = attention(spread(q, queries.tokens), keys, values, queries.bias.to(q.dtype))
            return out.flatten(0, 1).index_select(0, queries.homes)
        first = len(k) - len(q)
        asked, keys, values = (x.transpose(1, 2) for x in (spread(q, (self.slots - first).clamp(min=0)), keys, values))
        out = F.scaled_dot_product_attention(asked, keys, values, is_causal=True, enable_gqa=True).transpose(1, 2)
        return out.flatten(0, 1).index_select(0, self.every.homes[first:])


def spread(tokens: Tensor, slots: Tensor) -> Tensor:
    """[N, heads, D] -> [B, W, heads, D]"""
    return tokens.index_select(0, slots.flatten()).unflatten(0, slots.shape)


def packed(batch: Batch) -> Packed:
    """The tokens of a batch on the CPU."""
    starts, lengths = batch.predictors[:, :1], batch.mask.sum(dim=1, keepdim=True).long()
    places = torch.arange(int((starts + lengths).max()))
    ids = batch.input_ids[:, : len(places)]
    before = places < starts
    leaders = first_alike(ids.masked_fill(~before, -1))
    stored = before & (leaders == torch.arange(len(batch)))[:, None]
    homes = torch.cat([of(stored), of((places < starts + lengths) & ~before)])
    slots = torch.zeros_like(ids)
    slots.view(-1)[homes] = torch.arange(len(homes))
    slots = torch.where(before, slots[leaders], slots)
    columns = torch.arange(batch.mask.shape[1])
    row_tokens = lengths.cumsum(dim=0) - lengths + torch.minimum(columns, lengths - 1)
    return Packed(
        ids=ids.flatten()[homes],
        positions=homes % len(places),
        slots=slots,
        every=Queries(slots, homes, places[None], len(places)),
        predicting=Queries(row_tokens, of(batch.mask.bool()), starts + columns, len(places)),
    )


def of(chosen: Tensor) -> Tensor:
    """Flat indices of what is True."""
    return chosen.flatten().nonzero()[:, 0]


def first_alike(rows: Tensor) -> Tensor:
    """[B, W] -> [B] the first row that is equal to each.

    >>> first_alike(torch.tensor([[1, 2], [3, 4], [1, 2]])).tolist()
    [0, 1, 0]
    """
    first: dict[bytes, int] = {}
    return torch.tensor([first.setdefault(row.tobytes(), i) for i, row in enumerate(rows.numpy())])


def predicting_states(model: Any, batch: Batch) -> Tensor:
    """[n, H] last hidden states of the tokens that predict a response's, row by row."""
    tokens = packed(batch)
    return hidden_states(model, tokens.ids, tokens.positions, tokens.attend, len(tokens.predicting.homes))
