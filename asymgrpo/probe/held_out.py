"""Held-out responses of the policy that is probed, and what a step does to it, estimated on them. Pure functions of arrays.

All responses are samples of the policy before the step. Expectations after it are importance-weighted over whole responses,
w = pi_after(y) / pi_before(y), with the leave-one-out mean of the prompt's other responses as a control variate. That is
unbiased for a step of any size, and its derivative at no step is the score-function gradient (`coefficients`). A response that is
cut at the limit of tokens is a response like any other: the policy is the one over responses of at most so many tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
TARGETS = ("entropy", "tokens", "success", "logp_correct", "logp_wrong")
"""Sequence entropy (nats: the sum over a response's tokens), length (tokens), success, and log-probabilities of whole correct
and whole wrong responses (nats)."""


@dataclass(frozen=True)
class Facts:
    """What no step changes of m responses to each of P prompts."""

    correct: Array
    """[P, m] 1 or 0."""
    tokens: Array
    """[P, m] length."""


@dataclass(frozen=True)
class Scores:
    """What a policy says of the same responses."""

    logp: Array
    """[P, m] log-probability of the response, nats."""
    entropy: Array
    """[P, m] sum over its tokens of the entropy of the next token, nats."""


def others(values: Array) -> Array:
    """[P, m] mean over the prompt's other responses.

    >>> others(np.array([[1.0, 2.0, 6.0]]))
    array([[4. , 3.5, 1.5]])
    """
    found: Array = (values.sum(axis=1, keepdims=True) - values) / (values.shape[1] - 1)
    return found


def changes(facts: Facts, before: Scores, after: Scores) -> dict[str, Array]:
    """[P] change of every target, and `ess`, the share of the responses that the importance weights leave in effect.

    logp_correct and logp_wrong are means over a prompt's responses of that sign, NaN where it has none.
    """
    weight = np.exp(after.logp - before.logp)

    def expectation(old: Array, new: Array) -> Array:
        found: Array = (weight * new - old - (weight - 1) * others(old)).mean(axis=1)
        return found

    moved = after.logp - before.logp
    return {
        "entropy": expectation(before.entropy, after.entropy),
        "tokens": expectation(facts.tokens, facts.tokens),
        "success": expectation(facts.correct, facts.correct),
        "logp_correct": _mean_where(facts.correct == 1, moved),
        "logp_wrong": _mean_where(facts.correct != 1, moved),
        "ess": weight.sum(axis=1) ** 2 / (weight.shape[1] * (weight**2).sum(axis=1)),
    }


def levels(facts: Facts, before: Scores) -> dict[str, Array]:
    """[P] of what the prompts have before any step."""
    return {name: values.mean(axis=1) for name, values in _expected(facts, before).items()}


def coefficients(facts: Facts, before: Scores) -> dict[str, tuple[Array, Array]]:
    """Target -> (a, c), both [P, m]: its gradient, mean over prompts, is that of sum a logp(y) + c entropy(y).

    logp_correct and logp_wrong are means over the prompts that have such responses, 0 if none has.
    """
    size, none = facts.correct.size, np.zeros_like(facts.correct)
    score = {name: (values - others(values)) / size for name, values in _expected(facts, before).items()}
    found = {name: (a, np.full_like(a, 1 / size) if name == "entropy" else none) for name, a in score.items()}
    for name, mask in (("logp_correct", facts.correct == 1), ("logp_wrong", facts.correct != 1)):
        there = mask.sum(axis=1, keepdims=True)
        found[name] = (mask / np.maximum(there, 1) / max((there > 0).sum(), 1), none)
    return found


def per_token(entropy: Array, tokens: Array, change: Array, of_tokens: Array) -> Array:
    """Change of the token-mean entropy, E[sum over tokens] / E[number of tokens], given both levels and their changes.

    >>> per_token(np.array([6.0]), np.array([3.0]), np.array([2.0]), np.array([1.0]))
    array([0.])
    """
    return (entropy + change) / (tokens + of_tokens) - entropy / tokens


def _expected(facts: Facts, before: Scores) -> dict[str, Array]:
    return {"entropy": before.entropy, "tokens": facts.tokens, "success": facts.correct}


def _mean_where(mask: NDArray[np.bool_], values: Array) -> Array:
    there = mask.sum(axis=1)
    found: Array = np.where(there > 0, (values * mask).sum(axis=1) / np.maximum(there, 1), np.nan)
    return found
