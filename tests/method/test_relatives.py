"""The (p, sign) plane beyond the paper's family: identities for every group accuracy, and the published definitions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asymgrpo.errors import ArmError
from asymgrpo.method import advantages as adv
from asymgrpo.method import relatives as rel
from asymgrpo.method.arms import ARMS, LIBRARY, check_arm, get_arm
from asymgrpo.method.rewards import RewardError

EXACT = {"rtol": 0, "atol": 1e-12}
GROUPS = range(2, 65)
SEEDS = range(99)


def every_accuracy(group: int) -> torch.Tensor:
    """[G + 1, G] rewards: row c has c correct rollouts."""
    return torch.tril(torch.ones(group + 1, group, dtype=torch.float64), diagonal=-1)


def of_arm(name: str, rewards: torch.Tensor) -> torch.Tensor:
    return ARMS[name].advantage_fn(rewards, list(SEEDS)[: len(rewards)])


def gap(values: torch.Tensor) -> torch.Tensor:
    """A of a correct rollout - A of a wrong one, in each mixed group of `every_accuracy`: the s(p) of an infinite group."""
    return values[1:-1, 0] - values[1:-1, -1]


@pytest.mark.parametrize("group", GROUPS)
def test_maxrl_is_the_reward_over_the_mean_less_one(group):
    rewards = every_accuracy(group)
    mean = rewards.mean(dim=1, keepdim=True)
    published = torch.where(mean > 0, (rewards - mean) / mean.clamp(min=1e-9), 0.0)
    torch.testing.assert_close(of_arm("maxrl", rewards), published, **EXACT)
    limit = of_arm("maxrl_limit", rewards)
    assert (limit[0] == -1).all(), "0^0 = 1 lowers the groups that nobody solves"
    assert torch.equal(limit[1:], of_arm("maxrl", rewards)[1:])


@pytest.mark.parametrize("group", GROUPS)
def test_arms_on_the_line_sum_to_zero_and_the_others_do_not(group):
    rewards = every_accuracy(group)
    for name in ("maxrl", "beta_0p9_0p1", "beta_0p6_0p4", "pass_at_k", "a_grae", "lite_ppo", "grpo_scaled"):
        if name == "pass_at_k" and group < 4:
            continue
        centred = {"a_grae": False}.get(name, True)  # its positive side is shrunk by the batch's accuracy
        largest = of_arm(name, rewards)[1:-1].sum(dim=1).abs().max()
        assert (largest < 1e-12 * group**2) == centred, name
    for name in ("beta_0p25_0p25", "beta_0p65_0p65", "beta_0p9_0p9", "qae"):
        if group > 2:
            assert of_arm(name, rewards)[1].sum().abs() > 1e-3, name


@pytest.mark.parametrize("group", GROUPS)
def test_mirror_twins_tell_correct_from_wrong_equally(group):
    """(0.5, 0) and (0, -0.5): one gap in every mixed group, at another mean advantage.

    Their expected updates s(q) at a finite G are not the same (tests/theory/test_weight.py): a group holds its own rollouts.
    """
    rewards = every_accuracy(group)
    for one, other in (("positive_only", "ent_increase"), ("negative_only", "ent_decrease")):
        for suffix in ("", "_zero"):
            torch.testing.assert_close(
                gap(of_arm(one + suffix, rewards)), gap(of_arm(other + suffix, rewards)), **EXACT
            )


@pytest.mark.parametrize("name", ["reinforce", "positive_only", "negative_only", "ent_decrease", "ent_increase"])
@pytest.mark.parametrize("group", [2, 8, 64])
def test_the_other_reading_differs_in_degenerate_groups_only(name, group):
    rewards = every_accuracy(group)
    limit, zero = of_arm(name, rewards), of_arm(f"{name}_zero", rewards)
    assert torch.equal(limit[1:-1], zero[1:-1])
    assert limit[[0, -1]].any()
    assert not zero[[0, -1]].any()


@pytest.mark.parametrize("group", GROUPS)
def test_the_scaled_arm_has_asymgrpos_mean_size_and_grpos_direction(group):
    rewards = every_accuracy(group)
    for batch in (rewards, rewards[: group // 2 + 1], rewards[[1, 1, 0]]):
        scaled = ARMS["grpo_scaled"].estimate(batch)
        torch.testing.assert_close(scaled.abs().mean(), of_arm("asymgrpo", batch).abs().mean(), **EXACT)
        grpo = of_arm("grpo", batch)
        factor = scaled.abs().sum() / grpo.abs().sum()
        torch.testing.assert_close(scaled, factor * grpo, **EXACT)
    assert not ARMS["grpo_scaled"].estimate(rewards[[0, -1]]).any()


def test_mean_sizes_over_the_groups_of_eight():
    """What docs/method.md and the paper's notes say of one learning rate: mean |A| over k = 1 ... 7."""
    mixed = every_accuracy(8)[1:-1]
    expected = {"reinforce": 1.0, "grpo": 0.856, "positive_only": 0.928, "negative_only": 0.928, "asymgrpo": 0.904}
    for name, size in (expected | {"maxrl": 1.0, "dr_grpo": 0.375, "grpo_scaled": 0.904}).items():
        assert of_arm(name, mixed).abs().mean().item() == pytest.approx(size, abs=5e-4), name


