"""What an arm does to one group, as numbers: the advantage of a correct and of a wrong rollout by how many are correct."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asymgrpo.method.arm import Arm
from asymgrpo.method.arms import differences

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
UNDERSTOOD = {"advantage", "reduction", "clip_low", "clip_high", "dual_clip", "entropy_coef"}
"""Fields in which an arm may differ from GRPO to be in the theory. With one update per group every ratio is 1, so no bound acts,
and an answer is one token, so that all reductions are one."""


@dataclass(frozen=True)
class Acts:
    """The advantages of a group by its number of correct rollouts, and the weight of the entropy bonus."""

    right: Array
    """[G + 1] of a correct rollout; 0 where none is correct."""
    wrong: Array
    """[G + 1] of a wrong rollout; 0 where all are correct."""
    bonus: float = 0.0
    """Weight of the entropy bonus, in units of advantage per nat."""

    @property
    def group(self) -> int:
        """G, rollouts per group."""
        return len(self.right) - 1

    @property
    def sums(self) -> Array:
        """[G + 1] sums of a group's advantages."""
        k = np.arange(self.group + 1)
        return k * self.right + (self.group - k) * self.wrong

    @property
    def centred(self) -> bool:
        """Whether the advantages of every group sum to zero."""
        return bool(np.allclose(self.sums, 0, atol=1e-12))

    def same_as(self, other: Acts) -> bool:
        """Whether no group tells the two apart."""
        mine, theirs = (np.concatenate([a.right, a.wrong, [a.bonus]]) for a in (self, other))
        return bool(np.allclose(mine, theirs, rtol=1e-12, atol=1e-12))


def acts_of(arm: Arm, group: int) -> Acts | None:
    """What an arm does to groups of `group` rollouts; None if it cannot have them, or if that is not a matter of the group alone.

    >>> from asymgrpo.method.arms import get_arm
    >>> acts_of(get_arm("reinforce"), 4).right.tolist(), acts_of(get_arm("random_reward"), 4)
    ([0.0, 1.0, 1.0, 1.0, 1.0], None)
    """
    import torch

    from asymgrpo.method.advantages import RewardError

    if differences(arm).keys() - UNDERSTOOD:
        return None
    rewards = torch.tril(torch.ones(group + 1, group, dtype=torch.float64), diagonal=-1)
    try:
        together = arm.estimate(rewards).numpy()
        alone = np.concatenate([arm.estimate(row[None]).numpy() for row in rewards])
    except RewardError:
        return None
    correct = rewards.numpy() == 1
    right, wrong = (np.where(mask, together, 0.0).sum(1) / np.maximum(mask.sum(1), 1) for mask in (correct, ~correct))
    of_sign = np.where(correct, right[:, None], wrong[:, None])
    if not (np.allclose(alone, together) and np.allclose(of_sign, together)):
        return None  # an advantage that looks at other groups, or at more than a rollout's own reward
    return Acts(right, wrong, arm.entropy_coef)


def told_apart(arms: Mapping[str, Arm], group: int) -> tuple[dict[str, Acts], dict[str, str]]:
    """(the arms that act differently, every arm of the theory -> the first one that acts as it does).

    >>> from asymgrpo.method.arms import ARMS
    >>> told_apart(ARMS, 8)[1]["grpo_clip_higher"]
    'grpo'
    """
    found: dict[str, Acts] = {}
    like: dict[str, str] = {}
    for name, arm in arms.items():
        if (acts := acts_of(arm, group)) is None:
            continue
        like[name] = next((other for other, known in found.items() if acts.same_as(known)), name)
        found.setdefault(like[name], acts)
    return found, like
