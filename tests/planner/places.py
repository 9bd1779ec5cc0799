"""A spy on CPU that knows which tensors would lie on the accelerator and which in host memory.

DeepSpeed asks the accelerator for its name and says "cpu" for the host. Here the name is "cpu" as well, but another object,
so that every tensor that is made can be told by the object that it was made with; the others lie where their inputs lie.
"""

from __future__ import annotations

import weakref
from collections import defaultdict

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ACCELERATOR, HOST = "accelerator", "host"


class Name(str):
    """The accelerator's: equal to "cpu" and yet to be told from it."""


DEVICES = {ACCELERATOR: torch.device("cpu"), HOST: torch.device("cpu")}
"""What `tensor.device` gives: equal, but not the same object."""


def place_of_device(device) -> str | None:
    """Where something is made that is told to be on `device`; None when `device` says nothing."""
    for place, own in DEVICES.items():
        if device is own:
            return place
    if isinstance(device, Name):
        return ACCELERATOR
    return HOST if isinstance(device, str) and device == "cpu" else None


class Places:
    """Bytes alive by place and phase, the highest of them, and the bytes that went from one place to the other."""

    def __init__(self):
        self.phase = "start"
        self.where: dict[int, tuple[str, int]] = {}
        self.live: dict[str, int] = defaultdict(int)
        self.peak: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.moved: dict[str, int] = defaultdict(int)
        self.said: str | None = None
        self._refs: dict[int, weakref.ref] = {}

    def of(self, tensor: torch.Tensor) -> str | None:
        found = self.where.get(tensor.untyped_storage()._cdata)
        return found[0] if found else None

    def put(self, tensor: torch.Tensor, place: str) -> None:
        """Say where a tensor's storage lies."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self.where:
            self._count(*self.where[key], -1)
        else:
            self._refs[key] = weakref.ref(storage, lambda _: self._forget(key))
        self.where[key] = (place, size)
        self._count(place, size, 1)

    def _forget(self, key: int) -> None:
        self._count(*self.where.pop(key), -1)
        del self._refs[key]

    def _count(self, place: str, size: int, sign: int) -> None:
        self.live[place] += sign * size
        self.peak[self.phase][place] = max(self.peak[self.phase][place], self.live[place])

    def enter(self, phase: str) -> None:
        """What is alive now counts for the new phase too."""
        self.phase = phase
        for place, size in self.live.items():
            self.peak[phase][place] = max(self.peak[phase][place], size)


class Asked(TorchFunctionMode):
    """Hears which device a call names, and answers `tensor.device`."""

    def __init__(self, places: Places):
        super().__init__()
        self.places = places

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, places = kwargs or {}, self.places
        if getattr(func, "__self__", None) is torch.Tensor.device:
            return DEVICES[places.of(args[0]) or ACCELERATOR]
        named = [kwargs.get("device"), *(args[1:] if func is torch.Tensor.to else ())]
        place = HOST if func is torch.Tensor.cpu else next(filter(None, map(place_of_device, named)), None)
        before, places.said = places.said, place or places.said
        try:
            out = func(*args, **kwargs)
            if place and isinstance(out, torch.Tensor) and places.of(out) not in (None, place):
                return out.clone()  # "cpu" to "cpu" makes nothing new here, but would there
            return out
        finally:
            places.said = before


class Made(TorchDispatchMode):
    """Sees every storage that is made, in backward passes too."""

    def __init__(self, places: Places):
        super().__init__()
        self.places = places

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        places = self.places
        inputs = [places.of(t) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        if func is torch.ops.aten.copy_.default and inputs[0] != inputs[1] and None not in inputs[:2]:
            places.moved[inputs[0]] += args[0].numel() * args[0].element_size()
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and not tensor.is_meta and places.of(tensor) is None:
                place = places.said or next(filter(None, inputs), ACCELERATOR)
                places.put(tensor, place)
                if inputs and inputs[0] and inputs[0] != place:
                    places.moved[place] += tensor.numel() * tensor.element_size()
        return out
