"""A softmax over K answers per prompt: probabilities, entropy, and the two directions of an update. Arrays [..., K] throughout."""

from __future__ import annotations

import numpy as np

from asymgrpo.theory.acts import Array

SMALLEST = 1e-300
"""Probabilities are divided by no less than this."""


def log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(-1, keepdims=True)
    found: Array = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return found


def entropy(logp: Array) -> Array:
    """[...] nats."""
    found: Array = -(np.exp(logp) * logp).sum(-1)
    return found


def plain(pi: Array, pull: Array) -> Array:
    """The gradient step of logits: sum over b of pull_b grad log pi(b) = pull - pi sum(pull).

    pull: [..., K] the group's advantages by answer, divided by G: n_b A_b / G.
    """
    return pull - pi * pull.sum(-1, keepdims=True)


def natural(pi: Array, pull: Array) -> Array:
    """The natural gradient step, the pseudo-inverse of the Fisher matrix times `plain`, up to a constant over answers."""
    return pull / np.maximum(pi, SMALLEST) - pull.sum(-1, keepdims=True)


DIRECTIONS = {"plain": plain, "natural": natural}
"""Name of the gradient -> (probabilities, pull) -> step of logits at learning rate 1."""


def entropy_pull(pi: Array, logp: Array) -> Array:
    """The pull whose step is the gradient of entropy: -pi (log pi + H), which sums to zero."""
    return -pi * (logp + entropy(logp)[..., None])


def sample_counts(pi: Array, uniforms: Array) -> Array:
    """[..., K] how often each answer was drawn, by inversion of the cumulative probabilities.

    uniforms: [..., G] in [0, 1).

    >>> sample_counts(np.array([0.25, 0.75]), np.array([0.1, 0.2, 0.3, 0.9])).tolist()
    [2.0, 2.0]
    """
    ends = pi.cumsum(-1)
    ends[..., -1] = 1.0  # rounding must not lose a draw
    below = np.zeros(ends.shape)
    for draw in np.moveaxis(uniforms, -1, 0):
        below += draw[..., None] < ends
    below[..., 1:] -= below[..., :-1].copy()
    return below
