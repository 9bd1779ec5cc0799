"""A forward pass with gradient over tokens in any order, for the layers of Llama, Qwen2 and Qwen3 on a CPU.

transformers is the reference (tests compare outputs and gradients). There each norm, rotation and gate is a chain of operations
on whole tensors, which autograd repeats backwards; here each is one function whose gradient is written down. Tokens are a list,
[N, H]: what is padding, and which token is whose key, is known to `Attention` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from asymgrpo.errors import ModelError
from asymgrpo.models.architecture import check_architecture

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(queries [n, heads, D] of the last n tokens, keys and values [N, kv_heads, D]) -> what each query attends to, [n, heads, D]."""


def knows(model: Any) -> bool:
    """Whether `hidden_states` computes this model as transformers does: its architecture, float32 or float64, nothing random."""
    config = model.config
    try:
        check_architecture(config.to_dict())
    except ModelError:
        return False
    exact = all(parameter.dtype in (torch.float32, torch.float64) for parameter in model.parameters())
    return exact and not config.attention_dropout and not model.is_gradient_checkpointing


def is_whole_on_cpu(model: Any) -> bool:
    """Whether the weights lie here at this moment; under ZeRO-3 they lie in parts until a layer is called."""
    return all(parameter.device.type == "cpu" and not hasattr(parameter, "ds_id") for parameter in model.parameters())


def hidden_states(model: Any, ids: Tensor, positions: Tensor, attend: Attention, wanted: int) -> Tensor:
    """Last hidden states [wanted, H] of the last `wanted` of the tokens ids [N] at positions [N], after the last norm.

    The other tokens go through the last layer as keys and values alone.
    """
    base = model.model
    # Without padding_idx: rows hold no padding here, and a response that draws that token trains its embedding as any other's.
    x = F.embedding(ids, base.embed_tokens.weight)
    cos, sin = (table[0, :, None] for table in base.rotary_emb(x[None], positions[None]))
    last = len(base.layers) - 1
    for i, layer in enumerate(base.layers):
        x = through_layer(layer, x, cos, sin, attend, wanted if i == last else len(x))
    return normed(base.norm, x)


def through_layer(layer: Any, x: Tensor, cos: Tensor, sin: Tensor, attend: Attention, wanted: int) -> Tensor:
    """x [N, H] -> [wanted, H], those of the last tokens; cos and sin [N, 1, D]."""
    block, first = layer.self_attn, len(x) - wanted
    h = normed(layer.input_layernorm, x)
    q = by_heads(block.q_proj, h[first:], block.head_dim)
    k, v = by_heads(block.k_proj, h, block.head_dim), by_heads(block.v_proj, h, block.head_dim)
    if hasattr(block, "q_norm"):
        q, k = normed(block.q_norm, q), normed(block.k_norm, k)
    attended = attend(rotated(q, cos[first:], sin[first:]), rotated(k, cos, sin), v)
    x = x[first:] + block.o_proj(attended.flatten(1))
    mlp, h = layer.mlp, normed(layer.post_attention_layernorm, x)
    return x + mlp.down_proj(gated(mlp.gate_proj(h), mlp.up_proj(h)))


def by_heads(projection: Any, x: Tensor, head_dim: int) -> Tensor:
    return projection(x).unflatten(-1, (-1, head_dim))


def normed(norm: Any, x: Tensor) -> Tensor:
    return rms_norm(x, norm.weight, norm.variance_epsilon)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight, over the last dimension."""
    return _Norm.apply(x, weight, eps)


def inverse_size(x: Tensor, eps: float) -> Tensor:
    """1 / sqrt(mean(x^2) + eps) over the last dimension, which is kept."""
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()


class _Norm(torch.autograd.Function):
    """With s = (mean(x^2) + eps)^-1/2, y = s w x:   dx = s w dy - s^3 x mean(w dy x)   dw = sum_n s dy x"""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        scale = inverse_size(x, eps)
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, scale = ctx.saved_tensors
        product = dy * x
        of_weight = scale.flatten() @ product.flatten(0, -2)
        along = (product @ weight).unsqueeze(-1) * scale.pow(3).div_(-x.shape[-1])
        return (dy * weight).mul_(scale).addcmul_(x, along), of_weight, None


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of x [N, heads, D] by the angles whose cos and sin are [N, 1, D]: number i is paired with i + D/2."""
    return _Rotation.apply(x, cos, sin)


class _Rotation(torch.autograd.Function):
    """The gradient is turned back by the same angles."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return turned(x, cos, sin, 1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return turned(dy, cos, sin, -1), None, None


def turned(x: Tensor, cos: Tensor, sin: Tensor, sense: int) -> Tensor:
    half = x.shape[-1] // 2
    out = x * cos
    out[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-sense)
    out[..., half:].addcmul_(x[..., :half], sin[..., half:], value=sense)
    return out


def attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D) + bias) v, with all scores at once: for short sequences.

    q [B, Q, heads, D], k and v [B, W, kv_heads, D] (each is shared by heads / kv_heads neighbours), bias [1 or B, Q, W] -> as q.
    """
    return _Attention.apply(q, k, v, bias)


class _Attention(torch.autograd.Function):
    """With P the softmax:   dV = P^T dO   dS = P (dP - sum(dP P)), dP = dO V^T   dQ = dS K / sqrt(D)   dK = dS^T Q / sqrt(D)"""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        rows, queries, heads, width = q.shape
        kv_heads = k.shape[2]
        grouped, keys, values = (by_key_head(x, kv_heads) for x in (q, k, v))
        scores = scaled_product(grouped, keys.mT, width**-0.5)
        scores.view(rows, kv_heads, queries, heads // kv_heads, -1).add_(bias[:, None, :, None])
        weights = torch.softmax(scores, dim=-1)
        ctx.save_for_backward(grouped, keys, values, weights)
        ctx.shape = q.shape
        return by_row(torch.bmm(weights, values), q.shape)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, weights = ctx.saved_tensors
        kv_heads, scale = len(k) // len(dy), dy.shape[-1] ** -0.5
        shape = (len(dy), k.shape[1], kv_heads, k.shape[2])
        do = by_key_head(dy, kv_heads)
        ds = torch.ops.aten._softmax_backward_data(torch.bmm(do, v.mT), weights, -1, weights.dtype)
        dq, dk = scaled_product(ds, k, scale), scaled_product(ds.mT, q, scale)
        return by_row(dq, ctx.shape), by_row(dk, shape), by_row(torch.bmm(weights.mT, do), shape), None


def scaled_product(a: Tensor, b: Tensor, scale: float) -> Tensor:
    return torch.baddbmm(a.new_empty(1), a, b, beta=0, alpha=scale)


def by_key_head(x: Tensor, kv_heads: int) -> Tensor:
    """[B, Q, heads, D] -> [B * kv_heads, Q * heads / kv_heads, D]: what shares a key head is one sequence."""
    return x.unflatten(2, (kv_heads, -1)).transpose(1, 2).flatten(2, 3).flatten(0, 1)


def by_row(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The way back, to [B, Q, heads, D]."""
    rows, queries, heads, width = shape
    kv_heads = len(x) // rows
    return x.view(rows, kv_heads, queries, heads // kv_heads, width).transpose(1, 2).reshape(shape)


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up, of one shape."""
    return _Gate.apply(gate, up)


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        return torch.ops.aten.silu_backward(dy * up, gate), F.silu(gate).mul_(dy)
