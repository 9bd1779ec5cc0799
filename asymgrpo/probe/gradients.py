"""Gradients of sources and targets, and their inner products in Adam's metric; they lie in a file, however large the model is."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asymgrpo.probe.linear import CHANNELS, Array, Sources
from asymgrpo.training.batch import Batch

Forward = Callable[[Batch], tuple[Tensor, Tensor]]
"""Batch of b rows -> log-probability and entropy of its tokens, [b, r] each, with gradient."""
Combination = tuple[Array, Array]
"""(a, c), [B] each: the gradient of sum a_i logp(y_i) + c_i entropy(y_i), sums over the tokens of a response."""
COLUMNS = 2**20
"""Parameters whose inner products are taken together."""


def sources_of(correct: Array) -> list[Combination]:
    """The combinations of n groups' channels, group after group; correct [n, G].

    >>> [(a.tolist(), c.tolist()) for a, c in sources_of(np.array([[1.0, 0.0]]))]
    [([1.0, 0.0], [0.0, 0.0]), ([0.0, 1.0], [0.0, 0.0]), ([0.0, 0.0], [1.0, 1.0])]
    """
    groups, size = correct.shape
    found = []
    for group in range(groups):
        inside = np.zeros_like(correct)
        inside[group] = 1
        none = np.zeros(groups * size)
        found += [
            ((inside * (correct == 1)).ravel(), none),
            ((inside * (correct != 1)).ravel(), none),
            (none, inside.ravel()),
        ]
    return found


class Gradients:
    """Rows of gradients [rows, parameters] in a temporary file of `folder`."""

    def __init__(self, parameters: Sequence[Tensor], rows: int, folder: Path):
        self.parameters = list(parameters)
        kind = "f8" if parameters[0].dtype == torch.float64 else "f4"
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  it lives as long as this object
        shape = (rows, sum(p.numel() for p in parameters))
        self.values = np.memmap(self._file, dtype=kind, mode="w+", shape=shape)

    def fill(
        self,
        first: int,
        combinations: Sequence[Combination],
        forward: Forward,
        batch: Batch,
        trains: Tensor,
        parts: Sequence[Tensor],
    ) -> None:
        """Rows first, first + 1, ...: the gradients of combinations of the responses of `batch`, of their tokens in `trains`.

        parts: rows of the batch that go through the model together.
        """
        device = self.parameters[0].device
        for rows in parts:
            wanted = [
                (number, a[rows.numpy()], c[rows.numpy()])
                for number, (a, c) in enumerate(combinations)
                if a[rows.numpy()].any() or c[rows.numpy()].any()
            ]
            if not wanted:
                continue
            part = batch.rows(rows)
            mask = trains[rows, : part.mask.shape[1]].to(device)
            logp, entropy = forward(part.to(device))
            logp, entropy = (logp * mask).sum(dim=1), (entropy * mask).sum(dim=1)
            for number, a, c in wanted:
                loss = (logp * torch.from_numpy(a).to(logp)).sum() + (entropy * torch.from_numpy(c).to(logp)).sum()
                self._add(
                    first + number, torch.autograd.grad(loss, self.parameters, retain_graph=True, allow_unused=True)
                )

    def _add(self, row: int, gradient: Sequence[Tensor | None]) -> None:
        start = 0
        for parameter, part in zip(self.parameters, gradient, strict=True):
            end = start + parameter.numel()
            if part is not None:
                self.values[row, start:end] += part.detach().flatten().cpu().numpy()
            start = end

    def inner(self, metric: Sequence[Tensor]) -> Array:
        """[rows, rows] inner products in the inverse of the diagonal `metric`, one tensor per parameter; sums in float64."""
        found = np.zeros((len(self.values), len(self.values)))
        for where, scale in _pieces(metric):
            piece = self.values[:, where].astype(np.float64)
            found += (piece / scale) @ piece.T
        return found


def _pieces(metric: Sequence[Tensor]) -> Iterator[tuple[slice, Array]]:
    start = 0
    for tensor in metric:
        for part in tensor.detach().flatten().split(COLUMNS):
            yield slice(start, start + len(part)), part.double().cpu().numpy()
            start += len(part)


def as_sources(inner: Array, groups: int, targets: Sequence[str]) -> Sources:
    """Inner products of all rows, sources first and then targets, by what they are of."""
    n = groups * len(CHANNELS)
    shape = (groups, len(CHANNELS))
    of_targets: Mapping[str, Array] = {
        name: inner[:n, n + number].reshape(shape) for number, name in enumerate(targets)
    }
    return Sources(inner[:n, :n].reshape(*shape, *shape), dict(of_targets))
