"""The expected update is s(q) grad q, and its covariance is what the formula says: against every group of a small policy."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asymgrpo.method.arm import Arm
from asymgrpo.method.arms import ARMS, get_arm
from asymgrpo.theory.acts import Acts, acts_of, told_apart
from asymgrpo.theory.weight import Difficulty, covariance, hard_share, mean_size, moments, plug_in, uniform, weight

seeds = st.integers(0, 2**31)
exponent = st.floats(-1, 2).map(lambda beta: round(beta, 2))
GROUP = 8


def exponents(beta_pos: float, beta_neg: float, group: int = GROUP, degenerate: str = "limit") -> Acts:
    changes = {"beta_pos": beta_pos, "beta_neg": beta_neg, "degenerate": degenerate}
    found = acts_of(get_arm("asymgrpo", changes), group)
    assert found is not None
    return found


def policy(seed: int, answers: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and which answers are correct: at least one is, and one is not."""
    draws = np.random.default_rng(seed)
    pi = np.exp(draws.normal(0, 1.5, answers))
    return pi / pi.sum(), np.arange(answers) < draws.integers(1, answers)


def every_group(arm: Arm, pi: np.ndarray, correct: np.ndarray, group: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of a group's update, over all groups with their probabilities, by the trainer's own estimator."""
    scores = np.eye(len(pi)) - pi
    answers = np.array(list(product(range(len(pi)), repeat=group)))
    probability = pi[answers].prod(axis=1)
    advantages = arm.estimate(torch.from_numpy(correct[answers].astype(float))).numpy()
    updates = (advantages[..., None] * scores[answers]).mean(axis=1)
    mean = probability @ updates
    return mean, (updates * probability[:, None]).T @ updates - np.outer(mean, mean)


def understood(group: int) -> list[str]:
    return list(told_apart(ARMS, group)[1])


@pytest.mark.parametrize("name", understood(4))
@settings(max_examples=10)
@given(seed=seeds, answers=st.integers(2, 4))
def test_expected_update_of_every_arm_is_s_times_the_gradient_of_success(name, seed, answers):
    pi, correct = policy(seed, answers)
    acts, q = acts_of(ARMS[name], 4), pi[correct].sum()
    mean, spread = every_group(ARMS[name], pi, correct, 4)
    np.testing.assert_allclose(mean, weight(acts, q) * pi * (correct - q), rtol=0, atol=1e-12)
    np.testing.assert_allclose(covariance(acts, pi, correct), spread, rtol=0, atol=1e-12)


@given(beta_pos=exponent, beta_neg=exponent, seed=seeds, group=st.integers(2, 5))
def test_expected_update_of_the_family_is_s_times_the_gradient_of_success(beta_pos, beta_neg, seed, group):
    pi, correct = policy(seed, 3)
    arm, q = get_arm("asymgrpo", {"beta_pos": beta_pos, "beta_neg": beta_neg}), pi[correct].sum()
    acts = acts_of(arm, group)
    mean, spread = every_group(arm, pi, correct, group)
    scale = 1 + np.abs(acts.right).max() ** 2 + np.abs(acts.wrong).max() ** 2
    np.testing.assert_allclose(mean, weight(acts, q) * pi * (correct - q), rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(covariance(acts, pi, correct), spread, rtol=0, atol=1e-12 * scale)


@given(exponent, exponent, st.floats(0, 1), st.integers(2, 16))
def test_swapping_the_exponents_swaps_easy_and_hard(beta_pos, beta_neg, q, group):
    """s of (a, b) at q is s of (b, a) at 1 - q, at every size of groups: positive-only mirrors negative-only."""
    one, other = exponents(beta_pos, beta_neg, group), exponents(beta_neg, beta_pos, group)
    np.testing.assert_allclose(weight(one, q), weight(other, 1 - q), rtol=1e-9, atol=1e-12)


TWINS = [((0.5, 0.0), (0.0, -0.5)), ((0.0, 0.5), (-0.5, 0.0))]


@pytest.mark.parametrize(("one", "twin"), TWINS)
def test_twins_have_one_gap_in_every_mixed_group_and_one_s_in_large_groups_only(one, twin):
    q = np.linspace(0.1, 0.9, 9)
    np.testing.assert_allclose(plug_in(exponents(*one)), plug_in(exponents(*twin)), rtol=1e-12)
    far = [np.abs(weight(exponents(*one, g), q) - weight(exponents(*twin, g), q)).max() for g in (8, 64, 512)]
    assert far[0] > 0.4  # of about 2: at G = 8 they are no twins
    assert far[2] < 0.05 < far[1] < far[0]


@pytest.mark.parametrize("name", ["reinforce", "dr_grpo", "rloo", "w_reinforce"])
def test_arms_with_a_constant_s_climb_the_success_rate(name):
    found = weight(acts_of(ARMS[name], GROUP), np.linspace(0, 1, 11))
    np.testing.assert_allclose(found, found[0], rtol=1e-12)


def test_maxrl_climbs_the_likelihood_of_a_correct_answer_truncated_at_the_group():
    """(1, 0) without signal from all-wrong groups: s(q) = (1 - (1 - q)^(G - 1)) / q, the slope of the sum of pass@j / j over
    j = 1 .. G - 1, which tends to that of log q."""
    q, acts = np.linspace(0.05, 0.95, 7), exponents(1.0, 0.0, degenerate="zero")
    assert acts.centred
    np.testing.assert_allclose(weight(acts, q), (1 - (1 - q) ** (GROUP - 1)) / q, rtol=1e-12)


def test_signal_and_noise_of_an_arm_scale_with_its_advantages():
    q, acts = np.array([0.2, 0.7]), exponents(0.9, 0.4)
    double = Acts(2 * acts.right, 2 * acts.wrong)
    np.testing.assert_allclose(weight(double, q), 2 * weight(acts, q))
    for one, two in zip(vars(moments(acts, q)).values(), vars(moments(double, q)).values(), strict=True):
        np.testing.assert_allclose(two, 4 * one)


def test_sizes_are_those_of_the_paper_page():
    """Mean |A| over k = 1 .. 7 at G = 8."""
    told = {"reinforce": 1.0, "grpo": 0.856, "positive_only": 0.928, "negative_only": 0.928, "asymgrpo": 0.904}
    for name, size in (told | {"dr_grpo": 0.375}).items():
        assert mean_size(acts_of(ARMS[name], 8), uniform(), mixed=True) == pytest.approx(size, abs=5e-4)


def test_hard_share_orders_the_arms_and_is_a_half_for_symmetric_ones():
    share = {name: hard_share(acts_of(ARMS[name], 8), uniform()) for name in ("asymgrpo", "positive_only", "grpo")}
    share |= {name: hard_share(acts_of(ARMS[name], 8), uniform()) for name in ("reinforce", "negative_only")}
    assert share["grpo"] == pytest.approx(0.5, abs=1e-12)
    assert share["reinforce"] == pytest.approx(0.5, abs=1e-12)
    assert share["asymgrpo"] > share["positive_only"] > 0.5 > share["negative_only"]
    assert share["positive_only"] + share["negative_only"] == pytest.approx(1, abs=1e-12)


def test_hard_share_of_a_given_distribution_weighs_its_prompts():
    prompts = Difficulty(np.array([0.25, 0.75]), np.array([0.9, 0.1]))
    assert hard_share(acts_of(ARMS["reinforce"], 8), prompts) == pytest.approx(0.9)


def test_arms_whose_advantage_is_not_of_the_group_alone_are_left_out():
    found, like = told_apart(ARMS, 8)
    assert not {"random_reward", "clip_cov", "kl_cov", "grpo_adaptive_entropy"} & like.keys()
    assert like["grpo_clip_higher"] == "grpo"
    assert like["asymgrpo_clip_higher"] == "asymgrpo"
    assert found["grpo_entropy"].bonus > 0
    assert set(found) == set(like.values())


def test_a_new_arm_of_the_table_is_in_the_theory():
    mine = get_arm("asymgrpo", {"beta_pos": 0.33}).model_copy(update={"name": "mine"})
    assert "mine" in told_apart({**ARMS, "mine": mine}, 8)[0]
