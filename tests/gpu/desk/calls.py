"""Which of our calls vLLM for CUDA does not take, as JSON; a program of its own, because it pretends that there is a GPU.

Each call of vllm_sampler.py and vllm_worker.py is bound to the signature of what it calls, and each attribute is looked for in
the class that has it, or in what its methods set.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
from collections.abc import Iterator
from typing import Any

import fake_card

Calls = list[tuple[str, tuple[Any, ...], dict[str, Any]]]
CALLS: Calls = [
    ("vllm.LLM.generate", ("self", [], []), {"use_tqdm": False}),
    ("vllm.LLM.collective_rpc", ("self", "take_weights"), {"args": ()}),
    ("vllm.LLM.collective_rpc", ("self", "weight_checksums"), {}),
    ("vllm.LLM.reset_prefix_cache", ("self",), {}),
    ("vllm.LLM.sleep", ("self",), {"level": 2}),
    ("vllm.LLM.wake_up", ("self",), {"tags": ["weights"]}),
    ("vllm.v1.worker.gpu_worker.Worker.sleep", ("self",), {"level": 2}),
    ("vllm.v1.worker.gpu_worker.Worker.wake_up", ("self",), {"tags": ["weights"]}),
    ("vllm.v1.worker.gpu_worker.Worker.reload_weights", ("self",), {"weights_iterator": []}),
    ("vllm.v1.worker.gpu.model_runner.GPUModelRunner.reload_weights", ("self",), {"weights_iterator": []}),
    ("vllm.v1.worker.gpu_model_runner.GPUModelRunner.reload_weights", ("self",), {"weights_iterator": []}),
    ("vllm.v1.engine.core_client.InprocClient.shutdown", ("self",), {}),
]
MADE_UP: Calls = [("vllm.LLM.sleep", ("self",), {"depth": 2}), ("vllm.LLM.dream", ("self",), {})]
"""Which must be refused, or nothing would be."""
ATTRIBUTES = {
    "vllm.LLM": "llm_engine model_config generate collective_rpc reset_prefix_cache sleep wake_up",
    "vllm.v1.engine.llm_engine.LLMEngine": "engine_core vllm_config",
    "vllm.v1.engine.core_client.InprocClient": "_finalizer shutdown",
    "vllm.config.ModelConfig": "max_model_len",
    "vllm.outputs.RequestOutput": "outputs",
    "vllm.outputs.CompletionOutput": "finish_reason token_ids logprobs",
    "vllm.logprobs.FlatLogprobs": "logprobs",
    "vllm.v1.worker.gpu_worker.Worker": "model_runner",
    "vllm.v1.worker.gpu.model_runner.GPUModelRunner": "model",
    "vllm.v1.worker.gpu_model_runner.GPUModelRunner": "model",
    "vllm.model_executor.models.qwen3.Qwen3ForCausalLM": "packed_modules_mapping lm_head config",
    "vllm.model_executor.models.qwen2.Qwen2ForCausalLM": "packed_modules_mapping lm_head config",
    "vllm.model_executor.models.llama.LlamaForCausalLM": "packed_modules_mapping lm_head config",
    "vllm.model_executor.layers.vocab_parallel_embedding.VocabParallelEmbedding": "org_vocab_size embedding_dim quant_method",
    "vllm.model_executor.layers.vocab_parallel_embedding.ParallelLMHead": "quant_method",
    "vllm.model_executor.layers.linear.QKVParallelLinear": "output_sizes input_size params_dtype quant_method",
    "vllm.model_executor.layers.linear.MergedColumnParallelLinear": "output_sizes input_size params_dtype quant_method",
}


def main() -> None:
    fake_card.pretend()
    from types import SimpleNamespace

    from asymgrpo.rollout.vllm_sampler import VllmSampler

    settings = VllmSampler.sampling(SimpleNamespace(eos_ids=[1, 2]), seed=3, temperature=0.7, top_p=0.9, max_tokens=5)
    told = {
        "missing": [*refused_calls(CALLS), *missing_attributes(ATTRIBUTES)],
        "made_up": [*refused_calls(MADE_UP), *missing_attributes({"vllm.LLM": "sleep engine_of_love"})],
        "of_llm": ATTRIBUTES["vllm.LLM"].split(),
        "sampling": {name: getattr(settings, name) for name in ("seed", "top_k", "ignore_eos", "logprobs")},
    }
    print(json.dumps(told))


def refused_calls(calls: Calls) -> Iterator[str]:
    for name, arguments, named in calls:
        try:
            inspect.signature(look_up(name)).bind(*arguments, **named)
        except (TypeError, AttributeError) as error:
            yield f"{name}: {error}"


def missing_attributes(table: dict[str, str]) -> Iterator[str]:
    for name, attributes in table.items():
        known = names_of(look_up(name))
        yield from (f"{name}.{attribute}" for attribute in attributes.split() if attribute not in known)


def look_up(name: str) -> Any:
    """The object of a dotted name: as much of it as possible is a module."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise AttributeError(name)


def names_of(kind: type) -> set[str]:
    """Members of a class, its annotations, and what the methods of it and of its bases set on self."""
    found = set(dir(kind))
    for base in kind.__mro__:
        found |= set(getattr(base, "__annotations__", {}))
        if base.__module__.startswith("vllm"):
            tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(base)))
            found |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
    return found


if __name__ == "__main__":
    main()
