"""What vLLM for CUDA makes of the arguments that our engine gives it, on an H100 that is not there."""

import cuda_vllm
import pytest
from transformers import Qwen3Config

MEANT = {
    "executor": "UniProcExecutor",
    "worker": "vllm.v1.worker.gpu_worker.Worker",
    "extension": "asymgrpo.rollout.vllm_worker.WeightSync",
    "world_size": 1,
    "second_runner": True,
    "asynchronous": True,
    "sequences": 256,
    "chunked_prefill": True,
    "graphs": "FULL_AND_PIECEWISE",
    "compilation": "3",
    "largest_graph": 512,
    "attention": "FLASH_ATTN",
    "sleep": True,
    "eager": False,
    "dtype": "torch.bfloat16",
    "head_dtype": "torch.float32",
    "logprobs": "processed_logprobs",
    "length": 4096,
    "seed": 0,
    "cache_dtype": "auto",
    "prefix_cache": True,
    "memory": 0.5,
    "load": "dummy",
}
"""One process, one H100, bfloat16 (docs/gpu.md says what each means for results and speed)."""


@pytest.fixture(scope="module")
def shape(tmp_path_factory):
    """A model directory with Qwen3-4B's heads and no weights."""
    folder = tmp_path_factory.mktemp("shape")
    sizes = {"vocab_size": 1024, "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 128, "max_position_embeddings": 8192}
    Qwen3Config(**sizes, **heads, architectures=["Qwen3ForCausalLM"]).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("ranks", "dtype", "changes"),
    [
        (1, "bfloat16", {}),
        (2, "bfloat16", {"executor": "ExecutorWithExternalLauncher"}),
        (1, "float32", {"dtype": "torch.float32", "attention": "TRITON_ATTN"}),
    ],
)
def test_the_engine_is_the_one_we_mean(shape, tmp_path, ranks, dtype, changes):
    """Among several ranks each has an engine of its own (world_size 1), and no rank waits for another."""
    told = cuda_vllm.answer("resolve.py", shape, f"--ranks={ranks}", f"--dtype={dtype}", scratch=tmp_path)
    assert {name: told[name] for name in MEANT} == MEANT | changes
