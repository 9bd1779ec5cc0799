"""The tabular study: every prompt is a softmax over a few answers, every arm sees the same draws, hundreds of seeds at once.

A seed has its own prompts and its own draws; the uniform behind a sample is a function of (seed, step, prompt, sample). Arms
train at one learning rate, one update per group, and are read off where the mean success of a seed's prompts crosses given
rates: between two steps linearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from asymgrpo.seeds import generator
from asymgrpo.theory.acts import Acts, Array
from asymgrpo.theory.policy import DIRECTIONS, entropy, entropy_pull, log_softmax, over_answers, sample_counts
from asymgrpo.theory.weight import weight

UPDATES = ("sampled", "expected")
"""sampled: the update of drawn groups; expected: its expectation, s(q) grad q, so that only the weights of prompts are left."""


@dataclass
class Draws:
    """The uniforms of all seeds, made once for all arms."""

    seeds: Sequence[int]
    prompts: int
    group: int
    made: list[Array] = field(default_factory=list)

    def of_step(self, step: int) -> Array:
        """[seeds, prompts, G] in [0, 1): row (s, x) and column i depend on (seed, step, prompt, sample) alone."""
        while len(self.made) <= step:
            now = len(self.made)
            drawn = [generator("theory", "draw", seed, now).random((self.prompts, self.group)) for seed in self.seeds]
            self.made.append(np.stack(drawn))
        return self.made[step]


@dataclass(frozen=True)
class Prompts:
    """The prompts of all seeds before training."""

    logits: Array
    """[seeds, prompts, K]."""
    correct: Array
    """[seeds, prompts, K]: 1 for a correct answer, 0 for a wrong one."""


def make_prompts(seeds: Sequence[int], prompts: int, answers: int, most_correct: int, spread: float) -> Prompts:
    """Normal logits with standard deviation `spread`; 1 to most_correct answers of a prompt are correct, each as likely."""
    logits, correct = [], []
    for seed in seeds:
        draws = generator("theory", "prompts", seed)
        logits.append(draws.normal(0, spread, (prompts, answers)))
        correct.append(np.arange(answers) < draws.integers(1, most_correct + 1, (prompts, 1)))
    return Prompts(np.stack(logits), np.stack(correct).astype(float))


def measure(pi: Array, logp: Array, correct: Array, k: Sequence[int], group: int) -> dict[str, Array]:
    """[seeds] means over prompts: success, entropy (nats), exact pass@k, and how probable a group without a correct answer is."""
    q = over_answers(pi, correct)
    found = {"success": q.mean(-1), "entropy": entropy(pi, logp).mean(-1)}
    found |= {f"pass@{n}": (1 - (1 - q) ** n).mean(-1) for n in k}
    return found | {"unsolved": ((1 - q) ** group).mean(-1)}


def pull_of(acts: Acts, pi: Array, correct: Array, uniforms: Array | None) -> Array:
    """[..., K] advantages by answer over G: of the groups that the uniforms draw, or expected (None)."""
    if uniforms is None:  # pi_b times a baseline would change nothing: s(q) on correct answers, 0 on wrong ones
        q = over_answers(pi, correct)
        return weight(acts, q)[..., None] * pi * correct
    counts = sample_counts(pi, uniforms)
    k = over_answers(counts, correct).astype(int)
    of_answer = acts.wrong[k][..., None] + correct * (acts.right[k] - acts.wrong[k])[..., None]
    found: Array = counts * of_answer / acts.group
    return found


@dataclass(frozen=True)
class Crossing:
    """All seeds where their mean success crosses a rate; NaN for a seed that did not within the steps."""

    success: float
    values: dict[str, Array]
    """Quantity -> [seeds]; `steps` are updates until then."""


def train(
    acts: Acts,
    prompts: Prompts,
    draws: Draws | None,
    gradient: str,
    learning_rate: float,
    rates: Sequence[float],
    max_steps: int,
    k: Sequence[int],
) -> list[Crossing]:
    """Train one arm until every seed has crossed the highest of the success `rates`; draws = None takes expected updates."""
    logits, correct = prompts.logits.copy(), prompts.correct
    before: dict[str, Array] = {}
    found = [Crossing(rate, {}) for rate in rates]
    for step in range(max_steps + 1):
        logp = log_softmax(logits)
        pi = np.exp(logp)
        now = measure(pi, logp, correct, k, acts.group) | {"steps": np.full(len(pi), float(step))}
        for crossing in found:
            _note(crossing, before or now, now)
        if all(not np.isnan(crossing.values["steps"]).any() for crossing in found):
            break
        pull = pull_of(acts, pi, correct, draws.of_step(step) if draws else None)
        if acts.bonus:
            pull = pull + acts.bonus * entropy_pull(pi, logp)
        logits += learning_rate * DIRECTIONS[gradient](pi, pull)
        before = now
    return found


def _note(crossing: Crossing, before: dict[str, Array], now: dict[str, Array]) -> None:
    """Fill in the seeds that cross between two steps; one that starts above the rate counts as crossing at once."""
    for name, values in now.items():
        crossing.values.setdefault(name, np.full(len(values), np.nan))
    new = np.isnan(crossing.values["steps"]) & (now["success"] >= crossing.success)
    gained = now["success"] - before["success"]
    part = np.where(gained > 0, (crossing.success - before["success"]) / np.where(gained > 0, gained, 1), 1.0)
    for name, values in now.items():
        between = before[name] + part * (values - before[name])
        crossing.values[name][new] = between[new]
