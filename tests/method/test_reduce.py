"""However an update batch is cut into micro-batches and ranks, the loss and its gradient are the same."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.method.reduce import FORMULAS, counts, reduce

MODES = tuple(FORMULAS)
MAX_TOKENS = 12


@st.composite
def batches(draw):
    """(per-token losses [B, T], mask with every length from 0 to T, a cut of the rows into parts)."""
    lengths = draw(st.lists(st.integers(0, MAX_TOKENS), min_size=2, max_size=8).filter(any))
    seed = draw(st.integers(0, 2**31))
    loss = torch.randn(len(lengths), MAX_TOKENS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    mask = torch.arange(MAX_TOKENS) < torch.tensor(lengths)[:, None]
    owner = draw(st.lists(st.integers(0, 3), min_size=len(lengths), max_size=len(lengths)))
    parts = [[i for i, o in enumerate(owner) if o == part] for part in range(4)]
    return loss, mask, [part for part in parts if part]


def whole(mask: torch.Tensor) -> dict[str, int]:
    n_tokens, n_sequences = counts(mask)
    return {"n_tokens": n_tokens, "n_sequences": n_sequences, "max_tokens": MAX_TOKENS}


@given(batches(), st.sampled_from(MODES))
def test_definition(batch, mode):
    loss, mask, _ = batch
    rows = [row[keep] for row, keep in zip(loss, mask, strict=True) if keep.any()]
    expected = {
        "token": torch.cat(rows).mean(),
        "sequence": torch.stack([row.mean() for row in rows]).mean(),
        "constant": torch.stack([row.sum() / MAX_TOKENS for row in rows]).mean(),
    }[mode]
    torch.testing.assert_close(reduce(loss, mask, mode, **whole(mask)), expected)


@given(batches(), st.sampled_from(MODES))
def test_any_cut_gives_the_same_loss_and_gradient(batch, mode):
    """Parts may be micro-batches or ranks, in any number, of any sizes, trimmed to their own width."""
    loss, mask, parts = batch
    loss.requires_grad_()
    once = reduce(loss, mask, mode, **whole(mask))
    (expected,) = torch.autograd.grad(once, loss)
    pieces = []
    for part in parts:
        width = max(1, int(mask[part].sum(dim=1).max()))
        pieces.append(reduce(loss[part, :width], mask[part, :width], mode, **whole(mask)))
    total = torch.stack(pieces).sum()
    torch.testing.assert_close(total, once, rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad(total, loss)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", ["token", "sequence"])
def test_a_mean_per_micro_batch_is_a_different_loss(mode):
    """The negative test: local denominators weigh tokens by the company they are in."""
    loss = torch.tensor([[1.0] * 4, [5.0] * 4, [9.0] * 4], dtype=torch.float64)
    mask = torch.tensor([[True] * 4, [True, False, False, False], [True, True, False, False]])
    parts = [[0], [1, 2]]
    local = torch.stack([reduce(loss[part], mask[part], mode, **whole(mask[part])) for part in parts]).mean()
    assert abs(local - reduce(loss, mask, mode, **whole(mask))) > 0.1


@pytest.mark.parametrize("mode", MODES)
def test_values_outside_the_mask_do_not_matter(mode):
    loss = torch.tensor([[1.0, 2.0, float("nan")], [float("inf")] * 3], requires_grad=True)
    mask = torch.tensor([[True, True, False], [False] * 3])
    result = reduce(loss, mask, mode, **whole(mask))
    result.backward()
    assert result.isfinite()
    assert torch.equal(loss.grad != 0, mask)
    assert torch.equal(reduce(loss, mask.float(), mode, **whole(mask)), result)


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_without_tokens_gives_zero_and_no_gradient(mode):
    loss = torch.ones(2, 3, requires_grad=True)
    mask = torch.zeros(2, 3, dtype=torch.bool)
    result = reduce(loss, mask, mode, **whole(mask))
    result.backward()
    assert result == 0
    assert not loss.grad.any()


def test_modes_differ_only_in_the_weight_of_a_token():
    """At equal lengths the token and the sequence mean agree, and the constant is a multiple of them."""
    loss = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    full = torch.ones(3, 4, dtype=torch.bool)
    by_mode = {mode: reduce(loss, full, mode, **whole(full)) for mode in MODES}
    torch.testing.assert_close(by_mode["token"], by_mode["sequence"])
    torch.testing.assert_close(by_mode["constant"], by_mode["token"] * 4 / MAX_TOKENS)


def test_unknown_mode_lists_the_known():
    with pytest.raises(ValueError, match="'mean' is unknown; use one of token, sequence, constant"):
        reduce(torch.ones(1, 1), torch.ones(1, 1), "mean", n_tokens=1, n_sequences=1, max_tokens=1)
