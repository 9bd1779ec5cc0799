"""Muon in float32: momentum whose matrix is made orthogonal before it is subtracted.

torch.optim.Muon does the same in bfloat16. A CPU without instructions for it (AVX512-BF16, AMX) emulates each product and takes
some twenty times as long as in float32; and where there are such instructions, float32 is as fast for small matrices.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the odd polynomial a s + b s^3 + c s^5 that each iteration applies to all singular values: steep at 0, near 1 otherwise."""
ITERATIONS = 5


def orthogonalised(matrix: Tensor) -> Tensor:
    """U S V^T -> about U V^T, in the dtype of `matrix` [m, n]: nearly all singular values become 0.7 to 1.2.

    Newton-Schulz iterations (Jordan et al., "Muon", 2024) need matrix products only. A matrix of zeros stays one.

    >>> left, values, right = torch.linalg.svd(orthogonalised(torch.diag(torch.tensor([3.0, 1.0, 0.5]))))
    >>> bool(((0.6 < values) & (values < 1.3)).all())
    True
    """
    wide = matrix if len(matrix) <= matrix.shape[1] else matrix.t()
    a, b, c = COEFFICIENTS
    x = wide / wide.norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.t()
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if len(matrix) <= matrix.shape[1] else x.t()


class Muon(torch.optim.Optimizer):
    """For matrices [out, in] alone; Nesterov momentum, no weight decay, steps scaled by sqrt(max(1, out / in))."""

    def __init__(self, matrices: Iterable[Tensor], lr: float, momentum: float):
        super().__init__(matrices, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for matrix in group["params"]:
                self._move(matrix, matrix.grad, group["lr"], group["momentum"])

    def _move(self, matrix: Tensor, grad: Tensor, lr: float, momentum: float) -> None:
        state = self.state[matrix]
        if "mean" not in state:
            state["mean"] = torch.zeros_like(matrix)
        mean = state["mean"].lerp_(grad, 1 - momentum)
        ahead = grad.lerp(mean, momentum)
        out, into = matrix.shape
        matrix.add_(orthogonalised(ahead), alpha=-lr * max(1.0, out / into) ** 0.5)
