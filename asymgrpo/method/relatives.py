"""Advantages of other papers, on the same plane of group accuracy and sign: conventions as in `asymgrpo.method.advantages`.

An estimator that looks beyond its own group takes `batch`: the rewards of all prompts of the step, over all ranks
[all prompts, group]. The trainer gathers them once; no estimator knows of ranks.
"""

from __future__ import annotations

from math import comb

import torch
from torch import Tensor

from asymgrpo.method.advantages import Degenerate, asymmetric, group_standardized
from asymgrpo.method.rewards import all_equal, at_least, binary, finite, like


def pass_at_k(rewards: Tensor, k: int) -> Tensor:
    """Pass@k training: the standardised advantage of a rollout when the reward is that of a draw of k rollouts.

        R = 1 - C(G - c, k) / C(G, k), s = sqrt(R (1 - R)), c correct rollouts of G
        A of a correct rollout = (1 - R) / s      of a wrong one = (1 - R - C(G - c - 1, k - 1) / C(G - 1, k - 1)) / s

    Binary rewards only, 1 <= k <= G. k = 1 is GRPO with the population standard deviation. Where every draw of k
    holds a correct rollout (G - c < k), or none does, s is 0 and so is the advantage.

    Source: arXiv:2508.10751, the analytical derivation.

    >>> pass_at_k(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), k=2)
    tensor([[ 1.0000, -0.3333, -0.3333, -0.3333]])
    """
    correct = binary(rewards, "pass_at_k")
    at_least(correct, k, f"pass_at_k with k = {k}")
    group = correct.shape[1]
    table = torch.tensor(
        [_pass_at_k(group, c, k) for c in range(group + 1)], dtype=torch.float64, device=rewards.device
    )
    of_row = table[correct.sum(dim=1)]
    return like(rewards, torch.where(correct, of_row[:, :1], of_row[:, 1:]))


def _pass_at_k(group: int, c: int, k: int) -> tuple[float, float]:
    """The advantage of a correct and of a wrong rollout of a group with c correct ones."""
    fails, draws = comb(group - c, k), comb(group, k)
    if fails in (0, draws):
        return 0.0, 0.0
    std = (fails * (draws - fails)) ** 0.5 / draws
    miss = fails / draws
    return miss / std, (miss - comb(group - c - 1, k - 1) / comb(group - 1, k - 1)) / std


def quantile_baseline(rewards: Tensor, quantile: float) -> Tensor:
    """QAE: (r - quantile of the group's rewards) / population std of the group, 0 < quantile < 1.

    Binary rewards only. The baseline is the smallest reward that at least `quantile` of the group do not exceed. So a
    hard group (p <= 1 - quantile) raises its correct rollouts and leaves the wrong ones alone; an easy group lowers its
    wrong ones and leaves the correct ones alone. Degenerate groups give 0. The division by the std is ours, after
    GRPO: the published scale could not be read. Source: arXiv:2509.22611.

    >>> quantile_baseline(torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]]), quantile=0.4).round(decimals=3)
    tensor([[ 2.3090,  0.0000,  0.0000,  0.0000],
            [ 0.0000,  0.0000,  0.0000, -2.3090]])
    """
    correct = binary(rewards, "quantile_baseline").to(torch.float64)
    p = correct.mean(dim=1, keepdim=True)
    wrong = (1 - correct).sum(dim=1, keepdim=True)
    easy = (wrong < quantile * correct.shape[1] - 1e-9).to(torch.float64)  # the baseline
    equal = all_equal(correct)
    std = torch.where(equal, 1.0, (p * (1 - p)).sqrt())
    return like(rewards, torch.where(equal, 0.0, (correct - easy) / std))


def batch_standardized(rewards: Tensor, batch: Tensor, ddof: int, eps: float) -> Tensor:
    """Lite-PPO: (r - group mean) / (std over the rewards of the whole batch + eps), divisor of the variance n - ddof.

    Any finite rewards. All-equal groups give exactly 0, and so does a batch of equal rewards. Source: arXiv:2508.08221.

    >>> groups = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    >>> batch_standardized(groups, groups, ddof=0, eps=0.0).round(decimals=4)
    tensor([[ 1.1547, -1.1547],
            [ 0.0000,  0.0000]])
    """
    values, every = finite(rewards), finite(batch)
    centred = values - values.mean(dim=1, keepdim=True)
    std = every.std(correction=ddof)
    return like(rewards, torch.where(all_equal(values), 0.0, centred / (std + eps)))


def a_grae(rewards: Tensor, batch: Tensor, alpha: float, ddof: int, eps: float) -> Tensor:
    """A-GRAE: GRPO's advantage, weighted towards hard groups as the batch's mean accuracy m grows.

        hard = a / (2 (sqrt(p) + eps))        easy = a / (2 (1 - sqrt(p) + eps))        a = `group_standardized`
        A = (1 - m) easy + m hard, times min(1, m / alpha) where A > 0

    Binary rewards only; degenerate groups give 0. Source: arXiv:2602.05548 and its code (there ddof = 1, eps = 1e-6,
    alpha = 1).

    >>> groups = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]])
    >>> a_grae(groups, groups, alpha=1.0, ddof=0, eps=0.0)[0]
    tensor([ 0.8660, -0.5774, -0.5774, -0.5774])
    """
    correct = binary(rewards, "a_grae")
    a = group_standardized(correct.to(torch.float64), ddof, eps)
    equal = all_equal(correct)
    root = torch.where(equal, 0.25, correct.to(torch.float64).mean(dim=1, keepdim=True)).sqrt()
    m = binary(batch, "a_grae").to(torch.float64).mean()
    weighted = (1 - m) * a / (2 * (1 - root + eps)) + m * a / (2 * (root + eps))
    return like(rewards, torch.where(weighted > 0, weighted * (m / alpha).clamp(max=1.0), weighted))


def grpo_scaled(rewards: Tensor, batch: Tensor, beta_pos: float, beta_neg: float, degenerate: Degenerate) -> Tensor:
    """GRPO's advantages times one factor, so that their mean |A| over the batch is that of `asymmetric` on the same rewards.

    Binary rewards only. The direction is GRPO's, the size of the step AsymGRPO's: a control that tells one from the
    other. A batch without a mixed group has factor 1: GRPO gives 0 there. Ours.

    >>> group = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    >>> ours, theirs = grpo_scaled(group, group, 0.9, 0.4, "limit"), asymmetric(group, 0.9, 0.4)
    >>> torch.isclose(ours.abs().mean(), theirs.abs().mean()), round((ours / group_standardized(group, 0, 0.0))[0, 0].item(), 4)
    (tensor(True), 1.334)
    """
    every = binary(batch, "grpo_scaled").to(torch.float64)
    ours = group_standardized(every, ddof=0, eps=0.0).abs().mean()
    theirs = asymmetric(every, beta_pos, beta_neg, degenerate).abs().mean()
    factor = torch.where(ours > 0, theirs / ours.clamp(min=1e-300), 1.0)
    return like(rewards, factor * group_standardized(binary(rewards, "grpo_scaled").to(torch.float64), ddof=0, eps=0.0))
