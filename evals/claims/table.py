"""The paper's claims, one entry each: the sentence, where it is made, and the contrast of measures that decides it.

Every contrast is written so that positive favours the claim. Where the paper leaves open what is compared with what, `reading`
says what we took. The table was written before any arm but GRPO was seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from asymgrpo.method.arms import BETA_NEG, BETA_POS

Contrast = Mapping[str, float]

BONUSES = ("grpo_entropy_0p003", "grpo_entropy", "grpo_entropy_0p03")
"""Entropy bonuses; a configuration may change the coefficient of the middle one (`arms`)."""


@dataclass(frozen=True)
class Claim:
    """A claim and its test.

    parts: contrasts (arm -> weight) of the measure, all of which must be positive. reading: what we took where the paper is open,
    or what the paper reports, in a few words.
    """

    id: str
    section: str
    sentence: str
    measure: str
    parts: tuple[Contrast, ...]
    reading: str


def above(better: str, *others: str) -> tuple[Contrast, ...]:
    """`better` minus each of the others.

    >>> above("a", "b", "c")
    ({'a': 1.0, 'b': -1.0}, {'a': 1.0, 'c': -1.0})
    """
    return tuple({better: 1.0, other: -1.0} for other in others)


def trend(levels: Mapping[str, float], sign: int) -> tuple[Contrast, ...]:
    """Weights of the least-squares line over the levels: its rise from the lowest to the highest level, times `sign`.

    >>> trend({"low": 0.0, "middle": 1.0, "high": 2.0}, sign=1)
    ({'low': -1.0, 'middle': 0.0, 'high': 1.0},)
    """
    x = np.array(list(levels.values()))
    centred = x - x.mean()
    weights = sign * (x.max() - x.min()) * centred / (centred**2).sum()
    return ({arm: float(weight) for arm, weight in zip(levels, weights, strict=True)},)


MAIN = "main table"
CLAIMS = (
    Claim(
        "asym_grpo",
        MAIN,
        "AsymGRPO is more accurate than GRPO",
        "accuracy",
        above("asymgrpo", "grpo"),
        "paper: 59.36 against 56.50",
    ),
    Claim(
        "asym_reinforce",
        MAIN,
        "AsymGRPO is more accurate than REINFORCE",
        "accuracy",
        above("asymgrpo", "reinforce"),
        "paper: 59.36 against 53.71",
    ),
    Claim(
        "asym_dr",
        MAIN,
        "AsymGRPO is more accurate than Dr.GRPO",
        "accuracy",
        above("asymgrpo", "dr_grpo"),
        "paper: 59.36 against 58.14",
    ),
    Claim(
        "asym_bonus",
        MAIN,
        "AsymGRPO is more accurate than GRPO with an entropy bonus",
        "accuracy",
        above("asymgrpo", "grpo_entropy"),
        "paper: 59.36 against 57.52",
    ),
    Claim(
        "asym_clip",
        MAIN,
        "AsymGRPO is more accurate than GRPO with Clip-higher",
        "accuracy",
        above("asymgrpo", "grpo_clip_higher"),
        "paper: 59.36 against 58.75",
    ),
    Claim(
        "grpo_reinforce",
        MAIN,
        "GRPO is more accurate than REINFORCE",
        "accuracy",
        above("grpo", "reinforce"),
        "paper: 56.50 against 53.71",
    ),
    Claim(
        "bonus_grpo",
        MAIN,
        "An entropy bonus improves GRPO",
        "accuracy",
        above("grpo_entropy", "grpo"),
        "paper: 57.52 against 56.50",
    ),
    Claim(
        "clip_grpo",
        MAIN,
        "Clip-higher improves GRPO",
        "accuracy",
        above("grpo_clip_higher", "grpo"),
        "paper: 58.75 against 56.50",
    ),
    Claim(
        "dr_grpo",
        MAIN,
        "Dr.GRPO is more accurate than GRPO",
        "accuracy",
        above("dr_grpo", "grpo"),
        "paper: 58.14 against 56.50",
    ),
    Claim(
        "synergy",
        "analysis 7: synergy",
        "AsymGRPO with Clip-higher is more accurate than each of them alone",
        "accuracy",
        above("asymgrpo_clip_higher", "asymgrpo", "grpo_clip_higher"),
        "paper: 60.32 against 59.36 and 58.75",
    ),
    Claim(
        "collapse",
        "the question",
        "GRPO loses entropy as it trains",
        "entropy_lost",
        ({"grpo": 1.0},),
        "the first tenth of the steps against the later half",
    ),
    Claim(
        "positive_entropy",
        "analysis 1: entropy and accuracy",
        "Modulating correct rollouts alone keeps entropy higher",
        "entropy_late",
        above("positive_only", "reinforce"),
        "than REINFORCE, which modulates neither",
    ),
    Claim(
        "positive_accuracy",
        "analysis 1: entropy and accuracy",
        "Modulating correct rollouts alone gains accuracy",
        "accuracy",
        above("positive_only", "reinforce"),
        "over REINFORCE",
    ),
    Claim(
        "negative_entropy",
        "analysis 1: entropy and accuracy",
        "Modulating wrong rollouts alone lowers entropy",
        "entropy_late",
        above("reinforce", "negative_only"),
        "below REINFORCE",
    ),
    Claim(
        "negative_accuracy",
        "analysis 1: entropy and accuracy",
        "Modulating wrong rollouts alone gains accuracy",
        "accuracy",
        above("negative_only", "reinforce"),
        "over REINFORCE",
    ),
    Claim(
        "reversal_positive",
        "analysis 2: reversal",
        "Reversing the modulation of correct rollouts hurts accuracy",
        "accuracy",
        above("positive_only", "ent_decrease"),
        "exponents 0.5 / 0 against −0.5 / 0",
    ),
    Claim(
        "reversal_negative",
        "analysis 2: reversal",
        "Reversing the modulation of wrong rollouts hurts accuracy",
        "accuracy",
        above("negative_only", "ent_increase"),
        "exponents 0 / 0.5 against 0 / −0.5",
    ),
    Claim(
        "bonus_entropy",
        "analysis 3: entropy bonus",
        "An entropy bonus raises entropy",
        "entropy_late",
        above("grpo_entropy_0p03", "grpo"),
        "the largest coefficient, 0.03, against none",
    ),
    Claim(
        "bonus_positive",
        "analysis 3: entropy bonus",
        "No entropy coefficient matches positive-only modulation",
        "accuracy",
        above("positive_only", *BONUSES),
        "every coefficient is below",
    ),
    Claim(
        "covariance",
        "analysis 4: covariance",
        "Cov(log π, A) grows with the share of correct rollouts in a group",
        "cov_correlation",
        ({"grpo": 1.0},),
        "in GRPO's own training",
    ),
    Claim(
        "unsolved",
        "analysis 5: exponent on correct rollouts",
        "Fewer prompts stay without a solved rollout as beta_pos grows",
        "none_solved",
        trend(BETA_POS, sign=-1),
        "line over beta_pos from 0 to 0.9, sign reversed",
    ),
    Claim(
        "displacement_rise",
        "analysis 6: exponent on wrong rollouts",
        "The log-probability gain of correct rollouts rises with beta_neg",
        "logp_gain",
        trend({arm: beta for arm, beta in BETA_NEG.items() if beta <= 0.5}, sign=1),
        "line over beta_neg from 0 to 0.5",
    ),
    Claim(
        "displacement_fall",
        "analysis 6: exponent on wrong rollouts",
        "and falls again when beta_neg is too large",
        "logp_gain",
        above("grpo", "beta_neg_0p75"),
        "beta_neg 0.5 against 0.75",
    ),
    Claim(
        "coverage_base",
        "analysis 8: pass@k",
        "With many samples the base model solves more problems than GRPO",
        "pass_at_max",
        above("base", "grpo"),
        "our reading of restricted exploration",
    ),
    Claim(
        "coverage_asym",
        "analysis 8: pass@k",
        "With many samples AsymGRPO solves more problems than GRPO",
        "pass_at_max",
        above("asymgrpo", "grpo"),
        "our reading of the curves",
    ),
)
