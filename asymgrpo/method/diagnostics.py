"""What tells arms apart in one step: functions of rewards and advantages [prompts, group], and of an optimizer's moments."""

from __future__ import annotations

from typing import Any

import numpy as np


def mean_size(advantages: np.ndarray) -> float:
    """Mean of |A| over the rollouts: the size of the arm's push, whatever its direction.

    >>> mean_size(np.array([[1.0, -1.0], [0.0, 0.0]]))
    0.5
    """
    return float(np.abs(advantages).mean())


def net_mass(advantages: np.ndarray) -> float:
    """m_S - m_F, mean over the prompts: m_S and m_F are the sums of positive and of negative |A| over the group, by G.

    With p correct, m_S = p A_pos and m_F = (1 - p) |A_neg|. It is 0 where every group sums to 0, and what it is not moves all
    log-probabilities of a prompt's rollouts up (> 0) or down.

    >>> net_mass(np.array([[1.0, -1.0], [2.0, 0.0]]))
    0.5
    """
    return float(np.maximum(advantages, 0).mean() - np.maximum(-advantages, 0).mean())


def hard_weight(rewards: np.ndarray, advantages: np.ndarray) -> float | None:
    """Share of sum |A| that falls on hard prompts, those with less than half of the rollouts correct; None if all A are 0.

    >>> hard_weight(np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]), np.array([[2.0, -0.5, -0.5], [0.25, 0.25, -0.5]]))
    0.75
    """
    size = np.abs(advantages).sum(axis=1)
    hard = (rewards > 0).mean(axis=1) < 0.5
    return float(size[hard].sum() / size.sum()) if size.any() else None


def adam_update_square(mean: Any, square: Any, eps: float) -> float:
    """sum (m / (sqrt(v) + eps))^2, m and v Adam's moments after bias correction: the square of a step's length, over lr^2.

    Adam steps by -lr m / (sqrt(v) + eps), so the weights move by lr * sqrt(this sum); weight decay is left out. Gradients of
    another size, as those of another reduction, give the same length. Sums over parts of the parameters, and over ranks, add up.
    Arrays of NumPy or torch.

    >>> adam_update_square(np.array([0.5, -0.5]), np.array([0.25, 0.25]), eps=0.0)
    2.0
    >>> adam_update_square(np.array([0.05, -0.05]), np.array([0.0025, 0.0025]), eps=0.0)  # a tenth of the gradient
    2.0
    """
    return float(((mean / (square**0.5 + eps)) ** 2).sum())
