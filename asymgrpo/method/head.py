"""An output layer that gives float32 logits under bfloat16 weights.

The products of two bfloat16 numbers are exact in float32. Summed and kept there, a logit is as good as a float32 head's; rounded
to bfloat16, one between 16 and 32 is a multiple of 0.125. vLLM computes the same under `head_dtype: float32`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Float32Head(nn.Linear):
    """x [..., H] and weight [V, H] of one low-precision dtype -> x weight^T [..., V] in float32; no bias.

    >>> head = Float32Head(2, 3, bias=False, dtype=torch.bfloat16)
    >>> head(torch.ones(4, 2, dtype=torch.bfloat16)).dtype
    torch.float32
    """

    def forward(self, x: Tensor) -> Tensor:
        return _Product.apply(x.flatten(0, -2), self.weight).unflatten(0, x.shape[:-1])


def float32_product(x: Tensor, weight: Tensor) -> Tensor:
    """x [n, H] and weight [V, H] of one dtype -> x weight^T [n, V], summed and kept in float32."""
    if x.dtype == torch.float32:
        return F.linear(x, weight)
    return torch.mm(x, weight.t(), out_dtype=torch.float32) if x.is_cuda else x.float() @ weight.float().t()


class _Product(torch.autograd.Function):
    """Backward in the layer's own dtype, as its plain product has it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return float32_product(x, weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad = grad.to(weight.dtype)
        of_x = grad @ weight if ctx.needs_input_grad[0] else None
        return of_x, grad.t() @ x if ctx.needs_input_grad[1] else None


def with_float32_logits(model: Any) -> Any:
    """The model, whose output layer gives float32 from now on; the weight stays where it is, tied or not."""
    head = model.get_output_embeddings()
    if head.weight.dtype != torch.float32:
        head.__class__ = Float32Head
    return model
