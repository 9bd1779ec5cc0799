"""One 64-bit number per weight tensor: whether two copies of a model are the same, without moving either."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SLICE = 1 << 22
"""Numbers added at a time: bounds the memory beside the weights (eight bytes a number, several times over)."""
BITS = {torch.float32: torch.int32, torch.bfloat16: torch.int16, torch.float16: torch.int16}


def checksum(tensor: Tensor) -> int:
    """Sum modulo 2^64 of the bit patterns of a tensor's numbers, each times the odd number 2 i + 1 of its place i.

    Exact, wherever the tensor lies and in whatever order it is added. A change of one number always changes it: odd numbers
    have an inverse modulo 2^64. Negative and subnormal zeros count as 0, because no product tells them apart.

    >>> a = torch.tensor([[1.0, 2.0], [3.0, -0.0]])
    >>> checksum(a) == checksum(a + 0.0), checksum(a) == checksum(a.T.contiguous())
    (True, False)
    """
    flat = tensor.detach().reshape(-1)
    total = 0
    for start in range(0, len(flat), SLICE):
        part = flat[start : start + SLICE]
        part = part.masked_fill(part.abs() < torch.finfo(part.dtype).tiny, 0)
        bits = part.view(BITS[part.dtype]).long()
        places = torch.arange(start, start + len(bits), device=bits.device)
        total += int((bits * (2 * places + 1)).sum())
    return total % (1 << 64)


def differing(expected: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    """Names whose checksums differ or that one side lacks, in alphabetical order.

    >>> differing({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4})
    ['b', 'c']
    """
    return sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
