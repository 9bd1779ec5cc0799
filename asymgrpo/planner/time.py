"""Expected seconds per step by phase, from operation counts and a handful of stated rates; docs/planner.md has the derivation.

Nothing here is fitted: one H200 was faster than these rates (docs/gpu.md), published runs are slower. Each rate says where it
comes from; those of a machine replace them (measured.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

from asymgrpo.planner.memory import kv_bytes_per_token
from asymgrpo.planner.shapes import Shape
from asymgrpo.planner.state import WIDTH, moved_per_update
from asymgrpo.study.config import ConfigError
from asymgrpo.study.limits import MAX_SEQUENCES
from asymgrpo.study.sections.train import Train

PUBLISHED_OVER_PLANNED = (2.3, 3.2)
"""Seconds of whole steps that others published over those of this model, least and most: docs/planner.md has the rows,
tests/planner/test_published.py computes them."""
GPU_KINDS = Path(__file__).with_name("gpu_kinds.yaml")


class GpuKind(BaseModel):
    """A GPU kind at its nameplate: 10^9 bytes, 10^12 operations, 10^9 bytes per second."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    memory_gb: float = Field(gt=0)
    bf16_tflops: float = Field(gt=0)
    hbm_gb_per_s: float = Field(gt=0)
    link_gb_per_s: float = Field(gt=0)
    host_gb_per_s: float = Field(gt=0)
    source: str


@dataclass(frozen=True)
class Rates:
    """What share of the nameplate work is planned at, and the costs that do not scale with it."""

    training_flops: float = 0.25
    """Assumed: between the 0.15 and 0.40 that prime-rl's published runs with recomputation come to (docs/planner.md)."""
    decoding_flops: float = 0.5
    """Assumed: matrix products with some hundred rows."""
    hbm: float = 0.6
    """Assumed, of the memory bandwidth while decoding."""
    link: float = 0.6
    """Assumed, of the bandwidth between GPUs."""
    host_link: float = 0.6
    """Assumed, of the bandwidth to the host. DeepSpeed's buffers there are not page-locked: a fifth of this is possible."""
    decoding_iteration_s: float = 0.008
    """Assumed: scheduling, sampling and launches for one token of all running sequences."""
    device_update_gb_per_s: float = 600.0
    """Assumed: of AdamW on the GPU, at 28 bytes a parameter; unfused it moves about three times as much."""
    host_update_gb_per_s: float = 30.0
    """Assumed: of AdamW on the host (offload), at 28 bytes a parameter, with the threads of a whole socket share."""
    sync_s_per_gb: float = 0.25
    """vime reports 1.6 to 2.3 s for the 8 GB of Qwen3-4B, colocated."""
    verdicts_per_s: float = 45.0
    """Per grading process, unique responses: benchmarks/verifier_throughput.json, one process (47)."""
    hash_gb_per_s: float = 1.0
    """SHA-256 by one thread; 1.2 was measured on a CPU with instructions for it, others do 0.4."""
    disk_gb_per_s: float = 1.0
    """Assumed: writing a checkpoint to a shared file system, all ranks together."""


@dataclass(frozen=True)
class Habits:
    """What the trainer does by itself that decides time."""

    graders: int = 1
    """Grading processes per rank."""
    parallel_hashing: bool = True
    """Each rank hashes its part of a checkpoint, file beside file; else one thread of rank 0 hashes all of it."""


RATES, HABITS = Rates(), Habits()


DEGENERATE = 0.5
"""Assumed share of groups whose rewards are all equal: DAPO reports that it grows over training."""


@dataclass(frozen=True)
class Lengths:
    """What responses are like: assumptions that decide the time, to be replaced by measured ones. Lengths are mean tokens."""

    prompt: float
    response: float
    degenerate: float = DEGENERATE
    """Share of groups that dynamic sampling draws again."""

    def rounds(self, attempts: int) -> list[float]:
        """The share of a step's prompts that each round samples, when groups are drawn again up to `attempts` times.

        >>> Lengths(120, 512, degenerate=0.5).rounds(2)
        [1.0, 0.5, 0.25]
        """
        return [self.degenerate**attempt for attempt in range(attempts + 1)]

    def tokens(self, train: Train, attempts: int) -> float:
        """Response tokens that a step samples."""
        return train.prompts_per_step * train.group_size * self.response * sum(self.rounds(attempts))


