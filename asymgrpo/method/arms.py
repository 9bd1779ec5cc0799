"""The one table of arms. An `Arm` is all that an arm is; whatever it does not hold, all arms share (config).

Every arm is written as its difference from GRPO. `python -m asymgrpo.method.arms asymgrpo` prints all conventions of
an arm. No code asks for the name of an arm: the trainer calls `arm.advantage_fn`, `arm.select_tokens` and
`loss_terms`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from asymgrpo.errors import InputError
from asymgrpo.study.section import Part

if TYPE_CHECKING:
    from torch import Tensor

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, le=1)]


class ArmError(InputError):
    """An arm is unknown, wrongly changed or does nothing; the message names the key and the remedy."""


class Asymmetric(Part):
    """The paper's family: one exponent on correct, one on wrong rollouts."""

    estimator: Literal["asymmetric"] = "asymmetric"
    beta_pos: float
    beta_neg: float
    degenerate: Literal["limit", "zero"]
    """An exponent of 0 in a group with p = 0 or 1: `limit` reads 0 ** 0 as 1, `zero` gives no signal."""


class GroupStandardized(Part):
    estimator: Literal["group_standardized"] = "group_standardized"
    ddof: Literal[0, 1]
    """0: population, 1: sample standard deviation."""
    eps: NonNegative
    """Added to the standard deviation."""


class WReinforce(Part):
    estimator: Literal["w_reinforce"] = "w_reinforce"
    positive_weight: NonNegative


class Parameterless(Part):
    estimator: Literal["reinforce", "mean_centered", "leave_one_out"]


Advantage = Annotated[Asymmetric | GroupStandardized | WReinforce | Parameterless, Field(discriminator="estimator")]
"""A function of asymgrpo.method.advantages, by name, with every one of its parameters."""


class Range(Part):
    """Bounds low < high."""

    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low must be below high")
        return self


class AdaptiveEntropy(Range):
    """A coefficient in [low, high], starting at entropy_coef, steered to a target (arXiv:2505.22312)."""

    target: NonNegative
    """Nats per token."""
    delta: Positive
    """Change of the coefficient per step."""


class ClipCov(Range):
    """Drop the policy gradient of a few drawn tokens with low < covariance < high (arXiv:2505.22617)."""

    kind: Literal["clip_cov"] = "clip_cov"
    fraction: Fraction
    """Of the response tokens of an update batch (a fraction, not per cent)."""


class KlCov(Part):
    """Penalise |log pi - log pi_old| on the tokens of highest covariance (arXiv:2505.22617)."""

    kind: Literal["kl_cov"] = "kl_cov"
    fraction: Fraction
    """Of the response tokens of an update batch (a fraction, not per cent)."""
    coef: Positive


class Arm(Part):
    """One arm: everything in which arms may differ."""

    name: str
    about: str
    """One sentence for readers of the tables."""
    reward: Literal["verifier", "random"]
    """random: a fair coin per rollout in place of the verdict (control)."""
    advantage: Advantage
    reduction: Literal["token", "sequence", "constant"]
    """asymgrpo.method.reduce; also applies to the entropy bonus and the KL penalty."""
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
        """Rewards [prompts, group] -> advantages, same shape. One seed per prompt, for the random control."""
        from asymgrpo.method.advantages import random_rewards

        return self.estimate(random_rewards(rewards, seeds) if self.reward == "random" else rewards)

    def estimate(self, rewards: Tensor) -> Tensor:
        """The arm's estimator applied to the given rewards [prompts, group]."""
        from asymgrpo.method import advantages

        return getattr(advantages, self.advantage.estimator)(rewards, **self.advantage_parameters)

    @property
    def advantage_parameters(self) -> dict[str, Any]:
        return self.advantage.model_dump(exclude={"estimator"})

    def select_tokens(self, logp_old: Tensor, advantages: Tensor, mask: Tensor, seed: int) -> Tensor | None:
        """Tokens [B, T] bool that the covariance method acts on (`selected` of `loss_terms`), or None.

        Call it once per update on the tensors [B, T] of the *whole* update batch (all ranks, global order),
        before cutting it into micro-batches: covariance and rank of a token depend on all others.
        """
        from asymgrpo.method import losses

        match self.covariance:
            case ClipCov(fraction=fraction, low=low, high=high):
                return losses.clip_cov(logp_old, advantages, mask, fraction, low, high, seed)
            case KlCov(fraction=fraction):
                return losses.kl_cov(logp_old, advantages, mask, fraction)
        return None


