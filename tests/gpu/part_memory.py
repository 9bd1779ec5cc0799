"""D: peaks of training by phase against the planner's formulas; a block as large as vLLM's share, again and again."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import Any

import torch
from accept_models import config_of, device_of, engine_of, random_batch, settings, synchronise, whole
from accept_options import Options
from accept_report import Report, release
from part_speed import kind_of
from phase_peaks import CpuPeaks, CudaPeaks, watch

from asymgrpo.planner import memory as planner_memory
from asymgrpo.planner.memory import memory, state
from asymgrpo.planner.shapes import Shape, shape_from_config
from asymgrpo.planner.time import gpu_kind_of
from asymgrpo.study.sections.train import Train

PHASES = ("logits", "layers", "update")
PART_OF_THE_CARD = 0.6
"""Of its memory: the most that the planned peak may be, and the size of the block."""
TIMES = 5


def run(options: Options, report: Report) -> None:
    capacity = int(torch.cuda.mem_get_info()[1]) if options.device == "cuda" else 1 << 40
    with report.section("stage_2") as found:
        engine = measure(options, options.sizes.wide["num_hidden_layers"], False, capacity, report, found)
    with report.section("blocks") as found:
        if options.device == "cuda":
            allocate_blocks(int(PART_OF_THE_CARD * capacity), report, found)
        else:
            found["left_out"] = "no card"
    del engine
    release()
    if options.sizes.offload_layers:
        with report.section("offload") as found:
            before = host_bytes("VmRSS")
            measure(options, options.sizes.offload_layers, True, capacity, report, found)
            found["host_gb"] = round((host_bytes("VmHWM") - before) / 1e9, 2)


def measure(options: Options, most: int, offload: bool, capacity: int, report: Report, found: dict[str, Any]) -> Any:
    """Two updates of two micro-batches; peaks of each phase beside the planned ones. Returns the engine."""
    sequences, tokens = options.sizes.memory_batch
    prompt = tokens // 8
    train = settings(
        dtype="bfloat16",
        zero_stage=2,
        offload=offload,
        micro_batch=sequences,
        logits_chunk=options.sizes.chunk,
        max_prompt_tokens=prompt,
        max_tokens=tokens - prompt,
        rollout_engine="torch",
        group_size=2,
        prompts_per_step=sequences,
    )
    layers = next(
        n for n in range(most, 0, -1) if max(planned(shape_of(options, n), train, capacity).values()) <= 0.6 * capacity
    )
    before = torch.cuda.memory_allocated() if options.device == "cuda" else 0
    found["before_gb"] = before / 1e9
    peaks = CudaPeaks() if options.device == "cuda" else CpuPeaks()
    config = config_of(options.sizes.wide | {"num_hidden_layers": layers})
    engine = engine_of(options, train, config, 2)
    watch(engine, peaks)
    batch = whole(random_batch(sequences, tokens, prompt, config.vocab_size), device_of(options))
    seconds = []
    for _ in range(4):
        peaks.mark("logits")
        logp, _ = engine.forward(batch)
        synchronise(options)
        start = time.perf_counter()
        engine.backward(-logp.mean() / 2)
        synchronise(options)
        seconds.append(time.perf_counter() - start)
        del logp
    measured = {name: size - before for name, size in peaks.close().items()}
    shape = shape_of(options, layers)
    expected = planned(shape, train, capacity)
    if options.device == "cpu":  # the host's share lies in the same memory
        s = state(shape, train, 1, fused=False)
        expected = {name: size + s.host for name, size in expected.items()}
        expected["update"] += s.update - state(shape, train, 1).update
    found |= {"depth": layers, "parameters": shape.parameters, "tokens": sequences * tokens}
    found |= {"all_peaks_gb": {name: round(size / 1e9, 3) for name, size in measured.items()}}
    for name in PHASES:
        ratio = measured[name] / expected[name]
        found[name] = {"measured_gb": measured[name] / 1e9, "planned_gb": expected[name] / 1e9, "ratio": ratio}
    compare(options, "offload" if offload else "stage 2", measured, expected, report)
    if options.device == "cuda":
        free, total = torch.cuda.mem_get_info()
        held = total - free - torch.cuda.memory_reserved()
        found |= {"reserved_gb": torch.cuda.memory_reserved() / 1e9, "outside_torch_gb": held / 1e9}
        time_update(options, offload, shape.parameters, seconds[3] - seconds[2], report, found)
    return engine


def time_update(
    options: Options, offload: bool, numbers: int, update: float, report: Report, found: dict[str, Any]
) -> None:
    """`update`: seconds of a backward pass with the update, less one without. The planner's AdamW moves 28 bytes a number."""
    found["update_s"] = update
    if not offload:
        report.rate("device_update_gb_per_s", 28 * numbers / update / 1e9)
        return
    found["host_copy_gb_per_s"] = copied = copy_speeds()
    slowest = min(copied["pageable, down"], copied["pageable, up"])
    kind = kind_of(options)
    if kind is not None:
        report.rate("host_link", min(1.0, slowest / gpu_kind_of(kind).host_gb_per_s))
    copies = 4 * numbers / copied["pageable, down"] / 1e9 + 2 * numbers / copied["pageable, up"] / 1e9
    found["copies_s"] = copies
    report.rate("host_update_gb_per_s", 28 * numbers / (update - copies) / 1e9)


