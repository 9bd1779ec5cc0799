"""Samplers by name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from asymgrpo.devices import own_device
from asymgrpo.models.checks import end_tokens
from asymgrpo.models.load import Dtype
from asymgrpo.rollout.base import EVALUATION_LIMITS, Limits, Sampler


def make_sampler(
    name: str,
    model: Path,
    config,
    weights: Iterable[tuple[str, Tensor]],
    tokenizer,
    dtype: Dtype,
    limits: Limits = EVALUATION_LIMITS,
) -> Sampler:
    """The sampler `name` (torch | vllm) on the given weights, on this process's own device. All end tokens of a model stop."""
    if name == "torch":
        from asymgrpo.rollout.torch_sampler import TorchSampler

        ends = end_tokens(model, tokenizer, getattr(config, "vocab_size", None))
        return TorchSampler(config, weights, ends, own_device(), limits.head_dtype)
    if name == "vllm":
        from asymgrpo.rollout.vllm_sampler import VllmSampler

        return VllmSampler(
            model, weights, end_tokens(model, tokenizer, getattr(config, "vocab_size", None)), dtype, limits
        )
    raise ValueError(f"sampler {name!r} is unknown; use torch or vllm.")


def sampler_from_directory(name: str, model: Path, tokenizer, dtype: Dtype, earlier: Sampler | None = None) -> Sampler:
    """The sampler `name` on the weights of a model directory, for evaluation.

    `earlier`: the sampler of another checkpoint of the same shape and end tokens; it takes the new weights and is returned. A
    second vLLM in a process finds the GPU's memory taken.
    """
    from asymgrpo.models.load import read_shape, read_weights

    weights = read_weights(model, dtype).items()
    if earlier is None:
        return make_sampler(name, model, read_shape(model), weights, tokenizer, dtype)
    earlier.update_weights(weights)
    return earlier
