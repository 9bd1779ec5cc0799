"""What an arm is: everything in which arms may differ. What an `Arm` does not hold, all arms share (asymgrpo.study.config)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from asymgrpo.section import Part

if TYPE_CHECKING:
    from torch import Tensor

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, le=1)]


class Estimator(Part):
    """A function of asymgrpo.method.advantages or asymgrpo.method.relatives, with every one of its parameters."""

    reads_batch: ClassVar[bool] = False
    """Whether it also takes the rewards of the whole batch, over all ranks."""


class Asymmetric(Estimator):
    """The paper's family: one exponent on correct, one on wrong rollouts."""

    estimator: Literal["asymmetric"] = "asymmetric"
    """Function of asymgrpo.method.advantages or asymgrpo.method.relatives; the other keys are its parameters."""
    beta_pos: float
    """Correct rollouts have the advantage ((1 - p) / p) ** beta_pos; p is the share of correct rollouts in the group."""
    beta_neg: float
    """Wrong rollouts have the advantage -(p / (1 - p)) ** beta_neg."""
    degenerate: Literal["limit", "zero"]
    """An exponent of 0 in a group with p = 0 or 1: `limit` reads 0 ** 0 as 1, `zero` gives no signal."""


class GroupStandardized(Estimator):
    estimator: Literal["group_standardized"] = "group_standardized"
    ddof: Literal[0, 1]
    """0: population, 1: sample standard deviation."""
    eps: NonNegative
    """Added to the standard deviation."""


class WReinforce(Estimator):
    estimator: Literal["w_reinforce"] = "w_reinforce"
    positive_weight: NonNegative
    """Advantage of correct rollouts."""
    negative_weight: NonNegative = 1.0
    """Wrong rollouts have minus this advantage."""


class Parameterless(Estimator):
    estimator: Literal["reinforce", "mean_centered", "leave_one_out"]


class PassAtK(Estimator):
    """Pass@k training."""

    estimator: Literal["pass_at_k"] = "pass_at_k"
    k: Annotated[int, Field(ge=1)]
    """Rollouts per draw: a draw is rewarded when one of them is correct. 1 is GRPO."""


class QuantileBaseline(Estimator):
    """QAE: a quantile of the group's rewards in place of their mean."""

    estimator: Literal["quantile_baseline"] = "quantile_baseline"
    quantile: Annotated[float, Field(gt=0, lt=1)]
    """Groups with p <= 1 - quantile raise their correct rollouts only, others lower their wrong ones only."""


class BatchStandardized(Estimator):
    """Lite-PPO: centred in the group, scaled by the standard deviation over the batch."""

    reads_batch = True
    estimator: Literal["batch_standardized"] = "batch_standardized"
    ddof: Literal[0, 1]
    """0: population, 1: sample standard deviation."""
    eps: NonNegative
    """Added to the standard deviation."""


class AGrae(Estimator):
    """A-GRAE: GRPO, weighted towards hard groups as the batch's mean accuracy grows; eps is added to each denominator."""

    reads_batch = True
    estimator: Literal["a_grae"] = "a_grae"
    alpha: Positive
    """Mean accuracy from which on positive advantages have their full size."""
    ddof: Literal[0, 1]
    """0: population, 1: sample standard deviation."""
    eps: NonNegative
    """Added to the standard deviation."""


class GrpoScaled(Estimator):
    """GRPO at the size of another member of the family: mean |A| over the batch is that of these exponents."""

    reads_batch = True
    estimator: Literal["grpo_scaled"] = "grpo_scaled"
    beta_pos: float
    """Correct rollouts have the advantage ((1 - p) / p) ** beta_pos; p is the share of correct rollouts in the group."""
    beta_neg: float
    """Wrong rollouts have the advantage -(p / (1 - p)) ** beta_neg."""
    degenerate: Literal["limit", "zero"]
    """An exponent of 0 in a group with p = 0 or 1: `limit` reads 0 ** 0 as 1, `zero` gives no signal."""


class UserFunction(Estimator):
    """A function of the user's own (asymgrpo.method.user_function)."""

    estimator: Literal["python"] = "python"
    file: str
    """Name of the file that the function is in."""
    function: str
    """Name of the function."""
    sha256: str
    """Of the file's text."""
    source: str
    """The file's text."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if hashlib.sha256(self.source.encode()).hexdigest() != self.sha256:
            raise ValueError(f"the text of {self.file} is not the one with this sha256; name the file again")
        return self


Advantage = Annotated[
    Asymmetric
    | GroupStandardized
    | WReinforce
    | Parameterless
    | PassAtK
    | QuantileBaseline
    | BatchStandardized
    | AGrae
    | GrpoScaled
    | UserFunction,
    Field(discriminator="estimator"),
]
"""An estimator by name, with every one of its parameters."""


class ClippedRatio(Part):
    """PPO's clipped surrogate of each token's ratio, with the arm's bounds."""

    kind: Literal["clip"] = "clip"
    """Function of asymgrpo.method.surrogates, or `clip` (losses.policy_loss); the other keys are its parameters."""


