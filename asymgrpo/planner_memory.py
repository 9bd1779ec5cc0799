"""Peak memory per GPU, from formulas alone; docs/planner.md derives each and says how far measurements are from it.

All sizes are bytes. `width` is bytes per number of the training dtype: 4 for float32, 2 for bfloat16. Tokens are those of one
micro-batch, padding included.
"""

from __future__ import annotations

from dataclasses import dataclass

from asymgrpo.config import ConfigError, Train
from asymgrpo.planner_shapes import Shape

WIDTH = {"float32": 4, "bfloat16": 2}
BUCKET = 500_000_000
"""Numbers in one of DeepSpeed's reduction buffers, allocated whole in stages 1 to 3 (its default reduce_bucket_size)."""
LIVE_PARAMETERS = 1_000_000_000
"""Numbers that ZeRO-3 keeps gathered (its default stage3_max_live_parameters)."""
RUNTIME = 4_000_000_000
"""CUDA context, NCCL buffers, cuBLAS workspaces and what the allocator cannot use. Assumed, not measured."""
VLLM_OVERHEAD = 3_000_000_000
"""vLLM's activations and CUDA graphs, inside its share of the memory. Assumed, not measured."""
VLLM_ASLEEP = 1_500_000_000
"""What vLLM keeps while it sleeps (CUDA graphs, buffers). Assumed, not measured."""


@dataclass(frozen=True)
class MicroBatch:
    """Sequences of one forward and backward pass, all padded to the same lengths."""

    sequences: int
    tokens: int
    """Per sequence, prompt and response."""
    response: int
    """Of these, tokens of the response."""

    @property
    def all_tokens(self) -> int:
        return self.sequences * self.tokens

    @property
    def response_tokens(self) -> int:
        return self.sequences * self.response


@dataclass(frozen=True)
class State:
    """Per GPU, whatever the batch."""

    parameters: int
    """In the training dtype; under ZeRO-3 the shard and what is gathered at once."""
    optimizer: int
    """AdamW's two moments and the float32 master weights."""
    gradients: int
    """Accumulated over micro-batches, this micro-batch's own included where it is apart."""
    buffers: int
    """DeepSpeed's reduction buffer, during the backward pass."""
    update: int
    """During the optimizer's step, in place of the two above: gradients in float32 and AdamW's temporaries."""
    host: int
    """In host memory, at the peak of the optimizer's step."""


