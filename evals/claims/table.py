"""The claims of both versions of the paper, one entry each: where it is made, the contrast that decides it, and its margin.

Every contrast is written so that positive favours the claim. Where the paper leaves open what is compared with what, `reading`
says what we took.

**Margins.** The smallest effect that matters is the paper's own, where its main table has one: an effect is *too small* if it
is smaller than what the paper reports. A claim on accuracy without a number of its own has half of GRPO's gain over REINFORCE
in that table. Where no number of the paper is known (entropy, covariance, log-probabilities, unsolved prompts: its figures are
not known here) the margin is ours and says so.
"""

from collections.abc import Mapping

import numpy as np

from asymgrpo.method.arms import BETA_NEG, BETA_POS
from evals.claims.claim import Check, Claim, Margin, above, trend
from evals.tables.paper_values import MODEL, paper_value

BONUSES = ("grpo_entropy_0p003", "grpo_entropy", "grpo_entropy_0p03")
"""Entropy bonuses; a configuration may change the coefficient of the middle one (`arms`)."""
CONTROLS = frozenset({"random_reward"})
"""Arms that do not learn from the verifier: their runs vary in another way, and share no variance with the others."""
MAIN = "main table"
ENTROPY = Margin(float(np.log(1.05)), "ours: 5 %")
POINT = Margin(0.01, "ours: one point")
CORRELATION = Margin(0.1, "ours: a correlation of 0.1")
LOGP = Margin(0.5e-3, "ours: 0.5e-3 nats per token")


def printed(arm: str) -> float:
    """The paper's average of an arm (main table, v1)."""
    value = paper_value(MODEL, arm, "average", "avg_at_n")
    if value is None:
        raise KeyError(arm)
    return value


def gain(better: str, other: str) -> float:
    """A difference of the paper's averages.

    >>> gain("asymgrpo", "grpo")
    0.0286
    """
    return round(printed(better) - printed(other), 4)


HALF_GAIN = Margin(gain("grpo", "reinforce") / 2, f"half of GRPO's gain over REINFORCE, {MAIN}, v1 (56.50 − 53.71)")


def ranked(name: str, sentence: str, better: str, *others: str, checks: tuple[Check, ...] = ()) -> Claim:
    """A row of the main table above others; the margin is the smallest of its differences there."""
    smallest = min(others, key=lambda other: gain(better, other))
    values = " and ".join(f"{100 * printed(other):.2f}" for other in others)
    reading = f"paper: {100 * printed(better):.2f} against {values}"
    source = f"the paper's effect, {MAIN}, v1 ({100 * printed(better):.2f} − {100 * printed(smallest):.2f})"
    parts, margin = above(better, *others), Margin(gain(better, smallest), source)
    return Claim(name, "v1", MAIN, sentence, reading, "accuracy", parts, margin, checks)


def clips(*arms: str) -> tuple[Check, ...]:
    """Clip-higher acts only on tokens that meet the upper bound; `arms` are those whose bound it raises."""
    why = "Clip-higher hardly acts"
    return tuple(Check("clip_high", arm, 0.01, why) for arm in arms)


def positive(levels: Mapping[str, float]) -> dict[str, float]:
    """The levels without an exponent of 0, whose reading of 0^0 puts a jump there."""
    return {arm: beta for arm, beta in levels.items() if beta > 0}