@dataclass(frozen=True)
class StepSeconds:
    rollout: float
    reward: float
    score: float
    update: float
    sync: float
    save: float
    """Checkpoints, spread over the steps between two of them."""

    @property
    def total(self) -> float:
        return sum(vars(self).values())


def gpu_kind_of(kind: str) -> GpuKind:
    """A kind of gpu_kinds.yaml by name. Raises ConfigError."""
    kinds = yaml.safe_load(GPU_KINDS.read_text(encoding="utf-8"))
    if kind not in kinds:
        raise ConfigError(
            f"planner: GPU kind {kind!r} is unknown; use one of {', '.join(kinds)} or add it to {GPU_KINDS.name}."
        )
    return GpuKind.model_validate(kinds[kind])


def forward_flops_per_token(shape: Shape, context: float) -> float:
    """2 per weight of every matrix product, and causal attention over a sequence of `context` tokens (half of it on average)."""
    lookup = 0 if shape.tied else shape.head_parameters  # the embedding multiplies nothing
    return 2 * (shape.parameters - lookup) + 2 * shape.layers * shape.q * context


def decoding_seconds(
    shape: Shape,
    width: int,
    gpu_kind: GpuKind,
    prompts: float,
    responses: float,
    lengths: Lengths,
    longest: int,
    cache_tokens: int,
    rates: Rates = RATES,
) -> float:
    """Seconds of one GPU to sample `responses` to `prompts` (prefilled once each) with room for `cache_tokens` in its cache.

    Every iteration gives each running sequence a token and reads all weights once; reading a sequence's cache costs its length.
    There are as many iterations as the longest response has tokens, or as all tokens need at the possible concurrency: what the
    cache holds, and MAX_SEQUENCES at most.
    """
    tokens = responses * lengths.response
    mean_context = lengths.prompt + lengths.response  # over tokens, for exponentially distributed response lengths
    concurrent = max(1.0, min(responses, MAX_SEQUENCES, cache_tokens / mean_context))
    iterations = max(longest, tokens / concurrent)
    bandwidth = gpu_kind.hbm_gb_per_s * 1e9 * rates.hbm
    flops = gpu_kind.bf16_tflops * 1e12 * rates.decoding_flops
    weights = iterations * shape.parameters * width / bandwidth
    cache = tokens * mean_context * kv_bytes_per_token(shape, width) / bandwidth
    products = (tokens + prompts * lengths.prompt) * forward_flops_per_token(shape, mean_context) / flops
    return iterations * rates.decoding_iteration_s + weights + cache + products


def recomputed_share(train: Train, lengths: Lengths) -> float:
    """Share of a batch's tokens whose layers are computed again: those of passes of more than train.recompute_above tokens.

    Passes hold sequences of similar length; responses are taken as exponentially distributed. Under a budget of tokens for each
    pass (train.micro_batch_tokens) nearly all passes are of that size.
    """
    limit, budget = train.recompute_above, train.micro_batch_tokens
    if not train.gradient_checkpointing:
        return 0.0
    if budget is not None:
        return float(max(budget, lengths.prompt + lengths.response) > limit)
    over = (
        max(0.0, limit / train.micro_batch - lengths.prompt) / lengths.response
    )  # the limit's response, in mean responses
    tokens = lengths.prompt + lengths.response * (1 + over)  # of the longer ones, on average
    return min(1.0, math.exp(-over) * tokens / (lengths.prompt + lengths.response))


def training_flops_per_token(shape: Shape, train: Train, context: float, recomputed: float = 1.0) -> float:
    """Forward, twice that backward, and what checkpointing (layers, of the share `recomputed`) and logits_chunk (output layer)
    compute again.
    """
    forward, head = forward_flops_per_token(shape, context), 2 * shape.head_parameters
    again = (forward - head) * recomputed * train.gradient_checkpointing + head * (train.logits_chunk is not None)
    return 3 * forward + again


def micro_batches_per_update(train: Train, world_size: int, lengths: Lengths) -> int:
    """Passes of one rank for one update."""
    sequences = train.prompts_per_step * train.group_size / (world_size * train.updates_per_rollout)
    budget = train.micro_batch_tokens
    per_pass = train.micro_batch if budget is None else max(1.0, budget / (lengths.prompt + lengths.response))
    return max(1, math.ceil(sequences / per_pass))


