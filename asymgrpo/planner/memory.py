"""Peak memory per GPU, from formulas alone; docs/planner.md derives each and says how far measurements are from it.

All sizes are bytes. `width` is bytes per number of the training dtype: 4 for float32, 2 for bfloat16. Tokens are those of one
micro-batch, padding included.
"""

from __future__ import annotations

from dataclasses import dataclass

from asymgrpo.planner.shapes import Shape
from asymgrpo.planner.state import WIDTH, State, state
from asymgrpo.study.config import ConfigError
from asymgrpo.study.limits import MAX_SEQUENCES
from asymgrpo.study.sections.train import Train

RUNTIME = 4_000_000_000
"""CUDA context, NCCL buffers, cuBLAS workspaces and what the allocator cannot use. Assumed, not measured."""
VLLM_FIXED = 2_300_000_000
"""vLLM's activations and CUDA graphs, inside its share of the memory. Assumed, not measured."""
VLLM_ASLEEP = 1_500_000_000
"""What vLLM keeps while it sleeps (CUDA graphs, buffers). Assumed, not measured."""


def vllm_overhead(shape: Shape, width: int) -> int:
    """What vLLM takes of its share beside weights, keys and values: fixed parts, and the sampler's rows of a whole vocabulary
    (logits, float32 logits, log-probabilities, probabilities, random numbers) for as many sequences as are decoded together.
    """
    return VLLM_FIXED + MAX_SEQUENCES * shape.vocab_size * (width + 16)


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


def saved_per_token(shape: Shape, width: int) -> int:
    """What one layer keeps for its backward pass, bytes per token, with attention that never builds the [T, T] matrix."""
    h, q, kv = shape.hidden_size, shape.q, shape.kv
    norms = 2 * (4 + 2 * width) * h  # each: input in float32, normalised, output
    qk_norms = (4 + width) * (q + kv) * shape.qk_norm
    attention = 2 * width * (q + kv) + 4 * shape.heads  # queries, keys, values, output; one log-sum per head
    mlp = 4 * width * shape.intermediate_size  # gate, its activation, up, their product
    return norms + qk_norms + attention + mlp


def logits(shape: Shape, train: Train, rows: int) -> int:
    """Peak of the output layer over `rows` response tokens at once.

    Forward: logits, a float32 copy if they are not that or are scaled by a temperature, log-probabilities, and exponentials for
    the entropy. Backward: the gradient of the logits in float32 and in the model's dtype, and the output layer's own. With chunks
    the output layer's sum over those so far is there in both.
    """
    width, chunked = WIDTH[train.dtype], train.logits_chunk is not None
    made = 4 if width == 4 or train.head_dtype == "float32" else width
    forward = made + 4 * (made != 4 or train.temperature != 1) + 8
    backward = 4 + width * (width != 4)
    numbers = min(rows, train.logits_chunk or rows) * shape.vocab_size
    head = width * shape.head_parameters
    return max(numbers * forward + head * chunked, numbers * backward + head * (1 + chunked))


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
    """The whole share, 0 when rollouts are made by the torch sampler."""
    cache_tokens: int
    """Tokens of all sequences being sampled at once; with the torch sampler, what the rest of the memory holds."""
    capacity: int

    @property
    def components(self) -> dict[str, tuple[int, str]]:
        """Name -> bytes, and the phases of a step in which they are there."""
        s, a = self.state, self.activations
        always, training, backward = "rollout logits layers update", "logits layers update", "logits layers"
        return {
            "parameters": (s.parameters, always),
            "optimizer (moments, float32 weights)": (s.optimizer, always),
            "sum of gradients": (s.gradients, backward),
            "copies while gradients are reduced": (s.reducing, "layers"),
            "DeepSpeed's reduction buffer": (s.buffers, backward),
            "activations kept": (a.kept, backward),
            "final norm": (a.final_norm, "logits"),
            "logits": (a.logits, "logits"),
            "one layer's backward pass": (max(a.layer, s.largest), "layers"),
            "gradients and temporaries of the update": (s.update, "update"),
            "vLLM's weights": (self.vllm_weights, "rollout"),
            "vLLM's keys and values": (self.vllm_cache, "rollout"),
            "vLLM's own": (max(0, self.vllm - self.vllm_weights - self.vllm_cache), "rollout"),
            "vLLM asleep": (VLLM_ASLEEP if self.vllm else 0, training),
            "runtime": (RUNTIME, always),
        }

    @property
    def phases(self) -> dict[str, int]:
        """Bytes alive at once in each phase of a step, the runtime's own included."""
        return {phase: sum(size for _, size in self.alive(phase)) for phase in REMEDIES}

    def alive(self, phase: str) -> list[tuple[str, int]]:
        """Components of a phase and their bytes, largest first."""
        found = [(name, size) for name, (size, phases) in self.components.items() if size and phase in phases.split()]
        return sorted(found, key=lambda component: -component[1])