def exponents(beta_pos: float, beta_neg: float) -> dict[str, Any]:
    return {"advantage": Asymmetric(beta_pos=beta_pos, beta_neg=beta_neg, degenerate="limit")}


def fixed(estimator: Literal["reinforce", "mean_centered", "leave_one_out"]) -> dict[str, Any]:
    return {"advantage": Parameterless(estimator=estimator)}


def variant(name: str, about: str, **changes: Any) -> Arm:
    return GRPO.but(name=name, about=about, **changes)


def tag(value: float) -> str:
    """A number inside a name: 0.25 -> "0p25", which is a word for file names and wildcards."""
    return str(value).replace(".", "p")


GRPO = Arm(
    name="grpo",
    about="GRPO: advantages standardised within the group, population std, no epsilon",
    reward="verifier",
    advantage=GroupStandardized(ddof=0, eps=0.0),
    reduction="token",
    clip_low=0.2,
    clip_high=0.2,
    dual_clip=None,
    entropy_coef=0.0,
    adaptive_entropy=None,
    kl_coef=0.0,
    covariance=None,
)
ENTROPY_COEF = 0.001
"""Ours: the paper names none; it trains with verl, whose long-time default and examples have this value."""
CLIP_HIGHER = 0.28

MAIN = (
    variant("reinforce", "Fixed advantages +1 and -1 (beta = 0), same clipped surrogate", **fixed("reinforce")),
    GRPO,
    variant("grpo_entropy", "GRPO with an entropy bonus", entropy_coef=ENTROPY_COEF),
    variant("grpo_clip_higher", "GRPO with the upper clip bound raised", clip_high=CLIP_HIGHER),
    variant("dr_grpo", "Mean-centred, constant length", **fixed("mean_centered"), reduction="constant"),
    variant("asymgrpo", "AsymGRPO: exponents 0.9 on correct, 0.4 on wrong rollouts", **exponents(0.9, 0.4)),
    variant("asymgrpo_clip_higher", "Both together", **exponents(0.9, 0.4), clip_high=CLIP_HIGHER),
)
BETA_POS = (0.25, 0.75, 0.9)
"""Swept with beta_neg = 0.5; the sweep's 0 is negative_only, its 0.5 is grpo."""
BETA_NEG = (0.25, 0.4, 0.75)
"""Swept with beta_pos = 0.5; the sweep's 0 is positive_only, its 0.5 is grpo."""
ANALYSES = (
    variant("positive_only", "Only correct rollouts are modulated by p", **exponents(0.5, 0.0)),
    variant("negative_only", "Only wrong rollouts are modulated by p", **exponents(0.0, 0.5)),
    variant("ent_decrease", "Positive-only with the modulation reversed", **exponents(-0.5, 0.0)),
    variant("ent_increase", "Negative-only with the modulation reversed", **exponents(0.0, -0.5)),
    *(variant(f"grpo_entropy_{tag(c)}", f"Entropy bonus {c}", entropy_coef=c) for c in (0.003, 0.01, 0.03)),
    *(variant(f"beta_pos_{tag(b)}", f"Sweep: exponents {b} / 0.5", **exponents(b, 0.5)) for b in BETA_POS),
    *(variant(f"beta_neg_{tag(b)}", f"Sweep: exponents 0.5 / {b}", **exponents(0.5, b)) for b in BETA_NEG),
    variant("random_reward", "Control: GRPO on coin flips instead of verdicts", reward="random"),
    variant("rloo", "RLOO: leave-one-out baseline, no scaling", **fixed("leave_one_out")),
    variant("w_reinforce", "Fixed advantages +0.1 and -1", advantage=WReinforce(positive_weight=0.1)),
    variant(
        "grpo_adaptive_entropy",
        "GRPO with an entropy coefficient steered to a target",
        adaptive_entropy=AdaptiveEntropy(target=0.2, delta=0.005, low=0.0, high=1.0),
    ),
    variant("clip_cov", "GRPO with Clip-Cov", covariance=ClipCov(fraction=0.0002, low=1.0, high=5.0)),
    variant("kl_cov", "GRPO with KL-Cov", covariance=KlCov(fraction=0.002, coef=1.0)),
)
ARMS: dict[str, Arm] = {arm.name: arm for arm in (*MAIN, *ANALYSES)}


