"""What vLLM makes of our arguments on an H100, as JSON; a program of its own, because it pretends that there is one (fake_card).

    python tests/gpu/desk/resolve.py MODEL [--ranks 2] [--dtype float32] [--harness]

The engine is started by asymgrpo itself, or by lm-eval as evals.lm_eval.harness asks it to, and stops where its worker would
ask the device for memory.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_card

WIDTH, HEADS = 4096, 128
"""Tokens of a sequence, and numbers of an attention head: Qwen3-4B's."""


class ReachedError(Exception):
    """The engine is about to use the device; its configuration is the argument."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--harness", action="store_true")
    arguments = parser.parse_args()
    fake_card.pretend()
    start = harness if arguments.harness else ours
    print(json.dumps(resolved(lambda: start(arguments.model, arguments.dtype), arguments.ranks)))


def ours(model: Path, dtype: Any) -> None:
    from asymgrpo.rollout import Limits
    from asymgrpo.rollout.vllm_sampler import start

    start(model, dtype, Limits(max_model_len=WIDTH, memory_fraction=0.5, verify_weights_every=1))


def harness(model: Path, dtype: str) -> None:
    from evals.lm_eval.harness import vllm_backend

    vllm_backend(model, dtype, seed=0, endings={})


def resolved(start: Callable[[], None], ranks: int) -> dict[str, Any]:
    """What is decided when an engine starts as one of so many ranks."""
    import torch
    from vllm.v1.executor.uniproc_executor import UniProcExecutor

    def stop(executor: Any) -> None:
        raise ReachedError(executor)

    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # an engine in a process of its own could not tell us
    UniProcExecutor._init_executor = stop  # type: ignore[method-assign]
    if ranks > 1:
        torch.distributed.is_initialized = lambda: True
        torch.distributed.get_world_size = lambda group=None: ranks
        torch.distributed.get_rank = lambda group=None: 0
    try:
        start()
    except ReachedError as reached:
        return told(reached.args[0])
    raise AssertionError("the engine started without a device")


def told(executor: Any) -> dict[str, Any]:
    from vllm.config import set_current_vllm_config
    from vllm.v1.attention.selector import get_attn_backend

    config = executor.vllm_config
    with set_current_vllm_config(config):
        attention = get_attn_backend(HEADS, config.model_config.dtype, config.cache_config.cache_dtype)
    graphs = config.compilation_config
    return {
        "executor": type(executor).__name__,
        "worker": config.parallel_config.worker_cls,
        "extension": config.parallel_config.worker_extension_cls,
        "world_size": config.parallel_config.world_size,
        "second_runner": config.use_v2_model_runner,
        "asynchronous": config.scheduler_config.async_scheduling,
        "sequences": config.scheduler_config.max_num_seqs,
        "chunked_prefill": config.scheduler_config.enable_chunked_prefill,
        "graphs": str(graphs.cudagraph_mode),
        "compilation": str(graphs.mode),
        "largest_graph": graphs.max_cudagraph_capture_size,
        "attention": attention.get_name(),
        "sleep": config.model_config.enable_sleep_mode,
        "eager": config.model_config.enforce_eager,
        "dtype": str(config.model_config.dtype),
        "head_dtype": str(config.model_config.head_dtype),
        "logprobs": config.model_config.logprobs_mode,
        "length": config.model_config.max_model_len,
        "seed": config.model_config.seed,
        "cache_dtype": config.cache_config.cache_dtype,
        "prefix_cache": config.cache_config.enable_prefix_caching,
        "memory": config.cache_config.gpu_memory_utilization,
        "load": str(config.load_config.load_format),
    }


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    main()