def training_peak(shape: Shape, train: Train, batch: MicroBatch, world_size: int) -> int:
    """Bytes of tensors at the peak of a training step of two or more micro-batches, without runtime and vLLM."""
    s = state(shape, train, world_size)
    a = activations(shape, train, batch)
    backward = s.gradients + s.buffers + max(a.at_logits, s.reducing + max(a.at_layer, a.kept + s.largest))
    return s.parameters + s.optimizer + max(backward, s.update)


def micro_batches_at_worst(train: Train) -> list[tuple[MicroBatch, bool]]:
    """The largest micro-batches that the configuration allows, and whether their layers are checkpointed: full prompts, responses
    cut at max_tokens; and the largest that keeps its activations (train.recompute_above).
    """
    longest = train.max_prompt_tokens + train.max_tokens
    budget = train.micro_batch_tokens
    whole = MicroBatch(train.micro_batch, longest, train.max_tokens)
    if budget is not None:
        whole = MicroBatch(1, longest, train.max_tokens) if budget < longest else MicroBatch(1, budget, budget)
    limit = min(train.recompute_above, whole.all_tokens)
    if not train.gradient_checkpointing or not limit:
        return [(whole, train.gradient_checkpointing)]
    kept = MicroBatch(1, limit, limit)
    return [(kept, False)] if limit == whole.all_tokens else [(whole, True), (kept, False)]


def memory(shape: Shape, train: Train, capacity: int, world_size: int) -> Memory:
    """At the largest micro-batch that the configuration allows."""
    found = max(
        (
            activations(shape, train.model_copy(update={"gradient_checkpointing": again}), batch)
            for batch, again in micro_batches_at_worst(train)
        ),
        key=lambda a: a.peak,
    )
    s, width = state(shape, train, world_size), WIDTH[train.dtype]
    if train.rollout_engine == "vllm":
        share, weights = int(train.engine_memory_fraction * capacity), width * shape.parameters
        cache = max(0, share - weights - vllm_overhead(shape, width))
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
            parts = ", ".join(f"{component} {size / 1e9:.1f}" for component, size in found.alive(phase)[:4])
            problems.append(
                f"planner: {name} needs {needed / 1e9:.1f} GB per GPU during {phase}, which has {found.capacity / 1e9:.0f} GB; "
                f"the most is taken by {parts}. What helps: {REMEDIES[phase]}"
            )
    if found.cache_tokens < longest:
        beside = f" beside its weights of {found.vllm_weights / 1e9:.1f} GB" if found.vllm else ""
        problems.append(
            f"planner: {name} leaves rollouts room for the keys and values of {found.cache_tokens} tokens{beside}, less than one "
            f"sequence of {longest}; raise train.engine_memory_fraction (vllm) or shorten the sequences."
        )
    if problems:
        raise ConfigError("\n".join(problems))


REMEDIES = {
    "rollout": "lower train.engine_memory_fraction, shard more (zero_stage, more ranks) or set train.offload.",
    "logits": "lower train.logits_chunk or train.micro_batch, shard more or set train.offload.",
    "layers": "lower train.micro_batch, set train.gradient_checkpointing, shard more or set train.offload.",
    "update": "raise train.zero_stage, use more ranks or set train.offload.",
}
"""What to change when a phase of a step does not fit."""
