"""From per-token losses to one scalar: the only place that divides, and only by global counts.

A loss averaged per micro-batch or per rank depends on how the batch was cut. Here each part of a batch
contributes its sum divided by counts over the *whole* update batch, so the contributions add up to the same
loss for any cut.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["token", "sequence", "constant"]

FORMULAS: dict[Reduction, str] = {
    "token": "sum of the loss over all tokens / number of tokens of the update batch",
    "sequence": "mean over the sequences of the update batch of (mean over the sequence's own tokens)",
    "constant": "mean over the sequences of the update batch of (sum over tokens / max_tokens)",
}


def counts(mask: Tensor) -> tuple[int, int]:
    """(tokens, sequences) that a mask [B, T] holds; a row without any token (padding, masked) does not count as a sequence.

    Sum these over all micro-batches and ranks of one update to get the denominators of `reduce`.

    >>> counts(torch.tensor([[True, True], [True, False], [False, False]]))
    (3, 2)
    """
    mask = mask.to(torch.bool)
    return int(mask.sum()), int(mask.any(dim=1).sum())


def reduce(
    per_token: Tensor, mask: Tensor, mode: Reduction, *, n_tokens: int, n_sequences: int, max_tokens: int
) -> Tensor:
    """The contribution [] of one part of an update batch; all parts on all ranks add up to the global loss.

    per_token, mask [B, T]: a row is one whole response, the mask is true on the tokens that train (values
    elsewhere, even NaN, do not matter). n_tokens, n_sequences: counts over the whole update batch, all
    micro-batches and ranks. max_tokens: the constant L of Dr.GRPO, the cap on response tokens of the *run*,
    never the padded width T.

        token     sum_it l_it / n_tokens                        (DAPO, arXiv:2503.14476; verl's default)
        sequence  sum_i (sum_t l_it / T_i) / n_sequences        (GRPO, arXiv:2402.03300)
        constant  sum_it l_it / (max_tokens * n_sequences)      (Dr.GRPO, arXiv:2503.20783)

    Backends that average gradients over ranks divide once more: multiply the loss by the number of ranks for
    them. An update batch without any token gives 0. Raises ValueError for an unknown mode.

    >>> loss, mask = torch.tensor([[1.0, 2.0], [6.0, 9.0]]), torch.tensor([[True, True], [True, False]])
    >>> whole = {"n_tokens": 3, "n_sequences": 2, "max_tokens": 10}
    >>> [reduce(loss, mask, mode, **whole).item() for mode in ("token", "sequence")]
    [3.0, 3.75]
    """
    sums = torch.where(mask.to(torch.bool), per_token, 0.0).sum(dim=1)
    if mode == "token":
        return sums.sum() / max(n_tokens, 1)
    if mode == "sequence":
        return (sums / mask.sum(dim=1).clamp(min=1)).sum() / max(n_sequences, 1)
    if mode == "constant":
        return sums.sum() / (max_tokens * max(n_sequences, 1))
    raise ValueError(f"reduction = {mode!r} is unknown; use one of {', '.join(FORMULAS)}.")
