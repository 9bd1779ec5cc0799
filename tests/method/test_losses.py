"""Per-token losses: values against the textbook, gradients against closed forms on a small softmax policy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.method import losses
from asymgrpo.method.logprobs import token_logprobs_and_entropy

N, V = 400, 7
CLIP = {"clip_low": 0.2, "clip_high": 0.28}


@pytest.fixture
def policy() -> dict[str, torch.Tensor]:
    """Logits of a softmax policy at N states, chosen actions, and everything a loss needs, in float64."""
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(N, V, generator=g, dtype=torch.float64, requires_grad=True)
    actions = torch.randint(V, (N,), generator=g)
    logp, entropy = token_logprobs_and_entropy(logits, actions, 1.0)
    return {
        "logits": logits,
        "actions": actions,
        "logp": logp,
        "entropy": entropy,
        "old": logp.detach() + 0.4 * torch.randn(N, generator=g, dtype=torch.float64),
        "advantages": torch.randn(N, generator=g, dtype=torch.float64),
    }


def gradient(loss: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(loss.sum(), logits, retain_graph=True)[0]


def score_function(policy: dict[str, torch.Tensor]) -> torch.Tensor:
    """d logp / d logits = 1[v = a] - pi_v, [N, V]."""
    pi = torch.softmax(policy["logits"].detach(), dim=-1)
    return torch.nn.functional.one_hot(policy["actions"], V) - pi


def test_policy_loss_is_ppos_formula(policy):
    r = (policy["logp"] - policy["old"]).exp()
    a = policy["advantages"]
    textbook = -torch.minimum(r * a, r.clamp(0.8, 1.28) * a)
    torch.testing.assert_close(losses.policy_loss(policy["logp"], policy["old"], a, **CLIP), textbook)


def test_policy_gradient_closed_form(policy):
    """-A r (1[v = a] - pi_v), and nothing where a bound acts; every case occurs in the fixture."""
    r = (policy["logp"] - policy["old"]).exp().detach()
    a = policy["advantages"]
    low, high = losses.clipped(policy["logp"], policy["old"], a, **CLIP)
    assert torch.equal(low, (a < 0) & (r < 0.8))
    assert torch.equal(high, (a > 0) & (r > 1.28))
    for case in (low, high, (a > 0) & (r < 0.8), (a < 0) & (r > 1.28), (r - 1).abs() < 0.1):
        assert case.any()
    expected = torch.where(low | high, 0.0, -a * r)[:, None] * score_function(policy)
    loss = losses.policy_loss(policy["logp"], policy["old"], a, **CLIP)
    torch.testing.assert_close(gradient(loss, policy["logits"]), expected)


def test_first_update_has_the_plain_policy_gradient(policy):
    """At ratio 1 the loss is -A and its gradient -A grad logp, whatever the clip range."""
    for clip_high in (0.2, 0.28):
        loss = losses.policy_loss(
            policy["logp"], policy["logp"].detach(), policy["advantages"], clip_low=0.2, clip_high=clip_high
        )
        assert torch.equal(loss, -policy["advantages"])
        expected = -policy["advantages"][:, None] * score_function(policy)
        torch.testing.assert_close(gradient(loss, policy["logits"]), expected)


@given(st.floats(-3, 3), st.floats(-2, 2), st.floats(0, 0.9), st.floats(0, 2), st.floats(0, 2))
def test_clip_bounds_only_ever_raise_the_loss_and_widen_monotonically(log_ratio, a, low, high, more):
    one = lambda x: torch.tensor([x], dtype=torch.float64)  # noqa: E731
    args = one(log_ratio), one(0.0), one(a)
    narrow = losses.policy_loss(*args, clip_low=low, clip_high=high)
    wide = losses.policy_loss(*args, clip_low=low, clip_high=high + more)
    assert narrow >= wide >= -math.exp(log_ratio) * a - 1e-12


def test_broadcast_over_sequences_equals_tokens(policy):
    grid = [policy[name].detach().view(40, 10) for name in ("logp", "old")]
    a = policy["advantages"][:40]
    broadcast = losses.policy_loss(*grid, a[:, None], **CLIP)
    flat = losses.policy_loss(*(x.flatten() for x in grid), a.repeat_interleave(10), **CLIP)
    assert torch.equal(broadcast.flatten(), flat)


def test_a_broken_token_stays_finite():
    loss = losses.policy_loss(torch.tensor([0.0]), torch.tensor([-1e4]), torch.tensor([-1.0]), **CLIP)
    assert loss.item() == pytest.approx(math.exp(losses.LOG_RATIO_LIMIT))


def test_dual_clip(policy):
    a = policy["advantages"]
    loss = losses.policy_loss(policy["logp"], policy["old"], a, **CLIP)
    capped = losses.dual_clip(loss, a, cap=1.5)
    acts = (a < 0) & (loss > -1.5 * a)
    assert acts.any()
    assert torch.equal(capped, torch.where(acts, -1.5 * a, loss))
    assert not gradient(capped, policy["logits"])[acts].any()
    assert torch.equal(gradient(capped, policy["logits"])[~acts], gradient(loss, policy["logits"])[~acts])


def test_kl_estimators_are_unbiased_and_k3_descends_the_reverse_divergence(policy):
    """Expectations over the policy are taken exactly, by enumerating actions."""
    logits = policy["logits"]
    logpi = torch.log_softmax(logits, -1)
    logref = torch.log_softmax(torch.randn(N, V, generator=torch.Generator().manual_seed(1), dtype=torch.float64), -1)
    pi = logpi.detach().exp()
    kl = (pi * (logpi - logref)).sum(-1).detach()
    for estimator in (losses.k1_kl, losses.k3_kl):
        torch.testing.assert_close((pi * estimator(logpi, logref)).sum(-1).detach(), kl)
    assert (losses.k3_kl(logpi, logref) >= 0).all()
    reverse = (logref.exp() * (logref - logpi)).sum(-1)
    torch.testing.assert_close(gradient(pi * losses.k3_kl(logpi, logref), logits), gradient(reverse, logits))


def test_k3_gradient_closed_form(policy):
    ref = policy["old"]
    d = (ref - policy["logp"]).detach()
    expected = (1 - d.exp())[:, None] * score_function(policy)
    torch.testing.assert_close(gradient(losses.k3_kl(policy["logp"], ref), policy["logits"]), expected)


def test_entropy_bonus_gradient_closed_form(policy):
    """d(-coef H)/dz_v = coef pi_v (log pi_v + H)."""
    logpi = torch.log_softmax(policy["logits"].detach(), -1)
    h = -(logpi.exp() * logpi).sum(-1, keepdim=True)
    loss = losses.entropy_bonus(policy["entropy"], 0.01)
    torch.testing.assert_close(gradient(loss, policy["logits"]), 0.01 * logpi.exp() * (logpi + h))


def test_importance_weights_are_capped_and_carry_no_gradient(policy):
    sampler = policy["old"]
    weights = losses.tis_weights(policy["logp"], sampler, cap=1.2)
    torch.testing.assert_close(weights, (policy["logp"] - sampler).exp().detach().clamp(max=1.2))
    assert (weights == 1.2).any()
    assert (weights < 1.2).any()
    assert not weights.requires_grad


@given(st.floats(0, 1), st.floats(0, 3), st.floats(0, 3), st.floats(1e-4, 0.1))
def test_adaptive_coefficient_moves_towards_the_target_and_stays_in_range(coef, entropy, target, delta):
    after = losses.next_entropy_coef(coef, entropy, target, delta, low=0.0, high=1.0)
    assert 0 <= after <= 1
    assert abs(after - coef) <= delta * (1 + 1e-9)
    assert after >= coef if entropy < target else after <= coef
    assert losses.active_entropy_coef(coef, entropy, target) == (0 if entropy > target else coef)


@pytest.fixture
def grid(policy) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(2)
    mask = torch.rand(40, 10, generator=g) < 0.8
    return {
        "logp": 3 * policy["logp"].detach().view(40, 10),
        "advantages": 2 * policy["advantages"][:40, None].expand(40, 10),
        "mask": mask,
    }


def test_token_covariance_averages_to_the_covariance(grid):
    mask = grid["mask"]
    logp, a = grid["logp"][mask].numpy(), grid["advantages"][mask].numpy()
    covariance = losses.token_covariance(**grid)
    assert not covariance[~mask].any()
    assert covariance[mask].mean().item() == pytest.approx(np.cov(logp, a, ddof=0)[0, 1])


@pytest.mark.parametrize("fraction", [1e-9, 0.01, 0.1, 1.0])
def test_kl_cov_takes_the_tokens_of_highest_covariance(grid, fraction):
    chosen = losses.kl_cov(**grid, fraction=fraction)
    count = max(1, int(fraction * int(grid["mask"].sum())))
    covariance = losses.token_covariance(**grid)
    assert int(chosen.sum()) == count
    assert not chosen[~grid["mask"]].any()
    rest = grid["mask"] & ~chosen
    assert not rest.any() or covariance[chosen].min() >= covariance[rest].max()


def test_clip_cov_draws_by_seed_from_the_band(grid):
    band = {"low": 1.0, "high": 5.0}
    covariance = losses.token_covariance(**grid)
    candidates = (covariance > 1) & (covariance < 5) & grid["mask"]
    draws = [losses.clip_cov(**grid, fraction=0.05, **band, seed=s) for s in range(20)]
    for draw in draws:
        assert int(draw.sum()) == min(int(0.05 * int(grid["mask"].sum())), int(candidates.sum()))
        assert not (draw & ~candidates).any()
    assert torch.equal(draws[3], losses.clip_cov(**grid, fraction=0.05, **band, seed=3))
    assert len({tuple(d.flatten().tolist()) for d in draws}) > 10
    everything = losses.clip_cov(**grid, fraction=1.0, **band, seed=0)
    assert torch.equal(everything, candidates)


def test_drop_and_penalty_gradients_closed_form(policy):
    chosen = torch.arange(N) % 3 == 0
    loss = losses.policy_loss(policy["logp"], policy["old"], policy["advantages"], **CLIP)
    whole, dropped = gradient(loss, policy["logits"]), gradient(losses.drop(loss, chosen), policy["logits"])
    assert not dropped[chosen].any()
    assert torch.equal(dropped[~chosen], whole[~chosen])
    penalty = losses.old_policy_penalty(policy["logp"], policy["old"], chosen, coef=0.3)
    sign = torch.sign(policy["logp"] - policy["old"]).detach()
    expected = torch.where(chosen, 0.3 * sign, 0.0)[:, None] * score_function(policy)
    torch.testing.assert_close(gradient(penalty, policy["logits"]), expected)
