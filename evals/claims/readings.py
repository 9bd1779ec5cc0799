"""Other defensible readings of a claim: what a reader may ask "and if you had ..." about. They decide nothing; they stand
beside it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from asymgrpo.method.arms import ARMS, BETA_NEG, BETA_POS
from evals.claims.claim import Claim, Contrast, trend


@dataclass(frozen=True)
class Reading:
    """name: in a few words. claim: the claim so read."""

    name: str
    claim: Claim


class Endpoint(StrEnum):
    """Which accuracy claims on accuracy are about (docs/evaluation.md): of the selected checkpoint on the benchmarks, or on the
    held-out problems late in training, over many evaluations."""

    checkpoint = "checkpoint"
    late = "late"


MEASURE_OF = {Endpoint.checkpoint: "accuracy", Endpoint.late: "accuracy_late"}
SAME = {
    "accuracy of the selected checkpoint": "accuracy",
    "accuracy late in training": "accuracy_late",
    "training reward, later half of the steps": "reward_late",
}
ENDPOINTS = {
    "accuracy": SAME,
    "accuracy_late": SAME,
    "entropy_late": {"entropy of the sequence": "sequence_entropy_late"},
}
"""Measure -> others for the same thing: scores of one chosen checkpoint are noisy; a mean per token changes with the length."""
SWEEPS = {
    "unsolved": trend(BETA_POS, sign=-1),
    "displacement_rise": trend({arm: beta for arm, beta in BETA_NEG.items() if beta <= 0.5}, sign=1),
}
"""Claim -> its line with the exponent of 0."""

RANGES = {"covariance": {"mixed groups only": "cov_mixed", "all groups, all-wrong ones too": "cov_every"}}
"""Claim -> its measure over other ranges of p."""
NULLS: dict[str, dict[str, tuple[Contrast, ...]]] = {"collapse": {"against no change at all": ({"grpo": 1.0},)}}
"""Claim -> its contrast with another null."""


def at(endpoint: Endpoint, claims: Sequence[Claim]) -> list[Claim]:
    """The claims with those on accuracy at an endpoint."""
    return [replace(one, measure=MEASURE_OF[endpoint]) if one.measure == "accuracy" else one for one in claims]


def readings(claim: Claim) -> list[Reading]:
    """Every other reading of a claim."""
    others = {name: measure for name, measure in ENDPOINTS.get(claim.measure, {}).items() if measure != claim.measure}
    found = [Reading(name, replace(claim, measure=measure)) for name, measure in others.items()]
    if claim.id in SWEEPS:
        with_zero = replace(claim, parts=SWEEPS[claim.id])
        found += [Reading("exponent 0 too, 0^0 = 1", with_zero), Reading("exponent 0 too, 0^0 = 0", _zero(with_zero))]
    elif claim.parts and _zero(claim).parts != claim.parts:
        found.append(Reading("0^0 = 0", _zero(claim)))
    found += [Reading(name, replace(claim, measure=measure)) for name, measure in RANGES.get(claim.id, {}).items()]
    found += [Reading(name, replace(claim, parts=parts)) for name, parts in NULLS.get(claim.id, {}).items()]
    return found


def _zero(claim: Claim) -> Claim:
    """The claim with the arms that have an exponent of 0 read with 0^0 = 0, where there is such an arm."""
    other = {arm: f"{arm}_zero" if f"{arm}_zero" in ARMS else arm for arm in claim.arms}
    return replace(claim, parts=tuple({other[arm]: weight for arm, weight in part.items()} for part in claim.parts))
