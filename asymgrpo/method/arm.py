"""What an arm is: everything in which arms may differ. What an `Arm` does not hold, all arms share (asymgrpo.study.config)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from asymgrpo.section import Part

if TYPE_CHECKING:
    from torch import Tensor

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, le=1)]


class ArmError(ValueError):
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
