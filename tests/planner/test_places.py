"""Where each of DeepSpeed's buffers lies and how large it is, in the real engine, against the planner's formulas."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from asymgrpo.planner.memory import MicroBatch, activations
from asymgrpo.planner.plan import load_study
from asymgrpo.planner.shapes import shape_from_config
from asymgrpo.planner.state import WIDTH, moved_per_update, state
from asymgrpo.study.limits import BUCKET
from asymgrpo.study.sections.train import Train
from asymgrpo.training.rendezvous import single_process_environment

SCRIPT = Path(__file__).with_name("measure_places.py")
ROOT = SCRIPT.parents[2]
CONFIG = {
    "model_type": "qwen3",
    "vocab_size": 2048,
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}
SHAPE = shape_from_config(CONFIG)
SEQUENCES, TOKENS, PROMPT, MICRO_BATCHES = 2, 24, 8, 3
ONE_RANK = [
    (0, "float32", False),
    *((stage, dtype, offload) for offload in (False, True) for stage in (1, 2, 3) for dtype in ("float32", "bfloat16")),
]
TWO_RANKS = [
    (2, "float32", False),
    (2, "bfloat16", False),
    (1, "bfloat16", True),
    (2, "float32", True),
    (2, "bfloat16", True),
    (3, "bfloat16", True),
]
CUT = {1: 0.01, 2: 0.1}
"""Of this small model, which has a parameter that lies on both ranks and is moved whole by each."""
EVERY = [(1, *case) for case in ONE_RANK] + [(2, *case) for case in TWO_RANKS]


def train_section(stage: int, dtype: str, offload: bool) -> Train:
    changes = {"zero_stage": stage, "dtype": dtype, "offload": offload, "micro_batch": SEQUENCES}
    return load_study([]).train.model_copy(update=changes)


@cache
def measured(world_size: int) -> dict:
    """Case -> measurement of rank 0, all cases in one process per rank."""
    cases = ONE_RANK if world_size == 1 else TWO_RANKS
    sizes = {"config": CONFIG, "sequences": SEQUENCES, "tokens": TOKENS, "micro_batches": MICRO_BATCHES}
    requests = [sizes | {"train": train_section(*case).model_dump(mode="json")} for case in cases]
    meeting = single_process_environment() | {"WORLD_SIZE": str(world_size)}
    common = os.environ | meeting | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", str(SCRIPT), json.dumps(requests)]
    ranks = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world_size)
    ]
    said = [process.communicate(timeout=600) for process in ranks]
    assert all(process.returncode == 0 for process in ranks), said
    return dict(zip(cases, json.loads(said[0][0].splitlines()[-1]), strict=True))


def planned(world_size: int, train: Train, bucket: int) -> dict[str, int]:
    """Bytes on the accelerator by phase, without activations and without the reduction buffer of `bucket` numbers."""
    s = state(SHAPE, train, world_size, fused=False)
    held = s.parameters + s.optimizer
    if train.zero_stage == 3 and world_size == 1:  # there is nothing to gather
        held -= WIDTH[train.dtype] * SHAPE.parameters
    return {"backward": held + s.gradients + s.reducing + s.largest, "update": held + s.update}


def buffer_in(phase: str, world_size: int, train: Train, bucket: int) -> int:
    """Bytes of the real engine's buffer in a phase: it may be larger than these few parameters need."""
    s, numbers = state(SHAPE, train, world_size, fused=False), min(SHAPE.parameters, BUCKET)
    per_number = s.buffers // numbers
    stays = train.zero_stage == 3 or (train.zero_stage == 1 and train.offload and per_number == 4 and world_size > 1)
    return per_number * bucket if phase == "backward" else stays * per_number * (bucket - numbers)


@pytest.mark.slow
@pytest.mark.parametrize("case", EVERY, ids=str)
def test_the_accelerator_holds_what_the_plan_says(case):
    """Never more than the plan, activations of this small batch included, and hardly less; in bfloat16 on one rank exactly it."""
    world_size, *settings = case
    train, found = train_section(*settings), measured(world_size)[tuple(settings)]
    plan = planned(world_size, train, found["bucket"])
    peak = {p: found["peak"][p]["accelerator"] - buffer_in(p, world_size, train, found["bucket"]) for p in plan}
    if train.zero_stage == 0:  # the copy of all gradients comes within the last backward pass, after it is through
        plan, peak = {"step": max(plan.values())}, {"step": max(peak.values())}
    batch = activations(SHAPE, train, MicroBatch(SEQUENCES, TOKENS, TOKENS + 1 - PROMPT)).peak
    exact = train.dtype == "bfloat16" and world_size == 1
    for phase, bytes_planned in plan.items():
        if exact:
            assert bytes_planned == pytest.approx(peak[phase], rel=0.01), phase
        assert peak[phase] <= 1.01 * bytes_planned + 1.3 * batch * (phase == "backward"), phase
        if (world_size, train.zero_stage) != (2, 3):  # the plan has all of so small a model gathered at all times
            assert bytes_planned <= 1.3 * peak[phase], phase