@pytest.mark.parametrize("group", GROUPS)
def test_pass_at_one_is_grpo(group):
    torch.testing.assert_close(
        rel.pass_at_k(every_accuracy(group), 1), adv.group_standardized(every_accuracy(group), 0, 0.0), **EXACT
    )


@pytest.mark.parametrize(("group", "k"), [(2, 2), (4, 2), (6, 3), (8, 4), (8, 2), (9, 8)])
def test_pass_at_k_against_every_draw_of_k(group, k):
    """A rollout's advantage is the mean, over the draws that hold it, of the draw's standardised reward."""
    for row, ours in zip(every_accuracy(group).numpy(), rel.pass_at_k(every_accuracy(group), k).numpy(), strict=True):
        draws = list(itertools.combinations(range(group), k))
        rewards = np.array([row[list(draw)].max() for draw in draws])
        std = rewards.std()
        standard = (rewards - rewards.mean()) / std if std > 0 else np.zeros(len(draws))
        mine = [standard[[i in draw for draw in draws]].mean() for i in range(group)]
        np.testing.assert_allclose(ours, mine, rtol=0, atol=1e-12)


@pytest.mark.parametrize("group", [2, 5, 8, 10, 16, 64])
@pytest.mark.parametrize("quantile", [0.2, 0.4, 0.5, 0.9])
def test_qae_has_two_regimes(group, quantile):
    values = rel.quantile_baseline(every_accuracy(group), quantile)
    for c in range(1, group):
        p, (correct, wrong) = c / group, values[c, [0, -1]].tolist()
        baseline = np.quantile([0.0] * (group - c) + [1.0] * c, quantile, method="inverted_cdf")
        std = math.sqrt(p * (1 - p))
        assert (correct, wrong) == pytest.approx(((1 - baseline) / std, (0 - baseline) / std))
        assert (correct > 0) == (wrong == 0) == (p <= 1 - quantile + 1e-12)
    assert not values[[0, -1]].any()


def published_a_grae(scores: np.ndarray, alpha: float, epsilon: float = 1e-6) -> np.ndarray:
    """Written out from the formula of its code at 53faba86, prompt by prompt, with its sample standard deviation."""
    means = scores.mean(axis=1)
    overall, rows = means.mean(), []
    for row, mean in zip(scores, means, strict=True):
        a = (row - mean) / (row.std(ddof=1) + epsilon)
        hard = 0.5 * a / (math.sqrt(mean) + epsilon)
        easy = 0.5 * a / (1 - math.sqrt(mean) + epsilon)
        mixed = (1 - overall) * easy + overall * hard
        rows.append(np.where(mixed > 0, mixed * min(1, overall / alpha), mixed))
    return np.array(rows)


@pytest.mark.parametrize("alpha", [0.3, 1.0])
@pytest.mark.parametrize("rows", [slice(None), slice(0, 4), slice(3, 7)])
def test_a_grae_is_the_published_one(alpha, rows):
    scores = every_accuracy(8)[rows]
    ours = rel.a_grae(scores, scores, alpha=alpha, ddof=1, eps=1e-6)
    np.testing.assert_allclose(ours.numpy(), published_a_grae(scores.numpy(), alpha), rtol=0, atol=1e-9)


