"""Studies drawn at random: how often a study is wrong about any claim, how often intervals cover, how often effects are found.

The variances are those of an exploratory study of 19 arms: accuracy of one checkpoint has a standard deviation of 1 to 4 points
between seeds, by arm, and arms of one seed have a correlation of 0.04. 1 is the root of the mean variance.
"""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, nct, t

from evals.claims.claim import Claim
from evals.claims.decide import ALPHA, decide, interval
from evals.claims.effects import BASE, Analysis, Effect, Measured, effect
from evals.claims.table import POOL, TESTS
from evals.claims.verdict import Conclusion

CORRELATION, OF_THE_DECLARED = 0.04, 0.19
SPREADS = np.array(
    [2.85, 3.64, 2.79, 3.22, 1.19, 0.96, 2.73, 1.18, 2.52, 1.87, 3.40, 3.26, 2.89, 1.34, 1.22, 3.56, 4.13, 2.56, 3.62]
)
"""Of accuracy between seeds, in points, of the 19 arms that learn."""
ARMS = sorted({arm for claim in TESTS for arm in claim.arms} - {BASE})
MAIN = {"reinforce", "grpo", "grpo_entropy", "grpo_clip_higher", "dr_grpo", "asymgrpo", "asymgrpo_clip_higher"}
SPREAD = dict(zip(ARMS, np.resize(SPREADS / math.sqrt(np.mean(SPREADS**2)), len(ARMS)), strict=True))
Study = dict[str, dict[str, Measured]]


def seeds(arm: str) -> int:
    return 8 if arm in MAIN else 5


def drawn(rng: np.random.Generator, correlation: float, equal: bool) -> dict[str, Measured]:
    """One measure of a study without any effect: arms of one seed share a part of their luck."""
    luck = rng.normal(size=8)
    found = {BASE: Measured({0: 0.1 * rng.normal()}, 0.1)}
    for arm in ARMS:
        own: NDArray[np.float64] = rng.normal(size=seeds(arm))
        values = math.sqrt(correlation) * luck[: len(own)] + math.sqrt(1 - correlation) * own
        found[arm] = Measured(dict(enumerate(values * (1.0 if equal else SPREAD[arm]))))
    return found


def parts_of(claim: Claim, measures: Study, analysis: Analysis = Analysis.POOLED) -> list[Effect]:
    found = [effect(weights, measures[claim.measure], analysis, POOL) for weights in claim.parts]
    assert all(found)
    return [part for part in found if part is not None]


@pytest.mark.parametrize("correlation", [CORRELATION, OF_THE_DECLARED])
@pytest.mark.parametrize("equal", [True, False], ids=["one variance", "measured variances"])
def test_at_most_one_study_of_twenty_is_wrong_on_either_side(equal: bool, correlation: float) -> None:
    """No arm differs from another, so any claim supported or contradicted is wrong. At a true 5 % one seed of 1000 fails. With
    next to no margin no interval is inside it, and every upper end below 0 is seen."""
    rng, studies = np.random.default_rng(0), 150
    supported = contradicted = 0
    for _ in range(studies):
        measures = {name: drawn(rng, correlation, equal) for name in {claim.measure for claim in TESTS}}
        verdicts = {decide(parts_of(claim, measures), 1e-9, len(TESTS)).verdict for claim in TESTS}
        supported += Conclusion.SUPPORTED in verdicts
        contradicted += Conclusion.CONTRADICTED in verdicts
    bound = binom.ppf(0.999, studies, 0.05)
    assert 0 < supported <= bound
    assert 0 < contradicted <= bound


@pytest.mark.parametrize("correlation", [0.0, CORRELATION])
@pytest.mark.parametrize("analysis", [Analysis.POOLED, Analysis.WELCH, Analysis.PAIRED])
def test_intervals_cover_as_often_as_they_say(analysis: Analysis, correlation: float) -> None:
    """One contrast of 8 against 5 seeds; 95 %, and not more than a percent and a half above or below it."""
    rng, trials, covered = np.random.default_rng(1), 2000, 0
    for _ in range(trials):
        found = effect({"asymgrpo": 1.0, "positive_only": -1.0}, drawn(rng, correlation, True), analysis, POOL)
        assert found is not None
        low, high = interval([found], 0.95)
        covered += low <= 0 <= high
    assert 0.935 <= covered / trials <= 0.968


def test_pooling_is_nearly_right_for_the_variances_that_were_measured() -> None:
    """The two arms that vary least, and the two that vary most, as if few seeds showed the truth: at worst a 95 % interval covers
    85 %. Welch's stands beside it for this."""
    rng, trials = np.random.default_rng(2), 2000
    ordered = sorted((arm for arm in ARMS if arm in MAIN), key=SPREAD.__getitem__)
    for pair in (ordered[:2], ordered[-2:]):
        covered = 0
        for _ in range(trials):
            found = effect({pair[0]: 1.0, pair[1]: -1.0}, drawn(rng, CORRELATION, False), Analysis.POOLED, POOL)
            assert found is not None
            low, high = interval([found], 0.95)
            covered += low <= 0 <= high
        assert 0.83 <= covered / trials <= 1


def test_pooled_finds_effects_more_often_than_paired_and_as_often_as_theory_says() -> None:
    rng, trials, size = np.random.default_rng(3), 1000, 2.0
    level = 1 - 2 * ALPHA / len(TESTS)
    counts = dict.fromkeys((Analysis.POOLED, Analysis.PAIRED), 0)
    for _ in range(trials):
        arms = drawn(rng, 0.0, True)
        arms["asymgrpo"] = Measured({seed: value + size for seed, value in arms["asymgrpo"].values.items()})
        for analysis in counts:
            found = effect({"asymgrpo": 1.0, "grpo": -1.0}, arms, analysis, POOL)
            assert found is not None
            counts[analysis] += interval([found], level)[0] > 0
    degrees = sum(seeds(arm) - 1 for arm in ARMS if arm in POOL)
    power = nct.sf(t.ppf(1 - ALPHA / len(TESTS), degrees), degrees, size / math.sqrt(2 / 8))
    assert power > 0.7
    assert binom.ppf(1e-4, trials, power) <= counts[Analysis.POOLED] <= binom.ppf(1 - 1e-4, trials, power)
    assert counts[Analysis.PAIRED] < counts[Analysis.POOLED] - 200


@pytest.mark.parametrize("others", [0.0, 20.0])
def test_the_interval_of_a_two_part_claim_covers_the_smaller_part(others: float) -> None:
    """At the boundary (one part 0, the other far up) and where both are 0, the worst case of the upper end."""
    rng, trials, n = np.random.default_rng(4), 3000, 5
    covered_low = covered_high = 0
    for _ in range(trials):
        samples = rng.normal(size=(2, n)) + np.array([[0.0], [others]])
        parts = [Effect(s.mean(), s.std(ddof=1) / math.sqrt(n), n - 1, n) for s in samples]
        low, high = interval(parts, 0.9)
        covered_low += low <= 0
        covered_high += high >= 0
    assert min(covered_low, covered_high) >= binom.ppf(0.001, trials, 0.95)


def test_what_others_show_never_changes_a_claims_level() -> None:
    """No step-down: a decision depends on its own parts and the number of claims alone."""
    own = [Effect(0.5, 0.3, 20.0, 8)]
    alone = decide(own, 1.0, len(TESTS))
    assert alone.level == pytest.approx(1 - 2 * 0.05 / len(TESTS))
    assert decide(own, 1.0, 2 * len(TESTS)).ci_low < alone.ci_low
    assert (alone.ci_low > 0) == (alone.p_family <= ALPHA)