def copy_speeds() -> dict[str, float]:
    """10^9 bytes per second between the card and the host; DeepSpeed's gradients on the host are pageable."""
    there, found = torch.ones(1 << 28, device="cuda"), {}
    for kind, pinned in (("pinned", True), ("pageable", False)):
        here = torch.ones(1 << 28, pin_memory=pinned)
        for direction, to, source in (("down", here, there), ("up", there, here)):
            seconds = []
            for _ in range(3):
                torch.cuda.synchronize()
                start = time.perf_counter()
                to.copy_(source)
                torch.cuda.synchronize()
                seconds.append(time.perf_counter() - start)
            found[f"{kind}, {direction}"] = here.numel() * here.element_size() / min(seconds) / 1e9
    return found


def compare(options: Options, what: str, measured: dict[str, int], expected: dict[str, int], report: Report) -> None:
    """No phase may need more than was planned for it; the highest of them may not need less either."""
    bound = options.sizes.memory_tolerance
    for name in PHASES:
        ratio = measured[name] / expected[name]
        report.at_most(f"{what}, {name}: measured peak over the planned one", ratio, 1 + bound)
    highest = max(measured[name] for name in PHASES) / max(expected[name] for name in PHASES)
    report.at_least(f"{what}: highest measured peak over the highest planned one", highest, 1 - bound)


def shape_of(options: Options, layers: int) -> Shape:
    return shape_from_config(config_of(options.sizes.wide | {"num_hidden_layers": layers}).to_dict())


def planned(shape: Shape, train: Train, capacity: int) -> dict[str, int]:
    """Bytes of tensors by phase: the planner's, without the runtime's own, which torch does not count."""
    phases = memory(shape, train, capacity, 1).phases
    return {name: phases[name] - planner_memory.RUNTIME for name in PHASES}


def allocate_blocks(size: int, report: Report, found: dict[str, Any]) -> None:
    """As vLLM takes its memory when it wakes: from the driver, after torch has given back what it caches."""
    driver = ctypes.CDLL("libcuda.so.1")
    found |= {"block_gb": size / 1e9, "free_gb_before": torch.cuda.mem_get_info()[0] / 1e9}
    torch.cuda.empty_cache()
    free = [torch.cuda.mem_get_info()[0]]
    for number in range(TIMES):
        pointer = ctypes.c_uint64()
        code = driver.cuMemAlloc_v2(ctypes.byref(pointer), ctypes.c_size_t(size))
        report.require(code == 0, f"block {number + 1} of {size / 1e9:.1f} GB: the driver answers {code}")
        if code == 0:
            driver.cuMemFree_v2(pointer)
        free.append(torch.cuda.mem_get_info()[0])
    found["free_gb"] = [round(one / 1e9, 3) for one in free]
    report.at_most("free memory lost over the blocks, GB", (free[0] - free[-1]) / 1e9, 0.2)


def host_bytes(name: str) -> int:
    """VmRSS or VmHWM (its highest value) of this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
