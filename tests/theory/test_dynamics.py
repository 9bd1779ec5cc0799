"""When the paper's dH = -eta Cov(log pi, A) holds: by stepping, without any formula, and against exact formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.method.arms import ARMS
from asymgrpo.theory.acts import acts_of
from asymgrpo.theory.dynamics import (
    EXACT,
    cases,
    entropy_at,
    entropy_of,
    exact_natural,
    expected_advantages,
    measured,
    paper,
)
from asymgrpo.theory.policy import DIRECTIONS, log_softmax, natural, plain
from asymgrpo.theory.weight import weight

seeds = st.integers(0, 2**31)
CENTRED, UNCENTRED = ("grpo", "dr_grpo", "rloo"), ("asymgrpo", "reinforce", "positive_only", "negative_only")
NUMBER = 40


def errors(arm: str, gradient: str, of_group: bool) -> dict[str, float]:
    """Prediction -> root mean square error in units of the measured slopes' standard deviation."""
    found = [pair[not of_group].slopes(gradient) for pair in cases(acts_of(ARMS[arm], 8), NUMBER, 12, 1.5, seed=2604)]
    slopes = {name: np.array([case[name] for case in found]) for name in found[0]}
    scale = slopes["measured"].std()
    return {
        name: float(np.sqrt(np.mean((values - slopes["measured"]) ** 2)) / scale) for name, values in slopes.items()
    }


def policy(seed: int, answers: int = 12) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(seed)
    return draws.normal(0, 1, answers), draws.normal(0, 1, answers)


@given(seeds)
def test_measured_slope_is_the_derivative(seed):
    """Against torch's own differentiation."""
    logits, direction = policy(seed)
    z = torch.tensor(logits, requires_grad=True)
    logp = torch.log_softmax(z, -1)
    (gradient,) = torch.autograd.grad(-(logp.exp() * logp).sum(), z)
    assert measured(logits, direction) == pytest.approx(float(gradient.numpy() @ direction), rel=1e-6, abs=1e-9)


def test_no_step_has_no_slope():
    assert measured(np.arange(3.0), np.zeros(3)) == 0


@given(seeds)
def test_natural_direction_is_the_inverse_fisher_matrix_times_the_plain_one(seed):
    logits, pull = policy(seed)
    pi = np.exp(log_softmax(logits))
    fisher = np.diag(pi) - np.outer(pi, pi)
    wanted = np.linalg.pinv(fisher, hermitian=True) @ plain(pi, pull)
    found = natural(pi, pull)
    np.testing.assert_allclose(found - found.mean(), wanted, rtol=1e-6, atol=1e-8 * np.abs(found).max())


@pytest.mark.parametrize("gradient", sorted(EXACT))
@pytest.mark.parametrize("of_group", [True, False])
@pytest.mark.parametrize("arm", [*CENTRED, *UNCENTRED])
def test_exact_formulas_meet_the_measured_slope_in_every_case(arm, of_group, gradient):
    assert errors(arm, gradient, of_group)["exact"] < 1e-6


@pytest.mark.parametrize("arm", [*CENTRED, *UNCENTRED])
def test_paper_equation_holds_for_expected_natural_updates_centred_or_not(arm):
    assert errors(arm, "natural", of_group=False)["paper"] < 1e-6


@pytest.mark.parametrize("arm", CENTRED)
def test_paper_equation_holds_for_the_natural_update_of_a_centred_group(arm):
    assert errors(arm, "natural", of_group=True)["paper"] < 1e-6


@pytest.mark.parametrize("arm", UNCENTRED)
def test_paper_equation_misses_a_drift_for_the_natural_update_of_an_uncentred_group(arm):
    """The drift is mean(A) (H of the group - H), not (m_S - m_F) H, which is further from the truth than no drift."""
    found = errors(arm, "natural", of_group=True)
    assert 0.03 < found["paper"] < found["with_drift"]


@pytest.mark.parametrize("of_group", [True, False])
@pytest.mark.parametrize("arm", [*CENTRED, *UNCENTRED])
def test_paper_equation_fails_for_the_plain_gradient(arm, of_group):
    assert errors(arm, "plain", of_group)["paper"] > 1


@given(seeds)
def test_constant_added_to_all_advantages_changes_no_expected_update(seed):
    """So that no drift can come from it; in a group it does change the update, for the sample stands in for the policy."""
    logits, advantages = policy(seed)
    pi = np.exp(log_softmax(logits))
    for gradient, step in DIRECTIONS.items():
        one, other = (step(pi, pi * (advantages + baseline)) for baseline in (0.0, 3.0))
        assert measured(logits, one) == pytest.approx(measured(logits, other), rel=1e-6, abs=1e-8), gradient


@pytest.mark.parametrize("arm", [*CENTRED, *UNCENTRED])
def test_expected_advantages_differ_by_s_and_sum_to_the_expected_update(arm):
    acts, correct = acts_of(ARMS[arm], 8), np.arange(12) < 4
    pi = np.exp(log_softmax(policy(3)[0]))
    q = pi[correct].sum()
    advantages = expected_advantages(acts, correct, q)
    assert advantages[0] - advantages[-1] == pytest.approx(weight(acts, q), rel=1e-12)
    np.testing.assert_allclose(plain(pi, pi * advantages), weight(acts, q) * pi * (correct - q), atol=1e-12)


@given(seeds, st.floats(-4, 4))
def test_natural_expected_updates_leave_one_curve_of_entropy_over_success(seed, moved):
    """H = h(q) + q H_correct + (1 - q) H_wrong at any step size: on one prompt no arm has more entropy at its success."""
    logits, _ = policy(seed)
    correct = np.arange(12) < 4
    after = logits + moved * correct
    q = np.exp(log_softmax(after))[correct].sum()
    assert entropy_at(logits, correct, q) == pytest.approx(entropy_of(after), rel=1e-9, abs=1e-12)


def test_plain_expected_updates_leave_one_curve_of_entropy_over_success_too():
    """The direction, grad q, is the same for every arm: only the speed differs. Error of the order of the step."""
    logits, _ = policy(7)
    correct = np.arange(12) < 4

    def entropies(arm: str, rate: float) -> np.ndarray:
        z, path, acts = logits.copy(), [], acts_of(ARMS[arm], 8)
        while not path or path[-1][0] < 0.9:
            pi = np.exp(log_softmax(z))
            q = pi[correct].sum()
            path.append((q, entropy_of(z)))
            z = z + rate * weight(acts, q) * plain(pi, pi * correct)
        q, h = np.array(path).T
        return np.interp([0.5, 0.6, 0.7, 0.8], q, h)

    far, near = (np.abs(entropies("asymgrpo", r) - entropies("reinforce", r)).max() for r in (0.08, 0.02))
    assert near < 2e-3
    assert near < far / 2.5


@given(seeds)
def test_paper_equation_is_the_exact_one_where_shares_are_the_policys(seed):
    logits, advantages = policy(seed)
    logp = log_softmax(logits)
    shares = np.exp(logp)
    assert paper(logp, advantages, shares) == pytest.approx(
        exact_natural(logp, advantages, shares), rel=1e-9, abs=1e-12
    )
