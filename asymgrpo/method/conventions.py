"""Every convention of an arm in words and numbers; the numbers come from running the arm's own functions.

python -m asymgrpo.method                 all arms
python -m asymgrpo.method asymgrpo        one arm (--json: as written to conventions.json beside every result)
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from asymgrpo.errors import InputError
from asymgrpo.method import frameworks
from asymgrpo.method.arm import (
    FOR_READERS,
    AdaptiveEntropy,
    AGrae,
    Arm,
    Asymmetric,
    BatchStandardized,
    Cispo,
    ClipCov,
    DppoTv,
    Gmpo,
    GroupStandardized,
    GrpoScaled,
    Gspo,
    KlCov,
    PassAtK,
    QuantileBaseline,
    Sapo,
    UserFunction,
    WReinforce,
)
from asymgrpo.method.arms import ARMS, LIBRARY, MAIN, differences, get_arm, idle_with_one_update

GROUP = 8


def main(
    arm: Annotated[str | None, typer.Argument(help="Name of an arm; without it all are listed.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    changes: Annotated[str, typer.Option(help="JSON of changed fields, as under `arms:` in a config.")] = "{}",
    like: Annotated[str | None, typer.Option(help="Under the defaults of a framework: verl, trl or openrlhf.")] = None,
) -> None:
    """Print what an arm is, convention by convention, and what differs from GRPO."""
    if like is not None and like not in frameworks.LIKE:
        raise InputError(f"--like {like!r} is no framework that is known; choose from {', '.join(frameworks.LIKE)}.")
    if arm is None and like is not None:
        typer.echo(frameworks.listing(like))
        return
    if arm is None:
        typer.echo(json.dumps(list(ARMS)) if as_json else _listing())
        return
    try:
        changed = json.loads(changes)
    except json.JSONDecodeError as error:
        raise InputError(f"--changes is not JSON: {error}") from None
    chosen = get_arm(arm, changed)
    found = describe(chosen if like is None else frameworks.like(chosen, like))
    typer.echo(json.dumps(found, indent=2) if as_json else _page(found))


def describe(arm: Arm) -> dict[str, Any]:
    """The arm's fields, its differences from GRPO, what each convention means, its advantages at G = 8."""
    return {
        "arm": arm.name,
        "title": arm.title or arm.name,
        "about": arm.about,
        "differs_from_grpo": {k: {"grpo": g, "arm": a} for k, (g, a) in differences(arm).items()},
        "fields": arm.model_dump(mode="json", exclude={"name", *FOR_READERS}),
        "meaning": meaning(arm),
        "advantages": {f"{c} of {GROUP} correct": values for c, values in enumerate(_table(arm))},
    }


def meaning(arm: Arm) -> dict[str, str]:
    """Convention -> one sentence."""
    from asymgrpo.method.losses import LOG_RATIO_LIMIT
    from asymgrpo.method.reduce import FORMULAS

    idle = idle_with_one_update(arm)
    low, high = 1 - arm.clip_low, 1 + arm.clip_high
    return {
        "reward": _REWARD[arm.reward],
        "advantage": _advantage(arm),
        "standard_deviation": _standard_deviation(arm),
        "degenerate_groups": _degenerate(arm),
        "non_binary_rewards": _non_binary(arm),
        "ratio": "per token, trainer over trainer: pi_old is the trainer's policy at the start of the step",
        "importance_correction": "train.importance_cap, one for all arms: min(pi_trainer / pi_sampler, cap) per token on the "
        "policy loss, no gradient; null: none"
        if arm.sampler_mask is None
        else f"pi_trainer / pi_sampler per token on the policy loss, no gradient; 0 outside [{arm.sampler_mask.low:g}, "
        f"{arm.sampler_mask.high:g}], whatever train.importance_cap says",
        "log_ratio": f"clamped to +-{LOG_RATIO_LIMIT:g} before exp",
        "dynamic_sampling": "none"
        if arm.dynamic_sampling is None
        else f"a prompt whose rewards are all equal is replaced by another, up to {arm.dynamic_sampling} times",
        "surrogate": _surrogate(arm),
        "clip": f"ratio of tokens with A > 0 at most {high:g}, of tokens with A < 0 at least {low:g}"
        if arm.surrogate.kind == "clip"
        else "as the surrogate says",
        "off_policy_mask": "none"
        if arm.off_policy_delta is None
        else f"no policy gradient for sequences with A < 0 and a mean log(pi_old / pi) above {arm.off_policy_delta:g}",
        "long_responses": _long(arm),
        "dual_clip": "none" if arm.dual_clip is None else f"loss of tokens with A < 0 at most {arm.dual_clip:g} |A|",
        "reduction": FORMULAS[arm.reduction] + "; counts over all micro-batches and ranks",
        "log_probabilities": "natural logarithm, at the sampling temperature, full vocabulary, float32",
        "entropy_bonus": _entropy(arm),
        "kl_penalty": f"{arm.kl_coef:g} * k3 towards the base model, reduced like the loss" if arm.kl_coef else "none",
        "covariance_method": _covariance(arm),
        "updates_per_rollout": f"at least 2, else {' and '.join(idle)} cannot act" if idle else "any number",
    }


