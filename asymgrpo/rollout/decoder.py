"""A lean decoder for Llama, Qwen2 and Qwen3 weights: prompt once, then one token a step on preallocated caches.

The transformers model is the reference (tests compare log-probabilities to 1e-5); this one drops what generation does not
need: projections are fused, the cache is written in place, and no logits are made for prompts.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from asymgrpo.method.head import float32_product
from asymgrpo.models.architecture import check_architecture


@dataclass
class Layer:
    norm_in: Tensor
    qkv: Tensor
    qkv_bias: Tensor | None
    q_norm: Tensor | None
    k_norm: Tensor | None
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
            q_norm=optional(["self_attn.q_norm.weight"]),
            k_norm=optional(["self_attn.k_norm.weight"]),
            out=stack(["self_attn.o_proj.weight"]),
            norm_post=stack(["post_attention_layernorm.weight"]),
            gate_up=stack(["mlp.gate_proj.weight", "mlp.up_proj.weight"]),
            down=stack(["mlp.down_proj.weight"]),
        )

    def prefill(self, tokens: Tensor, lengths: Tensor, slots: int) -> tuple[Tensor, Cache]:
        """tokens [batch, width] padded on the right -> logits of each row's last token [batch, vocab] and a cache of `slots`.

        Padding needs no mask: attention is causal, and decoding overwrites the padded slots before it reads them.
        """
        batch, width = tokens.shape
        shape = (batch, self.kv_heads, slots, self.head_dim)
        here: dict[str, Any] = {"dtype": self.dtype, "device": self.device}
        cache = Cache(*([torch.zeros(shape, **here) for _ in range(self.n_layers)] for _ in range(2)))
        cos, sin = self._rotation(torch.arange(width, device=self.device))
        x = F.embedding(tokens, self.embedding)
        for i, layer in enumerate(self.layers):
            q, k, v = self._project(layer, x, cos, sin)
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
        mask = (torch.arange(used, device=self.device) <= positions[:, None])[:, None, None, :]
        cos, sin = (part[:, None, None, :] for part in self._rotation(positions))
        rows = torch.arange(batch, device=self.device)
        x = F.embedding(tokens, self.embedding)[:, None]
        for i, layer in enumerate(self.layers):
            q, k, v = self._project(layer, x, cos, sin)
            cache.keys[i][rows, :, positions], cache.values[i][rows, :, positions] = k[:, :, 0], v[:, :, 0]
            grouped = q.view(
                batch, self.kv_heads, -1, self.head_dim
            )  # the queries that share a key head, as if a sequence
            attended = F.scaled_dot_product_attention(
                grouped, cache.keys[i][:, :, :used], cache.values[i][:, :, :used], attn_mask=mask
            )
            x = self._finish(layer, x, attended.reshape(batch, 1, -1))
        return self._logits(x[:, 0])

    def _project(self, layer: Layer, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = F.rms_norm(x, (x.shape[-1],), layer.norm_in, self.eps)
        qkv = F.linear(h, layer.qkv, layer.qkv_bias).unflatten(-1, (-1, self.head_dim))
        q, k, v = qkv.split([self.heads, self.kv_heads, self.kv_heads], dim=-2)
        if layer.q_norm is not None:
            q = F.rms_norm(q, (self.head_dim,), layer.q_norm, self.eps)
            k = F.rms_norm(k, (self.head_dim,), layer.k_norm, self.eps)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        return _rotate(q, cos, sin), _rotate(k, cos, sin), v

    def _finish(self, layer: Layer, x: Tensor, attended: Tensor) -> Tensor:
        x = x + F.linear(attended, layer.out)
        h = F.rms_norm(x, (x.shape[-1],), layer.norm_post, self.eps)
        gate, up = F.linear(h, layer.gate_up).chunk(2, dim=-1)
        return x + F.linear(F.silu(gate) * up, layer.down)

    def _logits(self, x: Tensor) -> Tensor:
        last = F.rms_norm(x, (x.shape[-1],), self.norm, self.eps)
        return self.head(last, self.lm_head).float()

    def _rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        angles = positions[:, None].float() * self.inv_freq
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos().to(self.dtype), angles.sin().to(self.dtype)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-right, left], dim=-1) * sin
