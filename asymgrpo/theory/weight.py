"""The expected update of an arm, exactly: it is s(q) times the gradient of the success rate q, whatever the policy.

A prompt with success rate q gives a group of G independent answers, and the update is the mean over the group of
A grad log pi, with the sum of log-probabilities of a response's tokens for log pi, no clip, and pi the policy that sampled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import ArrayLike

from asymgrpo.theory.acts import Acts, Array, Mask


def binomial(n: int, q: ArrayLike) -> Array:
    """[..., n + 1] probabilities of 0 .. n successes at rate q [...].

    >>> binomial(2, 0.5).tolist()
    [0.25, 0.5, 0.25]
    """
    rate = np.asarray(q, float)
    return np.array([comb(n, k) for k in range(n + 1)], float) * _powers(rate, n) * _powers(1 - rate, n)[..., ::-1]


def _powers(x: Array, n: int) -> Array:
    """[..., n + 1] x^0 .. x^n, by multiplying: many times faster than `**`."""
    factors = np.repeat(x[..., None], n + 1, axis=-1)
    factors[..., 0] = 1.0
    return factors.cumprod(-1)


def weight(acts: Acts, q: ArrayLike) -> Array:
    """s(q) = E[A_pos(1 + B)] - E[A_neg(B)] with B ~ Binomial(G - 1, q): the others of a rollout's group. Shape of q.

    A correct rollout stands in a group with 1 + B correct ones, a wrong one in a group with B. The expected update is
    s(q) grad q.

    >>> from asymgrpo.method.arms import get_arm
    >>> from asymgrpo.theory.acts import acts_of
    >>> weight(acts_of(get_arm("reinforce"), 8), [0.1, 0.9]).round(9).tolist()  # twice the success rate is climbed
    [2.0, 2.0]
    """
    return binomial(acts.group - 1, q) @ (acts.right[1:] - acts.wrong[:-1])


def plug_in(acts: Acts) -> Array:
    """[G - 1] A_pos(k) - A_neg(k) of the mixed groups k = 1 .. G - 1: what s(q) tends to at q = k / G as G grows."""
    return acts.right[1:-1] - acts.wrong[1:-1]


@dataclass(frozen=True)
class Moments:
    """E over the others of a group of squares and products of advantages; each has the shape of q."""

    right: Array
    """E[A_pos(1 + B)^2], B ~ Binomial(G - 1, q)."""
    wrong: Array
    """E[A_neg(B)^2]."""
    cross: Array
    """E[(A_pos(2 + C)^2 - 2 A_pos(1 + C) A_neg(1 + C) + A_neg(C)^2], C ~ Binomial(G - 2, q): two rollouts of one group."""


def moments(acts: Acts, q: ArrayLike) -> Moments:
    """Second moments of the update of a group at success rate q."""
    one, two = binomial(acts.group - 1, q), binomial(acts.group - 2, q)
    right, wrong = acts.right, acts.wrong
    cross = right[2:] ** 2 - 2 * right[1:-1] * wrong[1:-1] + wrong[:-2] ** 2
    return Moments(one @ right[1:] ** 2, one @ wrong[:-1] ** 2, two @ cross)


def covariance(acts: Acts, pi: Array, correct: Mask) -> Array:
    """[K, K] covariance of the update of one group, exactly, for a softmax over K answers with probabilities `pi`.

    (M_pos E[A_pos^2] + M_neg E[A_neg^2]) / G + ((G - 1) / G cross - s^2) grad q grad q', where M_pos is the second moment of
    grad log pi over correct answers, M_neg over wrong ones.
    """
    q = float(pi[correct].sum())
    scores = np.eye(len(pi)) - pi  # row b: the gradient of log pi(b)
    of_right, of_wrong = (scores.T * np.where(mask, pi, 0.0) @ scores for mask in (correct, ~correct))
    slope, found, group = pi * (correct - q), moments(acts, q), acts.group
    own = (found.right * of_right + found.wrong * of_wrong) / group
    return own + ((group - 1) / group * found.cross - weight(acts, q) ** 2) * np.outer(slope, slope)


@dataclass(frozen=True)
class Difficulty:
    """A distribution of success rates over prompts."""

    q: Array
    """[n] rates."""
    share: Array
    """[n] of the prompts; they sum to 1."""


def uniform(nodes: int = 32) -> Difficulty:
    """Success rates uniform on [0, 1]: every number of correct rollouts is equally frequent. Exact for G up to 2 nodes - 3.

    >>> round(float(uniform().q @ uniform().share), 12)
    0.5
    """
    x, w = np.polynomial.legendre.leggauss(nodes)
    half = (x + 1) / 4  # on [0, 1/2], so that `hard_share` is exact, too
    return Difficulty(np.concatenate([half, half + 0.5]), np.concatenate([w, w]) / 4)


def hard_share(acts: Acts, prompts: Difficulty) -> float:
    """The share of hard prompts (q < 1/2) in the first-order gain of success, s(q) q (1 - q), of a natural gradient step.

    NaN for an arm that has no signal.

    >>> from asymgrpo.method.arms import get_arm
    >>> from asymgrpo.theory.acts import acts_of
    >>> round(hard_share(acts_of(get_arm("grpo"), 8), uniform()), 12)  # GRPO treats correct and wrong alike
    0.5
    """
    gain = weight(acts, prompts.q) * prompts.q * (1 - prompts.q) * prompts.share
    return float(gain[prompts.q < 0.5].sum() / gain.sum()) if gain.any() else math.nan


def mean_size(acts: Acts, prompts: Difficulty, mixed: bool = False) -> float:
    """Mean |A| over the rollouts of all groups, or of the mixed ones only."""
    k = np.arange(acts.group + 1)
    size = (k * np.abs(acts.right) + (acts.group - k) * np.abs(acts.wrong)) / acts.group
    groups = prompts.share @ binomial(acts.group, prompts.q)
    there = (k > 0) & (k < acts.group) if mixed else np.ones(len(k), bool)
    return float(groups[there] @ size[there] / groups[there].sum())