_REWARD = {
    "verifier": "1 if the verifier's verdict is correct, else 0",
    "random": "a fair coin per rollout from (run, step, prompt, sample); verdicts are measured, not used",
}


def _advantage(arm: Arm) -> str:
    match arm.advantage:
        case Asymmetric(beta_pos=pos, beta_neg=neg):
            return f"correct: ((1-p)/p)^{pos:g}; wrong: -(p/(1-p))^{neg:g}; p = share of correct in the group"
        case GroupStandardized():
            return "(reward - group mean) / group standard deviation"
        case WReinforce(positive_weight=pos, negative_weight=neg):
            return f"correct: {pos:+g}; wrong: {0.0 - neg:g}"
        case PassAtK(k=k):
            return f"standardised in the group, for the reward of a draw of {k} rollouts: 1 if one of them is correct"
        case QuantileBaseline(quantile=quantile):
            return f"(reward - {quantile:g} quantile of the group) / group standard deviation"
        case BatchStandardized():
            return "(reward - group mean) / standard deviation over the rewards of the batch"
        case AGrae(alpha=alpha):
            return (
                "a = (reward - group mean) / group standard deviation; m = mean reward of the batch; "
                f"A = (1-m) a / (2 (1 - sqrt(p))) + m a / (2 sqrt(p)), times min(1, m/{alpha:g}) if positive"
            )
        case UserFunction(file=file, function=function, sha256=sha256):
            return f"the user's own: {function} of {file} (sha256 {sha256[:12]})"
        case GrpoScaled(beta_pos=pos, beta_neg=neg):
            return f"grpo's, times a factor: mean |A| over the batch is that of exponents {pos:g} / {neg:g}"
    return {
        "reinforce": "correct: +1; wrong: -1",
        "mean_centered": "reward - group mean",
        "leave_one_out": "reward - mean of the group's other rollouts",
    }[arm.advantage.estimator]


def _standard_deviation(arm: Arm) -> str:
    if isinstance(arm.advantage, GroupStandardized | BatchStandardized | AGrae):
        kind = ("population (divisor G)", "sample (divisor G - 1)")[arm.advantage.ddof]
        return f"{kind}, epsilon {arm.advantage.eps:g}"
    return (
        "population (divisor G), epsilon 0" if isinstance(arm.advantage, QuantileBaseline | GrpoScaled) else "not used"
    )


def _degenerate(arm: Arm) -> str:
    none, *_, all_ = _table(arm)
    return f"all wrong: A = {none['wrong']:g}; all correct: A = {all_['correct']:g}"


def _non_binary(arm: Arm) -> str:
    import torch

    from asymgrpo.method.rewards import RewardError

    try:
        arm.estimate(torch.tensor([[0.0, 0.5, 1.0]]))
    except RewardError:
        return "refused"
    return "any finite reward"


