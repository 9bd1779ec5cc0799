"""What vLLM for CUDA makes of the arguments that our sampler gives it, on an H100 that is not there."""

import cuda_vllm
import pytest

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
    "largest_graph": 256,
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ranks", "dtype", "changes"),
    [
        (1, "bfloat16", {}),
        (2, "bfloat16", {"executor": "ExecutorWithExternalLauncher"}),
        (1, "float32", {"dtype": "torch.float32", "attention": "TRITON_ATTN"}),
    ],
)
def test_the_engine_is_the_one_we_mean(shape, tmp_path, ranks, dtype, changes):
    """Among several ranks each has a sampler of its own (world_size 1), and no rank waits for another."""
    told = cuda_vllm.answer("resolve.py", shape, f"--ranks={ranks}", f"--dtype={dtype}", scratch=tmp_path)
    assert {name: told[name] for name in MEANT} == MEANT | changes


@pytest.mark.slow
def test_lm_eval_starts_vllm_with_arguments_that_it_has(model_directory, tmp_path):
    """lm-eval names arguments of vLLM's; one that is gone would end an evaluation on the cluster only."""
    told = cuda_vllm.answer("resolve.py", model_directory, "--harness", scratch=tmp_path)
    wanted = {"executor": "UniProcExecutor", "attention": "FLASH_ATTN", "sleep": False, "eager": False, "seed": 0}
    assert {name: told[name] for name in wanted} == wanted
