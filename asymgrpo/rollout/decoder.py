"""A lean decoder for Llama, Qwen2 and Qwen3 weights: prompt once, then one token a step on preallocated caches.

The transformers model is the reference (tests compare log-probabilities to 1e-5); this one drops what generation does not
need: projections are fused, the cache is written in place, and no logits are made for prompts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor

from asymgrpo.method.head import float32_product
from asymgrpo.models.architecture import check_architecture
from asymgrpo.models.layers import inverse_size


@dataclass
class Layer:
    norm_in: Tensor
    qkv: Tensor
    qkv_bias: Tensor | None
    qk_norm: Tensor | None
    """[heads + kv_heads, head_dim]"""
    out: Tensor
    norm_post: Tensor
    gate_up: Tensor
    down: Tensor


@dataclass(frozen=True)
class Cache:
    """Keys and values of rows of tokens; slot = absolute position of the token."""

    layers: list[Tensor]
    """[2, places, kv_heads, slots, head_dim] each: keys, values."""
    cos: Tensor
    """[slots, 1, head_dim]"""
    sin: Tensor
    """[slots, 1, head_dim] negative in the first half, as `rotated` wants it."""
    rows: int
    """How many of the places are in use: the first ones."""

    def select(self, rows: Tensor) -> Cache:
        return replace(self, layers=[layer[:, rows] for layer in self.layers], rows=len(rows))

    def move(self, old: Tensor, new: Tensor, used: int, rows: int) -> Cache:
        """The first `rows` places alone, in the same memory, after rows moved from old to new ones; slots from `used` on stay."""
        for layer in self.layers:
            layer[:, new, :, :used] = layer[:, old, :, :used]
        return replace(self, rows=rows)

    def places(self, positions: Tensor) -> Tensor:
        """[rows * 2 * kv_heads] where in a layer, seen as a list of heads, the tokens at `positions` [rows] belong."""
        _, places, kv_heads, slots, _ = self.layers[0].shape
        rows, heads, halves = (torch.arange(n, device=positions.device) for n in (self.rows, kv_heads, 2))
        first = (rows * kv_heads * slots + positions)[:, None, None] + halves[:, None] * (places * kv_heads * slots)
        return (first + heads * slots).flatten()

    def write(self, layer: int, places: Tensor, k: Tensor, v: Tensor) -> None:
        """k and v [rows, kv_heads, head_dim] to their places."""
        self.layers[layer].view(-1, k.shape[-1]).index_copy_(0, places, torch.cat([k, v], dim=1).flatten(0, 1))

    def read(self, layer: int, used: int) -> tuple[Tensor, Tensor]:
        """Keys and values [rows, kv_heads, used, head_dim] of the first `used` slots."""
        keys, values = self.layers[layer][:, : self.rows, :, :used]
        return keys, values


class Decoder:
    """Fused inference weights of one model, on one device; tokens, lengths and positions are given there."""

    def __init__(self, config, weights: dict[str, Tensor], head_dtype: str, device: torch.device | None = None):
        """`head_dtype`: as in asymgrpo.study.sections.train.Train. `device`: where to compute; None: where the weights lie."""
        check_architecture(vars(config) if isinstance(config, SimpleNamespace) else config.to_dict())
        self.heads = config.num_attention_heads
        self.kv_heads = getattr(config, "num_key_value_heads", None) or self.heads
        self.head_dim = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.n_layers, self.eps = config.num_hidden_layers, config.rms_norm_eps
        rope = config.rope_parameters
        exponents = torch.arange(0, self.head_dim, 2, dtype=torch.float32) / self.head_dim
        self.head = float32_product if head_dtype == "float32" else F.linear
        self.device = device or weights["model.embed_tokens.weight"].device
        self.inv_freq = (1.0 / rope["rope_theta"] ** exponents).to(self.device)
        self.load(weights)

    def load(self, weights: dict[str, Tensor]) -> None:
        """Fuse the projections of named Hugging Face weights (a copy: later changes of `weights` do not reach it)."""
        self.embedding = weights["model.embed_tokens.weight"].to(self.device, copy=True)
        head = weights.get("lm_head.weight")
        self.lm_head = self.embedding if head is None else head.to(self.device, copy=True)
        self.norm = weights["model.norm.weight"].to(self.device, copy=True)
        self.layers = [self._layer(weights, f"model.layers.{i}.") for i in range(self.n_layers)]
        self.dtype = self.embedding.dtype

    def _layer(self, weights: dict[str, Tensor], prefix: str) -> Layer:
        def stack(names: list[str]) -> Tensor:
            return torch.cat([weights[prefix + name].to(self.device) for name in names])

        def optional(names: list[str]) -> Tensor | None:
            return stack(names) if prefix + names[0] in weights else None

        qkv = [f"self_attn.{x}_proj" for x in "qkv"]
        return Layer(
            norm_in=stack(["input_layernorm.weight"]),
            qkv=stack([f"{name}.weight" for name in qkv]),
            qkv_bias=optional([f"{name}.bias" for name in qkv]),
            qk_norm=self._qk_norm(weights, f"{prefix}self_attn."),
            out=stack(["self_attn.o_proj.weight"]),
            norm_post=stack(["post_attention_layernorm.weight"]),
            gate_up=stack(["mlp.gate_proj.weight", "mlp.up_proj.weight"]),
            down=stack(["mlp.down_proj.weight"]),
        )

    def _qk_norm(self, weights: dict[str, Tensor], prefix: str) -> Tensor | None:
        if f"{prefix}q_norm.weight" not in weights:
            return None
        each = (("q", self.heads), ("k", self.kv_heads))
        return torch.cat([weights[f"{prefix}{x}_norm.weight"].to(self.device).expand(n, -1) for x, n in each])

    def prefill(self, tokens: Tensor, lengths: Tensor, slots: int) -> tuple[Tensor, Cache]:
        """tokens [batch, width] padded on the right -> logits of each row's last token [batch, vocab] and a cache of `slots`.

        Padding needs no mask: attention is causal, and decoding overwrites the padded slots before it reads them.
        """
        batch, width = tokens.shape
        shape = (2, batch, self.kv_heads, slots, self.head_dim)
        layers = [torch.zeros(shape, dtype=self.dtype, device=self.device) for _ in self.layers]
        cache = Cache(layers, *self._rotation(slots), batch)
        x = F.embedding(tokens, self.embedding)
        for i, layer in enumerate(self.layers):
            q, k, v = (part.transpose(1, 2) for part in self._project(layer, x, cache.cos[:width], cache.sin[:width]))
            layers[i][0, :, :, :width], layers[i][1, :, :, :width] = k, v
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            x = self._finish(layer, x, attended.transpose(1, 2).reshape(batch, width, -1))
        last = x[torch.arange(batch, device=self.device), lengths - 1]
        return self._logits(last), cache

    def decode(self, tokens: Tensor, positions: Tensor, used: int, cache: Cache) -> Tensor:
        """One step: tokens [batch] at positions [batch] -> logits of the next token [batch, vocab]; the cache grows in place.

        `used`: slots of the cache that are read, one more than the largest position.
        """
        batch = len(tokens)
        later = torch.arange(used, device=self.device) > positions[:, None]
        bias = torch.zeros(batch, used, dtype=self.dtype, device=self.device).masked_fill_(later, -math.inf)
        cos, sin, places = cache.cos[positions], cache.sin[positions], cache.places(positions)
        x = F.embedding(tokens, self.embedding)
        for i, layer in enumerate(self.layers):
            q, k, v = self._project(layer, x, cos, sin)
            cache.write(i, places, k, v)
            grouped = q.reshape(batch, self.kv_heads, -1, self.head_dim)  # what shares a key head, as if a sequence
            x = self._finish(layer, x, attend(grouped, *cache.read(i, used), bias).reshape(batch, -1))
        return self._logits(x)

    def _project(self, layer: Layer, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [..., hidden] -> queries [..., heads, head_dim], keys and values [..., kv_heads, head_dim]."""
        h = normed(x, layer.norm_in, self.eps)
        qkv = F.linear(h, layer.qkv, layer.qkv_bias).unflatten(-1, (-1, self.head_dim))
        qk, v = qkv.split([self.heads + self.kv_heads, self.kv_heads], dim=-2)
        if layer.qk_norm is not None:
            qk = normed(qk, layer.qk_norm, self.eps)
        q, k = rotated(qk, cos, sin).split([self.heads, self.kv_heads], dim=-2)
        return q, k, v

    def _finish(self, layer: Layer, x: Tensor, attended: Tensor) -> Tensor:
        x = F.linear(attended, layer.out).add_(x)
        h = normed(x, layer.norm_post, self.eps)
        gate, up = F.linear(h, layer.gate_up).chunk(2, dim=-1)
        return F.linear(F.silu(gate).mul_(up), layer.down).add_(x)

    def _logits(self, x: Tensor) -> Tensor:
        last = normed(x, self.norm, self.eps)
        return self.head(last, self.lm_head).float()

    def _rotation(self, slots: int) -> tuple[Tensor, Tensor]:
        """cos and sin of each slot's angles as a Cache holds them."""
        angles = torch.arange(slots, device=self.device)[:, None, None].float() * self.inv_freq
        cos, sin = angles.cos(), angles.sin()
        return torch.cat([cos, cos], dim=-1).to(self.dtype), torch.cat([-sin, sin], dim=-1).to(self.dtype)


