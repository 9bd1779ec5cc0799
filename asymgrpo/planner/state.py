"""Where DeepSpeed 0.19.8 keeps weights, gradients and optimizer state, and what offload moves: read in its sources and measured
in the real engine (tests/planner/test_places.py). All sizes are bytes per GPU; `width` is bytes per number of the training dtype.
"""

from __future__ import annotations

from dataclasses import dataclass

from asymgrpo.planner.shapes import Shape
from asymgrpo.study.limits import BUCKET
from asymgrpo.study.sections.train import Train

WIDTH = {"float32": 4, "bfloat16": 2}
SUB_GROUP = 1_000_000_000
"""Numbers that ZeRO-3 updates at a time (its default sub_group_size)."""
LIVE_PARAMETERS = 1_000_000_000
"""Numbers that ZeRO-3 keeps gathered (its default stage3_max_live_parameters)."""


@dataclass(frozen=True)
class State:
    """Per GPU, whatever the batch."""

    parameters: int
    """In the training dtype; under ZeRO-3 the shard and what is gathered at once."""
    optimizer: int
    """AdamW's two moments and the float32 master weights; with offload the buffer through which a gradient passes."""
    gradients: int
    """Added up over micro-batches, this micro-batch's own included where it is apart."""
    reducing: int
    """Copies that are made while a bucket of gradients is reduced, within the backward pass."""
    buffers: int
    """DeepSpeed's reduction buffer, during the backward pass."""
    update: int
    """During the optimizer's step, in place of the three above: gradients in float32 and AdamW's temporaries."""
    host: int
    """In host memory, at the peak of the optimizer's step."""
    largest: int = 0
    """The largest parameter's gradient in float32, to be added to the sum: the embedding's, when the layers are through."""


def state(shape: Shape, train: Train, world_size: int, fused: bool = True) -> State:
    """Parameters, gradients and optimizer under ZeRO 0 to 3, with or without offload. `fused`: AdamW in one kernel, as on a GPU;
    it makes no temporaries, where one on a CPU makes two.

    >>> from asymgrpo.planner.shapes import SHAPES
    >>> train = Train.model_construct(dtype="bfloat16", zero_stage=2, offload=True)
    >>> state(SHAPES["Qwen/Qwen3-4B"], train, 1).gradients // 10**9  # the float32 sum stays on the GPU
    16
    """
    n, width = shape.parameters, WIDTH[train.dtype]
    if train.zero_stage == 0:
        copy = 4 * n if width < 4 else 0  # float32 beside the training dtype
        flat = width * min(n, BUCKET)  # gradients are copied into one flat buffer
        update = width * n + max(copy + (0 if fused else 8) * shape.head_parameters, flat)
        return State(width * n, copy + 8 * n, width * n, 0, 0, update, 0)
    if train.zero_stage == 3:
        return _stage_3(n, width, world_size, train.offload, 0 if fused else 8)
    if train.offload:
        return _offloaded(n, width, world_size, shape.head_parameters, train.zero_stage)
    return _stage_1_or_2(n, width, world_size, shape.head_parameters, train.zero_stage, 0 if fused else 8)


def _stage_1_or_2(n: int, width: int, world_size: int, largest: int, stage: int, temporaries: int) -> State:
    shard, bucket, summed = -(-n // world_size), width * min(n, BUCKET), 0
    if (
        stage == 1 and width < 4
    ):  # BF16_Optimizer: no shard of the gradients, both dtypes of them, and a copy of what is reduced
        both = (4 + width) * n
        return State(width * n, 12 * shard, both, bucket, 0, both + 4 * min(n, BUCKET) + 4 * shard, 0)
    if stage == 1:
        gradients, reducing = 4 * n, 0
    elif width == 4:  # the shard's sum, and this micro-batch's; one rank reduces its bucket where it lies
        gradients, reducing = 8 * shard, bucket if world_size > 1 else 0
    else:  # the shard's sum in float32; a bucket is copied to be reduced
        gradients, reducing, summed = 4 * shard, bucket, 4 * min(largest, shard)
    # The sum beside itself as one flat float32 tensor; then that tensor and AdamW's temporaries.
    return State(width * n, 12 * shard, gradients, reducing, bucket, max(8, 4 + temporaries) * shard, 0, summed)


def _offloaded(n: int, width: int, world_size: int, largest: int, stage: int) -> State:
    """Stages 1 and 2. A gradient goes to the host when it is summed up; what adds it up before differs with dtype and stage."""
    shard, passing, bucket = -(-n // world_size), width * largest, width * min(n, BUCKET)
    buffers, update, summed = bucket, 0, 0
    # Weights, moments, gradients in float32; weights in the training dtype; two temporaries; the largest gradient.
    host = (16 + width + 8) * shard + passing
    if width == 4 and stage == 1:
        gradients, reducing = 4 * n, 0
    elif width == 4:  # added up on the host
        gradients, reducing, host = 4 * largest, bucket if world_size > 1 else 0, host + 4 * shard
    elif stage == 2:  # the float32 sum of the shard lies on the GPU, whatever is offloaded
        gradients, reducing, update, summed = 4 * shard, bucket, 4 * shard, 4 * min(largest, shard)
    else:  # a float32 sum of all numbers; with the last micro-batch one of the shard comes to it
        gradients, reducing, buffers = 4 * n, 4 * shard + bucket, 4 * min(n, BUCKET)
        update = 4 * shard + (
            buffers if world_size > 1 else 0
        )  # what other ranks own lies in the buffer until the next pass
    return State(width * n, passing, gradients, reducing, buffers, update, host, summed)


def _stage_3(n: int, width: int, world_size: int, offload: bool, temporaries: int) -> State:
    shard, numbers = -(-n // world_size), min(n, BUCKET)
    parameters, buffers = width * (shard + min(n, LIVE_PARAMETERS)), width * numbers  # the buffer is never given back
    reducing = width * numbers + 4 * -(-numbers // world_size)  # flattened, and the reduced part in float32
    at_once = min(shard, SUB_GROUP)
    if offload:  # weights, moments, gradients for the update; their sum over micro-batches
        return State(parameters, 0, 0, reducing, buffers, buffers, (16 + 4) * shard + 8 * at_once)
    return State(
        parameters, 12 * shard, 4 * shard, reducing, buffers, 4 * shard + max(8, 4 + temporaries) * at_once + buffers, 0
    )


def moved_per_update(shape: Shape, train: Train, world_size: int, micro_batches: int) -> tuple[int, int]:
    """Bytes from GPU to host and back for one update of `micro_batches` micro-batches under offload; (0, 0) without.

    A float32 sum of gradients on the GPU (bfloat16, stages 1 and 2) goes to the host once, in the last micro-batch. Otherwise
    stage 2 and 3 keep the sum on the host and fetch it for each micro-batch.
    """
    if not train.offload:
        return 0, 0
    width, stage = WIDTH[train.dtype], train.zero_stage
    down, up = 4, width  # float32 gradients for the update; new weights
    if stage == 3:
        down, up = down + 4 * micro_batches, up + 4 * micro_batches
    elif stage == 2 and width == 4 and micro_batches > 1:
        down, up = down + 4 * micro_batches, up + 4 * (micro_batches - 1)
    shard = -(-shape.parameters // world_size)
    return down * shard, up * shard
