"""A GPU that is none: tensors are computed on the CPU, and every call refuses to mix those that claim to lie elsewhere.

FakeTensorMode knows more rules, but has no values, so that a loop which asks how many rows still run cannot go on; and a torch
built for the CPU alone cannot index its tensors of CUDA.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

CPU, ELSEWHERE = torch.device("cpu"), torch.device("cuda", 0)
ANY_INDEX = (torch.Tensor.__getitem__, torch.Tensor.__setitem__)
TO_HOST = (torch.Tensor.cpu, torch.Tensor.numpy)


class MixedDevicesError(AssertionError):
    """A call got tensors of two devices."""


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """All tensors in nested arguments."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)


class PretendedGpu(TorchFunctionMode):
    """Calls that name ELSEWHERE as a device give tensors that claim it; what is computed from them claims it too.

    A number without dimensions may come from the CPU, and so may an index of a tensor elsewhere, as CUDA allows.
    """

    def __init__(self) -> None:
        self.claims: Any = WeakIdKeyDictionary()
        super().__init__()

    def place(self, tensor: torch.Tensor) -> torch.device:
        return self.claims.get(tensor, CPU)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func == torch.Tensor.device.__get__:
            return self.place(args[0])
        asked = [d for d in (kwargs.pop("device", None), *args) if isinstance(d, torch.device)]
        args = tuple(CPU if isinstance(a, torch.device) else a for a in args)
        here = self.common_place(func, args, kwargs)
        if func in TO_HOST:
            asked = [CPU]
        if func == torch.Tensor.numpy and here != CPU:
            raise MixedDevicesError("numpy of a tensor elsewhere")
        found = func(*args, **kwargs)
        if asked and any(found is t for t in args):  # nothing to move in truth: a copy, which may claim another place
            found = found.clone()
        if (asked or [here])[0] != CPU or here != CPU:
            for out in tensors(found):
                self.claims[out] = asked[0] if asked else here
        return found

    def common_place(self, func, args, kwargs) -> torch.device:
        """The device of all tensors of a call. Raises MixedDevicesError."""
        found = {self.place(t) for t in tensors([args, kwargs]) if t.dim() > 0}
        if func in ANY_INDEX and self.place(args[0]) != CPU:
            found.discard(CPU)
        if len(found) > 1:
            raise MixedDevicesError(f"{getattr(func, '__name__', func)} got tensors of {sorted(map(str, found))}")
        return found.pop() if found else next((self.place(t) for t in tensors([args, kwargs])), CPU)