def state(shape: Shape, train: Train, world_size: int) -> State:
    """Parameters, gradients and optimizer under ZeRO 0 to 3, with or without offload.

    >>> from asymgrpo.planner_shapes import SHAPES
    >>> train = Train.model_construct(dtype="bfloat16", zero_stage=2, offload=False)
    >>> state(SHAPES["Qwen/Qwen3-4B"], train, 4).optimizer // 10**9
    12
    """
    n, width, stage, largest = shape.parameters, WIDTH[train.dtype], train.zero_stage, shape.head_parameters
    shard = -(-n // world_size)
    copy = 4 * n if width < 4 else 0  # float32 beside the training dtype
    if stage == 0:
        reduced = width * min(n, BUCKET)  # gradients are copied into one flat buffer
        return State(width * n, copy + 8 * n, width * n, 0, width * n + max(copy + 8 * largest, reduced), 0)
    parameters = width * n if stage < 3 else width * (shard + min(n, LIVE_PARAMETERS))
    buffers, summed = width * BUCKET, 8 * shard  # the sum of gradients in float32, and this micro-batch's share of it
    if train.offload:
        passing = 4 * largest  # the largest gradient on its way to the host
        # Weights, moments, gradients in float32, weights in the training dtype, temporaries; from stage 2 on the gradients' sum.
        host = (16 + width + 8 + (4 if stage > 1 else 0)) * shard
        if stage > 1:
            return State(parameters, 0, passing, buffers, passing, host)
        kept = 4 * n + (width * n if width < 4 else 0)  # summed in float32 here, beside those in the training dtype
        return State(parameters, 0, kept + passing, 4 * BUCKET, 4 * n + passing, host)
    if stage > 1:
        return State(parameters, 12 * shard, summed, buffers, 12 * shard, 0)
    if width == 4:
        return State(parameters, 12 * shard, 4 * n, buffers, 12 * shard, 0)
    # BF16_Optimizer: no shard of the gradients, both dtypes of them, and a copy while they are reduced.
    both = (4 + width) * n
    return State(parameters, 12 * shard, both, 0, both + 4 * min(n, BUCKET) + 4 * shard, 0)


def saved_per_token(shape: Shape, width: int) -> int:
    """What one layer keeps for its backward pass, bytes per token, with attention that never builds the [T, T] matrix."""
    h, q, kv = shape.hidden_size, shape.q, shape.kv
    norms = 2 * (4 + 2 * width) * h  # each: input in float32, normalised, output
    qk_norms = (4 + width) * (q + kv) * shape.qk_norm
    attention = 2 * width * (q + kv) + 4 * shape.heads  # queries, keys, values, output; one log-sum per head
    mlp = 4 * width * shape.intermediate_size  # gate, its activation, up, their product
    return norms + qk_norms + attention + mlp


def logits(shape: Shape, train: Train, rows: int) -> int:
    """Peak of the output layer over `rows` response tokens at once: logits, a float32 copy scaled by the temperature,
    log-probabilities, and the exponentials for the entropy; with chunks also the output layer's gradient on its way.
    """
    width = WIDTH[train.dtype]
    copied = 4 if width != 4 or train.temperature != 1 else 0
    per_number = width + copied + 8
    if train.logits_chunk is None:
        return rows * shape.vocab_size * per_number
    chunks = min(rows, train.logits_chunk) * shape.vocab_size * per_number
    return chunks + 2 * width * shape.head_parameters  # the sum over chunks so far, and this chunk's own


@dataclass(frozen=True)
class Activations:
    """What forward and backward add to the state, by the moment at which it exists."""

    kept: int
    """From the forward pass: each layer's input with checkpointing, all that its backward pass needs without."""
    final_norm: int
    """Kept by the norm after the last layer, and the hidden states picked from it."""
    logits: int
    layer: int
    """One layer rebuilt (with checkpointing) and the gradients that pass through it."""

    @property
    def at_logits(self) -> int:
        return self.kept + self.final_norm + self.logits

    @property
    def at_layer(self) -> int:
        return self.kept + self.layer

    @property
    def peak(self) -> int:
        """The logits are gone before the first layer is rebuilt."""
        return max(self.at_logits, self.at_layer)


def activations(shape: Shape, train: Train, batch: MicroBatch) -> Activations:
    """Of one micro-batch under `train.gradient_checkpointing` and `train.logits_chunk`."""
    width, n, h = WIDTH[train.dtype], batch.all_tokens, shape.hidden_size
    saved = saved_per_token(shape, width) * n
    passing = 2 * width * (shape.intermediate_size + h) * n  # two gradients of the MLP's width, two of the residual's
    if train.gradient_checkpointing:
        kept, layer = width * h * n * shape.layers, saved + passing
    else:
        kept, layer = saved * shape.layers, passing
    final_norm = (4 + 2 * width) * h * n + width * h * batch.response_tokens
    return Activations(kept, final_norm, logits(shape, train, batch.response_tokens), layer)


def kv_bytes_per_token(shape: Shape, width: int) -> int:
    """Keys and values of all layers."""
    return 2 * shape.layers * shape.kv * width


@dataclass(frozen=True)
class Memory:
    """Peak per GPU by component, and which of them live in which phase."""

    state: State
    activations: Activations
    vllm_weights: int
    vllm_cache: int
    """Keys and values of the sequences being sampled: what is left of vLLM's share."""
    vllm: int
    """The whole share, 0 when rollouts are made by the torch engine."""
    cache_tokens: int
    """Tokens of all sequences being sampled at once; with the torch engine, what the rest of the memory holds."""
    capacity: int

    @property
    def phases(self) -> dict[str, int]:
        """Bytes alive at once in each phase of a step, the runtime's own included."""
        s = self.state
        sampling = RUNTIME + s.parameters + s.optimizer + self.vllm
        training = RUNTIME + s.parameters + s.optimizer + (VLLM_ASLEEP if self.vllm else 0)
        backward = training + s.gradients + s.buffers
        return {
            "rollout": sampling,
            "logits": backward + self.activations.at_logits,
            "layers": backward + self.activations.at_layer,
            "update": training + s.update,
        }


def training_peak(shape: Shape, train: Train, batch: MicroBatch, world_size: int) -> int:
    """Bytes of tensors at the peak of a training step of two or more micro-batches, without runtime and vLLM."""
    s = state(shape, train, world_size)
    backward = s.gradients + s.buffers + activations(shape, train, batch).peak
    return s.parameters + s.optimizer + max(backward, s.update)


def memory(shape: Shape, train: Train, capacity: int, world_size: int) -> Memory:
    """The longest micro-batch that the configuration allows: full prompts, responses cut at max_tokens."""
    longest = train.max_prompt_tokens + train.max_tokens
    batch = MicroBatch(train.micro_batch, longest, train.max_tokens)
    found = activations(shape, train, batch)
    s, width = state(shape, train, world_size), WIDTH[train.dtype]
    if train.rollout_engine == "vllm":
        share, weights = int(train.engine_memory_fraction * capacity), width * shape.parameters
        cache = max(0, share - weights - VLLM_OVERHEAD)
    else:
        share = weights = 0
        cache = max(0, capacity - RUNTIME - s.parameters - s.optimizer)
    tokens = cache // kv_bytes_per_token(shape, width)
    return Memory(s, found, weights, cache if share else 0, share, tokens, capacity)


def refuse(name: str, shape: Shape, train: Train, found: Memory) -> None:
    """Raise ConfigError, one sentence per reason, when the plan cannot run on the machine."""
    longest, problems = train.max_prompt_tokens + train.max_tokens, []
    if longest > shape.max_positions:
        problems.append(
            f"planner: {name} was made for {shape.max_positions} tokens, but train.max_prompt_tokens + train.max_tokens = "
            f"{longest}; lower one of them."
        )
    for phase, needed in found.phases.items():
        if needed > found.capacity:
            problems.append(
                f"planner: {name} needs {needed / 1e9:.1f} GB per GPU during {phase}, which has {found.capacity / 1e9:.0f} GB; "
                + REMEDIES[phase]
            )
    if found.cache_tokens < longest:
        problems.append(
            f"planner: {name} leaves rollouts room for {found.cache_tokens} tokens, less than one sequence of {longest}; raise "
            "train.engine_memory_fraction (vllm) or shorten the sequences."
        )
    if problems:
        raise ConfigError("\n".join(problems))


REMEDIES = {
    "rollout": "lower train.engine_memory_fraction, shard more (zero_stage, more ranks) or set train.offload.",
    "logits": "lower train.logits_chunk or train.micro_batch, shard more or set train.offload.",
    "layers": "lower train.micro_batch, set train.gradient_checkpointing, shard more or set train.offload.",
    "update": "raise train.zero_stage, use more ranks or set train.offload.",
}
