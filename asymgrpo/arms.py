"""The one table of arms. An `Arm` is exactly what an arm is: whatever it does not hold is shared by all arms (config).

Every arm is written as its difference from GRPO. `python -m asymgrpo.arms asymgrpo` prints all conventions of an arm.
No code asks for the name of an arm: the trainer calls `arm.advantage_fn`, `arm.select_tokens` and `loss_terms`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from torch import Tensor

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, le=1)]


class ArmError(ValueError):
    """An arm is unknown, wrongly changed or does nothing; the message names the key and the remedy."""


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Advantage(Part):
    """A function of asymgrpo.advantages by name, and every one of its parameters."""

    estimator: Literal[
        "asymmetric", "reinforce", "w_reinforce", "group_standardized", "mean_centered", "leave_one_out"
    ]
    parameters: dict[str, float | int | str]


class AdaptiveEntropy(Part):
    """A coefficient steered towards a target entropy (Skywork-OR1, arXiv:2505.22312); starts at the arm's entropy_coef."""

    target: NonNegative
    """Nats per token."""
    delta: NonNegative
    """Change of the coefficient per step."""
    low: NonNegative
    high: NonNegative


class ClipCov(Part):
    """Drop the policy gradient of a few tokens of high covariance, drawn at random (arXiv:2505.22617)."""

    kind: Literal["clip_cov"] = "clip_cov"
    fraction: Fraction
    """Of the response tokens of an update batch (a fraction, not per cent)."""
    low: float
    high: float


class KlCov(Part):
    """Penalise |log pi - log pi_old| on the tokens of highest covariance (arXiv:2505.22617)."""

    kind: Literal["kl_cov"] = "kl_cov"
    fraction: Fraction
    """Of the response tokens of an update batch (a fraction, not per cent)."""
    coef: NonNegative


class Arm(Part):
    """One arm: everything in which arms may differ."""

    name: str
    about: str
    """One sentence for readers of the tables."""
    reward: Literal["verifier", "random"]
    """random: a fair coin per rollout in place of the verdict (control)."""
    advantage: Advantage
    reduction: Literal["token", "sequence", "constant"]
    """asymgrpo.reduce; also applies to the entropy bonus and the KL penalty."""
    clip_low: NonNegative
    clip_high: NonNegative
    dual_clip: Annotated[float, Field(gt=1)] | None
    """Cap on the loss of tokens with a negative advantage, in units of |A|; null: none."""
    entropy_coef: NonNegative
    adaptive_entropy: AdaptiveEntropy | None
    kl_coef: NonNegative
    """Of the k3 penalty towards the base model."""
    covariance: Annotated[ClipCov | KlCov, Field(discriminator="kind")] | None

    def but(self, **changes: Any) -> Arm:
        """A validated copy with some fields changed."""
        return Arm.model_validate(self.model_dump() | changes)

    def advantage_fn(self, rewards: Tensor, seeds: Sequence[int]) -> Tensor:
        """Rewards [prompts, group] -> advantages, same shape; one seed per prompt (only the random control uses them)."""
        from asymgrpo import advantages

        if self.reward == "random":
            rewards = advantages.random_rewards(rewards, seeds)
        return getattr(advantages, self.advantage.estimator)(rewards, **self.advantage.parameters)

    def select_tokens(self, logp_old: Tensor, advantages: Tensor, mask: Tensor, seed: int) -> Tensor | None:
        """Tokens [B, T] bool that the covariance method acts on, None without one: see `loss_terms(selected=...)`.

        Call it once per update on the tensors [B, T] of the *whole* update batch (all ranks, global order), before cutting
        it into micro-batches: covariance and rank of a token depend on all others.
        """
        from asymgrpo import losses

        match self.covariance:
            case ClipCov(fraction=fraction, low=low, high=high):
                return losses.clip_cov(logp_old, advantages, mask, fraction, low, high, seed)
            case KlCov(fraction=fraction):
                return losses.kl_cov(logp_old, advantages, mask, fraction)
        return None


def asym(beta_pos: float, beta_neg: float) -> Advantage:
    return Advantage(
        estimator="asymmetric", parameters={"beta_pos": beta_pos, "beta_neg": beta_neg, "degenerate": "limit"}
    )


