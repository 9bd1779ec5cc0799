"""Identities and properties of the advantage estimators, for every group accuracy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from asymgrpo.method import advantages as adv

EXACT = {"rtol": 0, "atol": 1e-12}
groups = st.integers(2, 64)
exponents = st.floats(0.05, 2.0)
binary = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0.0, 1.0])
)
real = hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(2, 9)), elements=st.floats(-3, 3, width=16))


def every_accuracy(group: int) -> torch.Tensor:
    """[G + 1, G] rewards: row c has c correct rollouts."""
    return torch.tril(torch.ones(group + 1, group, dtype=torch.float64), diagonal=-1)


@pytest.mark.parametrize("group", range(2, 65))
def test_half_half_is_grpo_with_population_std_and_no_epsilon(group):
    rewards = every_accuracy(group)
    torch.testing.assert_close(
        adv.asymmetric(rewards, 0.5, 0.5), adv.group_standardized(rewards, ddof=0, eps=0.0), **EXACT
    )


@pytest.mark.parametrize("group", range(2, 65))
def test_zero_zero_is_reinforce(group):
    rewards = every_accuracy(group)
    mixed = slice(1, group)
    for degenerate in ("limit", "zero"):
        ours = adv.asymmetric(rewards, 0.0, 0.0, degenerate)
        assert torch.equal(ours[mixed], adv.reinforce(rewards)[mixed])
    assert torch.equal(adv.asymmetric(rewards, 0.0, 0.0, "limit"), adv.reinforce(rewards))
    assert not adv.asymmetric(rewards, 0.0, 0.0, "zero")[[0, group]].any()


@given(groups, st.data(), st.floats(-2, 2), st.floats(-2, 2))
def test_family_is_the_papers_formula(group, data, beta_pos, beta_neg):
    c = data.draw(st.integers(1, group - 1))
    p = c / group
    row = adv.asymmetric(every_accuracy(group)[c : c + 1], beta_pos, beta_neg)[0]
    assert row[0].item() == pytest.approx(((1 - p) / p) ** beta_pos, rel=1e-12)
    assert row[-1].item() == pytest.approx(-((p / (1 - p)) ** beta_neg), rel=1e-12)


@given(groups, exponents, exponents)
def test_signs_and_monotonicity(group, beta_pos, beta_neg):
    """beta > 0: positives fade and negatives grow as p grows; beta < 0 is the reversal."""
    values = adv.asymmetric(every_accuracy(group), beta_pos, beta_neg)
    correct, wrong = values[1:group, 0], values[1:group, -1]
    assert (correct > 0).all()
    assert (wrong < 0).all()
    assert (correct.diff() < 0).all()
    assert (wrong.diff() < 0).all()
    reversed_ = adv.asymmetric(every_accuracy(group), -beta_pos, -beta_neg)
    torch.testing.assert_close(reversed_[1:group, 0], 1 / correct)
    torch.testing.assert_close(reversed_[1:group, -1], 1 / wrong)


@given(groups, st.data(), exponents)
def test_a_larger_exponent_favours_rare_successes(group, data, beta):
    c = data.draw(st.integers(1, group - 1).filter(lambda c: 2 * c != group))
    row = every_accuracy(group)[c : c + 1]
    more, less = adv.asymmetric(row, beta + 0.1, 0.5)[0, 0], adv.asymmetric(row, beta, 0.5)[0, 0]
    assert (more > less) == (2 * c < group)


@given(groups, st.data(), st.floats(-1, 2))
def test_a_group_sums_to_zero_iff_the_exponents_sum_to_one(group, data, beta_pos):
    c = data.draw(st.integers(1, group - 1).filter(lambda c: 2 * c != group))
    row = every_accuracy(group)[c : c + 1]
    assert abs(adv.asymmetric(row, beta_pos, 1 - beta_pos).sum().item()) < 1e-9 * group**2
    assert abs(adv.asymmetric(row, beta_pos, 1.2 - beta_pos).sum().item()) > 1e-6


@pytest.mark.parametrize(
    ("estimator", "all_wrong", "all_correct"),
    [
        (lambda r: adv.asymmetric(r, 0.9, 0.4), 0, 0),
        (lambda r: adv.asymmetric(r, 0.5, 0.0), -1, 0),  # positive-only, 0 ** 0 = 1
        (lambda r: adv.asymmetric(r, 0.0, 0.5), 0, 1),  # negative-only
        (lambda r: adv.asymmetric(r, 0.5, 0.0, "zero"), 0, 0),
        (lambda r: adv.asymmetric(r, -0.5, 0.0), -1, 0),  # the formula diverges for beta < 0: defined as 0
        (lambda r: adv.asymmetric(r, 0.0, -0.5), 0, 1),
        (adv.reinforce, -1, 1),
        (lambda r: adv.w_reinforce(r, 0.1), -1, 0.1),
        (lambda r: adv.group_standardized(r, ddof=0, eps=0.0), 0, 0),
        (lambda r: adv.group_standardized(r, ddof=1, eps=1e-6), 0, 0),
        (adv.mean_centered, 0, 0),
        (adv.leave_one_out, 0, 0),
    ],
)
@pytest.mark.parametrize("group", [2, 7, 64])
def test_degenerate_groups_are_defined(estimator, all_wrong, all_correct, group):
    values = estimator(every_accuracy(group)[[0, group]])
    expected = torch.tensor([[all_wrong], [all_correct]], dtype=torch.float64).expand(2, group)
    assert torch.equal(values, expected)


@pytest.mark.parametrize("group", range(2, 65))
def test_constant_factors_between_estimators(group):
    rewards = every_accuracy(group)
    population = adv.group_standardized(rewards, ddof=0, eps=0.0)
    sample = adv.group_standardized(rewards, ddof=1, eps=0.0)
    torch.testing.assert_close(sample, population * math.sqrt((group - 1) / group), **EXACT)
    centred = adv.mean_centered(rewards)
    torch.testing.assert_close(adv.leave_one_out(rewards), centred * group / (group - 1), **EXACT)
    p = rewards.mean(dim=1, keepdim=True)
    torch.testing.assert_close(centred, population * (p * (1 - p)).sqrt(), **EXACT)


@given(real, st.sampled_from([0, 1]), st.sampled_from([0.0, 1e-4]))
def test_standardisation_of_any_rewards_against_numpy(rewards, ddof, eps):
    ours = adv.group_standardized(torch.from_numpy(rewards), ddof, eps).numpy()
    for row, result in zip(rewards, ours, strict=True):
        if (row == row[0]).all():
            assert (result == 0).all()
        else:
            np.testing.assert_allclose(result, (row - row.mean()) / (row.std(ddof=ddof) + eps), rtol=1e-9, atol=1e-9)


@given(real)
def test_leave_one_out_against_its_definition(rewards):
    ours = adv.leave_one_out(torch.from_numpy(rewards)).numpy()
    for row, result in zip(rewards, ours, strict=True):
        others = [np.delete(row, i).mean() for i in range(len(row))]
        np.testing.assert_allclose(result, row - others, atol=1e-12)


def test_rounding_never_makes_signal_of_equal_rewards():
    thirds = torch.full((3, 7), 0.1, dtype=torch.float64)  # their mean is not exactly 0.1
    assert not adv.group_standardized(thirds, ddof=0, eps=0.0).any()
    assert not adv.mean_centered(thirds).any()
    assert not adv.leave_one_out(thirds).any()


@given(binary, st.randoms())
def test_rollouts_may_come_in_any_order_and_prompts_do_not_interact(rewards, random):
    order = list(range(rewards.shape[1]))
    random.shuffle(order)
    values = torch.from_numpy(rewards)
    whole = adv.asymmetric(values, 0.9, 0.4)
    assert torch.equal(adv.asymmetric(values[:, order], 0.9, 0.4), whole[:, order])
    assert torch.equal(torch.cat([adv.asymmetric(row[None], 0.9, 0.4) for row in values]), whole)


ALL = {
    "asymmetric": lambda r: adv.asymmetric(r, 0.9, 0.4),
    "reinforce": adv.reinforce,
    "w_reinforce": lambda r: adv.w_reinforce(r, 0.1),
    "group_standardized": lambda r: adv.group_standardized(r, 0, 0.0),
    "mean_centered": adv.mean_centered,
    "leave_one_out": adv.leave_one_out,
}


@pytest.mark.parametrize("name", ALL)
def test_dtype_shape_and_no_gradient(name):
    for dtype in (torch.float64, torch.float32):
        rewards = every_accuracy(4).to(dtype).requires_grad_()
        values = ALL[name](rewards)
        assert (values.dtype, values.shape, values.requires_grad) == (dtype, rewards.shape, False)
    assert ALL[name](every_accuracy(4).bool()).dtype == torch.float64


@pytest.mark.parametrize("name", ["asymmetric", "reinforce", "w_reinforce"])
def test_non_binary_rewards_are_refused_by_name(name):
    with pytest.raises(adv.RewardError, match=rf"{name} is defined for rewards 0 and 1 only, got 0\.5"):
        ALL[name](torch.tensor([[0.0, 0.5, 1.0]]))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_rewards_must_be_finite_and_two_dimensional(name, bad):
    with pytest.raises(adv.RewardError, match="NaN or an infinity"):
        ALL[name](torch.tensor([[0.0, bad]]))
    with pytest.raises(adv.RewardError, match=r"\[prompts, group\]"):
        ALL[name](torch.zeros(3))


def test_groups_too_small_for_the_estimator_are_refused():
    for estimator in (adv.leave_one_out, lambda r: adv.group_standardized(r, ddof=1, eps=0.0)):
        with pytest.raises(adv.RewardError, match="at least 2 rollouts, got 1; raise group_size"):
            estimator(torch.ones(2, 1))


@given(st.lists(st.integers(0, 2**63 - 1), min_size=2, max_size=6, unique=True))
def test_random_rewards_depend_on_the_prompts_seed_alone(seeds):
    one, other = torch.zeros(len(seeds), 32), torch.ones(len(seeds), 32)
    coins = adv.random_rewards(one, seeds)
    assert torch.equal(coins, adv.random_rewards(other, seeds))
    assert torch.equal(coins.flip(0), adv.random_rewards(one, seeds[::-1]))
    assert torch.equal(coins[1:], adv.random_rewards(one[1:], seeds[1:]))
    assert len({tuple(row.tolist()) for row in coins}) == len(seeds)


def test_random_rewards_are_fair_coins():
    coins = adv.random_rewards(torch.zeros(2000, 8), range(2000))
    assert set(coins.unique().tolist()) == {0.0, 1.0}
    assert abs(coins.mean().item() - 0.5) < 4 * 0.5 / math.sqrt(coins.numel())
    with pytest.raises(adv.RewardError, match="3 seeds for 2 prompts"):
        adv.random_rewards(torch.zeros(2, 8), [1, 2, 3])
