"""Tiny random models that vLLM can run."""

from __future__ import annotations

import torch

from tests.helpers.tiny_trainer import tiny_model

KINDS = ("untied", "tied")
"""With a tied output head vLLM multiplies by a copy of the embedding: another path for new weights."""
SHAPE = {"hidden_size": 64, "head_dim": 32, "max_position_embeddings": 256}
"""vLLM's attention on a CPU knows no head smaller than 32."""


def model_of(kind: str, seed: int = 0, **shape) -> torch.nn.Module:
    return tiny_model(seed, tie_word_embeddings=kind == "tied", **SHAPE | shape)
