"""Log-probabilities and entropies against torch.distributions; their gradients against finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.method.logprobs import chunked_token_logprobs_and_entropy, token_logprobs_and_entropy


def random_logits(n: int, v: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(n, v, generator=g, dtype=torch.float64), torch.randint(v, (n,), generator=g)


@given(st.integers(1, 9), st.integers(1, 40), st.floats(0.1, 5), st.integers(0, 2**31))
def test_values_against_torch_distributions(n, v, temperature, seed):
    logits, targets = random_logits(n, v, seed)
    logp, entropy = token_logprobs_and_entropy(logits, targets, temperature)
    reference = torch.distributions.Categorical(logits=logits / temperature)
    torch.testing.assert_close(logp, reference.log_prob(targets))
    torch.testing.assert_close(entropy, reference.entropy())
    assert (entropy >= -1e-12).all()
    assert (entropy <= math.log(v) + 1e-12).all()


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("use", ["logp", "entropy", "both"])
def test_gradients_are_exact(temperature, use):
    logits, targets = random_logits(4, 6)

    def outputs(z):
        logp, entropy = token_logprobs_and_entropy(z, targets, temperature)
        return {"logp": logp, "entropy": entropy, "both": logp * entropy}[use]

    assert torch.autograd.gradcheck(outputs, logits.requires_grad_(), atol=1e-8)


def test_rows_keep_their_entropy_when_reordered():
    logits, targets = random_logits(50, 11)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    _, entropy = token_logprobs_and_entropy(logits, targets, 1.0)
    _, shuffled = token_logprobs_and_entropy(logits[order], targets[order], 1.0)
    assert torch.equal(entropy[order], shuffled)


def test_half_precision_logits_are_computed_in_float32():
    logits, targets = random_logits(200, 300)
    half = logits.bfloat16().requires_grad_()
    logp, entropy = token_logprobs_and_entropy(half, targets, 0.7)
    assert (logp.dtype, entropy.dtype) == (torch.float32, torch.float32)
    exact, exact_entropy = token_logprobs_and_entropy(half.detach().double(), targets, 0.7)
    assert (logp - exact).abs().max() < 1e-5
    assert (entropy - exact_entropy).abs().max() < 1e-5
    logp.sum().backward()
    assert half.grad.dtype == torch.bfloat16


def test_impossible_tokens_add_nothing():
    logits = torch.tensor([[0.0, 1.0, -math.inf]], dtype=torch.float64, requires_grad=True)
    logp, entropy = token_logprobs_and_entropy(logits, torch.tensor([1]), 1.0)
    reference = torch.distributions.Categorical(logits=torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert entropy.item() == pytest.approx(reference.entropy().item())
    (logp + entropy).sum().backward()
    assert logits.grad.isfinite().all()
    assert logits.grad[0, 2] == 0


@pytest.mark.parametrize("chunk", [1, 4, 7, 100])
def test_chunks_change_neither_values_nor_gradients(chunk):
    g = torch.Generator().manual_seed(0)
    head = torch.nn.Linear(5, 13, dtype=torch.float64)
    targets = torch.randint(13, (23,), generator=g)
    hidden = torch.randn(23, 5, generator=g, dtype=torch.float64, requires_grad=True)
    results = []
    for outputs in (
        token_logprobs_and_entropy(head(hidden), targets, 0.8),
        chunked_token_logprobs_and_entropy(hidden, head, targets, 0.8, chunk),
    ):
        loss = (outputs[0] * targets).sum() - 0.1 * outputs[1].square().sum()
        results.append((*outputs, *torch.autograd.grad(loss, [hidden, *head.parameters()])))
    for plain, chunked in zip(*results, strict=True):
        torch.testing.assert_close(chunked, plain)


def test_chunked_logits_do_not_all_exist_at_once():
    """The largest block of logits made, forward or backward, is one chunk."""
    seen = []

    def head(states):
        seen.append(len(states))
        return states @ torch.ones(3, 5)

    hidden = torch.randn(10, 3, requires_grad=True)
    logp, _ = chunked_token_logprobs_and_entropy(hidden, head, torch.zeros(10, dtype=torch.long), 1.0, chunk=4)
    logp.sum().backward()
    assert sorted(seen) == [2, 2, 4, 4, 4, 4]


@pytest.mark.parametrize("temperature", [0, -1.0, math.nan])
def test_temperature_must_be_positive(temperature):
    with pytest.raises(ValueError, match="use one above 0"):
        token_logprobs_and_entropy(torch.zeros(1, 2), torch.tensor([0]), temperature)
