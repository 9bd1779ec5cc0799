"""What every estimator of advantages asks of rewards [prompts, group], and how it hands its values back."""

from __future__ import annotations

import torch
from torch import Tensor


class RewardError(ValueError):
    """The rewards do not fit the estimator; the message says which value and what to use instead."""


def binary(rewards: Tensor, estimator: str) -> Tensor:
    """[prompts, group] bool: which rollouts are correct."""
    values = finite(rewards)
    other = values[(values != 0) & (values != 1)]
    if other.numel():
        raise RewardError(
            f"{estimator} is defined for rewards 0 and 1 only, got {other[0].item():g}; make the reward "
            "binary or use group_standardized, mean_centered or leave_one_out."
        )
    return values == 1


def finite(rewards: Tensor) -> Tensor:
    """[prompts, group] float64, checked."""
    if rewards.ndim != 2 or rewards.shape[1] == 0:
        raise RewardError(f"rewards must have the shape [prompts, group], got {list(rewards.shape)}; reshape them.")
    values = rewards.detach().to(torch.float64)
    if not torch.isfinite(values).all():
        raise RewardError("rewards hold a NaN or an infinity; a verdict must map to a finite reward.")
    return values


def at_least(values: Tensor, group: int, estimator: str) -> None:
    if values.shape[1] < group:
        raise RewardError(
            f"{estimator} needs groups of at least {group} rollouts, got {values.shape[1]}; raise group_size."
        )


def all_equal(values: Tensor) -> Tensor:
    """[prompts, 1] bool. Exact: rounding in the mean must not turn an all-equal group into signal."""
    return (values == values[:, :1]).all(dim=1, keepdim=True)


def like(rewards: Tensor, values: Tensor) -> Tensor:
    return values.to(rewards.dtype if rewards.is_floating_point() else torch.float64)


def overlong_punishment(lengths: Tensor, max_tokens: int, buffer: float) -> Tensor:
    """DAPO's soft punishment, to be added to rewards: 0 up to max_tokens - buffer tokens, then falling linearly to -1.

    Float64, in the shape of lengths. Source: arXiv:2503.14476, eq. 13.

    >>> overlong_punishment(torch.tensor([10, 16, 18, 20]), max_tokens=20, buffer=4)
    tensor([ 0.0000,  0.0000, -0.5000, -1.0000], dtype=torch.float64)
    """
    into = (lengths.to(torch.float64) - (max_tokens - buffer)) / buffer
    return 0.0 - into.clamp(0.0, 1.0)