MAIN_TABLE = (
    ranked("asym_grpo", "AsymGRPO is more accurate than GRPO", "asymgrpo", "grpo"),
    ranked("asym_reinforce", "AsymGRPO is more accurate than REINFORCE", "asymgrpo", "reinforce"),
    ranked("asym_dr", "AsymGRPO is more accurate than Dr.GRPO", "asymgrpo", "dr_grpo"),
    ranked("asym_bonus", "AsymGRPO is more accurate than GRPO with an entropy bonus", "asymgrpo", "grpo_entropy"),
    ranked(
        "asym_clip",
        "AsymGRPO is more accurate than GRPO with Clip-higher",
        "asymgrpo",
        "grpo_clip_higher",
        checks=clips("grpo"),
    ),
    ranked("grpo_reinforce", "GRPO is more accurate than REINFORCE", "grpo", "reinforce"),
    ranked("bonus_grpo", "An entropy bonus improves GRPO", "grpo_entropy", "grpo"),
    ranked("clip_grpo", "Clip-higher improves GRPO", "grpo_clip_higher", "grpo", checks=clips("grpo")),
    ranked("dr_grpo", "Dr.GRPO is more accurate than GRPO", "dr_grpo", "grpo"),
    ranked(
        "synergy",
        "AsymGRPO with Clip-higher is more accurate than each of them alone",
        "asymgrpo_clip_higher",
        "asymgrpo",
        "grpo_clip_higher",
        checks=clips("grpo", "asymgrpo"),
    ),
)
ANALYSES = (
    Claim(
        "collapse",
        "v1, v2",
        "abstracts: restricted exploration",
        "GRPO loses entropy as it trains",
        "log ratio of early to late entropy, above that of the same number of updates on random rewards",
        "entropy_lost",
        above("grpo", "random_reward"),
        ENTROPY,
    ),
    Claim(
        "collapse_matched",
        "v1, v2",
        "abstracts: restricted exploration",
        "At equal success GRPO has less entropy than AsymGRPO",
        "entropy where the training reward first reaches the middle between GRPO's early and late reward",
        "entropy_matched",
        above("asymgrpo", "grpo"),
        ENTROPY,
    ),
    Claim(
        "own_refinement",
        "v1",
        "abstract",
        "GRPO itself keeps entropy on correct rollouts and removes it from wrong ones",
        "growth of log(entropy on correct / on wrong rollouts) from early to late, above REINFORCE's",
        "entropy_moved",
        above("grpo", "reinforce"),
        ENTROPY,
    ),
    Claim(
        "positive_entropy",
        "v1, v2",
        "analysis 1: entropy and accuracy",
        "Modulating correct rollouts alone keeps entropy higher",
        "than REINFORCE, which modulates neither",
        "entropy_late",
        above("positive_only", "reinforce"),
        ENTROPY,
    ),
    Claim(
        "positive_accuracy",
        "v1, v2",
        "analysis 1: entropy and accuracy",
        "Modulating correct rollouts alone gains accuracy",
        "over REINFORCE",
        "accuracy",
        above("positive_only", "reinforce"),
        HALF_GAIN,
    ),
    Claim(
        "negative_entropy",
        "v1, v2",
        "analysis 1: entropy and accuracy",
        "Modulating wrong rollouts alone lowers entropy",
        "below REINFORCE",
        "entropy_late",
        above("reinforce", "negative_only"),
        ENTROPY,
    ),
    Claim(
        "negative_accuracy",
        "v1, v2",
        "analysis 1: entropy and accuracy",
        "Modulating wrong rollouts alone gains accuracy",
        "over REINFORCE",
        "accuracy",
        above("negative_only", "reinforce"),
        HALF_GAIN,
    ),
    Claim(
        "reversal_positive",
        "v1",
        "analysis 2: reversal",
        "Reversing the modulation of correct rollouts hurts accuracy",
        "exponents 0.5 / 0 against −0.5 / 0",
        "accuracy",
        above("positive_only", "ent_decrease"),
        HALF_GAIN,
    ),
    Claim(
        "reversal_negative",
        "v1",
        "analysis 2: reversal",
        "Reversing the modulation of wrong rollouts hurts accuracy",
        "exponents 0 / 0.5 against 0 / −0.5",
        "accuracy",
        above("negative_only", "ent_increase"),
        HALF_GAIN,
    ),
    Claim(
        "bonus_entropy",
        "v1",
        "analysis 3: entropy bonus",
        "An entropy bonus raises entropy",
        "the largest coefficient, 0.03, against none",
        "entropy_late",
        above("grpo_entropy_0p03", "grpo"),
        ENTROPY,
    ),
    Claim(
        "bonus_positive",
        "v1",
        "analysis 3: entropy bonus",
        "No entropy coefficient matches positive-only modulation",
        "every coefficient is below",
        "accuracy",
        above("positive_only", *BONUSES),
        HALF_GAIN,
    ),
    Claim(
        "bonus_sensitive",
        "v1, v2",
        "abstracts",
        "The entropy bonus is sensitive to its coefficient",
        "ten times the coefficient, 0.03 for 0.003, loses accuracy",
        "accuracy",
        above("grpo_entropy_0p003", "grpo_entropy_0p03"),
        Margin(gain("grpo_entropy", "grpo"), f"the bonus's own effect, {MAIN}, v1 (57.52 − 56.50)"),
    ),
    Claim(
        "covariance",
        "v1",
        "analysis 4: covariance",
        "Cov(log π, A) grows with the share of correct rollouts in a group",
        "in GRPO's own training; all groups with a correct rollout, those with only correct ones (Cov = 0) too",
        "cov_correlation",
        ({"grpo": 1.0},),
        CORRELATION,
    ),
    Claim(
        "covariance_rise",
        "v1",
        "analysis 4: covariance",
        "Cov(log π, A) rises up to p = 1/2",
        "groups with a correct rollout and p ≤ 1/2",
        "cov_rise",
        ({"grpo": 1.0},),
        CORRELATION,
    ),
    Claim(
        "covariance_fall",
        "ours",
        "analysis 4: covariance",
        "Cov(log π, A) falls from p = 1/2 to p = 1",
        "groups with p ≥ 1/2, sign reversed; the paper says nothing of a fall",
        "cov_fall",
        ({"grpo": 1.0},),
        CORRELATION,
    ),
    Claim(
        "unsolved",
        "v1",
        "analysis 5: exponent on correct rollouts",
        "Fewer prompts stay without a solved rollout as beta_pos grows",
        "line over beta_pos from 0.25 to 0.9, sign reversed",
        "none_solved",
        trend(positive(BETA_POS), sign=-1),
        POINT,
    ),
    Claim(
        "displacement_rise",
        "v1, v2",
        "analysis 6: exponent on wrong rollouts; v2: interference",
        "The log-probability gain of correct rollouts rises with beta_neg",
        "line over beta_neg from 0.25 to 0.5; each arm at its own states",
        "logp_gain",
        trend({arm: beta for arm, beta in positive(BETA_NEG).items() if beta <= 0.5}, sign=1),
        LOGP,
    ),
    Claim(
        "displacement_fall",
        "v1",
        "analysis 6: exponent on wrong rollouts",
        "The log-probability gain of correct rollouts falls when beta_neg is too large",
        "beta_neg 0.5 against 0.75; each arm at its own states",
        "logp_gain",
        above("grpo", "beta_neg_0p75"),
        LOGP,
    ),
    Claim(
        "coverage_base",
        "ours",
        "analysis 8: pass@k",
        "With many samples the base model solves more problems than GRPO",
        "our reading of restricted exploration",
        "pass_at_max",
        above("base", "grpo"),
        POINT,
    ),
    Claim(
        "coverage_asym",
        "ours",
        "analysis 8: pass@k",
        "With many samples AsymGRPO solves more problems than GRPO",
        "our reading of the curves",
        "pass_at_max",
        above("asymgrpo", "grpo"),
        POINT,
    ),
)
DECOUPLED = (
    Claim(
        "independent",
        "v1, v2",
        "abstracts, implied",
        "Independently set exponents are more accurate than any shared one",
        "0.9 / 0.4 against 0.25, 0.5 (GRPO), 0.65 and 0.9 on both sides",
        "accuracy",
        above("asymgrpo", "beta_0p25_0p25", "grpo", "beta_0p65_0p65", "beta_0p9_0p9"),
        Margin(gain("asymgrpo", "grpo"), f"AsymGRPO's gain over GRPO, {MAIN}, v1 (59.36 − 56.50)"),
    ),
    Claim(
        "difficulty_hard",
        "v2",
        "abstract: difficulty",
        "Reinforcing rare successes more leaves fewer hard prompts unsolved",
        "prompts without a solved rollout late in training, AsymGRPO below GRPO",
        "none_solved",
        above("grpo", "asymgrpo"),
        POINT,
    ),
    Claim(
        "difficulty_easy",
        "v2",
        "abstract: difficulty",
        "Suppressing the last failures more solves easy prompts wholly",
        "prompts with only correct rollouts late in training, beta_neg 0.75 above 0.5 (AsymGRPO's 0.4 does the opposite)",
        "all_solved",
        above("beta_neg_0p75", "grpo"),
        POINT,
    ),
    Claim(
        "difficulty_weight",
        "v2",
        "abstract: difficulty",
        "AsymGRPO spends more of its advantages on hard prompts than GRPO",
        "share of all advantages, by size, on prompts with less than half of the rollouts correct",
        "hard_weight",
        above("asymgrpo", "grpo"),
        Margin(0.05, "half of the 10 points that the theory gives (docs/theory.md: 60 % against 50 %)"),
    ),
    Claim(
        "asym_maxrl",
        "ours",
        "published neighbour: MaxRL, exponents 1 / 0",
        "AsymGRPO is more accurate than MaxRL",
        "the centred neighbour on the plane of exponents",
        "accuracy",
        above("asymgrpo", "maxrl"),
        HALF_GAIN,
    ),
    Claim(
        "asym_scaled",
        "ours",
        "control: size of the advantages",
        "AsymGRPO is more accurate than GRPO with advantages of AsymGRPO's size",
        "GRPO's advantages scaled to AsymGRPO's mean |A| on each batch: what is left is where they lie, not how large they are",
        "accuracy",
        above("asymgrpo", "grpo_scaled"),
        HALF_GAIN,
    ),
)
UNTESTED = (
    Claim(
        "equation",
        "v1",
        "theory",
        "One natural-gradient step changes entropy by −η Cov(log π, A)",
        "exact or not, under stated conditions",
        untested="it is a statement without runs: docs/theory.md",
    ),
    Claim(
        "weak_uncertainty",
        "v2",
        "abstract",
        "An entropy bonus can add semantically weak uncertainty",
        "no definition is known here",
        untested="nothing that is measured tells semantically weak uncertainty from other uncertainty",
    ),
    Claim(
        "largest_aime24",
        "v1",
        MAIN,
        "AsymGRPO's gain is largest on AIME24",
        "paper: 39.33 against 31.00; one benchmark of five is the largest by chance too",
        untested="it needs the paper's benchmarks and models (config/paper.yaml)",
    ),
    Claim(
        "backbones",
        "v2",
        "abstract",
        "The gains hold across backbones",
        "no number of v2 is known here",
        untested="claims are decided for each model by itself; see whether asym_grpo agrees among the models of a study",
    ),
    Claim(
        "five_benchmarks",
        "v2",
        "abstract",
        "The gains hold on five math benchmarks",
        "no number of v2 is known here",
        untested="it needs the paper's benchmarks and models (config/paper.yaml)",
    ),
)
CLAIMS = (*MAIN_TABLE, *ANALYSES, *DECOUPLED, *UNTESTED)
TESTS = tuple(claim for claim in CLAIMS if claim.parts)
"""The family: every claim that has a test, whether or not a study ran its arms."""
POOL = frozenset(arm for claim in TESTS for arm in claim.arms) - CONTROLS
"""Arms that share one variance between seeds."""
