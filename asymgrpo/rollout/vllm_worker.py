"""What is added to vLLM's worker: weights taken from memory, and the checksums of those that it computes with.

vLLM imports this module by its name (`worker_extension_cls`) and mixes the class into its worker; methods are called through
`LLM.collective_rpc`. Written for one GPU or CPU per sampler (no tensor parallelism) and unquantised weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from asymgrpo.rollout.checksum import checksum


class WeightSync:
    model_runner: Any
    """Of the worker that this is mixed into."""

    def take_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Replace all weights, given by their Hugging Face names; nothing touches a disk."""
        self.reload_weights(weights_iterator=weights)  # type: ignore[attr-defined]
        repack_tied_head(self.model_runner.model)

    def weight_checksums(self) -> dict[str, int]:
        """Checksum of every weight by its Hugging Face name; a tied output head is listed as `lm_head.weight` of its own."""
        return {name: checksum(tensor) for name, tensor in weights_in_use(self.model_runner.model)}


def repack_tied_head(model: Any) -> None:
    """Pack a tied output head again. On a CPU vLLM multiplies with a packed copy, which a reload of a tied head leaves stale:
    the embedding is new and the logits are old, without any error."""
    if model.config.tie_word_embeddings and model.lm_head.weight.device.type == "cpu":
        from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

        dispatch_cpu_unquantized_gemm(model.lm_head, remove_weight=False)


def weights_in_use(model: Any) -> Iterator[tuple[str, Tensor]]:
    """(Hugging Face name, tensor) of every weight, fused projections taken apart, as the model multiplies with it."""
    for prefix, module in model.named_modules():
        for kind, parameter in module.named_parameters(recurse=False):
            is_matrix = kind == "weight" and hasattr(module, "cpu_linear") and not _is_embedding(module)
            tensor = unpacked(module) if is_matrix else parameter
            if hasattr(module, "org_vocab_size"):  # padded to a round number of rows
                tensor = tensor[: module.org_vocab_size]
            yield from take_apart(f"{prefix}.{kind}", tensor, module, model.packed_modules_mapping)


def take_apart(name: str, tensor: Tensor, module: Any, packed: dict[str, list[str]]) -> Iterator[tuple[str, Tensor]]:
    """The parts of a fused projection by their own names; any other tensor as it is."""
    parent, _, layer = name.rpartition(".")[0].rpartition(".")
    kind = name.rpartition(".")[2]
    if layer not in packed:
        yield name, tensor
        return
    for part, rows in zip(packed[layer], tensor.split(module.output_sizes), strict=True):
        yield f"{parent}.{part}.{kind}", rows


def unpacked(layer: Any) -> Tensor:
    """[out, in] the matrix that a packed layer multiplies with: its products with the unit vectors, which are exact."""
    size = getattr(layer, "embedding_dim", None) or layer.input_size
    units = torch.eye(size, dtype=layer.params_dtype, device=layer.weight.device)
    return layer.quant_method.apply(layer, units).t()


def _is_embedding(module: Any) -> bool:
    """Whether rows are looked up, not multiplied (the output head is a subclass of the embedding)."""
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, VocabParallelEmbedding

    return isinstance(module, VocabParallelEmbedding) and not isinstance(module, ParallelLMHead)
