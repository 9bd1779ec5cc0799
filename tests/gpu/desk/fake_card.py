"""An H100 that is not there: what vLLM and torch are told about the machine, so that decisions are those of a GPU.

`pretend()` answers vLLM's questions to NVML and torch's to the driver; it computes nothing. Call it before vLLM is imported, in
a process of its own. vLLM's compiled library asks for the driver's: `driver_stub` builds one that fails every call. Where the
compiled library is missing (its sources alone are unpacked), an empty module stands for it.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

MEMORY = 80 << 30
NAME = "NVIDIA H100 80GB HBM3"
CAPABILITY = (9, 0)
DRIVER_CALLS = (
    *("cuTensorMapEncodeTiled", "cuGetProcAddress_v2", "cuPointerGetAttribute", "cuGetErrorString", "cuCtxGetCurrent"),
    *("cuCtxSetCurrent", "cuDevicePrimaryCtxRetain", "cuDeviceGetAttribute", "cuMemAddressReserve", "cuMemAddressFree"),
    *("cuMemCreate", "cuMemMap", "cuMemUnmap", "cuMemRelease", "cuMemSetAccess", "cuMemGetAllocationGranularity"),
)
"""Of the driver's library, by vLLM's: all are looked up when it is loaded."""


COMPILED = {
    "vllm._C_stable_libtorch": (),
    "vllm.vllm_flash_attn._vllm_fa3_C": (),
    "vllm.cumem_allocator": ("init_module", "python_create_and_map", "python_unmap_and_release"),
}
"""Libraries that vLLM imports on CUDA before it knows a model, and what it takes from them by name."""

QUESTIONS = ("cutlass_scaled_mm_supports_fp8", "cutlass_scaled_mm_supports_block_fp8", "cutlass_group_gemm_supported")
"""What vLLM's modules ask its library when they are imported, about a compute capability; answered with no."""


def driver_stub(folder: Path) -> Path:
    """Build libcuda.so.1 in `folder` and return it; for LD_LIBRARY_PATH. Each call returns CUDA_ERROR_NO_DEVICE (100)."""
    source, library = folder / "driver.c", folder / "libcuda.so.1"
    source.write_text("\n".join(f"int {name}(void) {{ return 100; }}" for name in DRIVER_CALLS))
    flags = ["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1"]
    subprocess.run(["cc", *flags, "-o", str(library), str(source)], check=True)
    return library


def pretend() -> None:
    """From now on torch and vLLM of this process see one H100 with 80 GiB, nothing of it in use."""
    import torch

    stand_in_for_libraries()
    import vllm.third_party.pynvml as nvml

    properties = SimpleNamespace(
        name=NAME, major=CAPABILITY[0], minor=CAPABILITY[1], total_memory=MEMORY, multi_processor_count=132,
        is_integrated=False, max_threads_per_multi_processor=2048, shared_memory_per_block_optin=232448, warp_size=32,
        L2_cache_size=50 << 20, regs_per_multiprocessor=65536, gcnArchName="",
    )  # fmt: skip
    answers: dict[Any, dict[str, Any]] = {
        nvml: {
            "nvmlInit": None,
            "nvmlShutdown": None,
            "nvmlDeviceGetCount": 1,
            "nvmlDeviceGetHandleByIndex": 0,
            "nvmlDeviceGetCudaComputeCapability": CAPABILITY,
            "nvmlDeviceGetName": NAME,
            "nvmlDeviceGetUUID": "GPU-0",
            "nvmlDeviceGetNumaNodeId": 0,
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=MEMORY, free=MEMORY, used=0),
        },
        torch.cuda: {
            "is_available": True,
            "device_count": 1,
            "_device_count_nvml": 1,
            "current_device": 0,
            "set_device": None,
            "synchronize": None,
            "empty_cache": None,
            "reset_peak_memory_stats": None,
            "manual_seed_all": None,
            "get_device_capability": CAPABILITY,
            "get_device_name": NAME,
            "get_device_properties": properties,
            "mem_get_info": (MEMORY, MEMORY),
            "memory_reserved": 0,
            "memory_allocated": 0,
            "max_memory_allocated": 0,
            "memory_stats": {},
            "is_bf16_supported": True,
        },
    }
    for module, calls in answers.items():
        for name, answer in calls.items():
            setattr(module, name, lambda *_, _answer=answer, **__: _answer)
    if torch.version.cuda is None:  # nor is CUDA's runtime there, whose functions its allocator for sleep looks up
        from vllm.distributed.device_communicators import cuda_wrapper

        cuda_wrapper.CudaRTLibrary = SimpleNamespace  # type: ignore[misc, assignment]
    if importlib.util.find_spec("triton") is None:  # a torch for GPUs brings it
        from vllm.config import vllm as configuration

        configuration.HAS_TRITON = True
        from vllm.triton_utils import triton

        triton.Config = lambda kwargs, **sizes: SimpleNamespace(
            kwargs=kwargs, **{"num_stages": 1, "num_warps": 4} | sizes
        )


def stand_in_for_libraries() -> None:
    """Empty modules for compiled ones that are not there."""
    import torch

    for name, functions in COMPILED.items():
        package = name.split(".")[0]
        folder = Path(str(importlib.util.find_spec(package).origin)).parent  # type: ignore[union-attr]
        if not list(folder.glob("/".join(name.split(".")[1:]) + ".*so")):
            sys.modules[name] = ModuleType(name)
            sys.modules[name].__dict__.update(dict.fromkeys(functions, lambda *_: None))
    if "vllm._C_stable_libtorch" in sys.modules:
        for name in QUESTIONS:
            torch.library.define(f"_C::{name}", "(int capability) -> bool")
            torch.library.impl(f"_C::{name}", "default", lambda capability: False)
