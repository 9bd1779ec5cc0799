"""Per-token losses, elementwise in tensors of one shape, [tokens] or [B, T]; `reduce` sums and divides.

Sign: a loss is minimised. Ratio: r = pi(y_t) / pi_old(y_t), pi_old the trainer's own policy when the rollout
began. Logarithms are natural; log-probabilities and entropies are at the sampling temperature
(`asymgrpo.method.logprobs`).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from asymgrpo.seeds import uniforms

LOG_RATIO_LIMIT = 20.0
"""Log-ratios are clamped to +-20 before exp, so that a broken token gives a huge number, not an infinity."""


def ratio(logp: Tensor, logp_old: Tensor) -> Tensor:
    """exp(logp - logp_old) with the log-ratio clamped to +-LOG_RATIO_LIMIT (no gradient beyond it)."""
    return (logp - logp_old).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def policy_loss(logp: Tensor, logp_old: Tensor, advantages: Tensor, clip_low: float, clip_high: float) -> Tensor:
    """The clipped surrogate of PPO with a bound for each side, per token.

        loss = -min(r A, clip(r, 1 - clip_low, 1 + clip_high) A)

    written as what it does: A > 0 only ever meets the upper bound, A < 0 only the lower one. `advantages` has
    the shape of logp or broadcasts to it ([B, 1] for [B, T]). clip_high > clip_low is Clip-higher. Sources:
    arXiv:1707.06347 eq. 7; arXiv:2503.14476 (separate bounds).

    >>> logp, old = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.25, 0.25]).log()  # r = 2
    >>> policy_loss(logp, old, torch.tensor([1.0, -1.0]), clip_low=0.2, clip_high=0.28)
    tensor([-1.2800,  2.0000])
    """
    r = ratio(logp, logp_old)
    pessimistic = torch.where(advantages > 0, r.clamp(max=1 + clip_high), r.clamp(min=1 - clip_low))
    return -advantages * pessimistic


def clipped(
    logp: Tensor, logp_old: Tensor, advantages: Tensor, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """(low, high): bool per token, where a bound of `policy_loss` acts, so that the token has no gradient."""
    r = ratio(logp.detach(), logp_old)
    return (advantages < 0) & (r < 1 - clip_low), (advantages > 0) & (r > 1 + clip_high)


def dual_clip(loss: Tensor, advantages: Tensor, cap: float) -> Tensor:
    """Bounds the policy loss of tokens with A < 0 from above by -cap A, cap > 1.

    Source: arXiv:1912.09729.

    >>> dual_clip(torch.tensor([9.0, 9.0]), torch.tensor([-1.0, 1.0]), cap=3.0)
    tensor([3., 9.])
    """
    return torch.where(advantages < 0, torch.minimum(loss, -cap * advantages), loss)


def k1_kl(logp: Tensor, logp_ref: Tensor) -> Tensor:
    """k1 = logp - logp_ref: unbiased for KL(pi || ref) over samples of pi, of either sign; for measuring."""
    return logp - logp_ref


def k3_kl(logp: Tensor, logp_ref: Tensor) -> Tensor:
    """k3 = exp(d) - d - 1 with d = logp_ref - logp, clamped to +-LOG_RATIO_LIMIT; never negative.

    Unbiased for KL(pi || ref) over samples of pi. Minimised over samples of pi, its gradient is that of
    KL(ref || pi). Source: Schulman, "Approximating KL divergence" (2020); arXiv:2402.03300, eq. 4.

    >>> k3_kl(torch.tensor([0.0]), torch.tensor([0.0]))
    tensor([0.])
    """
    d = (logp_ref - logp).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return torch.expm1(d) - d


def tis_weights(logp_old: Tensor, logp_sampler: Tensor, cap: float) -> Tensor:
    """Truncated importance weights min(pi_old / pi_sampler, cap), detached; they multiply the policy loss.

    They correct for a sampler (another engine, other kernels) whose probabilities are not the trainer's.
    Truncated from above only. Source: Ionides (2008), "Truncated importance sampling".

    >>> tis_weights(torch.tensor([0.0, 0.0]), torch.tensor([0.0, -5.0]), cap=2.0)
    tensor([1., 2.])
    """
    return ratio(logp_old.detach(), logp_sampler.detach()).clamp(max=cap)


def entropy_bonus(entropy: Tensor, coef: float | Tensor) -> Tensor:
    """-coef * H per token: reduced by the same mode as the policy loss."""
    return -coef * entropy


def next_entropy_coef(coef: float, entropy: float, target: float, delta: float, low: float, high: float) -> float:
    """The adaptive coefficient after a step of mean entropy `entropy`, nats: +delta below target, else -delta

    Kept in [low, high]; the state of the controller is this one number. Source: Skywork-OR1,
    arXiv:2505.22312.

    >>> next_entropy_coef(0.0, entropy=0.1, target=0.2, delta=0.005, low=0.0, high=1.0)
    0.005

    Raises:
        ValueError: the entropy is not finite; it would pass for one above the target.
    """
    _need_finite(entropy)
    return min(max(coef + (delta if entropy < target else -delta), low), high)


def active_entropy_coef(coef: float, entropy: float, target: float) -> float:
    """What an update uses of the adaptive coefficient: all of it while entropy <= target, 0 above.

    Source: Skywork-OR1, arXiv:2505.22312.

    Raises:
        ValueError: the entropy is not finite; it would pass for one above the target.
    """
    _need_finite(entropy)
    return coef if entropy <= target else 0.0


def _need_finite(entropy: float) -> None:
    if not math.isfinite(entropy):
        raise ValueError(f"the mean entropy is {entropy}; a controller of the entropy needs a finite one.")


def token_covariance(logp: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """[B, T]: (logp - mean logp)(A - mean A), a token's part of Cov(log pi, A); means over the masked tokens.

    0 outside the mask; no gradient. A high value marks a token whose update lowers entropy fastest.
    Source: arXiv:2505.22617.
    """
    mask = mask.to(torch.bool)
    n_tokens = mask.sum().clamp(min=1)
    values = [torch.where(mask, x.detach().expand(mask.shape), 0.0) for x in (logp, advantages)]
    centred = [torch.where(mask, x - x.sum() / n_tokens, 0.0) for x in values]
    return centred[0] * centred[1]


def clip_cov(
    logp: Tensor, advantages: Tensor, mask: Tensor, fraction: float, low: float, high: float, seed: int
) -> Tensor:
    """Clip-Cov's choice of tokens [B, T] bool: these get no policy gradient (`drop`).

    From the masked tokens with low < covariance < high, max(1, floor(fraction * masked tokens)) are drawn
    without replacement (fewer if there are not as many). Tensors hold the *whole* update batch, in an order
    that does not depend on ranks. The draw is a function of `seed` and position alone. Source:
    arXiv:2505.22617.
    """
    covariance = token_covariance(logp, advantages, mask)
    candidates = ((covariance > low) & (covariance < high) & mask.to(torch.bool)).flatten()
    keys = torch.from_numpy(uniforms([seed], candidates.numel())[0]).to(candidates.device)
    return _top(torch.where(candidates, keys, -np.inf), _count(fraction, mask), candidates).view(mask.shape)


def kl_cov(logp: Tensor, advantages: Tensor, mask: Tensor, fraction: float) -> Tensor:
    """KL-Cov's choice of tokens [B, T] bool: those of highest covariance; they pay `old_policy_penalty`.

    max(1, floor(fraction * masked tokens)) of the whole update batch; ties by position. Source:
    arXiv:2505.22617.
    """
    covariance = token_covariance(logp, advantages, mask).flatten()
    candidates = mask.to(torch.bool).flatten()
    return _top(torch.where(candidates, covariance, -np.inf), _count(fraction, mask), candidates).view(mask.shape)


def drop(loss: Tensor, tokens: Tensor) -> Tensor:
    """The loss with `tokens` (bool) set to 0: no value, no gradient (Clip-Cov)."""
    return torch.where(tokens, 0.0, loss)


def old_policy_penalty(logp: Tensor, logp_old: Tensor, tokens: Tensor, coef: float) -> Tensor:
    """coef * |logp - logp_old| on `tokens` (bool), else 0 (KL-Cov); no gradient where logp = logp_old."""
    return torch.where(tokens, coef * (logp - logp_old).abs(), 0.0)


def _count(fraction: float, mask: Tensor) -> int:
    return max(1, int(fraction * int(mask.sum())))


def _top(scores: Tensor, count: int, candidates: Tensor) -> Tensor:
    """[n] bool: the `count` highest scores among the candidates; a stable sort, so ties go by position."""
    chosen = torch.zeros_like(candidates)
    chosen[scores.argsort(descending=True, stable=True)[:count]] = True
    return chosen & candidates