GRPO = Arm(
    name="grpo",
    about="GRPO: advantages standardised within the group, population std, no epsilon",
    reward="verifier",
    advantage=Advantage(estimator="group_standardized", parameters={"ddof": 0, "eps": 0.0}),
    reduction="token",
    clip_low=0.2,
    clip_high=0.2,
    dual_clip=None,
    entropy_coef=0.0,
    adaptive_entropy=None,
    kl_coef=0.0,
    covariance=None,
)
ASYM = {"advantage": asym(0.9, 0.4)}
CLIP_HIGHER = {"clip_high": 0.28}

MAIN = (
    GRPO.but(
        name="reinforce",
        about="REINFORCE: fixed advantages +1 and -1 (beta = 0), in the same clipped surrogate",
        advantage=Advantage(estimator="reinforce", parameters={}),
    ),
    GRPO,
    # 0.001: the paper names none; it trains with verl, whose long-time default and Qwen3-4B examples have this value
    GRPO.but(name="grpo_entropy", about="GRPO with an entropy bonus", entropy_coef=0.001),
    GRPO.but(name="grpo_clip_higher", about="GRPO with the upper clip bound raised", **CLIP_HIGHER),
    GRPO.but(
        name="dr_grpo",
        about="Dr.GRPO: mean-centred advantages, sums over tokens divided by a constant length",
        advantage=Advantage(estimator="mean_centered", parameters={}),
        reduction="constant",
    ),
    GRPO.but(name="asymgrpo", about="AsymGRPO: exponents 0.9 on correct, 0.4 on wrong rollouts", **ASYM),
    GRPO.but(name="asymgrpo_clip_higher", about="AsymGRPO and Clip-higher together", **ASYM, **CLIP_HIGHER),
)
ANALYSES = (
    GRPO.but(
        name="positive_only", about="Only correct rollouts are modulated by p", advantage=asym(0.5, 0.0)
    ),
    GRPO.but(name="negative_only", about="Only wrong rollouts are modulated by p", advantage=asym(0.0, 0.5)),
    GRPO.but(name="ent_decrease", about="Positive modulation reversed", advantage=asym(-0.5, 0.0)),
    GRPO.but(name="ent_increase", about="Negative modulation reversed", advantage=asym(0.0, -0.5)),
    *(
        GRPO.but(name=f"grpo_entropy_{c}".replace(".", "p"), about=f"Entropy bonus {c}", entropy_coef=c)
        for c in (0.003, 0.01, 0.03)
    ),
    # The swept exponent's value 0.5 is grpo itself, its value 0 is negative_only (beta_pos) or positive_only (beta_neg).
    *(
        GRPO.but(
            name=f"beta_pos_{b}".replace(".", "p"),
            about=f"Sweep: exponents {b} / 0.5",
            advantage=asym(b, 0.5),
        )
        for b in (0.25, 0.75, 0.9)
    ),
    *(
        GRPO.but(
            name=f"beta_neg_{b}".replace(".", "p"),
            about=f"Sweep: exponents 0.5 / {b}",
            advantage=asym(0.5, b),
        )
        for b in (0.25, 0.4, 0.75)
    ),
    GRPO.but(name="random_reward", about="Control: GRPO on coin flips instead of verdicts", reward="random"),
    GRPO.but(
        name="rloo",
        about="RLOO: leave-one-out baseline, no scaling",
        advantage=Advantage(estimator="leave_one_out", parameters={}),
    ),
    GRPO.but(
        name="w_reinforce",
        about="W-REINFORCE: fixed advantages, correct rollouts weighted 0.1",
        advantage=Advantage(estimator="w_reinforce", parameters={"positive_weight": 0.1}),
    ),
    GRPO.but(
        name="grpo_adaptive_entropy",
        about="GRPO with an entropy coefficient steered to a target",
        adaptive_entropy=AdaptiveEntropy(target=0.2, delta=0.005, low=0.0, high=1.0),
    ),
    GRPO.but(
        name="clip_cov",
        about="GRPO with Clip-Cov",
        covariance=ClipCov(fraction=0.0002, low=1.0, high=5.0),
    ),
    GRPO.but(name="kl_cov", about="GRPO with KL-Cov", covariance=KlCov(fraction=0.002, coef=1.0)),
)
ARMS: dict[str, Arm] = {arm.name: arm for arm in (*MAIN, *ANALYSES)}


