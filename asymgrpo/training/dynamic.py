"""Dynamic sampling (DAPO, arXiv:2503.14476): groups without a signal are drawn again, from other prompts.

The extra draws are functions of (run, step, attempt, place in the step, sample), so that no interruption and no number of ranks
changes them. What was thrown away is charged to the arm: `sampled_tokens` of its metrics, and the tokens of its timings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from asymgrpo.rollout import Rollout
from asymgrpo.seeds import derive


@dataclass(frozen=True)
class Problem:
    problem_id: str
    prompt_ids: tuple[int, ...]
    answer: str
    occurrence: int = 0
    """How often the step has drawn this problem before, over all ranks and updates: its samples continue the count."""
    extra: tuple[int, ...] = ()
    """(attempt, place in the step) of a prompt that was drawn in place of another; empty of a first draw."""


@dataclass
class Drawn:
    """What one rank sampled in a step: a group for each of its places."""

    problems: list[Problem]
    groups: list[list[Rollout]]
    verdicts: np.ndarray
    """[prompts, G]"""
    rewards: Tensor
    """[prompts, G]"""
    sampled_tokens: int = 0
    """Response tokens, those of groups that were thrown away included."""
    sampled_groups: int = 0

    def count(self, groups: Sequence[Sequence[Rollout]]) -> None:
        self.sampled_groups += len(groups)
        self.sampled_tokens += sum(len(rollout.response_ids) for group in groups for rollout in group)


Sample = Callable[[Sequence[Problem]], tuple[list[list[Rollout]], np.ndarray, Tensor]]
"""Problems -> their groups, verdicts and rewards."""


def refill(drawn: Drawn, attempts: int, extra: Callable[[int, int], Problem], sample: Sample) -> None:
    """Replace groups whose rewards are all equal, up to `attempts` times each; the last one drawn stays, whatever it is.

    extra: (attempt, place on this rank) -> the prompt to be drawn there.
    """
    for attempt in range(1, attempts + 1):
        dull = (drawn.rewards == drawn.rewards[:, :1]).all(dim=1).nonzero().flatten().tolist()
        if not dull:
            return
        problems = [extra(attempt, place) for place in dull]
        groups, verdicts, rewards = sample(problems)
        drawn.count(groups)
        for i, place in enumerate(dull):
            drawn.problems[place], drawn.groups[place] = problems[i], groups[i]
            drawn.verdicts[place], drawn.rewards[place] = verdicts[i], rewards[i]


def extra_index(run_seed: int, step: int, attempt: int, place: int, n_problems: int) -> int:
    """The problem that the attempt draws for a place of the step."""
    return derive("extra prompt", run_seed, step, attempt, place) % n_problems