def is_plain(x: Tensor) -> bool:
    """Float32 on a CPU, where a few plain operations are faster than the general ones of torch."""
    return x.device.type == "cpu" and x.dtype == torch.float32


def normed(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RMSNorm over the last dimension of x [..., D]; weight [D] or [heads, D]."""
    if is_plain(x):
        return (x * inverse_size(x, eps)).mul_(weight)
    if weight.dim() == 1:
        return F.rms_norm(x, (x.shape[-1],), weight, eps)
    return (F.rms_norm(x.float(), (x.shape[-1],), None, eps) * weight.float()).to(x.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D) + bias) v: q [batch, kv_heads, n, D], k and v [batch, kv_heads, used, D], bias [batch, used].

    On a CPU in float32 by plain products: torch's own attention works through such short sequences one by one.
    """
    if not is_plain(q):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias[:, None, None])
    keys, values = k.flatten(0, 1), v.flatten(0, 1)
    scores = torch.bmm((q * q.shape[-1] ** -0.5).flatten(0, 1), keys.mT)
    scores.view(*q.shape[:3], -1).add_(bias[:, None, None])
    return torch.bmm(torch.softmax(scores, dim=-1), values).view(q.shape)


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of x [..., heads, D]: number i is paired with i + D/2; the first half of `sin` has its sign changed."""
    left, right = x.chunk(2, dim=-1)
    return (x * cos).add_(torch.cat([right, left], dim=-1).mul_(sin))