def get_arm(name: str, overrides: Mapping[str, Any] | None = None) -> Arm:
    """The arm `name`, with named fields or parameters of its advantage changed. Raises ArmError.

    >>> get_arm("asymgrpo", {"beta_pos": 0.8}).advantage.beta_pos
    0.8
    """
    if name not in ARMS:
        close = difflib.get_close_matches(name, ARMS, n=1, cutoff=0.5)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ArmError(f"arm {name!r} is unknown.{hint} Known arms: {', '.join(ARMS)}.")
    arm = ARMS[name]
    changes = dict(overrides or {})
    parameters = {key: changes.pop(key) for key in list(changes) if key in arm.advantage_parameters}
    if parameters and "advantage" in changes:
        raise ArmError(f"arms.{name}: give either advantage or {' and '.join(parameters)}, not both.")
    if parameters:
        changes["advantage"] = arm.advantage.model_dump() | parameters
    known = [key for key in Arm.model_fields if key not in ("name", "about")] + list(arm.advantage_parameters)
    for key in changes:
        if key not in known:
            raise ArmError(f"arms.{name}.{key} cannot be changed; choose from {', '.join(known)}.")
    try:
        return arm.but(**changes)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ArmError(f"arms.{name}.{key} = {first['input']!r} is not allowed: {first['msg']}.") from None


def check_arm(arm: Arm, updates_per_rollout: int) -> None:
    """Raises ArmError if the changes that make the arm cannot act."""
    if arm.name != GRPO.name and not differences(arm):
        raise ArmError(f"arm {arm.name!r} with these changes is grpo itself; undo arms.{arm.name} or run grpo.")
    idle = idle_with_one_update(arm)
    if updates_per_rollout == 1 and idle:
        raise ArmError(
            f"arm {arm.name!r}: {' and '.join(idle)} cannot act with train.updates_per_rollout = 1, where "
            "every ratio is 1; set train.updates_per_rollout to at least 2 or leave the arm out."
        )


def idle_with_one_update(arm: Arm) -> list[str]:
    """Fields in which the arm differs from GRPO but that act only where the ratio is not 1.

    Clip-Cov is not among them: it drops gradients at any ratio.
    """
    idle: list[str] = [key for key in ("clip_low", "clip_high", "dual_clip") if key in differences(arm)]
    return [*idle, "covariance"] if isinstance(arm.covariance, KlCov) else idle


def differences(arm: Arm) -> dict[str, tuple[Any, Any]]:
    """Field -> (value in GRPO, value in this arm), for the fields that differ."""
    ours, grpo = (a.model_dump(mode="json", exclude={"name", "about"}) for a in (arm, GRPO))
    return {key: (grpo[key], ours[key]) for key in ours if ours[key] != grpo[key]}


def conventions(arm: Arm) -> dict[str, Any]:
    """Every resolved convention of the arm and what differs from GRPO, JSON-ready: `asymgrpo.method.conventions`."""
    from asymgrpo.method.conventions import describe

    return describe(arm)


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
    """The whole per-token loss of any arm, ready for `asymgrpo.method.reduce.reduce(..., mode=arm.reduction)`.

        loss = w * policy_loss(...) - entropy_coef * H + kl_coef * k3

    All tensors share one shape ([tokens] or [B, T]; advantages may broadcast). entropy_coef:
    arm.entropy_coef, or the current value of the adaptive controller. logp_ref is needed iff arm.kl_coef > 0.
    importance_weights (w): `tis_weights`, or None for 1. selected: the part of `arm.select_tokens` that
    belongs to these tokens, needed iff arm.covariance. Under the importance weights fall the policy loss and
    what a covariance method does to it.

    Returns the loss and, per token and without gradient, `clipped_low` and `clipped_high` (bool).
    Raises ArmError when a tensor that the arm needs is missing.
    """
    from asymgrpo.method import losses

    low, high = losses.clipped(logp, logp_old, advantages, arm.clip_low, arm.clip_high)
    loss = losses.policy_loss(logp, logp_old, advantages, arm.clip_low, arm.clip_high)
    if arm.dual_clip is not None:
        loss = losses.dual_clip(loss, advantages, arm.dual_clip)
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


def _given(arm: Arm, name: str, value: Tensor | None) -> Tensor:
    if value is None:
        raise ArmError(f"arm {arm.name!r} needs the argument {name}; pass it to loss_terms.")
    return value


if __name__ == "__main__":
    from asymgrpo.console import run
    from asymgrpo.method.conventions import main

    run(main)
