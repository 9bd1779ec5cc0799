"""A checksum is a function of a tensor's numbers and their places, and of nothing else."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asymgrpo.rollout import checksum as module
from asymgrpo.rollout.checksum import checksum

DTYPES = [torch.float32, torch.bfloat16]


def numbers(n: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(n)).to(dtype)


@given(n=st.integers(1, 300), place=st.integers(0, 299), dtype=st.sampled_from(DTYPES), up=st.booleans())
def test_the_least_change_of_one_number_shows(n, place, dtype, up):
    tensor = numbers(n, dtype)
    changed = tensor.clone()
    changed[place % n] = torch.nextafter(changed[place % n], torch.tensor(torch.inf if up else -torch.inf).to(dtype))
    assert checksum(changed) != checksum(tensor)


@given(n=st.integers(2, 300), i=st.integers(0, 299), j=st.integers(0, 299))
def test_an_exchange_of_two_numbers_shows(n, i, j):
    tensor = numbers(n, torch.float32)
    changed = tensor.clone()
    changed[i % n], changed[j % n] = tensor[j % n], tensor[i % n]
    assert (checksum(changed) == checksum(tensor)) == (i % n == j % n)


@pytest.mark.parametrize("dtype", DTYPES)
def test_slices_shapes_and_memory_order_do_not_matter(dtype, monkeypatch):
    tensor = numbers(1000, dtype)
    whole = checksum(tensor)
    assert checksum(tensor.reshape(20, 50)) == whole
    assert checksum(tensor.reshape(20, 50).t().contiguous().t()) == whole
    monkeypatch.setattr(module, "SLICE", 7)
    assert checksum(tensor) == whole


def test_zeros_that_no_product_tells_apart_are_one():
    zeros = torch.tensor([0.0, -0.0, 1e-40, -1e-40])
    assert checksum(zeros) == checksum(torch.zeros(4)) == 0
    assert checksum(torch.tensor([torch.nan])) != checksum(torch.tensor([1.0]))
