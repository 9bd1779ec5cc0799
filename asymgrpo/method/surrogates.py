"""Surrogates in place of the clipped one of `asymgrpo.method.losses`: per-token losses [B, T], to be reduced like any other.

Rows are whole responses: GSPO, GMPO and the off-policy mask take a mean over the tokens of a row, so that a batch may be cut
between rows only. mask [B, T] is true on the tokens that train. Names, signs and clamps are those of losses.py. Each function
returns the loss and, without gradient, where its lower and its upper bound act (bool).
"""

from __future__ import annotations

import torch
from torch import Tensor

from asymgrpo.method.losses import LOG_RATIO_LIMIT, clipped, policy_loss, ratio

Loss = tuple[Tensor, Tensor, Tensor]
"""Loss, where the lower bound acts, where the upper bound acts: [B, T] each."""


def gspo(logp: Tensor, logp_old: Tensor, advantages: Tensor, mask: Tensor, clip_low: float, clip_high: float) -> Loss:
    """GSPO: the clipped surrogate of the sequence's ratio s = exp(mean over its tokens of log r), at each of its tokens.

    Reduced by `sequence` it is -min(s A, clip(s) A), mean over sequences. Source: arXiv:2507.18071.

    >>> logp, old, mask = torch.tensor([[0.0, -1.0]]), torch.tensor([[-1.0, -1.0]]), torch.tensor([[True, True]])
    >>> gspo(logp, old, torch.tensor([[1.0]]), mask, clip_low=0.2, clip_high=10.0)[0]  # s = exp(0.5)
    tensor([[-1.6487, -1.6487]])
    """
    s = _row_mean((logp - logp_old).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT), mask)
    args = (s, torch.zeros_like(s), advantages[:, :1], clip_low, clip_high)
    low, high = clipped(*args)
    loss = policy_loss(*args)
    return loss.expand_as(logp), low.expand_as(logp), high.expand_as(logp)


def gmpo(logp: Tensor, logp_old: Tensor, advantages: Tensor, mask: Tensor, log_clip: float) -> Loss:
    """GMPO: -A times the geometric mean of the sequence's token ratios, each clipped at exp(log_clip) if A > 0, else from below.

    Source: arXiv:2507.20673 (log_clip 0.4).

    >>> logp, old, mask = torch.tensor([[0.0, -1.0]]), torch.tensor([[-1.0, -1.0]]), torch.tensor([[True, True]])
    >>> gmpo(logp, old, torch.tensor([[1.0]]), mask, log_clip=0.4)[0]  # exp((0.4 + 0) / 2)
    tensor([[-1.2214, -1.2214]])
    """
    log_ratio = (logp - logp_old).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    bounded = torch.where(advantages > 0, log_ratio.clamp(max=log_clip), log_ratio.clamp(min=-log_clip))
    loss = -advantages * _row_mean(bounded, mask).exp()
    moved = log_ratio.detach()
    return loss.expand_as(logp), (advantages < 0) & (moved < -log_clip), (advantages > 0) & (moved > log_clip)


def cispo(logp: Tensor, logp_old: Tensor, advantages: Tensor, cap: float) -> Loss:
    """CISPO: -A w log pi with the weight w = min(r, cap), no gradient through w: every token keeps one.

    Source: arXiv:2506.13585; cap 5 after ScaleRL, arXiv:2510.13786.

    >>> logp = torch.tensor([[-1.0]], requires_grad=True)
    >>> loss, *_ = cispo(logp, torch.tensor([[-4.0]]), torch.tensor([[1.0]]), cap=5.0)
    >>> torch.autograd.grad(loss.sum(), logp)
    (tensor([[-5.]]),)
    """
    r = ratio(logp.detach(), logp_old)
    return -advantages * r.clamp(max=cap) * logp, torch.zeros_like(r, dtype=torch.bool), r > cap


def sapo(logp: Tensor, logp_old: Tensor, advantages: Tensor, tau_pos: float, tau_neg: float) -> Loss:
    """SAPO: -A (4 / tau) sigmoid(tau (r - 1)), a gate without a bound; tau by the sign of A. Its slope at r = 1 is that of r.

    Source: arXiv:2511.20347 (1.0 and 1.05).

    >>> sapo(torch.tensor([[0.0]]), torch.tensor([[0.0]]), torch.tensor([[1.0]]), tau_pos=1.0, tau_neg=1.05)[0]
    tensor([[-2.]])
    """
    r = ratio(logp, logp_old)
    tau = torch.where(advantages > 0, r.new_tensor(tau_pos), r.new_tensor(tau_neg))
    nowhere = torch.zeros_like(r, dtype=torch.bool)
    return -advantages * torch.sigmoid(tau * (r - 1)) * (4 / tau), nowhere, nowhere


def dppo_tv(logp: Tensor, logp_old: Tensor, advantages: Tensor, delta: float, cap: float) -> Loss:
    """DPPO-TV: -A min(r, cap) log pi without the tokens whose pi - pi_old passed delta in A's direction; no gradient through r.

    Source: arXiv:2602.04879 (cap 20).

    >>> logp = torch.tensor([[-0.1, -0.1]])
    >>> dppo_tv(logp, torch.tensor([[-0.1, -2.0]]), torch.tensor([[1.0, 1.0]]), delta=0.2, cap=20.0)[0]
    tensor([[0.1000, 0.0000]])
    """
    r = ratio(logp.detach(), logp_old)
    moved = logp.detach().exp() - logp_old.exp()
    low, high = (advantages < 0) & (moved < -delta), (advantages > 0) & (moved > delta)
    return torch.where(low | high, 0.0, -advantages * r.clamp(max=cap) * logp), low, high


def off_policy(logp: Tensor, logp_old: Tensor, advantages: Tensor, mask: Tensor, delta: float) -> Tensor:
    """[B, T] bool: the sequences with A < 0 whose mean log(pi_old / pi) is above delta; they get no policy gradient.

    Source: arXiv:2512.02556 (delta 0.5).

    >>> old, mask = torch.tensor([[-1.0]]), torch.tensor([[True]])
    >>> [off_policy(torch.tensor([[-2.0]]), old, torch.tensor([[a]]), mask, delta=0.5).item() for a in (-1.0, 1.0)]
    [True, False]
    """
    far = _row_mean(logp_old - logp.detach(), mask) > delta
    return (far & (advantages < 0)).expand_as(logp)


def masked_weights(logp_old: Tensor, logp_sampler: Tensor, low: float, high: float) -> Tensor:
    """The weight pi_old / pi_sampler, and 0 where it is outside [low, high]; detached. `losses.tis_weights` truncates instead.

    Source: IcePop, arXiv:2510.18855.

    >>> masked_weights(torch.tensor([0.0, 0.0]), torch.tensor([-0.5, -5.0]), low=0.5, high=2.0)
    tensor([1.6487, 0.0000])
    """
    w = ratio(logp_old.detach(), logp_sampler.detach())
    return torch.where((w >= low) & (w <= high), w, 0.0)


def _row_mean(values: Tensor, mask: Tensor) -> Tensor:
    """[B, 1]: mean over the tokens of each row that the mask has; 0 of a row without any."""
    mask = mask.to(torch.bool)
    total = torch.where(mask, values, 0.0).sum(dim=1, keepdim=True)
    return total / mask.sum(dim=1, keepdim=True).clamp(min=1)