def _entropy(arm: Arm) -> str:
    if isinstance(arm.adaptive_entropy, AdaptiveEntropy):
        a = arm.adaptive_entropy
        return (
            f"coefficient in [{a.low:g}, {a.high:g}], starts at {arm.entropy_coef:g}, +-{a.delta:g} per step "
            f"towards an entropy of {a.target:g} nats per token, 0 above it; reduced like the policy loss"
        )
    return f"{arm.entropy_coef:g} * entropy, reduced like the policy loss" if arm.entropy_coef else "none"


def _surrogate(arm: Arm) -> str:
    match arm.surrogate:
        case Gspo():
            return f"min(s A, clip(s, {1 - arm.clip_low:g}, {1 + arm.clip_high:g}) A), s = exp(mean log ratio of the sequence)"
        case Gmpo(log_clip=bound):
            return f"A exp(mean log ratio of the sequence), each at most {bound:g} for A > 0, at least -{bound:g} for A < 0"
        case Cispo(cap=cap):
            return f"A min(ratio, {cap:g}) log pi, no gradient through the ratio"
        case Sapo(tau_pos=pos, tau_neg=neg):
            return f"A (4 / tau) sigmoid(tau (ratio - 1)), tau {pos:g} for A > 0, {neg:g} for A < 0"
        case DppoTv(delta=delta, cap=cap):
            return (
                f"A min(ratio, {cap:g}) log pi, no gradient through the ratio; none for tokens whose probability moved by more "
                f"than {delta:g} in A's direction"
            )
    return "min(ratio A, clip(ratio) A)"


def _long(arm: Arm) -> str:
    parts = ["responses cut at train.max_tokens do not train"] if arm.overlong_filter else []
    if arm.overlong_buffer is not None:
        parts.append(f"reward falls linearly by 1 over the last {arm.overlong_buffer:g} of train.max_tokens")
    return "; ".join(parts) or "as train.truncated says"


def _covariance(arm: Arm) -> str:
    match arm.covariance:
        case ClipCov(fraction=fraction, low=low, high=high):
            return f"Clip-Cov: drops {fraction:g} of all tokens, from those with {low:g} < covariance < {high:g}"
        case KlCov(fraction=fraction, coef=coef):
            return f"KL-Cov: {coef:g} * |log ratio| on the {fraction:g} of all tokens of highest covariance"
    return "none"


def _table(arm: Arm) -> list[dict[str, float]]:
    """For 0 .. GROUP correct rollouts: the advantage of a correct and of a wrong one, where there is one."""
    import torch

    rewards = torch.tril(torch.ones(GROUP + 1, GROUP, dtype=torch.float64), diagonal=-1)
    rows = []
    for c, values in enumerate(arm.estimate(rewards).tolist()):
        sides = {"correct": values[0]} if c else {}
        rows.append(sides | ({"wrong": values[-1]} if c < GROUP else {}))
    return rows


def _listing() -> str:
    return "\n".join(f"{name:24}{_place(name):10}{arm.title or name}: {arm.about}" for name, arm in ARMS.items())


def _place(name: str) -> str:
    places = (("main", MAIN), ("library", LIBRARY))
    return next((place for place, arms in places if name in [arm.name for arm in arms]), "")


def _page(found: dict[str, Any]) -> str:
    lines = [f"{found['arm']} ({found['title']}): {found['about']}", "", "Differs from grpo in:"]
    lines += [f"  {k}: {v['grpo']} -> {v['arm']}" for k, v in found["differs_from_grpo"].items()] or ["  nothing"]
    lines += ["", "Fields:", *(f"  {k:20}{v}" for k, v in found["fields"].items())]
    lines += ["", "Conventions:", *(f"  {k:20}{v}" for k, v in found["meaning"].items())]
    lines += ["", f"Advantages, G = {GROUP}:"]
    lines += [
        f"  {k:20}" + "   ".join(f"{side} {value:+.4f}" for side, value in row.items())
        for k, row in found["advantages"].items()
    ]
    return "\n".join(lines)
