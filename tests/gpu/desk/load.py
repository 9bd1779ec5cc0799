"""Load a model as vLLM for CUDA does, on an H100 that is not there, and print JSON: which runner, and which attention per layer.

    python tests/gpu/desk/load.py MODEL

A program of its own, like resolve.py, and one step further: worker, runner, layers and weights are made, in the host's memory.
It needs the compiled libraries (`make gpu-desk`): vLLM's layers ask them what they can.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fake_card

IN_POOL = contextlib.nullcontext()


class Nothing:
    """A stream, an event, a graph: whatever is asked of it, it does nothing."""

    def __init__(self, *_: Any, **__: Any): ...

    def __enter__(self) -> Nothing:
        return self

    def __exit__(self, *_: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def main(model: str) -> None:
    from asymgrpo import surroundings

    surroundings.prepare(os.environ)
    fake_card.pretend()
    import torch
    from vllm.config import set_current_vllm_config
    from vllm.engine.arg_utils import EngineArgs

    torch.cuda.Stream = torch.cuda.Event = torch.Event = Nothing  # type: ignore[misc, assignment]
    torch.cuda.current_stream = lambda *_: Nothing()  # type: ignore[assignment, return-value]
    for name in ("set_device_index", "empty_cache", "synchronize", "reset_peak_memory_stats"):
        setattr(torch.accelerator, name, lambda *_, **__: None)
    torch.accelerator.device_count = lambda: 1
    config = EngineArgs(
        model=model, load_format="dummy", skip_tokenizer_init=True, dtype="bfloat16", enable_sleep_mode=True
    ).create_engine_config()
    with set_current_vllm_config(config):
        worker = worker_of(config)
        with on_host():
            worker.init_device()
            worker.load_model()
    layers = config.compilation_config.static_forward_context.values()
    told = {
        "runner": type(worker.model_runner).__module__,
        "attention": sorted({x.attn_backend.get_name() for x in layers}),
    }
    print(
        json.dumps(
            told | {"layers": len(layers), "weights": sum(p.numel() for p in worker.model_runner.model.parameters())}
        )
    )


def worker_of(config: Any) -> Any:
    """The GPU worker, in a process group of one without NCCL, with memory that it need not measure."""
    from vllm.platforms import current_platform
    from vllm.utils.network_utils import get_distributed_init_method, get_open_port
    from vllm.v1.worker import gpu_worker

    place = get_distributed_init_method("127.0.0.1", get_open_port())
    worker = gpu_worker.Worker(config, local_rank=0, rank=0, distributed_init_method=place, is_driver_worker=True)
    gpu_worker.init_worker_distributed_environment(config, 0, place, 0, "gloo")
    gpu_worker.init_worker_distributed_environment = lambda *_, **__: None
    memory = SimpleNamespace(total_memory=fake_card.MEMORY, free_memory=fake_card.MEMORY, cuda_memory=0)
    gpu_worker.MemorySnapshot = lambda **_: memory
    gpu_worker.request_memory = lambda *_: fake_card.MEMORY // 2
    worker._maybe_get_memory_pool_context = lambda *_, **__: IN_POOL
    worker._scoped_allocator_max_split = lambda **_: IN_POOL
    type(current_platform).manual_seed_all = classmethod(lambda *_: None)
    return worker


def on_host() -> Any:
    """While it is entered, tensors that are made for the GPU lie in the host's memory."""
    import torch
    from torch.overrides import TorchFunctionMode
    from vllm.utils import torch_utils
    from vllm.v1.worker.gpu import buffer_utils

    for module in (torch_utils, buffer_utils):
        module.get_accelerator_view_from_cpu_tensor = lambda tensor, *_, **__: tensor

    def here(value: Any) -> Any:
        if isinstance(value, torch.device | str) and str(value).startswith("cuda"):
            return torch.device("cpu")
        return value

    class OnHost(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if getattr(func, "__name__", "") in ("cuda", "pin_memory"):
                return args[0]
            named = {name: here(value) for name, value in (kwargs or {}).items() if name != "pin_memory"}
            return func(*map(here, args), **named)

    return OnHost()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    main(sys.argv[1])
