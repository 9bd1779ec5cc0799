"""Advantages: rewards [prompts, group] -> advantages of the same shape. Rows are prompts, columns rollouts.

Notation (arXiv:2604.04894): G rollouts per prompt, p = (number correct) / G the group accuracy. A group with
p = 0 or p = 1 is called *degenerate*; every estimator says what it gives there, and none relies on an epsilon
for it.

Conventions shared by all: computed in float64 and returned in the dtype of the rewards (float64 when these
are not floating); no gradient flows; no state. An estimator that needs binary rewards refuses any other with
`RewardError`. Estimators of other papers, some of which look at the whole batch: `asymgrpo.method.relatives`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from asymgrpo.method.rewards import RewardError, all_equal, at_least, binary, finite, like
from asymgrpo.seeds import uniforms

Degenerate = Literal["limit", "zero"]


def asymmetric(rewards: Tensor, beta_pos: float, beta_neg: float, degenerate: Degenerate = "limit") -> Tensor:
    """The paper's parametric family with one exponent for each sign (AsymGRPO).

        A_pos(p) = ((1 - p) / p) ** beta_pos      on correct rollouts (reward 1)
        A_neg(p) = -(p / (1 - p)) ** beta_neg     on wrong rollouts (reward 0)

    Binary rewards only. (0.5, 0.5) is GRPO: `group_standardized(rewards, ddof=0, eps=0)`. (0, 0) is
    `reinforce`.

    A degenerate group has rollouts of one sign only, whose base is 0, so the value is 0 ** beta:
      beta > 0: 0, the limit of the formula; beta < 0: the formula diverges; defined as 0; beta = 0:
      `degenerate="limit"` reads 0 ** 0 as 1, so the group carries +1 or -1 (our reading of the paper:
      REINFORCE has fixed advantages); `degenerate="zero"` gives 0, so that no degenerate group ever carries
      signal.
    Thus positive-only (0.5, 0) under "limit" still lowers all-wrong groups with advantage -1.

    Source: arXiv:2604.04894, the parametric advantage and its asymmetric form.

    >>> asymmetric(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), beta_pos=1.0, beta_neg=0.5)
    tensor([[ 3.0000, -0.5774, -0.5774, -0.5774]])
    >>> all_wrong = torch.tensor([[0.0, 0.0]])
    >>> asymmetric(all_wrong, 0.5, 0.0), asymmetric(all_wrong, 0.5, 0.0, degenerate="zero")
    (tensor([[-1., -1.]]), tensor([[0., 0.]]))
    """
    if degenerate not in ("limit", "zero"):
        raise ValueError(f"degenerate = {degenerate!r} is unknown; use 'limit' (0 ** 0 = 1) or 'zero'.")
    correct = binary(rewards, "asymmetric")
    n_correct = correct.sum(dim=1, keepdim=True, dtype=torch.float64)
    n_wrong = correct.shape[1] - n_correct
    mixed = (n_correct > 0) & (n_wrong > 0)
    odds = torch.where(mixed, n_wrong / n_correct.clamp(min=1), 1.0)  # of being wrong: (1 - p) / p
    positive = torch.where(mixed, odds**beta_pos, float(beta_pos == 0 and degenerate == "limit"))
    negative = torch.where(mixed, odds**-beta_neg, float(beta_neg == 0 and degenerate == "limit"))
    return like(rewards, torch.where(correct, positive, 0.0 - negative))


def reinforce(rewards: Tensor) -> Tensor:
    """REINFORCE with fixed advantages: +1 on correct, -1 on wrong rollouts, in degenerate groups too.

    Binary rewards only. Equals `asymmetric(rewards, 0, 0)`. Source: arXiv:2604.04894, beta = 0.

    >>> reinforce(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    tensor([[ 1., -1.],
            [ 1.,  1.]])
    """
    return w_reinforce(rewards, positive_weight=1.0)


def w_reinforce(rewards: Tensor, positive_weight: float, negative_weight: float = 1.0) -> Tensor:
    """W-REINFORCE: +positive_weight on correct, -negative_weight on wrong rollouts, in degenerate groups too.

    Binary rewards only. (1, 0) is positive-sample reinforcement (PSR), (0, 1) negative-sample reinforcement (NSR).
    Source: arXiv:2506.01347 (its lambda is our `positive_weight`; it recommends 0.1).

    >>> w_reinforce(torch.tensor([[1.0, 0.0]]), positive_weight=0.1)
    tensor([[ 0.1000, -1.0000]])
    """
    correct = binary(rewards, "w_reinforce")
    weight = torch.tensor(positive_weight, dtype=torch.float64, device=rewards.device)
    return like(rewards, torch.where(correct, weight, 0.0 - negative_weight))


def group_standardized(rewards: Tensor, ddof: int, eps: float) -> Tensor:
    """GRPO: (r - mean) / (std + eps) within each group, std with divisor G - ddof (0: population, 1: sample).

    Any finite rewards. A group whose rewards are all equal gives exactly 0. ddof = 1 only scales the result
    of ddof = 0 by sqrt((G - 1) / G). Raises RewardError when G <= ddof. Source: arXiv:2402.03300, section
    4.1.2.

    >>> group_standardized(torch.tensor([[1.0, 1.0, 0.0, 0.0]]), ddof=0, eps=0.0)
    tensor([[ 1.,  1., -1., -1.]])
    """
    values = finite(rewards)
    at_least(values, ddof + 1, f"group_standardized with ddof = {ddof}")
    centred = values - values.mean(dim=1, keepdim=True)
    std = (centred.square().sum(dim=1, keepdim=True) / (values.shape[1] - ddof)).sqrt()
    equal = all_equal(values)
    return like(rewards, torch.where(equal, 0.0, centred / torch.where(equal, 1.0, std + eps)))


def mean_centered(rewards: Tensor) -> Tensor:
    """Dr.GRPO: r - mean of the group, no scaling. Any finite rewards; all-equal groups give exactly 0.

    Source: arXiv:2503.20783 (its other half, the constant length, is `reduce(mode="constant")`).

    >>> mean_centered(torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    tensor([[ 0.7500, -0.2500, -0.2500, -0.2500]])
    """
    values = finite(rewards)
    return like(rewards, torch.where(all_equal(values), 0.0, values - values.mean(dim=1, keepdim=True)))


def leave_one_out(rewards: Tensor) -> Tensor:
    """RLOO: r - mean of the *other* rollouts of the group = G / (G - 1) times `mean_centered`.

    Any finite rewards, G >= 2; all-equal groups give exactly 0. Source: arXiv:2402.14740.

    >>> leave_one_out(torch.tensor([[1.0, 0.0, 0.0]]))
    tensor([[ 1.0000, -0.5000, -0.5000]])
    """
    values = finite(rewards)
    at_least(values, 2, "leave_one_out")
    others = (values.sum(dim=1, keepdim=True) - values) / (values.shape[1] - 1)
    return like(rewards, torch.where(all_equal(values), 0.0, values - others))


def random_rewards(rewards: Tensor, seeds: Sequence[int]) -> Tensor:
    """Control: a fair coin per rollout in place of its reward (of which only shape and dtype are used).

    Row i is a function of seeds[i] alone (counter-based), hence the same for any batching, rank or
    resumption: derive one seed per (run, step, prompt). Raises RewardError unless there is one seed per
    prompt.

    >>> coins = random_rewards(torch.zeros(2, 8), seeds=[11, 12])
    >>> bool((coins[1:] == random_rewards(torch.ones(1, 8), seeds=[12])).all())
    True
    """
    if len(seeds) != rewards.shape[0]:
        raise RewardError(f"random_rewards got {len(seeds)} seeds for {rewards.shape[0]} prompts; pass one for each.")
    coins = uniforms(seeds, rewards.shape[1]) < 0.5
    return like(rewards, torch.from_numpy(coins.astype(np.float64)).to(rewards.device))
