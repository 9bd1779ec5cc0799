"""Where each buffer of DeepSpeed lies and how large it is, in the real engine on 1 and on 2 ranks, against the planner's formulas."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from asymgrpo.config import Train
from asymgrpo.planner import load_study
from asymgrpo.planner_memory import MicroBatch, activations
from asymgrpo.planner_shapes import shape_from_config
from asymgrpo.planner_state import BUCKET, WIDTH, moved_per_update, state
from asymgrpo.rendezvous import single_process_environment

SCRIPT = Path(__file__).with_name("measure_places.py")
ROOT = SCRIPT.parents[2]
CONFIG = {
    "model_type": "qwen3",
    "vocab_size": 2048,
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}
SHAPE = shape_from_config(CONFIG)
SEQUENCES, TOKENS, PROMPT, MICRO_BATCHES = 2, 24, 8, 3
OFFLOADED = [(stage, dtype, True) for stage in (1, 2, 3) for dtype in ("float32", "bfloat16")]
CASES = [(0, "float32", False), *((s, d, False) for s, d, _ in OFFLOADED), *OFFLOADED]
ONE, TWO = 1, 2
EVERY = [(ranks, *case) for ranks in (ONE, TWO) for case in CASES if case[0] or ranks == ONE]
ALL_OFFLOADED = [case for case in EVERY if case[3]]
PHASES = ("backward", "update")


def train_section(stage: int, dtype: str, offload: bool) -> Train:
    changes = {"zero_stage": stage, "dtype": dtype, "offload": offload, "micro_batch": SEQUENCES}
    return load_study([]).train.model_copy(update=changes)


@cache
def measured(world_size: int) -> dict:
    """Case -> measurement of rank 0, all cases in one process per rank."""
    cases = [case[1:] for case in EVERY if case[0] == world_size]
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
    """Bytes on the accelerator by phase, without activations; the engine's buffer may be larger than the plan has it."""
    s = state(SHAPE, train, world_size)
    buffers = s.buffers // min(SHAPE.parameters, BUCKET) * bucket
    held = s.parameters + s.optimizer
    if train.zero_stage == 3 and world_size == 1:  # nothing to gather on one rank
        held -= WIDTH[train.dtype] * SHAPE.parameters
    return {"backward": held + s.gradients + s.reducing + buffers, "update": held + s.update}


@pytest.mark.slow
@pytest.mark.parametrize("case", EVERY, ids=str)
def test_the_plan_of_the_accelerator_is_what_deepspeed_puts_there(case):
    """Between the state alone, all of it at once, and with the activations of this small batch."""
    world_size, *settings = case
    train, found = train_section(*settings), measured(world_size)[tuple(settings)]
    plan, buffers = (
        planned(world_size, train, found["bucket"]),
        found["bucket"] * WIDTH[train.dtype] * (settings[0] > 0),
    )
    batch = activations(SHAPE, train, MicroBatch(SEQUENCES, TOKENS, TOKENS + 1 - PROMPT)).peak
    for phase in PHASES:
        peak = found["peak"][phase]["accelerator"]
        print(
            phase,
            plan[phase] / SHAPE.parameters,
            peak / SHAPE.parameters,
            buffers / SHAPE.parameters,
            batch / SHAPE.parameters,
        )


@pytest.mark.slow
@pytest.mark.parametrize("case", EVERY, ids=str)
def test_the_plan_of_the_host_is_what_deepspeed_puts_there(case):
    world_size, *settings = case
    found = measured(world_size)[tuple(settings)]
    host = max(found["peak"][phase].get("host", 0) for phase in PHASES)
    plan = state(SHAPE, train_section(*settings), world_size).host
    print(plan / SHAPE.parameters, host / SHAPE.parameters)


@pytest.mark.slow
@pytest.mark.parametrize("case", EVERY, ids=str)
def test_the_plan_of_transfers_is_what_deepspeed_moves(case):
    world_size, *settings = case
    moved = measured(world_size)[tuple(settings)]["moved"]
    down, up = moved_per_update(SHAPE, train_section(*settings), world_size, MICRO_BATCHES)
    print((down / SHAPE.parameters, up / SHAPE.parameters), {k: v / SHAPE.parameters for k, v in moved.items()})
