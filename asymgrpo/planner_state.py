"""Where DeepSpeed 0.19.8 keeps weights, gradients and optimizer state, and what offload moves: read in its sources and measured
in the real engine (tests/planner/test_places.py). All sizes are bytes per GPU; `width` is bytes per number of the training dtype.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asymgrpo.config import Train
from asymgrpo.planner_shapes import Shape

WIDTH = {"float32": 4, "bfloat16": 2}
BUCKET = 500_000_000
"""Most numbers in DeepSpeed's reduction buffer, which is allocated whole in stages 1 to 3 (its default reduce_bucket_size)."""
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


def state(shape: Shape, train: Train, world_size: int) -> State:
    """Parameters, gradients and optimizer under ZeRO 0 to 3, with or without offload.

    >>> from asymgrpo.planner_shapes import SHAPES
    >>> train = Train.model_construct(dtype="bfloat16", zero_stage=2, offload=True)
    >>> state(SHAPES["Qwen/Qwen3-4B"], train, 1).gradients // 10**9  # the float32 sum stays on the GPU
    16
    """
    n, width = shape.parameters, WIDTH[train.dtype]
    if train.zero_stage == 0:
        copy = 4 * n if width < 4 else 0  # float32 beside the training dtype
        flat = width * min(n, BUCKET)  # gradients are copied into one flat buffer
        update = width * n + max(copy + 8 * shape.head_parameters, flat)
        return State(width * n, copy + 8 * n, width * n, 0, 0, update, 0)
    if train.zero_stage == 3:
        return _stage_3(n, width, world_size, train.offload)
    if train.offload:
        return _offloaded(n, width, world_size, shape.head_parameters, train.zero_stage)
    return _stage_1_or_2(n, width, world_size, shape.head_parameters, train.zero_stage)


def _stage_1_or_2(n: int, width: int, world_size: int, largest: int, stage: int) -> State:
    shard, bucket = -(-n // world_size), width * min(n, BUCKET)
    if stage == 2 and width < 4:
        # One float32 sum of the shard; a bucket is copied to be reduced, and each parameter's part of it turned into float32.
        return _on_gpu(width * n, shard, 4 * shard, bucket + 4 * min(largest, shard), bucket)
    several = bucket if world_size > 1 else 0  # one rank reduces its bucket where it lies
    if stage == 2:
        return _on_gpu(width * n, shard, 8 * shard, several, bucket)  # the sum, and this micro-batch's share of it
    if width == 4:
        return _on_gpu(width * n, shard, 4 * n, several, bucket)
    # BF16_Optimizer: no shard of the gradients, both dtypes of them, and a copy while they are reduced.
    both = (4 + width) * n
    return State(width * n, 12 * shard, both, bucket, 0, both + 4 * min(n, BUCKET) + 4 * shard, 0)


def _on_gpu(parameters: int, shard: int, gradients: int, reducing: int, buffers: int) -> State:
    return State(parameters, 12 * shard, gradients, reducing, buffers, 12 * shard, 0)


def _offloaded(n: int, width: int, world_size: int, largest: int, stage: int) -> State:
    """Stages 1 and 2. A gradient goes to the host when it is summed up; what adds it up before differs with dtype and stage."""
    shard, passing, bucket = -(-n // world_size), width * largest, width * min(n, BUCKET)
    several = bucket if world_size > 1 else 0
    # Weights, moments, gradients in float32; weights in the training dtype; two temporaries; the largest gradient.
    host = (16 + width + 8) * shard + passing
    if stage == 2 and width < 4:  # the float32 sum of the shard lies on the GPU, whatever is offloaded
        return State(width * n, passing, 4 * shard, bucket + 4 * min(largest, shard), bucket, 4 * shard, host)
    if stage == 2:  # added up on the host
        return State(width * n, passing, 4 * largest, several, bucket, 0, host + 4 * shard)
    left = 4 * min(n, BUCKET) if world_size > 1 else 0  # what other ranks own is still there, in the bucket
    if width == 4:
        return State(width * n, passing, 4 * n, several, 4 * min(n, BUCKET), left, host)
    # A float32 sum of all numbers; with the last micro-batch one of the shard comes to it, and a bucket in the training dtype.
    return State(width * n, passing, 4 * n, 4 * shard + bucket, 4 * min(n, BUCKET), 4 * shard + left, host)


def _stage_3(n: int, width: int, world_size: int, offload: bool) -> State:
    shard, numbers = -(-n // world_size), min(n, BUCKET)
    parameters = width * (shard + min(n, LIVE_PARAMETERS))
    reducing = (width + 4) * numbers  # flattened, and the reduced part in float32
    at_once = min(shard, SUB_GROUP)
    if offload:  # weights, moments, gradients for the update; their sum over micro-batches
        return State(parameters, 0, 0, reducing, width * numbers, 0, (16 + 4) * shard + 8 * at_once)
    return State(parameters, 12 * shard, 4 * shard, reducing, width * numbers, 4 * shard + 12 * at_once, 0)


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


def setting(train: Train, name: str, default: Any) -> Any:
    """A field of the training section, or what holds where the section has none of that name."""
    return getattr(train, name, default)
