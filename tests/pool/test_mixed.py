"""The laboratory as a random effect: known identities, the analysis of one study as its limit, and coverage by simulation."""

import numpy as np
import pytest
from scipy import stats

from evals.claims.effects import Measured, effect
from evals.pool import mixed

ARMS, LABS = ("a", "b", "c"), ("berlin", "lima", "oslo")
TRUE = {"a": 1.0, "b": 1.5, "c": 3.0}


def drawn(
    rng: np.random.Generator, seeds: int, laboratory: float, both: float, labs=LABS
) -> dict[str, dict[str, np.ndarray]]:
    """Runs with a standard deviation of 1 between seeds and these between laboratories and laboratories x arm."""
    u = {lab: laboratory * rng.normal() for lab in labs}
    return {
        arm: {lab: TRUE[arm] + u[lab] + both * rng.normal() + rng.normal(size=seeds) for lab in labs} for arm in ARMS
    }


def alike(seeds: int = 4) -> dict[str, dict[str, np.ndarray]]:
    """Laboratories with the same mean of every arm: nothing between them."""
    rng = np.random.default_rng(3)
    noise = {arm: rng.normal(size=(len(LABS), seeds)) for arm in ARMS}
    return {arm: {lab: TRUE[arm] + of - of.mean() for lab, of in zip(LABS, noise[arm], strict=True)} for arm in ARMS}


def whole(runs: dict[str, dict[str, np.ndarray]]) -> dict[str, Measured]:
    return {arm: Measured(dict(enumerate(np.concatenate(list(labs.values()))))) for arm, labs in runs.items()}


@pytest.mark.parametrize("weights", [{"a": 1.0, "b": -1.0}, {"c": 1.0}, {"a": 0.5, "b": 0.5, "c": -1.0}])
def test_without_variance_between_laboratories_it_is_the_analysis_of_one_study(weights: dict[str, float]) -> None:
    runs = alike()
    fit = mixed.fit(runs)
    assert (fit.laboratory, fit.laboratory_arm) == (0, 0)
    estimate, variance, degrees = fit.contrast(weights)
    expected = effect(weights, whole(runs))
    assert expected is not None
    assert estimate == pytest.approx(expected.estimate, abs=1e-12)
    assert variance**0.5 == pytest.approx(expected.std_error, rel=1e-12)
    assert degrees == pytest.approx(expected.degrees, rel=1e-12)


def test_so_it_is_for_unequal_numbers_of_seeds_too() -> None:
    rng = np.random.default_rng(8)
    sizes = {"a": (2, 3, 4), "b": (3, 2, 5), "c": (2, 2, 2)}
    noise = {arm: [rng.normal(size=n) for n in sizes[arm]] for arm in ARMS}
    runs = {arm: {lab: of - of.mean() for lab, of in zip(LABS, noise[arm], strict=True)} for arm in ARMS}
    fit = mixed.fit(runs)
    expected = effect({"a": 1.0, "b": -1.0}, whole(runs))
    assert expected is not None
    assert fit.contrast({"a": 1.0, "b": -1.0}) == pytest.approx(
        (expected.estimate, expected.std_error**2, expected.degrees)
    )


def test_balanced_laboratories_give_the_variances_of_the_analysis_of_variance() -> None:
    runs = drawn(np.random.default_rng(1), seeds=5, laboratory=3.0, both=2.0)
    fit = mixed.fit(runs)
    means = np.array([[runs[arm][lab].mean() for lab in LABS] for arm in ARMS])
    of_labs, of_arms = means.mean(0), means.mean(1)
    rest = means - of_labs - of_arms[:, None] + means.mean()
    crossed = 5 * (rest**2).sum() / 4
    seeds = np.mean([runs[arm][lab].var(ddof=1) for arm in ARMS for lab in LABS])
    laboratory = (15 * of_labs.var(ddof=1) - crossed) / 15
    assert fit.seeds == pytest.approx(seeds, rel=1e-3)
    assert fit.laboratory_arm == pytest.approx((crossed - seeds) / 5, rel=1e-3)
    assert fit.laboratory == pytest.approx(laboratory, rel=1e-3)
    estimate, variance, degrees = fit.contrast({"a": 1.0, "b": -1.0})
    assert estimate == pytest.approx(of_arms[0] - of_arms[1])
    assert variance == pytest.approx(2 * crossed / 15, rel=1e-3)  # the laboratory cancels, laboratory x arm does not
    assert degrees == pytest.approx(4, rel=1e-2)
    assert fit.contrast({"a": 1.0})[1] == pytest.approx(
        (laboratory + crossed / 5) / 3, rel=1e-3
    )  # nor does the former here


def test_what_the_runs_cannot_tell_apart_is_not_estimated() -> None:
    rng = np.random.default_rng(2)
    assert mixed.free_parts(mixed.cells_of(drawn(rng, 1, 1, 1))) == (True, False)
    assert mixed.free_parts(mixed.cells_of(drawn(rng, 3, 1, 1, ("berlin",)))) == (False, False)
    assert mixed.free_parts(mixed.cells_of({"a": drawn(rng, 3, 1, 1)["a"]})) == (True, False)
    alone = mixed.fit({arm: {"berlin": labs["berlin"]} for arm, labs in drawn(rng, 3, 1, 1).items()})
    assert (alone.laboratory, alone.laboratory_arm) == (0, 0)
    equal = mixed.fit({arm: {lab: [0.1, 0.1] for lab in LABS} for arm in ARMS})
    assert equal.contrast({"a": 1.0})[:2] == (pytest.approx(0.1), 0.0)
    with pytest.raises(ValueError, match="no arm has two runs"):
        mixed.fit({"a": {"berlin": [1.0]}})


def test_the_test_of_disagreement_is_the_f_test() -> None:
    runs = drawn(np.random.default_rng(4), seeds=4, laboratory=0.0, both=0.0)
    expected = stats.f_oneway(*runs["a"].values()).pvalue
    assert mixed.differ({"a": runs["a"]}, {"a": 1.0}) == pytest.approx(expected)
    shifted = runs | {"a": runs["a"] | {"lima": runs["a"]["lima"] + 9}}
    found = mixed.differ(shifted, {"a": 1.0, "b": -1.0})
    assert found is not None
    assert found < 1e-6
    together = {arm: labs | {"lima": labs["lima"] + 9} for arm, labs in runs.items()}
    same = mixed.differ(runs, {"a": 1.0, "b": -1.0})
    assert mixed.differ(together, {"a": 1.0, "b": -1.0}) == pytest.approx(
        same
    )  # what moves all arms is no disagreement
    assert mixed.differ({"a": {"lima": [1.0, 2.0]}}, {"a": 1.0}) is None


@pytest.mark.parametrize(("both", "least"), [(0.0, 0.93), (1.0, 0.88)])
def test_intervals_cover_a_difference_of_arms(both: float, least: float) -> None:
    """Three laboratories, four seeds each. Without the random effect the second case covers 82 %."""
    rng, hits, plain, draws = np.random.default_rng(6), 0, 0, 150
    for _ in range(draws):
        runs = drawn(rng, seeds=4, laboratory=1.0, both=both)
        estimate, variance, degrees = mixed.fit(runs).contrast({"a": 1.0, "b": -1.0})
        hits += abs(estimate + 0.5) < stats.t.ppf(0.975, degrees) * variance**0.5
        without = effect({"a": 1.0, "b": -1.0}, whole(runs))
        assert without is not None
        plain += without.end(0.025) < -0.5 < without.end(0.975)
    assert least <= hits / draws
    assert (plain / draws < hits / draws - 0.05) == (both > 0), (plain, hits)