class Gspo(Part):
    """The same of the sequence's ratio, the geometric mean of its tokens'; with the arm's bounds (arXiv:2507.18071)."""

    kind: Literal["gspo"] = "gspo"


class Gmpo(Part):
    """The geometric mean of clipped token ratios (arXiv:2507.20673)."""

    kind: Literal["gmpo"] = "gmpo"
    log_clip: Positive
    """Bound on the logarithm of each ratio, above for A > 0 and below for A < 0."""


class Cispo(Part):
    """A capped ratio as the weight of log pi (arXiv:2506.13585)."""

    kind: Literal["cispo"] = "cispo"
    cap: Positive
    """Cap on the ratio, through which no gradient flows."""


class Sapo(Part):
    """A smooth gate in place of bounds (arXiv:2511.20347)."""

    kind: Literal["sapo"] = "sapo"
    tau_pos: Positive
    """How steeply the gate closes for A > 0."""
    tau_neg: Positive
    """How steeply the gate closes for A < 0."""


class DppoTv(Part):
    """No gradient for tokens whose probability moved too far in A's direction (arXiv:2602.04879)."""

    kind: Literal["dppo_tv"] = "dppo_tv"
    delta: Fraction
    """How far a token's probability may move."""
    cap: Positive
    """Cap on the ratio, through which no gradient flows."""


Surrogate = Annotated[ClippedRatio | Gspo | Gmpo | Cispo | Sapo | DppoTv, Field(discriminator="kind")]
"""What takes the place of advantage times ratio, by name, with every one of its parameters."""


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


LATER = ("surrogate", "off_policy_delta", "sampler_mask", "overlong_filter", "overlong_buffer", "dynamic_sampling")
"""Fields that are no part of an arm's settings while they have their defaults: results that were made before them stay valid."""
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

    surrogate: Surrogate = ClippedRatio()
    """What takes the place of advantage times ratio, with its parameters; clip_low and clip_high act on `clip` and `gspo`,
    dual_clip on `clip`."""
    off_policy_delta: Positive | None = None
    """Sequences with A < 0 and a mean log(pi_old / pi) above this, nats per token, get no policy gradient; null: all do."""
    sampler_mask: Range | None = None
    """Tokens whose pi_trainer / pi_sampler is outside [low, high] get no policy gradient, the others this weight (IcePop); null:
    train.importance_cap decides."""
    overlong_filter: bool = False
    """Responses cut at train.max_tokens do not train, as with train.truncated = mask, whatever that key says."""
    overlong_buffer: Fraction | None = None
    """The reward falls linearly by 1 over the last so large a share of train.max_tokens (DAPO's soft punishment); null: it does
    not."""

    dynamic_sampling: Annotated[int, Field(gt=0)] | None = None
    """How often at most a prompt whose rewards are all equal is replaced by another one, with rollouts of its own; null: never.
    All that is sampled counts: sampled_tokens in metrics.parquet."""

    @model_validator(mode="after")
    def _bounds_act(self) -> Self:
        kind = self.surrogate.kind
        if self.dual_clip is not None and kind != "clip":
            raise ValueError(f"dual_clip does not act on the surrogate {kind}; leave one of them out")
        return self

    def but(self, **changes: Any) -> Arm:
        """A validated copy with some fields changed."""
        return Arm.model_validate(self.model_dump() | changes)

    def settings(self) -> dict[str, Any]:
        """What results depend on, as JSON: every field but those for readers."""
        told = self.model_dump(mode="json", exclude=set(FOR_READERS))
        plain = [key for key in LATER if getattr(self, key) == type(self).model_fields[key].default]
        return {key: value for key, value in told.items() if key not in plain}

    def advantage_fn(
        self, rewards: Tensor, seeds: Sequence[int], whole: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Rewards [prompts, group] -> advantages, same shape. One seed per prompt, for the random control.

        whole: one rank's grid -> the grids of all ranks, a collective. None: these prompts are the whole batch.
        """
        from asymgrpo.method.advantages import random_rewards

        if self.reward == "random":
            rewards = random_rewards(rewards, seeds)
        return self.estimate(rewards, whole(rewards) if whole and self.advantage.reads_batch else rewards)

    def estimate(self, rewards: Tensor, batch: Tensor | None = None) -> Tensor:
        """The arm's estimator applied to the given rewards [prompts, group]. batch: those of all prompts; None: the same."""
        from asymgrpo.method import advantages, relatives, user_function

        name = self.advantage.estimator
        function = next(found for m in (advantages, relatives, user_function) if (found := getattr(m, name, None)))
        beside = {"batch": rewards if batch is None else batch} if self.advantage.reads_batch else {}
        return function(rewards, **beside, **self.advantage_parameters)

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
