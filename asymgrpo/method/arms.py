"""The one table of arms: each is written as its difference from GRPO.

`python -m asymgrpo.method asymgrpo` prints all conventions of an arm. No code asks for the name of an arm: the trainer calls
`arm.advantage_fn`, `arm.select_tokens` and `asymgrpo.method.objective.loss_terms`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ValidationError

from asymgrpo.errors import ArmError
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
    Parameterless,
    PassAtK,
    QuantileBaseline,
    Sapo,
    UserFunction,
    WReinforce,
)


def exponents(beta_pos: float, beta_neg: float, degenerate: Literal["limit", "zero"] = "limit") -> dict[str, Any]:
    return {"advantage": Asymmetric(beta_pos=beta_pos, beta_neg=beta_neg, degenerate=degenerate)}


def fixed(estimator: Literal["reinforce", "mean_centered", "leave_one_out"]) -> dict[str, Any]:
    return {"advantage": Parameterless(estimator=estimator)}


def variant(name: str, title: str, about: str, look: str = "", **changes: Any) -> Arm:
    return GRPO.but(name=name, title=title, about=about, look=look, **changes)


def tag(value: float) -> str:
    """A number inside a name: 0.25 -> "0p25", which is a word for file names and wildcards."""
    return str(value).replace(".", "p")


def ascending(levels: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(levels.items(), key=lambda item: item[1]))


GRPO = Arm(
    name="grpo",
    title="GRPO",
    about="Advantages standardised within the group, population std, no epsilon",
    look="#000000",
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
CLIP_HIGHER = {"clip_high": 0.28}
DR_GRPO = fixed("mean_centered") | {"reduction": "constant"}
ASYM = exponents(0.9, 0.4)
COEFS, POS, NEG = (0.003, 0.01, 0.03), (0.25, 0.75, 0.9), (0.25, 0.4, 0.75)
"""Swept: entropy coefficients, and exponents beside one of 0.5 (the sweep has 0 and 0.5 too: `BETA_POS`, `BETA_NEG`)."""

# Name, title, sentence, look, and the differences from GRPO. The colours are Okabe and Ito's, told apart with every common colour
# blindness; dashes help in grey print.
MAIN = (
    variant("reinforce", "REINFORCE", "Fixed advantages +1 and -1, same clipping", "#B8860B", **fixed("reinforce")),
    GRPO,
    variant("grpo_entropy", "GRPO + entropy bonus", "Entropy bonus", "#56B4E9 5 1", entropy_coef=ENTROPY_COEF),
    variant("grpo_clip_higher", "GRPO + Clip-higher", "Upper clip bound raised", "#009E73 3 1 1 1", **CLIP_HIGHER),
    variant("dr_grpo", "Dr.GRPO", "Mean-centred, constant length", "#CC79A7 5 1 1 1", **DR_GRPO),
    variant("asymgrpo", "AsymGRPO", "Exponent 0.9 on correct, 0.4 on wrong rollouts", "#D55E00", **ASYM),
    variant("asymgrpo_clip_higher", "AsymGRPO + Clip-higher", "Both together", "#0072B2 4 1", **ASYM, **CLIP_HIGHER),
)
"""The arms of Table 1, in its order."""
ANALYSES = (
    # One colour per side that is modulated; dashed where the modulation is reversed.
    variant("positive_only", "positive-only (0.5 / 0)", "p acts on correct rollouts", "#0072B2", **exponents(0.5, 0.0)),
    variant("negative_only", "negative-only (0 / 0.5)", "p acts on wrong rollouts", "#D55E00", **exponents(0.0, 0.5)),
    variant("ent_decrease", "EntDecrease (−0.5 / 0)", "Positive-only reversed", "#0072B2 3 1", **exponents(-0.5, 0.0)),
    variant("ent_increase", "EntIncrease (0 / −0.5)", "Negative-only reversed", "#D55E00 3 1", **exponents(0.0, -0.5)),
    *(variant(f"grpo_entropy_{tag(c)}", f"GRPO + entropy bonus {c}", "Entropy bonus", entropy_coef=c) for c in COEFS),
    *(variant(f"beta_pos_{tag(b)}", f"exponents {b} / 0.5", "Sweep of beta_pos", **exponents(b, 0.5)) for b in POS),
    *(variant(f"beta_neg_{tag(b)}", f"exponents 0.5 / {b}", "Sweep of beta_neg", **exponents(0.5, b)) for b in NEG),
    variant("random_reward", "GRPO on random rewards", "Control: coin flips in place of verdicts", reward="random"),
    variant("rloo", "RLOO", "Leave-one-out baseline, no scaling", **fixed("leave_one_out")),
    variant("w_reinforce", "W-REINFORCE", "Fixed advantages +0.1 and -1", advantage=WReinforce(positive_weight=0.1)),
    variant(
        "grpo_adaptive_entropy",
        "GRPO + adaptive entropy bonus",
        "Entropy coefficient steered to a target",
        adaptive_entropy=AdaptiveEntropy(target=0.2, delta=0.005, low=0.0, high=1.0),
    ),
    variant(
        "clip_cov",
        "GRPO + Clip-Cov",
        "Some tokens of high covariance have no gradient",
        covariance=ClipCov(fraction=0.0002, low=1.0, high=5.0),
    ),
    variant(
        "kl_cov",
        "GRPO + KL-Cov",
        "Penalty on the tokens of highest covariance",
        covariance=KlCov(fraction=0.002, coef=1.0),
    ),
)
"""The other arms of the paper's analyses, in the order of figures that show them all."""
PAIRS = ((0.9, 0.1), (0.6, 0.4), (0.25, 0.25), (0.65, 0.65), (0.9, 0.9))
"""Centred like GRPO (their sum is 1), then shared by both signs; the shared 0.5 is grpo, the 0 is reinforce."""
ZEROS = (
    ("reinforce", "REINFORCE", 0, 0),
    ("positive_only", "positive-only", 0.5, 0),
    ("negative_only", "negative-only", 0, 0.5),
    ("ent_decrease", "EntDecrease", -0.5, 0),
    ("ent_increase", "EntIncrease", 0, -0.5),
)
"""Arms with an exponent of 0 in the other reading of 0^0: no signal from degenerate groups."""
MATCHED: dict[str, Any] = {"advantage": GrpoScaled(beta_pos=0.9, beta_neg=0.4, degenerate="limit")}
PSR, NSR = WReinforce(positive_weight=1.0, negative_weight=0.0), WReinforce(positive_weight=0.0)
AGRAE = AGrae(alpha=1.0, ddof=0, eps=0.0)
DAPO: dict[str, Any] = CLIP_HIGHER | {"dynamic_sampling": 4, "overlong_filter": True, "overlong_buffer": 0.2}
BY_SEQUENCE: dict[str, Any] = {"reduction": "sequence"}
LIBRARY = (
    variant("maxrl", "MaxRL", "(r - mean) / mean: exponents 1 / 0", **exponents(1, 0, "zero")),
    variant("maxrl_limit", "MaxRL, 0^0 = 1", "All-wrong groups are lowered", **exponents(1, 0)),
    *(variant(f"beta_{tag(p)}_{tag(n)}", f"exponents {p} / {n}", "The plane", **exponents(p, n)) for p, n in PAIRS),
    *(
        variant(f"{x}_zero", f"{title}, 0^0 = 0", "Other reading", **exponents(p, n, "zero"))
        for x, title, p, n in ZEROS
    ),
    variant("grpo_scaled", "GRPO at AsymGRPO's size", "Mean abs(A) of AsymGRPO on the same batch", **MATCHED),
    variant("dr_grpo_no_std", "Dr.GRPO, no std only", "Mean-centred", **fixed("mean_centered")),
    variant("dr_grpo_length", "Dr.GRPO, length only", "Constant length", reduction="constant"),
    variant("psr", "PSR", "Correct rollouts +1, wrong ones 0", advantage=PSR),
    variant("nsr", "NSR", "Correct rollouts 0, wrong ones -1", advantage=NSR),
    variant("pass_at_k", "Pass@k training", "Rewards of draws of 4 rollouts", advantage=PassAtK(k=4)),
    variant("qae", "QAE", "The group's 0.4 quantile for a baseline", advantage=QuantileBaseline(quantile=0.4)),
    variant("a_grae", "A-GRAE", "Weighted by the batch's mean accuracy", advantage=AGRAE),
    variant("gspo", "GSPO", "Ratio of the sequence", surrogate=Gspo(), clip_low=3e-4, clip_high=4e-4, **BY_SEQUENCE),
    variant("gmpo", "GMPO", "Geometric mean of clipped ratios", surrogate=Gmpo(log_clip=0.4), **BY_SEQUENCE),
    variant(
        "sapo", "SAPO", "A smooth gate in place of bounds", surrogate=Sapo(tau_pos=1.0, tau_neg=1.05), **BY_SEQUENCE
    ),
    variant("cispo", "CISPO", "A capped ratio as weight of log pi", surrogate=Cispo(cap=5.0)),
    variant("dppo_tv", "DPPO-TV", "Bounds on the change of probability", surrogate=DppoTv(delta=0.2, cap=20.0)),
    variant("grpo_off_policy", "GRPO + off-policy mask", "Drops failures that drifted", off_policy_delta=0.5),
    variant("dapo", "DAPO", "Clip-higher, dynamic sampling, both rules on long responses", **DAPO),
    variant("lite_ppo", "Lite-PPO", "Std over the batch", advantage=BatchStandardized(ddof=0, eps=0.0)),
)
"""More arms, for studies that name them."""
ARMS: dict[str, Arm] = {arm.name: arm for arm in (*MAIN, *ANALYSES, *LIBRARY)}
BETA_POS = ascending({"negative_only": 0.0, "grpo": 0.5} | {f"beta_pos_{tag(b)}": b for b in POS})
"""Sweep: arm -> exponent on correct rollouts, that on wrong ones being 0.5."""
BETA_NEG = ascending({"positive_only": 0.0, "grpo": 0.5} | {f"beta_neg_{tag(b)}": b for b in NEG})
"""Sweep: arm -> exponent on wrong rollouts, that on correct ones being 0.5."""


