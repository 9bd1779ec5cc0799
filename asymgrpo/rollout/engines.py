"""Rollout engines by name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from asymgrpo.devices import own_device
from asymgrpo.models.checks import end_tokens
from asymgrpo.models.load import Dtype
from asymgrpo.rollout.base import EVALUATION_LIMITS, Limits, RolloutEngine


def make_engine(
    name: str,
    model: Path,
    config,
    weights: Iterable[tuple[str, Tensor]],
    tokenizer,
    dtype: Dtype,
    limits: Limits = EVALUATION_LIMITS,
) -> RolloutEngine:
    """The engine `name` (torch | vllm) on the given weights, on this process's own device. All end tokens of a model stop."""
    if name == "torch":
        from asymgrpo.rollout.torch_engine import TorchEngine

        ends = end_tokens(model, tokenizer, getattr(config, "vocab_size", None))
        return TorchEngine(config, weights, ends, own_device(), limits.head_dtype)
    if name == "vllm":
        from asymgrpo.rollout.vllm_engine import VllmEngine

        return VllmEngine(
            model, weights, end_tokens(model, tokenizer, getattr(config, "vocab_size", None)), dtype, limits
        )
    raise ValueError(f"rollout engine {name!r} is unknown; use torch or vllm.")


def engine_from_directory(
    name: str, model: Path, tokenizer, dtype: Dtype, earlier: RolloutEngine | None = None
) -> RolloutEngine:
    """The engine `name` on the weights of a model directory, for evaluation.

    `earlier`: the engine of another checkpoint of the same shape and end tokens; it takes the new weights and is returned. A
    second vLLM in a process finds the GPU's memory taken.
    """
    from asymgrpo.models.load import read_shape, read_weights

    weights = read_weights(model, dtype).items()
    if earlier is None:
        return make_engine(name, model, read_shape(model), weights, tokenizer, dtype)
    earlier.update_weights(weights)
    return earlier
