"""A softmax over K answers per prompt: probabilities, entropy, the two directions of an update. Arrays are [..., K]."""

from __future__ import annotations

import numpy as np

from asymgrpo.theory.acts import Array

SMALLEST = 1e-300
"""Probabilities are divided by no less than this."""


def over_answers(a: Array, b: Array) -> Array:
    """[...] sums of products over the last axis, many times faster than `(a * b).sum(-1)` where that axis is short."""
    found: Array = np.einsum("...k,...k->...", a, b)
    return found


def log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(-1, keepdims=True)
    exp = np.exp(shifted)
    return shifted - np.log(over_answers(exp, np.ones_like(exp)))[..., None]


def entropy(pi: Array, logp: Array) -> Array:
    """[...] nats, of probabilities and their logarithms."""
    return -over_answers(pi, logp)


def _total(pull: Array) -> Array:
    return over_answers(pull, np.ones_like(pull))[..., None]


def plain(pi: Array, pull: Array) -> Array:
    """The gradient step of logits: sum over b of pull_b grad log pi(b) = pull - pi sum(pull).

    pull: [..., K] the group's advantages by answer, divided by G: n_b A_b / G.
    """
    return pull - pi * _total(pull)


def natural(pi: Array, pull: Array) -> Array:
    """The natural gradient step, the pseudo-inverse of the Fisher matrix times `plain`, up to a constant over answers."""
    return pull / np.maximum(pi, SMALLEST) - _total(pull)


DIRECTIONS = {"plain": plain, "natural": natural}
"""Name of the gradient -> (probabilities, pull) -> step of logits at learning rate 1."""


def entropy_pull(pi: Array, logp: Array) -> Array:
    """The pull whose step is the gradient of entropy: -pi (log pi + H), which sums to zero."""
    return -pi * (logp + entropy(pi, logp)[..., None])


def sample_counts(pi: Array, uniforms: Array) -> Array:
    """[..., K] how often each answer was drawn, by inversion of the cumulative probabilities.

    uniforms: [..., G] in [0, 1).

    >>> sample_counts(np.array([0.25, 0.75]), np.array([0.1, 0.2, 0.3, 0.9])).tolist()
    [2.0, 2.0]
    """
    ends = pi.cumsum(-1)
    ends[..., -1] = 1.0  # rounding must not lose a draw
    below = np.zeros(ends.shape, np.int16)
    for draw in np.moveaxis(uniforms, -1, 0):
        below += draw[..., None] < ends
    below[..., 1:] -= below[..., :-1].copy()
    return below.astype(float)