def on_the_plane(arm: Arm) -> tuple[float, float] | None:
    """(beta_pos, beta_neg) of an arm that differs from GRPO in its exponents alone."""
    if set(differences(arm)) - {"advantage"}:
        return None
    if isinstance(arm.advantage, Asymmetric):
        return arm.advantage.beta_pos, arm.advantage.beta_neg
    fixed_points = {"group_standardized": (0.5, 0.5), "reinforce": (0.0, 0.0)}
    return fixed_points.get(arm.advantage.estimator)


ALL = "all"
"""Under this name a configuration changes every arm that has a use for the change."""


def get_arm(name: str, overrides: Mapping[str, Any] | None = None) -> Arm:
    """The arm `name`, with named fields or parameters of its advantage changed. Raises ArmError.

    With the key `base` it is a new arm: that of the table with the changes, and with the key `python` with a function of the
    user's own for its advantage (`asymgrpo.method.arm.UserFunction`).

    >>> get_arm("asymgrpo", {"beta_pos": 0.8}).advantage.beta_pos
    0.8
    >>> get_arm("mine", {"base": "asymgrpo", "clip_high": 0.3}).clip_high
    0.3
    """
    changes = dict(overrides or {})
    arm = _new(name, changes) if "base" in changes else _known(name, f"arm {name!r}")
    own = {} if isinstance(arm.advantage, UserFunction) else arm.advantage_parameters
    parameters = {key: changes.pop(key) for key in list(changes) if key in own}
    if parameters and "advantage" in changes:
        raise ArmError(f"arms.{name}: give either advantage or {' and '.join(parameters)}, not both.")
    if parameters:
        changes["advantage"] = arm.advantage.model_dump() | parameters
    known = [key for key in Arm.model_fields if key not in ("name", *FOR_READERS)] + list(own)
    for key in changes:
        if key not in known:
            raise ArmError(f"arms.{name}.{key} cannot be changed; choose from {', '.join(known)}.")
    return _valid(arm, name, changes)


