"""The paper's entropy argument on a tabular policy: dH = -eta Cov(log pi, A) to first order, measured.

A natural policy gradient step of size eta on softmax logits adds eta A to them.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.method.advantages import asymmetric
from asymgrpo.method.logprobs import token_logprobs_and_entropy
from asymgrpo.method.losses import policy_loss

seeds = st.integers(0, 2**31)


def policy_and_advantages(seed: int, n: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, generator=g, dtype=torch.float64), torch.randn(n, generator=g, dtype=torch.float64)


def entropy_of(logits: torch.Tensor) -> torch.Tensor:
    return token_logprobs_and_entropy(logits[None], torch.tensor([0]), 1.0)[1][0]


def covariance(logits: torch.Tensor, advantages: torch.Tensor) -> torch.Tensor:
    logpi = torch.log_softmax(logits, -1)
    pi = logpi.exp()
    return (pi * (logpi - (pi * logpi).sum()) * (advantages - (pi * advantages).sum())).sum()


def natural_gradient_step(logits: torch.Tensor, advantages: torch.Tensor) -> torch.Tensor:
    """Fisher^+ times the gradient of our own policy loss, actions weighted by their exact probability."""
    z = logits.clone().requires_grad_()
    logp, _ = token_logprobs_and_entropy(z.expand(len(z), -1), torch.arange(len(z)), 1.0)
    pi = logp.detach().exp()
    (gradient,) = torch.autograd.grad(
        (pi * policy_loss(logp, logp.detach(), advantages, clip_low=0.2, clip_high=0.2)).sum(), z
    )
    fisher = torch.diag(pi) - pi[:, None] * pi
    return torch.linalg.pinv(fisher, hermitian=True) @ -gradient


@given(seeds)
def test_step_of_the_policy_loss_is_the_advantage_up_to_a_constant(seed):
    logits, advantages = policy_and_advantages(seed)
    step = natural_gradient_step(logits, advantages)
    torch.testing.assert_close(step - step.mean(), advantages - advantages.mean(), rtol=1e-6, atol=1e-8)


@given(seeds)
def test_entropy_gradient_along_the_step_is_minus_the_covariance(seed):
    logits, advantages = policy_and_advantages(seed)
    z = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(entropy_of(z), z)
    torch.testing.assert_close(gradient @ advantages, -covariance(logits, advantages))


@given(seeds)
def test_measured_entropy_change_meets_the_prediction_to_first_order(seed):
    """The prediction's error falls a hundredfold when the step falls tenfold."""
    logits, advantages = policy_and_advantages(seed)
    step, predicted = natural_gradient_step(logits, advantages), -covariance(logits, advantages)
    errors = []
    for eta in (1e-2, 1e-3):
        measured = entropy_of(logits + eta * step) - entropy_of(logits)
        errors.append(abs((measured - eta * predicted).item()))
    assert errors[0] < 1e-2  # second-order terms of A ~ N(0, 1) at eta = 0.01
    assert errors[1] < errors[0] / 30 + 1e-9


@given(seeds, st.integers(1, 11), st.floats(0, 1.5), st.floats(0, 1.5))
def test_binary_rewards_split_the_covariance_by_group(seed, n_correct, beta_pos, beta_neg):
    """Cov(log pi, A) = (A_pos - A_neg) p (1 - p) (mean log pi of correct - of wrong).

    Positive iff the policy is surer where it is right; the exponents act through A_pos - A_neg alone.
    """
    logits, _ = policy_and_advantages(seed)
    logpi = torch.log_softmax(logits, -1)
    pi = logpi.exp()
    correct = torch.arange(12) < n_correct
    p = pi[correct].sum()
    a_pos, a_neg = ((1 - p) / p) ** beta_pos, -((p / (1 - p)) ** beta_neg)
    gap = (pi * logpi)[correct].sum() / p - (pi * logpi)[~correct].sum() / (1 - p)
    advantages = torch.where(correct, a_pos, a_neg)
    torch.testing.assert_close(covariance(logits, advantages), (a_pos - a_neg) * p * (1 - p) * gap)


@pytest.mark.parametrize("n_correct", [1, 2, 3, 5, 6, 7])
def test_positive_modulation_slows_and_negative_speeds_the_fall_of_entropy_on_easy_prompts(n_correct):
    """The paper's claim for p > 1/2 and a policy that is surer when right, through `asymmetric` itself; for p < 1/2
    both effects turn round."""
    group = 8
    rewards = (torch.arange(group) < n_correct).double()[None]
    logits = torch.where(rewards[0] == 1, 0.1, 0.0).double()  # rollouts as actions: p is close to the group accuracy

    def fall(beta_pos: float, beta_neg: float) -> float:
        step = natural_gradient_step(logits, asymmetric(rewards, beta_pos, beta_neg)[0])
        return (entropy_of(logits) - entropy_of(logits + 1e-4 * step)).item()

    by_beta_pos = [fall(beta, 0.0) for beta in (0.9, 0.5, 0.0, -0.5)]
    by_beta_neg = [fall(0.0, beta) for beta in (-0.5, 0.0, 0.4, 0.9)]
    easy = 2 * n_correct > group
    for falls in (by_beta_pos, by_beta_neg):
        assert min(falls) > 0
        assert falls == sorted(falls, reverse=not easy)
