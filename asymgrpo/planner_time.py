"""Expected seconds per step by phase, from operation counts and a handful of stated rates; docs/planner.md has the derivation.

Nothing here is fitted to a run of this project on a GPU: there was none. Each rate says where it comes from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

from asymgrpo.config import ConfigError, Train
from asymgrpo.planner_memory import WIDTH, kv_bytes_per_token
from asymgrpo.planner_shapes import Shape

MACHINES = Path(__file__).with_name("machines.yaml")


class Machine(BaseModel):
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
    """Assumed, of the bandwidth between GPUs and to the host."""
    decoding_iteration_s: float = 0.008
    """Assumed: scheduling, sampling and launches for one token of all running sequences."""
    host_update_gb_per_s: float = 30.0
    """Assumed: memory bandwidth of AdamW on the host (offload), with the threads of a whole socket share."""
    sync_s_per_gb: float = 0.25
    """vime reports 1.6 to 2.3 s for the 8 GB of Qwen3-4B, colocated."""
    verdicts_per_s: float = 45.0
    """Per rank, unique responses: benchmarks/verifier_throughput.json, one process (47)."""


RATES = Rates()


@dataclass(frozen=True)
class Lengths:
    """Mean tokens of a prompt and of a response: assumptions that decide the time, to be replaced by measured ones."""

    prompt: float
    response: float


@dataclass(frozen=True)
class StepSeconds:
    rollout: float
    reward: float
    score: float
    update: float
    sync: float

    @property
    def total(self) -> float:
        return self.rollout + self.reward + self.score + self.update + self.sync


def machine_of(kind: str) -> Machine:
    """A machine of machines.yaml by name. Raises ConfigError."""
    machines = yaml.safe_load(MACHINES.read_text(encoding="utf-8"))
    if kind not in machines:
        raise ConfigError(
            f"planner: GPU kind {kind!r} is unknown; use one of {', '.join(machines)} or add it to {MACHINES.name}."
        )
    return Machine.model_validate(machines[kind])


def forward_flops_per_token(shape: Shape, context: float) -> float:
    """2 per weight of every matrix product, and causal attention over a sequence of `context` tokens (half of it on average)."""
    lookup = 0 if shape.tied else shape.head_parameters  # the embedding multiplies nothing
    return 2 * (shape.parameters - lookup) + 2 * shape.layers * shape.q * context


def decoding_seconds(
    shape: Shape,
    width: int,
    machine: Machine,
    prompts: float,
    responses: float,
    lengths: Lengths,
    longest: int,
    cache_tokens: int,
    rates: Rates = RATES,
) -> float:
    """Seconds of one GPU to sample `responses` to `prompts` (prefilled once each) with room for `cache_tokens` in its cache.

    Every iteration gives each running sequence a token and reads all weights once; reading a sequence's cache costs its length.
    There are as many iterations as the longest response has tokens, or as all tokens need at the possible concurrency.
    """
    tokens = responses * lengths.response
    mean_context = lengths.prompt + lengths.response  # over tokens, for exponentially distributed response lengths
    concurrent = max(1.0, min(responses, cache_tokens / mean_context))
    iterations = max(longest, tokens / concurrent)
    bandwidth = machine.hbm_gb_per_s * 1e9 * rates.hbm
    flops = machine.bf16_tflops * 1e12 * rates.decoding_flops
    weights = iterations * shape.parameters * width / bandwidth
    cache = tokens * mean_context * kv_bytes_per_token(shape, width) / bandwidth
    products = (tokens + prompts * lengths.prompt) * forward_flops_per_token(shape, mean_context) / flops
    return iterations * rates.decoding_iteration_s + weights + cache + products


def training_flops_per_token(shape: Shape, train: Train, context: float) -> float:
    """Forward, twice that backward, and what checkpointing (layers) and logits_chunk (output layer) compute again."""
    forward, head = forward_flops_per_token(shape, context), 2 * shape.head_parameters
    again = (forward - head) * train.gradient_checkpointing + head * (train.logits_chunk is not None)
    return 3 * forward + again


def communication_seconds(shape: Shape, train: Train, world_size: int, machine: Machine, rates: Rates = RATES) -> float:
    """Per step: gradients are reduced once per update below stage 2, once per micro-batch from it on; new weights are
    gathered after an update; stage 3 gathers them in each forward and backward pass as well.
    """
    if world_size == 1:
        return 0.0
    updates = train.updates_per_rollout
    micro = train.prompts_per_step * train.group_size // (world_size * train.micro_batch)
    passes = {0: 2 * updates, 1: 2 * updates, 2: micro + updates, 3: micro * 3 + micro}[train.zero_stage]
    size = WIDTH[train.dtype] * shape.parameters * (world_size - 1) / world_size
    return passes * size / (machine.link_gb_per_s * 1e9 * rates.link)


def offload_seconds(shape: Shape, train: Train, world_size: int, machine: Machine, rates: Rates = RATES) -> float:
    """Per step: gradients of each micro-batch to the host, AdamW there (28 bytes a number), weights back."""
    if not train.offload:
        return 0.0
    shard = shape.parameters / world_size
    micro = train.prompts_per_step * train.group_size // (world_size * train.micro_batch)
    moved = (micro + train.updates_per_rollout) * shard * WIDTH[train.dtype]
    on_host = train.updates_per_rollout * 28 * shard / (rates.host_update_gb_per_s * 1e9)
    return moved / (machine.host_gb_per_s * 1e9 * rates.link) + on_host


def step_seconds(
    shape: Shape,
    train: Train,
    world_size: int,
    machine: Machine,
    lengths: Lengths,
    cache_tokens: int,
    rates: Rates = RATES,
) -> StepSeconds:
    """Expected seconds of one training step, every rank doing its share of the prompts."""
    width, responses = WIDTH[train.dtype], train.prompts_per_step * train.group_size / world_size
    tokens = responses * (lengths.prompt + lengths.response)
    context = lengths.prompt + lengths.response
    flops = machine.bf16_tflops * 1e12 * rates.training_flops * (1.0 if width == 2 else 0.5)
    passes = 1 + 1 / train.displacement_every
    return StepSeconds(
        rollout=decoding_seconds(
            shape,
            width,
            machine,
            responses / train.group_size,
            responses,
            lengths,
            train.max_tokens,
            cache_tokens,
            rates,
        ),
        reward=responses / rates.verdicts_per_s,
        score=passes * tokens * forward_flops_per_token(shape, context) / flops,
        update=tokens * training_flops_per_token(shape, train, context) / flops
        + communication_seconds(shape, train, world_size, machine, rates)
        + offload_seconds(shape, train, world_size, machine, rates),
        sync=rates.sync_s_per_gb * width * shape.parameters / 1e9,
    )