def test_psr_and_nsr_are_the_two_halves_of_reinforce():
    rewards = every_accuracy(8)
    psr, nsr = of_arm("psr", rewards), of_arm("nsr", rewards)
    assert torch.equal(psr, rewards)
    assert torch.equal(nsr, rewards - 1)
    assert torch.equal(psr + nsr, adv.reinforce(rewards))
    assert torch.equal(0.1 * psr + nsr, of_arm("w_reinforce", rewards))


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_batch_estimators_see_other_prompts_and_the_rest_do_not(seed):
    rng = np.random.default_rng(seed)
    batch = torch.from_numpy((rng.random((6, 8)) < rng.random((6, 1))).astype(float))
    batch[0], batch[1] = every_accuracy(8)[3], every_accuracy(8)[6]
    for arm in ARMS.values():
        if arm.reward == "random":
            continue
        whole = arm.estimate(batch)
        parts = torch.cat([arm.estimate(part, batch) for part in batch.split(2)])
        torch.testing.assert_close(parts, whole, **EXACT, msg=arm.name)
        alone = torch.cat([arm.estimate(row[None]) for row in batch])
        assert torch.allclose(alone, whole, rtol=0, atol=1e-12) != arm.advantage.reads_batch, arm.name


def test_the_batch_is_gathered_once_and_only_for_estimators_that_read_it():
    rewards, calls = every_accuracy(8), []

    def whole(grid):
        calls.append(grid.clone())
        return torch.cat([grid, torch.ones_like(grid)])

    for name, arm in ARMS.items():
        calls.clear()
        values = arm.advantage_fn(rewards, list(range(9)), whole)
        assert len(calls) == arm.advantage.reads_batch, name
        assert torch.equal(values, arm.estimate(calls[0] if calls else _rewards(arm, rewards), whole(rewards)))
    coin = ARMS["lite_ppo"].but(reward="random")
    calls.clear()
    coin.advantage_fn(rewards, list(range(9)), whole)
    assert torch.equal(calls[0], adv.random_rewards(rewards, list(range(9)))), "coins are gathered, not verdicts"


def _rewards(arm, rewards):
    return adv.random_rewards(rewards, list(range(9))) if arm.reward == "random" else rewards


@pytest.mark.parametrize("arm", [a for a in LIBRARY if a.advantage != ARMS["grpo"].advantage], ids=lambda a: a.name)
def test_dtype_shape_and_no_gradient(arm):
    for dtype in (torch.float64, torch.float32):
        rewards = every_accuracy(8).to(dtype).requires_grad_()
        values = arm.estimate(rewards)
        assert (values.dtype, values.shape, values.requires_grad) == (dtype, rewards.shape, False)
    assert arm.estimate(every_accuracy(8).bool()).dtype == torch.float64


@pytest.mark.parametrize("name", ["pass_at_k", "qae", "a_grae", "grpo_scaled"])
def test_non_binary_rewards_are_refused(name):
    with pytest.raises(RewardError, match=r"is defined for rewards 0 and 1 only, got 0\.5"):
        ARMS[name].estimate(torch.tensor([[0.0, 0.5, 1.0, 1.0]]))


def test_lite_ppo_takes_any_finite_reward():
    rewards = torch.tensor([[0.0, 0.5, 1.0], [2.0, 2.0, 2.0]], dtype=torch.float64)
    expected = (rewards - rewards.mean(dim=1, keepdim=True)) / (rewards.std(correction=1) + 1e-4)
    torch.testing.assert_close(rel.batch_standardized(rewards, rewards, ddof=1, eps=1e-4), expected, **EXACT)
    assert not rel.batch_standardized(torch.full((2, 3), 0.1), torch.full((2, 3), 0.1), 0, 0.0).any()


def test_a_draw_must_fit_the_group():
    with pytest.raises(RewardError, match="pass_at_k with k = 4 needs groups of at least 4 rollouts, got 3"):
        rel.pass_at_k(every_accuracy(3), 4)
    for group in (2, 4):  # the only draw of 4 of 4 is always the same one
        with pytest.raises(ArmError, match=rf"group_size = {group} there is at most one draw of k = 4 .*; lower k"):
            check_arm(ARMS["pass_at_k"], updates_per_rollout=2, group_size=group)
    check_arm(ARMS["pass_at_k"], updates_per_rollout=2, group_size=5)
    for group in range(2, 17):
        assert not rel.pass_at_k(every_accuracy(group), group).any()
        assert rel.pass_at_k(every_accuracy(group), group - 1).any()


@pytest.mark.parametrize(
    ("name", "overrides"), [("pass_at_k", {"k": 1}), ("asymgrpo", {"beta_pos": 0.5, "beta_neg": 0.5})]
)
def test_grpo_under_another_name_is_refused(name, overrides):
    with pytest.raises(ArmError, match=f"'{name}' with these changes is grpo itself"):
        check_arm(get_arm(name, overrides), updates_per_rollout=2)
    check_arm(get_arm(name, overrides | {"clip_high": 0.28}), updates_per_rollout=2)
