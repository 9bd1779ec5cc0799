"""Which architectures are computed here as their authors meant, and which by transformers' own forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asymgrpo.errors import ModelError

SUPPORTED = ("llama", "qwen2", "qwen3")
"""Families of asymgrpo.rollout.decoder and asymgrpo.models.layers."""
WHOLE = ("olmo3",)
"""Families that asymgrpo.rollout.whole_decoder samples and the trainer computes by transformers: slower, for small models."""


def check_sampled(config: Mapping[str, Any], model: Path | str = "the model") -> None:
    """Raise ModelError for the config.json of a model that the torch sampler cannot sample."""
    if config["model_type"] not in WHOLE:
        check_architecture(config, model)


def check_architecture(config: Mapping[str, Any], model: Path | str = "the model") -> None:
    """Raise ModelError for the config.json of a model that this decoder would compute otherwise than its authors meant."""
    family = config["model_type"]
    if family not in SUPPORTED:
        _unsupported(model, ", ".join((*SUPPORTED, *WHOLE)), repr(family))
    for rope in (config.get("rope_parameters") or {}, config.get("rope_scaling") or {}):
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            _unsupported(model, "the default rotary embedding", repr(kind))
    if config.get("hidden_act", "silu") != "silu":
        _unsupported(model, "the activation 'silu'", repr(config["hidden_act"]))
    if config.get("use_sliding_window"):
        _unsupported(model, "attention to all tokens", "a sliding window")
    if (family == "llama" and config.get("mlp_bias")) or (family != "qwen2" and config.get("attention_bias")):
        _unsupported(model, "biases on queries, keys and values of qwen2 only", "others")


def _unsupported(model: Path | str, known: str, found: str) -> None:
    raise ModelError(f"{model}: the torch sampler knows {known}, not {found}; set rollout_engine: vllm")
