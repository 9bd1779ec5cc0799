"""Muon in float32: the optimizer that torch has in bfloat16."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_models import SPEC
from torch.utils._python_dispatch import TorchDispatchMode

from asymgrpo.models import tiny
from asymgrpo.models.muon import Muon, orthogonalised
from asymgrpo.tasks.chain_sum import sft_texts
from asymgrpo.tasks.tokenizer import build_tokenizer


def random_matrix(rows: int, columns: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 99), st.floats(1e-3, 1e3))
def test_it_keeps_singular_vectors_and_brings_their_values_near_one(rows, columns, seed, scale):
    matrix = scale * random_matrix(rows, columns, seed)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    inner = left.t() @ orthogonalised(matrix) @ right.t()
    new = inner.diagonal()
    torch.testing.assert_close(inner, torch.diag(new), rtol=0, atol=1e-6)
    large = values > 0.05 * matrix.norm()
    assert ((new > 0.3) & (new < 1.3))[large].all()
    torch.testing.assert_close(orthogonalised(matrix), left @ inner @ right, rtol=0, atol=1e-6)


def test_nothing_stays_nothing():
    assert torch.equal(orthogonalised(torch.zeros(3, 5)), torch.zeros(3, 5))


@pytest.mark.parametrize("shape", [(24, 6), (6, 24), (8, 8)])
def test_it_is_the_optimizer_of_torch_but_for_the_rounding_of_bfloat16(shape):
    start = random_matrix(*shape, seed=0).float()
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    both = [(ours, Muon([ours], lr=0.02, momentum=0.9)), (theirs, torch.optim.Muon([theirs], 0.02, 0.0, momentum=0.9))]
    for step in range(5):
        for matrix, optimizer in both:
            matrix.grad = random_matrix(*shape, seed=1 + step).float()
            optimizer.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.02 * moved
    assert moved > 0.1


class Dtypes(TorchDispatchMode):
    """Collects the dtype of every tensor that any operation returns."""

    def __init__(self):
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        flat = result if isinstance(result, tuple | list) else [result]
        self.seen |= {part.dtype for part in flat if isinstance(part, torch.Tensor)}
        return result


def test_the_base_model_is_trained_without_a_number_in_bfloat16():
    """On a CPU that has no instructions for it, each product would take some twenty times as long."""
    spec, tokenizer = tiny.parse_spec(SPEC | {"examples": 40}), build_tokenizer()
    pairs = tiny.encode(sft_texts(spec.examples, spec.styles, spec.error_rate, spec.seed), tokenizer)
    with Dtypes() as dtypes:
        tiny.train(tiny.build_model(spec, tokenizer), pairs, spec, tokenizer.pad_token_id)
    assert torch.float32 in dtypes.seen
    assert torch.bfloat16 not in dtypes.seen
