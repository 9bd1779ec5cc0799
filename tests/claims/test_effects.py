"""The four analyses of a contrast: each is the textbook's, and all of them use the seeds that they say."""

import math

import numpy as np
import pytest
from scipy.stats import f_oneway, t, trim_mean, ttest_1samp, ttest_ind

from evals.claims.decide import interval, p_value
from evals.claims.effects import BASE, Analysis, Effect, Measured, effect, pooled_variance

RNG = np.random.default_rng(6)
A, B, C = RNG.normal(size=8), RNG.normal(size=5) + 0.5, 3 * RNG.normal(size=5)
ARMS = {name: Measured(dict(enumerate(values))) for name, values in (("a", A), ("b", B), ("c", C))}
DIFFERENCE = {"a": 1.0, "b": -1.0}


def found(analysis: Analysis, pool: set[str] | None = None) -> Effect:
    got = effect(DIFFERENCE, ARMS, analysis, pool)
    assert got is not None
    return got


@pytest.mark.parametrize(("analysis", "equal"), [(Analysis.POOLED, True), (Analysis.WELCH, False)])
def test_two_arms_give_the_t_tests_of_scipy(analysis: Analysis, equal: bool) -> None:
    got = found(analysis, {"a", "b"})
    expected = ttest_ind(A, B, equal_var=equal, alternative="greater")
    assert p_value([got]) == pytest.approx(expected.pvalue)
    both = ttest_ind(A, B, equal_var=equal).confidence_interval(0.9)
    assert interval([got], 0.9) == pytest.approx(tuple(both))


def test_trimmed_is_yuens_test_with_interquartile_means() -> None:
    got = found(Analysis.TRIMMED)
    assert got.estimate == pytest.approx(trim_mean(A, 0.25) - trim_mean(B, 0.25))
    expected = ttest_ind(A, B, equal_var=False, trim=0.25, alternative="greater")
    assert p_value([got]) == pytest.approx(expected.pvalue)


def test_paired_is_the_t_test_of_differences_over_shared_seeds() -> None:
    got = found(Analysis.PAIRED)
    expected = ttest_1samp(A[:5] - B, 0, alternative="greater")
    assert p_value([got]) == pytest.approx(expected.pvalue)
    assert got.n_seeds == 5


def test_the_pools_variance_is_that_of_the_analysis_of_variance_over_all_its_arms() -> None:
    got = found(Analysis.POOLED)
    within = pooled_variance([list(A), list(B), list(C)])
    everything = np.concatenate([A, B, C])
    between = sum(len(x) * (x.mean() - everything.mean()) ** 2 for x in (A, B, C)) / 2
    assert within.degrees == got.degrees == 15
    assert f_oneway(A, B, C).statistic == pytest.approx(between / within.variance)
    assert got.std_error == pytest.approx(math.sqrt(within.variance * (1 / 8 + 1 / 5)))


def test_an_arm_outside_the_pool_keeps_its_own_variance() -> None:
    """With each arm alone it is Welch's test; a control changes nothing in a contrast that leaves it out."""
    apart, welch = found(Analysis.POOLED, {"a"}), found(Analysis.WELCH)
    assert (apart.std_error, apart.degrees) == pytest.approx((welch.std_error, welch.degrees))
    without = effect(DIFFERENCE, {name: ARMS[name] for name in "ab"}, Analysis.POOLED)
    assert found(Analysis.POOLED, {"a", "b"}) == without


@pytest.mark.parametrize("analysis", [Analysis.POOLED, Analysis.WELCH, Analysis.TRIMMED])
def test_every_seed_counts_whether_or_not_another_arm_has_it(analysis: Analysis) -> None:
    """Seeds are names: other names give the same answer, and no seed is left out because the other arm lacks it."""
    other = ARMS | {"b": Measured({seed + 100: value for seed, value in enumerate(B)})}
    got = effect(DIFFERENCE, other, analysis)
    assert got == found(analysis)
    more = ARMS | {"a": Measured(dict(enumerate([*A, 9.0])))}
    changed = effect(DIFFERENCE, more, analysis)
    assert changed is not None
    assert changed != got


def test_too_few_seeds_give_no_effect() -> None:
    few = ARMS | {"b": Measured({0: 1.0, 1: 2.0})}
    assert all(effect(DIFFERENCE, few, analysis) is None for analysis in Analysis)
    apart = ARMS | {"b": Measured({10: 1.0, 11: 2.0, 12: 4.0})}
    assert effect(DIFFERENCE, apart, Analysis.PAIRED) is None
    assert effect(DIFFERENCE, apart) is not None


def test_the_base_models_sampling_noise_widens_the_interval() -> None:
    grpo = Measured(dict(enumerate([0.1, 0.2, 0.3, 0.4])))
    exact, noisy = (effect({BASE: 1, "grpo": -1}, {BASE: Measured({0: 0.9}, sd), "grpo": grpo}) for sd in (0.0, 0.5))
    assert exact is not None
    assert noisy is not None
    assert exact.estimate == noisy.estimate == pytest.approx(0.65)
    assert noisy.std_error == pytest.approx(math.hypot(exact.std_error, 0.5))
    assert noisy.degrees > exact.degrees == 3


def test_arms_without_any_spread_are_not_certain() -> None:
    same = {name: Measured(dict.fromkeys(range(4), value)) for name, value in (("a", 0.3), ("b", 0.1))}
    got = effect(DIFFERENCE, same)
    assert got is not None
    assert interval([got], 0.95) == (-math.inf, math.inf)
    assert p_value([got]) == 1


def test_an_end_is_students() -> None:
    assert Effect(2.0, 0.5, 7.0, 8).end(0.025) == pytest.approx(2 + t.ppf(0.025, 7) * 0.5)
