"""What an arm does to tokens: the whole per-token loss of any arm, from the parts of asymgrpo.method.losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asymgrpo.errors import ArmError
from asymgrpo.method.arm import Arm, Cispo, ClipCov, DppoTv, Gmpo, Gspo, KlCov, Sapo

if TYPE_CHECKING:
    from torch import Tensor


def needs_every_row(arm: Arm) -> bool:
    """Whether responses whose advantage is 0 may have a gradient.

    The policy loss is A times something, so that they have none from it: an arm must add a term that is not. Leave them out of
    forward and backward otherwise; the counts that `reduce` divides by stay those of all responses.
    """
    return bool(arm.entropy_coef or arm.adaptive_entropy or arm.kl_coef or arm.covariance)


def needs_scores_first(arm: Arm) -> bool:
    """Whether the loss of a response depends on log-probabilities or entropies of all the others."""
    return bool(arm.adaptive_entropy or arm.covariance)


def needs_whole_rows(arm: Arm) -> bool:
    """Whether the loss of a token depends on the other tokens of its response: `loss_terms` then needs grids and `mask`."""
    return isinstance(arm.surrogate, Gspo | Gmpo) or arm.off_policy_delta is not None


def loss_terms(
    arm: Arm,
    logp: Tensor,
    logp_old: Tensor,
    advantages: Tensor,
    entropy: Tensor,
    *,
    entropy_coef: float,
    logp_ref: Tensor | None = None,
    importance_weights: Tensor | None = None,
    selected: Tensor | None = None,
    mask: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The whole per-token loss of any arm, ready for `asymgrpo.method.reduce.reduce(..., mode=arm.reduction)`.

        loss = w * surrogate(...) - entropy_coef * H + kl_coef * k3

    All tensors share one shape ([tokens] or [B, T]; advantages may broadcast). entropy_coef:
    arm.entropy_coef, or the current value of the adaptive controller. logp_ref is needed iff arm.kl_coef > 0.
    importance_weights (w): `tis_weights`, or None for 1. selected: the part of `arm.select_tokens` that
    belongs to these tokens, needed iff arm.covariance. mask [B, T]: the tokens that train, needed iff
    `needs_whole_rows`; a row is then a whole response. Under the importance weights fall the policy loss and
    what a covariance method does to it.

    Returns the loss and, per token and without gradient, `clipped_low` and `clipped_high` (bool).
    Raises ArmError when a tensor that the arm needs is missing.
    """
    from asymgrpo.method import losses

    loss, low, high = surrogate(arm, logp, logp_old, advantages, mask)
    match arm.covariance:
        case ClipCov():
            loss = losses.drop(loss, _given(arm, "selected", selected))
        case KlCov(coef=coef):
            loss = loss + losses.old_policy_penalty(logp, logp_old, _given(arm, "selected", selected), coef)
    if importance_weights is not None:
        loss = loss * importance_weights
    if entropy_coef:
        loss = loss + losses.entropy_bonus(entropy, entropy_coef)
    if arm.kl_coef:
        loss = loss + arm.kl_coef * losses.k3_kl(logp, _given(arm, "logp_ref", logp_ref))
    return loss, {"clipped_low": low, "clipped_high": high}


def surrogate(
    arm: Arm, logp: Tensor, logp_old: Tensor, advantages: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The arm's policy loss per token, and where its lower and its upper bound act (bool, no gradient)."""
    from asymgrpo.method import losses, surrogates

    rows = _given(arm, "mask", mask) if needs_whole_rows(arm) else logp  # not read
    match arm.surrogate:
        case Gspo():
            found = surrogates.gspo(logp, logp_old, advantages, rows, arm.clip_low, arm.clip_high)
        case Gmpo(log_clip=log_clip):
            found = surrogates.gmpo(logp, logp_old, advantages, rows, log_clip)
        case Cispo(cap=cap):
            found = surrogates.cispo(logp, logp_old, advantages, cap)
        case Sapo(tau_pos=tau_pos, tau_neg=tau_neg):
            found = surrogates.sapo(logp, logp_old, advantages, tau_pos, tau_neg)
        case DppoTv(delta=delta, cap=cap):
            found = surrogates.dppo_tv(logp, logp_old, advantages, delta, cap)
        case _:
            bounds = (arm.clip_low, arm.clip_high)
            loss = losses.policy_loss(logp, logp_old, advantages, *bounds)
            if arm.dual_clip is not None:
                loss = losses.dual_clip(loss, advantages, arm.dual_clip)
            found = (loss, *losses.clipped(logp, logp_old, advantages, *bounds))
    if arm.off_policy_delta is None:
        return found
    loss, low, high = found
    gone = surrogates.off_policy(logp, logp_old, advantages, rows, arm.off_policy_delta)
    return losses.drop(loss, gone), low | gone, high


def _given(arm: Arm, name: str, value: Tensor | None) -> Tensor:
    if value is None:
        raise ArmError(f"arm {arm.name!r} needs the argument {name}; pass it to loss_terms.")
    return value
