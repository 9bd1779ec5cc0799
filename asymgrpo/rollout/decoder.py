"""A lean decoder for Llama, Qwen2 and Qwen3 weights: prompt once, then one token a step on preallocated caches.

The transformers model is the reference (tests compare log-probabilities to 1e-5); this one drops what generation does not
need: projections are fused, the cache is written in place, and no logits are made for prompts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

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


class Cache:
    """Keys and values [layer][batch, kv_heads, slots, head_dim]; slot = absolute position of the token."""

    def __init__(self, keys: list[Tensor], values: list[Tensor]):
        self.keys, self.values = keys, values

    def select(self, rows: Tensor) -> Cache:
        return Cache([k[rows] for k in self.keys], [v[rows] for v in self.values])

    def keep(self, rows: Tensor, used: int) -> Cache:
        """The named rows alone, in the same memory; slots from `used` on are not kept."""
        for numbers in (*self.keys, *self.values):
            numbers[: len(rows), :, :used] = numbers[rows, :, :used]
        return Cache([k[: len(rows)] for k in self.keys], [v[: len(rows)] for v in self.values])


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
        shape = (batch, self.kv_heads, slots, self.head_dim)
        here: dict[str, Any] = {"dtype": self.dtype, "device": self.device}
        cache = Cache(*([torch.zeros(shape, **here) for _ in range(self.n_layers)] for _ in range(2)))
        cos, sin = (part[:, None] for part in self._rotation(torch.arange(width, device=self.device)))
        x = F.embedding(tokens, self.embedding)
        for i, layer in enumerate(self.layers):
            q, k, v = (part.transpose(1, 2) for part in self._project(layer, x, cos, sin))
            cache.keys[i][:, :, :width], cache.values[i][:, :, :width] = k, v
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
        cos, sin = (part[:, None] for part in self._rotation(positions))
        rows = torch.arange(batch, device=self.device)
        x = F.embedding(tokens, self.embedding)
        for i, layer in enumerate(self.layers):
            q, k, v = self._project(layer, x, cos, sin)
            cache.keys[i][rows, :, positions], cache.values[i][rows, :, positions] = k, v
            grouped = q.reshape(batch, self.kv_heads, -1, self.head_dim)  # what shares a key head, as if a sequence
            attended = attend(grouped, cache.keys[i][:, :, :used], cache.values[i][:, :, :used], bias)
            x = self._finish(layer, x, attended.reshape(batch, -1))
        return self._logits(x)

    def _project(self, layer: Layer, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [..., hidden] -> queries [..., heads, head_dim], keys and values [..., kv_heads, head_dim]."""
        h = normed(x, layer.norm_in, self.eps)
        qkv = F.linear(h, layer.qkv, layer.qkv_bias).unflatten(-1, (-1, self.head_dim))
        qk, v = qkv.split([self.heads + self.kv_heads, self.kv_heads], dim=-2)
        if layer.qk_norm is not None:
            qk = normed(qk, layer.qk_norm, self.eps)
        q, k = _rotate(qk, cos, sin).split([self.heads, self.kv_heads], dim=-2)
        return q, k, v

    def _finish(self, layer: Layer, x: Tensor, attended: Tensor) -> Tensor:
        x = x + F.linear(attended, layer.out)
        h = normed(x, layer.norm_post, self.eps)
        gate, up = F.linear(h, layer.gate_up).chunk(2, dim=-1)
        return x + F.linear(F.silu(gate) * up, layer.down)

    def _logits(self, x: Tensor) -> Tensor:
        last = normed(x, self.norm, self.eps)
        return self.head(last, self.lm_head).float()

    def _rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        angles = positions[:, None].float() * self.inv_freq
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos().to(self.dtype), angles.sin().to(self.dtype)


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
    scores = torch.bmm(q.flatten(0, 1) * q.shape[-1] ** -0.5, keys.mT)
    scores.view(*q.shape[:3], -1).add_(bias[:, None, None])
    return torch.bmm(torch.softmax(scores, dim=-1), values).view(q.shape)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-right, left], dim=-1) * sin