def acting(arm: Arm, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the changes for all arms that this one has a use for: the bounds of the clipped ratio act on no other surrogate.

    >>> acting(ARMS["sapo"], {"dual_clip": 3.0, "ddof": 1}), acting(ARMS["asymgrpo"], {"dual_clip": 3.0, "ddof": 1})
    ({'ddof': 1}, {'dual_clip': 3.0})
    """
    idle = set[str]() if arm.surrogate.kind == "clip" else {"clip_low", "clip_high", "dual_clip"}
    known = {*Arm.model_fields, *arm.advantage_parameters} - idle
    return {key: value for key, value in changes.items() if key in known}


def _known(name: str, what: str) -> Arm:
    if name in ARMS:
        return ARMS[name]
    close = difflib.get_close_matches(name, ARMS, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ArmError(f"{what} is unknown.{hint} Known arms: {', '.join(ARMS)}.")


def _new(name: str, changes: dict[str, Any]) -> Arm:
    """The arm that `base` and `python`, which are taken out of the changes, define."""
    base = _known(changes.pop("base"), f"arms.{name}.base")
    if name in (*ARMS, "base", ALL):
        raise ArmError(f"arms.{name}.base: there is an arm of this name; give the new arm another, or leave base out.")
    if not re.fullmatch(r"[A-Za-z]\w*", name):
        raise ArmError(f"arms has the new name {name!r}; use letters, digits and _ only, a letter first.")
    new = {"name": name, "title": "", "about": f"Of the study: {base.name} with changes", "look": ""}
    python = changes.pop("python", None)
    if python is None:
        return base.but(**new)
    if "advantage" in changes:
        raise ArmError(f"arms.{name}: give either advantage or python, not both.")
    return _valid(base.but(**new), name, {"advantage": {"estimator": "python", **dict(python)}})


def _valid(arm: Arm, name: str, changes: Mapping[str, Any]) -> Arm:
    try:
        return arm.but(**changes)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ArmError(f"arms.{name}.{key} = {first['input']!r} is not allowed: {first['msg']}.") from None


ANY_REWARD = ("group_standardized", "batch_standardized", "mean_centered", "leave_one_out")
"""Estimators that take rewards other than 0 and 1."""


def check_arm(arm: Arm, updates_per_rollout: int, group_size: int | None = None, truncated: str | None = None) -> None:
    """Raises ArmError if the changes that make the arm cannot act. group_size, truncated (of `train`) None: any."""
    if arm.name != GRPO.name and not _acting(arm):
        raise ArmError(f"arm {arm.name!r} with these changes is grpo itself; undo arms.{arm.name} or run grpo.")
    idle = idle_with_one_update(arm)
    if updates_per_rollout == 1 and idle:
        raise ArmError(
            f"arm {arm.name!r}: {' and '.join(idle)} cannot act with train.updates_per_rollout = 1, where "
            "every ratio is 1; set train.updates_per_rollout to at least 2 or leave the arm out."
        )
    if arm.surrogate.kind not in ("clip", "gspo") and (clips := {"clip_low", "clip_high"} & set(differences(arm))):
        raise ArmError(
            f"arm {arm.name!r}: {' and '.join(sorted(clips))} cannot act on the surrogate {arm.surrogate.kind}; leave them out."
        )
    if arm.overlong_buffer is not None and arm.advantage.estimator not in ANY_REWARD:
        raise ArmError(
            f"arm {arm.name!r}: overlong_buffer makes rewards other than 0 and 1, which {arm.advantage.estimator} does not take; "
            f"use {', '.join(ANY_REWARD)}."
        )
    if isinstance(arm.advantage, PassAtK) and group_size is not None and arm.advantage.k >= group_size:
        raise ArmError(
            f"arm {arm.name!r}: with train.group_size = {group_size} there is at most one draw of k = {arm.advantage.k} "
            "rollouts, so that no group has a signal; lower k or raise group_size."
        )
    if truncated == "mask" and _acting(arm) == {"overlong_filter"}:
        raise ArmError(
            f"arm {arm.name!r}: overlong_filter cannot act with train.truncated = mask, which leaves out the same responses in "
            "every arm; set train.truncated to zero or leave the arm out."
        )


def _acting(arm: Arm) -> set[str]:
    """The fields in which the arm is not GRPO, but for an advantage that is GRPO's under another name."""
    same = arm.advantage in (PassAtK(k=1), *(exponents(0.5, 0.5, d)["advantage"] for d in ("limit", "zero")))
    return set(differences(arm)) - ({"advantage"} if same else set())


def idle_with_one_update(arm: Arm) -> list[str]:
    """Fields in which the arm differs from GRPO but that act only where the ratio is not 1.

    Clip-Cov is not among them: it drops gradients at any ratio.
    """
    only_ratios = ("clip_low", "clip_high", "dual_clip", "surrogate", "off_policy_delta")
    idle: list[str] = [key for key in only_ratios if key in differences(arm)]
    return [*idle, "covariance"] if isinstance(arm.covariance, KlCov) else idle


def differences(arm: Arm) -> dict[str, tuple[Any, Any]]:
    """Field -> (value in GRPO, value in this arm), for the fields that differ."""
    ours, grpo = (a.model_dump(mode="json", exclude=set(FOR_READERS)) for a in (arm, GRPO))
    return {key: (grpo[key], ours[key]) for key in ours if key != "name" and ours[key] != grpo[key]}


def _plane() -> dict[str, tuple[float, float]]:
    points = {name: point for name, arm in ARMS.items() if (point := on_the_plane(arm)) is not None}
    first = {point: name for name, point in reversed(points.items())}
    return {name: point for name, point in points.items() if first[point] == name}


PLANE = _plane()
"""Arms of the plane -> (beta_pos, beta_neg); of two readings of 0^0 the one that comes first in the table."""
