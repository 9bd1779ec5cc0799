"""What any arm does to first order: arithmetic on inner products, without a model.

A *source* is a channel of a group: the summed gradient of log pi over its correct responses, over its wrong ones, or the summed
gradient of its entropies. An arm's gradient is a weighted sum of sources, so that its norm and its effect on anything follow from
the sources' Gram matrix and from their inner products with the gradient of that thing. Inner products are taken with D^-1, where
D = sqrt(v) + eps and v is the state's mean of squared gradients after bias correction. A step of rate eta is eta D^-1 g; its norm
is taken in D, the metric in which Adam's step is the steepest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CHANNELS = ("correct", "wrong", "entropy")


@dataclass(frozen=True)
class Sources:
    """Inner products of the sources of n groups."""

    gram: Array
    """[n, 3, n, 3] of sources with each other."""
    targets: dict[str, Array]
    """Name -> [n, 3] with the gradient of that target."""


def of_signs(advantages: Array, correct: Array) -> tuple[Array, Array] | None:
    """([n] of correct, [n] of wrong responses) out of advantages and correctness [n, G]; 0 where a group has none of a sign.

    None: responses of one sign differ within a group, so that sources of signs do not say what the arm does.

    >>> of_signs(np.array([[1.0, -1.0], [0.5, 0.5]]), np.array([[1.0, 0.0], [1.0, 1.0]]))
    (array([1. , 0.5]), array([-1.,  0.]))
    >>> of_signs(np.array([[1.0, 2.0]]), np.array([[1.0, 1.0]]))
    """
    right, wrong = ((advantages * mask).sum(1) / np.maximum(mask.sum(1), 1) for mask in (correct == 1, correct != 1))
    told = np.where(correct == 1, right[:, None], wrong[:, None])
    return (right, wrong) if np.allclose(told, advantages, rtol=1e-12, atol=1e-12) else None


def weights(right: Array, wrong: Array, bonus: float, divisor: Array) -> Array:
    """[n, 3] weights of sources in an arm's gradient. All arguments but `bonus` are [n].

    divisor: what the reduction divides a group's loss by (asymgrpo.method.reduce): tokens of its update, or max_tokens times its
    responses. bonus: the arm's entropy_coef.

    >>> weights(np.array([2.0]), np.array([-1.0]), 0.5, np.array([4.0]))
    array([[ 0.5  , -0.25 ,  0.125]])
    """
    return np.stack([right, wrong, np.full(len(right), float(bonus))], axis=1) / divisor[:, None]


def norm(sources: Sources, weight: Array) -> float:
    """Norm of the arm's gradient; times the rate, that of its step.

    >>> norm(Sources(np.eye(3).reshape(1, 3, 1, 3), {}), np.array([[3.0, 4.0, 0.0]]))
    5.0
    """
    return float(np.sqrt(max(np.einsum("nc,ncmd,md->", weight, sources.gram, weight), 0.0)))


def effects(sources: Sources, weight: Array, target: str) -> Array:
    """[n] change of a target per unit of rate by each group's part of the step; their sum is the arm's effect."""
    found: Array = (weight * sources.targets[target]).sum(axis=1)
    return found


def same_size(own: float, reference: float) -> float:
    """The factor that gives a step of norm `own` the reference's norm; 0 for a step that is none.

    >>> same_size(0.5, 2.0), same_size(0.0, 2.0)
    (4.0, 0.0)
    """
    return reference / own if own > 0 else 0.0
