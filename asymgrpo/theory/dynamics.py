"""The first-order change of entropy along one update, and the paper's equation for it: dH = -eta Cov(log pi, A).

For every softmax step dz, dH = -sum_b pi_b (log pi_b + H) dz_b. All slopes here are dH / eta at eta = 0, in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asymgrpo.seeds import generator
from asymgrpo.theory.acts import Acts, Array, Mask
from asymgrpo.theory.policy import DIRECTIONS, entropy, log_softmax
from asymgrpo.theory.weight import binomial

STEP = 1e-5
"""Largest change of a logit in the two steps by which a slope is measured; the error is of the order of its square."""


def entropy_of(logits: Array) -> Array:
    logp = log_softmax(logits)
    return entropy(np.exp(logp), logp)


def measured(logits: Array, direction: Array) -> float:
    """The slope of entropy by stepping forward and back, without any formula."""
    if not (largest := np.abs(direction).max()):
        return 0.0
    rate = STEP / largest
    forward, back = (entropy_of(logits + sign * rate * direction) for sign in (1, -1))
    return float((forward - back) / (2 * rate))


def paper(logp: Array, advantages: Array, shares: Array) -> float:
    """-Cov(log pi, A) over answers with the given shares: of a group (n_b / G), or of the policy (pi_b)."""
    centred = advantages - shares @ advantages
    return float(-(shares * logp) @ centred)


def drift(logp: Array, advantages: Array, shares: Array) -> float:
    """What a reading of the equation adds in uncentred groups: (m_S - m_F) H = mean(A) H."""
    return float(shares @ advantages * entropy(np.exp(logp), logp))


def exact_natural(logp: Array, advantages: Array, shares: Array) -> float:
    """-Cov(log pi, A) - mean(A) (H - H_shares), H_shares the mean of -log pi over the shares.

    The second term vanishes if the advantages are centred, or if the shares are the policy's.
    """
    surprise = -shares @ logp
    return paper(logp, advantages, shares) - float(shares @ advantages * (entropy(np.exp(logp), logp) - surprise))


def exact_plain(logp: Array, advantages: Array, shares: Array) -> float:
    """-sum_b share_b A_b (e_b - sum_c pi_c e_c) with e_b = pi_b (log pi_b + H)."""
    pi = np.exp(logp)
    e = pi * (logp + entropy(pi, logp))
    return float(-(shares * advantages) @ (e - pi @ e))


EXACT = {"plain": exact_plain, "natural": exact_natural}


def entropy_at(logits: Array, correct: Mask, q: float) -> float:
    """Entropy where expected natural updates have brought the success rate to q: h(q) + q H_correct + (1 - q) H_wrong.

    Such an update moves all correct answers together, so the entropies within the correct and within the wrong answers stay.
    """
    of_right, of_wrong = (entropy_of(logits[mask]) for mask in (correct, ~correct))
    between = -q * np.log(q) - (1 - q) * np.log(1 - q)
    return float(between + q * of_right + (1 - q) * of_wrong)


@dataclass(frozen=True)
class Case:
    """One random policy with one mixed group of answers, or with the expected advantages of all."""

    logits: Array
    advantages: Array
    """[K] by answer."""
    shares: Array
    """[K] of the answers in the group, or their probabilities."""

    def slopes(self, gradient: str) -> dict[str, float]:
        """Measured slope and the three predictions."""
        logp = log_softmax(self.logits)
        parts = logp, self.advantages, self.shares
        pull = self.shares * self.advantages
        return {
            "measured": measured(self.logits, DIRECTIONS[gradient](np.exp(logp), pull)),
            "paper": paper(*parts),
            "with_drift": paper(*parts) + drift(*parts),
            "exact": EXACT[gradient](*parts),
        }


def expected_advantages(acts: Acts, correct: Mask, q: float) -> Array:
    """[K] E[A | the answer]: over the other rollouts of its group."""
    others = binomial(acts.group - 1, q)
    return np.where(correct, others @ acts.right[1:], others @ acts.wrong[:-1])


def cases(acts: Acts, number: int, answers: int, spread: float, seed: int) -> Sequence[tuple[Case, Case]]:
    """(one mixed group, all answers) of `number` random policies; the same policies and draws for every arm."""
    found = []
    for i in range(number):
        draws = generator("theory", "case", seed, i)
        logits = draws.normal(0, spread, answers)
        pi = np.exp(log_softmax(logits))
        correct = np.arange(answers) < draws.integers(1, answers)
        k = 0
        while not 0 < k < acts.group:
            counts = draws.multinomial(acts.group, pi)
            k = int(counts[correct].sum())
        group = Case(logits, np.where(correct, acts.right[k], acts.wrong[k]), counts / acts.group)
        found.append((group, Case(logits, expected_advantages(acts, correct, float(pi[correct].sum())), pi)))
    return found