@pytest.mark.slow
@pytest.mark.parametrize("case", EVERY, ids=str)
def test_the_host_holds_what_the_plan_says(case):
    world_size, *settings = case
    found = measured(world_size)[tuple(settings)]
    host = max(found["peak"][phase].get("host", 0) for phase in ("backward", "update"))
    assert state(SHAPE, train_section(*settings), world_size, fused=False).host == pytest.approx(
        host, rel=CUT[world_size], abs=10_000
    )


@pytest.mark.slow
@pytest.mark.parametrize("case", EVERY, ids=str)
def test_as_much_is_moved_as_the_plan_says(case):
    world_size, *settings = case
    found = measured(world_size)[tuple(settings)]["moved"]
    down, up = moved_per_update(SHAPE, train_section(*settings), world_size, MICRO_BATCHES)
    assert down == pytest.approx(found.get("host", 0), rel=CUT[world_size], abs=10_000)
    assert up == pytest.approx(found.get("accelerator", 0), rel=CUT[world_size], abs=10_000)


@pytest.mark.slow
def test_the_sum_of_gradients_stays_on_the_accelerator_under_offload():
    """ZeRO-2 in bfloat16 with float32 sums, one rank: the role of every large buffer, where it lies, and its bytes a number."""
    roles = measured(1)[2, "bfloat16", True]["roles"]
    found = {name: (place, round(size / SHAPE.parameters, 2)) for name, (place, size) in roles.items()}
    one = round(2 * SHAPE.head_parameters / SHAPE.parameters, 2)
    assert found == {
        "weights": ("accelerator", 2),
        "sum of gradients": ("accelerator", 4),
        "one gradient on its way": ("accelerator", one),
        "float32 weights": ("host", 4),
        "first moment": ("host", 4),
        "second moment": ("host", 4),
        "gradients for the update": ("host", 4),
        "new weights on their way": ("host", 2),
    }


N = 4_000_000_000
"""Parameters of the comparisons with DeepSpeed's own estimates."""


class Large:
    """A shape as far as `state` looks at it: no bucket or temporary of fixed size matters beside it."""

    parameters, head_parameters = N, N // 10


@pytest.mark.parametrize("world_size", [1, 4, 8])
def test_zero_2_agrees_with_deepspeeds_estimate(world_size):
    """It counts 18 bytes a number and rank: 2 for gradients in bfloat16, which are gone when their sum is made, are not ours."""
    from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs as estimate

    _, gpu = estimate(N, num_gpus_per_node=world_size, cpu_offload=False)
    s = state(Large, train_section(2, "bfloat16", False), world_size, fused=False)
    assert s.parameters + s.optimizer + s.gradients == gpu - 2 * N // world_size


@pytest.mark.parametrize("world_size", [1, 4])
def test_zero_2_with_offload_needs_more_on_the_gpu_than_deepspeed_estimates(world_size):
    """Its estimate knows the weights alone. The spy above finds what is missing: the float32 sum, and a gradient on its way."""
    from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs as estimate

    host, gpu = estimate(N, num_gpus_per_node=world_size, cpu_offload=True)
    s = state(Large, train_section(2, "bfloat16", True), world_size, fused=False)
    assert s.parameters == gpu
    assert s.gradients == 4 * N // world_size
    assert s.optimizer == 2 * Large.head_parameters
    assert world_size * s.host == pytest.approx(host, rel=0.25), "with its factor of 1.5 for buffers"


@pytest.mark.parametrize("world_size", [1, 4, 8])
def test_zero_3_agrees_with_deepspeeds_estimate(world_size):
    """It adds one layer in float32 where the plan has up to 10^9 gathered numbers, and 2 bytes of gradients that are not kept."""
    from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs as estimate

    _, gpu, layer = estimate(N, Large.head_parameters, num_gpus_per_node=world_size, cpu_offload=False)
    s = state(Large, train_section(3, "bfloat16", False), world_size, fused=False)
    gathered = 2 * 10**9
    assert s.parameters - gathered + s.optimizer + s.gradients == gpu - layer


@pytest.mark.parametrize("world_size", [1, 4])
def test_zero_3_with_offload_agrees_with_deepspeeds_estimate(world_size):
    from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs as estimate

    host, gpu, layer = estimate(N, Large.head_parameters, num_gpus_per_node=world_size, cpu_offload_params=False)
    s = state(Large, train_section(3, "bfloat16", True), world_size, fused=False)
    assert s.parameters - 2 * 10**9 == gpu - layer
    assert world_size * s.host == pytest.approx(host, rel=0.25)
