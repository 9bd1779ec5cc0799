"""What an arm is: everything in which arms may differ. What an `Arm` does not hold, all arms share (asymgrpo.study.config)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from asymgrpo.errors import InputError
from asymgrpo.section import Part

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
    """Function of asymgrpo.method.advantages; the other keys are its parameters."""
    beta_pos: float
    """Correct rollouts have the advantage ((1 - p) / p) ** beta_pos; p is the share of correct rollouts in the group."""
    beta_neg: float
    """Wrong rollouts have the advantage -(p / (1 - p)) ** beta_neg."""
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
    """Advantage of correct rollouts; wrong ones have -1."""


class Parameterless(Part):
    estimator: Literal["reinforce", "mean_centered", "leave_one_out"]


Advantage = Annotated[Asymmetric | GroupStandardized | WReinforce | Parameterless, Field(discriminator="estimator")]
"""A function of asymgrpo.method.advantages, by name, with every one of its parameters."""


class Range(Part):
    """Bounds low < high."""

    low: float
    """Lower bound."""
    high: float
    """Upper bound."""

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
    """clip_cov: drop the gradient of some of these tokens; kl_cov: penalise their change."""
    fraction: Fraction
    """Of the response tokens of an update batch (a fraction, not per cent)."""


class KlCov(Part):
    """Penalise |log pi - log pi_old| on the tokens of highest covariance (arXiv:2505.22617)."""

    kind: Literal["kl_cov"] = "kl_cov"
    fraction: Fraction
    """Of the response tokens of an update batch (a fraction, not per cent)."""
    coef: Positive
    """Weight of the penalty in the loss."""


FOR_READERS = ("title", "about", "look")
"""Fields of an arm that no result depends on: they are not among its settings, and no configuration changes them."""


class Arm(Part):
    """One arm: everything in which arms may differ."""

    name: str
    """Of the arm, in configurations, paths and tables."""
    title: str = ""
    """Of its rows and lines in tables and figures; empty: its name."""
    about: str = ""
    """One sentence for readers of the tables."""
    look: Annotated[str, Field(pattern=r"^(#[0-9A-F]{6}( \d+ \d+)*)?$")] = ""
    """Its line in every figure: a colour, then lengths of dash and gap ("#56B4E9 5 1"); empty: a colour left over."""
    reward: Literal["verifier", "random"]
    """verifier: 1 for a correct response, else 0; random: a fair coin per rollout instead (control)."""
    advantage: Advantage
    """How rewards become advantages: an estimator and its parameters, which may also be changed by their own names."""
    reduction: Literal["token", "sequence", "constant"]
    """How losses of tokens become one number (asymgrpo.method.reduce); also applies to the entropy bonus and the KL penalty."""
    clip_low: NonNegative
    """The ratio of new to old probability is clipped at 1 - clip_low from below."""
    clip_high: NonNegative
    """The ratio is clipped at 1 + clip_high from above."""
    dual_clip: Annotated[float, Field(gt=1)] | None
    """Cap on the loss of tokens with a negative advantage, in units of |A|; null: none."""
    entropy_coef: NonNegative
    """Weight of the entropy bonus, in units of loss per nat; 0: none."""
    adaptive_entropy: AdaptiveEntropy | None
    """Steers the weight of the entropy bonus to a target entropy; null: it stays entropy_coef."""
    kl_coef: NonNegative
    """Weight of the k3 estimate of the KL divergence from the base model; 0: none."""
    covariance: Annotated[ClipCov | KlCov, Field(discriminator="kind")] | None
    """A method that acts on the tokens whose log-probability and advantage vary together most; null: none."""

    def but(self, **changes: Any) -> Arm:
        """A validated copy with some fields changed."""
        return Arm.model_validate(self.model_dump() | changes)

    def settings(self) -> dict[str, Any]:
        """What results depend on, as JSON: every field but those for readers."""
        return self.model_dump(mode="json", exclude=set(FOR_READERS))

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