def communication_seconds(
    shape: Shape, train: Train, world_size: int, gpu_kind: GpuKind, lengths: Lengths, rates: Rates = RATES
) -> float:
    """Per step: gradients are reduced once per update below stage 2, once per micro-batch from it on; new weights are
    gathered after an update; stage 3 gathers them in each forward and backward pass as well.
    """
    if world_size == 1:
        return 0.0
    updates = train.updates_per_rollout
    micro = updates * micro_batches_per_update(train, world_size, lengths)
    passes = {0: 2 * updates, 1: 2 * updates, 2: micro + updates, 3: micro * 3 + micro}[train.zero_stage]
    size = WIDTH[train.dtype] * shape.parameters * (world_size - 1) / world_size
    return passes * size / (gpu_kind.link_gb_per_s * 1e9 * rates.link)


def optimizer_seconds(
    shape: Shape, train: Train, world_size: int, gpu_kind: GpuKind, lengths: Lengths, rates: Rates = RATES
) -> float:
    """Per step: AdamW at 28 bytes a number, and with offload what goes to the host and back (moved_per_update)."""
    updates, micro = train.updates_per_rollout, micro_batches_per_update(train, world_size, lengths)
    shard = shape.parameters / (world_size if train.zero_stage else 1)
    speed = rates.host_update_gb_per_s if train.offload else rates.device_update_gb_per_s
    moved = sum(moved_per_update(shape, train, world_size, micro)) / (gpu_kind.host_gb_per_s * 1e9 * rates.host_link)
    return updates * (28 * shard / (speed * 1e9) + moved)


def checkpoint_bytes(shape: Shape, train: Train) -> int:
    """A resumable checkpoint: weights, moments and float32 weights."""
    return (WIDTH[train.dtype] + 12) * shape.parameters


def save_seconds(shape: Shape, train: Train, world_size: int, habits: Habits, rates: Rates = RATES) -> float:
    """Per step: writing and hashing a checkpoint every train.checkpoint_every of them."""
    size, weights = checkpoint_bytes(shape, train), WIDTH[train.dtype] * shape.parameters
    largest = max(weights, 12 * shape.parameters / world_size)  # one file is hashed by one thread
    hashed = largest if habits.parallel_hashing else size
    return (size / rates.disk_gb_per_s + hashed / rates.hash_gb_per_s) / 1e9 / train.checkpoint_every


def step_seconds(
    shape: Shape,
    train: Train,
    world_size: int,
    gpu_kind: GpuKind,
    lengths: Lengths,
    cache_tokens: int,
    rates: Rates = RATES,
    habits: Habits = HABITS,
    attempts: int = 0,
) -> StepSeconds:
    """Expected seconds of one training step, every rank doing its share of the prompts.

    attempts: how often dynamic sampling draws a group without a signal again; each round waits for its longest response.
    """
    width, responses = WIDTH[train.dtype], train.prompts_per_step * train.group_size / world_size
    tokens = responses * (lengths.prompt + lengths.response)
    context = lengths.prompt + lengths.response
    flops = gpu_kind.bf16_tflops * 1e12 * rates.training_flops * (1.0 if width == 2 else 0.5)
    training = training_flops_per_token(shape, train, context, recomputed_share(train, lengths))
    rounds = [responses * share for share in lengths.rounds(attempts)]
    return StepSeconds(
        rollout=sum(
            decoding_seconds(
                shape,
                width,
                gpu_kind,
                sampled / train.group_size,
                sampled,
                lengths,
                train.max_tokens,
                cache_tokens,
                rates,
            )
            for sampled in rounds
        ),
        reward=sum(rounds) / (rates.verdicts_per_s * habits.graders),
        score=(1 + 1 / train.displacement_every) * tokens * forward_flops_per_token(shape, context) / flops,
        update=tokens * training / flops
        + communication_seconds(shape, train, world_size, gpu_kind, lengths, rates)
        + optimizer_seconds(shape, train, world_size, gpu_kind, lengths, rates),
        sync=rates.sync_s_per_gb * width * shape.parameters / 1e9,
        save=save_seconds(shape, train, world_size, habits, rates),
    )
