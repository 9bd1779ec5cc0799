"""Estimators on held-out responses: unbiased for any step, and their slope is the gradient that the linear probe takes."""

from __future__ import annotations

import numpy as np
import pytest

from asymgrpo.probe.held_out import TARGETS, Facts, Scores, changes, coefficients, levels, per_token
from asymgrpo.probe.linear import Sources, effects, norm, of_signs, same_size, weights

RNG = np.random.default_rng(0)


def case(prompts: int = 3, responses: int = 4) -> tuple[Facts, Scores]:
    shape = (prompts, responses)
    correct = RNG.integers(0, 2, shape).astype(float)
    correct[0] = 0
    facts = Facts(correct, RNG.integers(1, 9, shape).astype(float))
    return facts, Scores(RNG.normal(-5, 1, shape), RNG.uniform(1, 4, shape))


def test_no_step_is_no_change():
    facts, before = case()
    found = changes(facts, before, before)
    assert {name for name in TARGETS if np.nan_to_num(found[name]).any()} == set()
    assert (found["ess"] == 1).all()
    assert np.isnan(found["logp_correct"][0])


def test_slopes_of_the_changes_are_the_coefficients():
    facts, before = case()
    to_logp, to_entropy = RNG.normal(size=(2, *facts.correct.shape))
    found = coefficients(facts, before)
    for name in TARGETS:
        ends = []
        for step in (1e-5, -1e-5):
            after = Scores(before.logp + step * to_logp, before.entropy + step * to_entropy)
            ends.append(np.nanmean(changes(facts, before, after)[name]))
        a, c = found[name]
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx((a * to_logp + c * to_entropy).sum(), rel=1e-7)


def test_changes_are_unbiased_for_a_large_step():
    """A policy of three answers: the mean over all ways to draw two responses is the exact change."""
    old, new = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
    correct, tokens = np.array([1.0, 0.0, 1.0]), np.array([1.0, 4.0, 2.0])
    entropy_old, entropy_new = np.array([0.1, 0.7, 0.3]), np.array([0.4, 0.2, 0.9])
    draws = [(i, j) for i in range(3) for j in range(3)]
    drawn = np.array(draws)
    found = changes(
        Facts(correct[drawn], tokens[drawn]),
        Scores(np.log(old)[drawn], entropy_old[drawn]),
        Scores(np.log(new)[drawn], entropy_new[drawn]),
    )
    probable = np.array([old[i] * old[j] for i, j in draws])
    exact = {
        "success": (new - old) @ correct,
        "tokens": (new - old) @ tokens,
        "entropy": new @ entropy_new - old @ entropy_old,
    }
    assert {name: found[name] @ probable for name in exact} == pytest.approx(exact, abs=1e-14)


def test_levels_and_token_mean_entropy():
    facts, before = case()
    told = levels(facts, before)
    assert told["success"].tolist() == facts.correct.mean(axis=1).tolist()
    entropy, tokens = told["entropy"], told["tokens"]
    assert per_token(entropy, tokens, 0.1 * entropy, 0.1 * tokens) == pytest.approx(0, abs=1e-15)
    assert per_token(entropy, tokens, tokens, 0 * tokens) == pytest.approx(1)


def test_norm_and_effects_are_those_of_the_summed_gradient():
    vectors, target = RNG.normal(size=(2, 3, 7)), RNG.normal(size=7)
    sources = Sources(np.einsum("ncp,mdp->ncmd", vectors, vectors), {"entropy": vectors @ target})
    weight = weights(RNG.normal(size=2), RNG.normal(size=2), 0.3, np.array([5.0, 8.0]))
    gradient = np.einsum("nc,ncp->p", weight, vectors)
    assert norm(sources, weight) == pytest.approx(np.linalg.norm(gradient), rel=1e-12)
    assert effects(sources, weight, "entropy").sum() == pytest.approx(gradient @ target, rel=1e-12)
    assert norm(sources, same_size(norm(sources, weight), 2.0) * weight) == pytest.approx(2.0)


def test_an_arm_without_advantages_has_no_effect_and_no_size():
    sources = Sources(np.eye(6).reshape(2, 3, 2, 3), {"entropy": np.ones((2, 3))})
    signs = of_signs(np.zeros((2, 4)), np.ones((2, 4)))
    assert signs is not None
    weight = weights(*signs, 0.0, np.ones(2))
    assert norm(sources, weight) == 0 == effects(sources, weight, "entropy").sum()
    assert same_size(0.0, 1.0) == 0