def get_arm(name: str, overrides: Mapping[str, Any] | None = None) -> Arm:
    """The arm `name`, with named fields or parameters of its advantage changed. Raises ArmError.

    >>> get_arm("asymgrpo", {"beta_pos": 0.8}).advantage.parameters["beta_pos"]
    0.8
    """
    if name not in ARMS:
        close = difflib.get_close_matches(name, ARMS, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ArmError(
            f"arm {name!r} is unknown{hint} Known arms: {', '.join(ARMS)}.".replace("unknown ", "unknown. ")
        )
    arm = ARMS[name]
    changes = dict(overrides or {})
    parameters = {key: changes.pop(key) for key in list(changes) if key in arm.advantage.parameters}
    if parameters:
        changes["advantage"] = arm.advantage.model_dump() | {
            "parameters": arm.advantage.parameters | parameters
        }
    fixed = {"name", "about"} & set(changes)
    unknown = [*fixed, *(key for key in changes if key not in Arm.model_fields)]
    if unknown:
        known = [*(f for f in Arm.model_fields if f not in ("name", "about")), *arm.advantage.parameters]
        raise ArmError(f"arms.{name}.{unknown[0]} cannot be changed; it must be one of {', '.join(known)}.")
    try:
        return arm.but(**changes)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ArmError(f"arms.{name}.{key} = {first['input']!r} is not allowed: {first['msg']}.") from None


def check_arm(arm: Arm, updates_per_rollout: int) -> None:
    """Raises ArmError if what the arm changes cannot act: with one update per rollout the ratio is always 1.

    Clip bounds, dual clip and KL-Cov need a ratio other than 1. (Clip-Cov drops gradients at any ratio.)
    """
    if arm.name != GRPO.name and not differences(arm):
        raise ArmError(
            f"arm {arm.name!r} with these changes is grpo itself; undo arms.{arm.name} or run grpo instead."
        )
    if updates_per_rollout > 1:
        return
    idle = [key for key in ("clip_low", "clip_high", "dual_clip") if getattr(arm, key) != getattr(GRPO, key)]
    if isinstance(arm.covariance, KlCov):
        idle.append("covariance")
    if idle:
        raise ArmError(
            f"arm {arm.name!r}: {' and '.join(idle)} cannot act with train.updates_per_rollout = 1, where every ratio is 1; "
            "set train.updates_per_rollout to at least 2 or leave the arm out."
        )


def differences(arm: Arm) -> dict[str, tuple[Any, Any]]:
    """Field -> (value in GRPO, value in this arm), for the fields that differ."""
    ours, grpo = arm.model_dump(), GRPO.model_dump()
    return {
        key: (grpo[key], ours[key]) for key in ours if key not in ("name", "about") and ours[key] != grpo[key]
    }


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
) -> tuple[Tensor, dict[str, Tensor]]:
    """The whole per-token loss of any arm, ready for `asymgrpo.reduce.reduce(..., mode=arm.reduction)`.

        loss = w * policy_loss(...) - entropy_coef * H + kl_coef * k3

    All tensors share one shape ([tokens] or [B, T]; advantages may broadcast). entropy_coef: arm.entropy_coef, or the
    current value of the adaptive controller. logp_ref is needed iff arm.kl_coef > 0. importance_weights: `tis_weights`.
    selected: the part of `arm.select_tokens` that belongs to these tokens, needed iff arm.covariance.

    Returns the loss and detached diagnostics per token: `clipped_low`, `clipped_high` (bool).
    Raises ArmError when a tensor that the arm needs is missing.
    """
    from asymgrpo import losses

    _need(arm, "selected", selected, arm.covariance is not None)
    _need(arm, "logp_ref", logp_ref, arm.kl_coef > 0)
    low, high = losses.clipped(logp, logp_old, advantages, arm.clip_low, arm.clip_high)
    loss = losses.policy_loss(logp, logp_old, advantages, arm.clip_low, arm.clip_high)
    if arm.dual_clip is not None:
        loss = losses.dual_clip(loss, advantages, arm.dual_clip)
    match arm.covariance:
        case ClipCov():
            loss = losses.drop(loss, selected)
        case KlCov(coef=coef):
            loss = loss + losses.old_policy_penalty(logp, logp_old, selected, coef)
    if importance_weights is not None:
        loss = loss * importance_weights
    if entropy_coef:
        loss = loss + losses.entropy_bonus(entropy, entropy_coef)
    if arm.kl_coef:
        loss = loss + arm.kl_coef * losses.k3_kl(logp, logp_ref)
    return loss, {"clipped_low": low, "clipped_high": high}


def _need(arm: Arm, name: str, value: Any, needed: bool) -> None:
    if needed and value is None:
        raise ArmError(f"arm {arm.name!r} needs the argument {name}; pass it to loss_terms.")
