"""`train`: everything about training that all arms share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from asymgrpo.section import Fraction, Positive, Section

NO_EFFECT_ON_RESULTS = (
    "checkpoint_every",
    "keep_checkpoints",
    "candidates",
    "verify_weights_every",
    "nodes",
    "ranks_per_node",
    "recompute_above",
)
"""Fields of `train` that results do not depend on: changing one trains nothing again, and a resumed run takes the new value (but
for its number of ranks, asymgrpo.training.checkpoint)."""


class Train(Section):
    """Everything about training that all arms share; what differs between arms is in asymgrpo.method.arms."""

    steps: Positive
    """Rollout batches, not optimizer updates."""
    token_budget: Positive | None = None
    """Response tokens that a run may sample, those of groups that dynamic sampling throws away included: the step that reaches
    the sum is its last. All arms of a study have the same; null: only `steps` ends a run."""
    prompts_per_step: Positive
    """Prompts of one rollout batch; the batch has prompts_per_step x group_size responses."""
    group_size: Annotated[int, Field(ge=2)]
    """G: rollouts per prompt."""
    updates_per_rollout: Positive
    """Optimizer updates per rollout batch; with 1 the ratio is always 1 and clipping never acts."""
    learning_rate: Annotated[float, Field(gt=0, le=1e30)]
    """Of AdamW, constant after warm-up. Above 1e30 Adam's first step, which divides it by 1 - beta1, has no number in float32."""
    warmup_updates: Annotated[int, Field(ge=0)]
    """Optimizer updates before the learning rate is reached: update i takes i / (warmup_updates + 1) of it. 0: no warm-up."""
    adam_beta1: Annotated[float, Field(ge=0, lt=1)]
    """Decay per update of AdamW's mean of gradients."""
    adam_beta2: Annotated[float, Field(ge=0, lt=1)]
    """Decay per update of AdamW's mean of squared gradients."""
    adam_eps: Annotated[float, Field(gt=0)]
    """Added to the square root of AdamW's mean of squared gradients, after bias correction."""
    weight_decay: Annotated[float, Field(ge=0)]
    """Decoupled, as in AdamW: each update shrinks weights by learning_rate x weight_decay."""
    max_grad_norm: Annotated[float, Field(gt=0)]
    """Global L2 norm at which the gradient of one update is clipped."""
    temperature: Annotated[float, Field(gt=0)]
    """Of sampling; log-probabilities, ratios and entropies are all taken at this temperature."""
    top_p: float
    """Must be 1: a truncated distribution biases the ratio by the mass it drops."""
    max_prompt_tokens: Positive
    """Cap on prompt tokens, chat template included; problems of the training set with longer prompts are left out."""
    max_tokens: Positive
    """Cap on response tokens, the end token included; also the constant L of Dr.GRPO."""
    truncated: Literal["zero", "mask"]
    """A response cut at max_tokens: its reward is 0. `zero` trains on its tokens, `mask` on none of them; it counts in its group
    either way."""
    importance_cap: Annotated[float, Field(gt=1)] | None
    """Cap of the truncated importance weight pi_trainer / pi_sampler; null turns the correction off. Same for all arms."""
    mismatch_gate: Annotated[float, Field(gt=1)] | None
    """Stop when the mean over tokens of exp|log pi_trainer - log pi_sampler| exceeds this; null only measures."""
    rollout_engine: Literal["torch", "vllm"]
    """What generates the responses that are trained on: torch (our own decoding, no further install) or vllm."""
    engine_memory_fraction: Fraction = 0.35
    """Share of a GPU's memory, from 0 to 1, that vLLM may take for weights and cache (ignored by the torch sampler)."""
    micro_batch: Positive
    """Sequences per forward and backward pass on one rank."""
    logits_chunk: Positive | None
    """Tokens per slice of the [tokens, vocabulary] logits, recomputed in the backward pass; null computes them at once."""
    micro_batch_tokens: Positive | None = None
    """Most tokens of one pass, padding included: sequences of similar length fill micro-batches up to it, and `micro_batch` is
    ignored; null takes `micro_batch` sequences a pass."""
    gradient_checkpointing: bool
    """Recompute each layer's activations in the backward pass: less memory, one more forward pass."""
    recompute_above: Annotated[int, Field(ge=0)] = 0
    """With gradient_checkpointing: a pass over at most this many tokens, padding included, keeps its activations instead."""
    dtype: Literal["float32", "bfloat16"]
    """Of forward and backward; master weights and optimizer state are float32 in either case."""
    head_dtype: Literal["float32", "model"] = "float32"
    """Of the logits, in trainer and sampler alike: float32 sums of the products of the output layer, whatever `dtype` is, or
    `dtype` itself (`model`): a logit of 16 to 32 then moves in steps of 0.125 in bfloat16."""
    zero_stage: Annotated[int, Field(ge=0, le=3)]
    """What DeepSpeed shards over ranks: 0 nothing, 1 optimizer state, 2 gradients too, 3 weights too."""
    offload: bool
    """Keep optimizer state in host memory (ZeRO 1 to 3)."""
    nodes: Positive
    """Machines of one training job."""
    ranks_per_node: Positive
    """Processes per node, one GPU each; 1 on CPU."""
    evaluate_every: Positive
    """Steps between candidates for checkpoint selection; also the last step is one."""
    evaluate_samples: Positive
    """Samples per problem in that evaluation."""
    evaluate_temperature: Annotated[float, Field(ge=0)]
    """Sampling temperature of that evaluation; 0 is greedy decoding."""
    evaluate_max_tokens: Positive
    """Cap on response tokens of that evaluation, the end token included."""
    checkpoint_every: Positive
    """Steps between resumable checkpoints: the most that a killed run loses."""
    keep_checkpoints: Annotated[int, Field(ge=1)]
    """Newest resumable checkpoints kept on disk; older ones are deleted."""
    displacement_every: Positive
    """Steps between measurements of log-probability changes across the updates (one more forward pass each)."""
    rollouts_every: Positive
    """Steps between stored rollout batches, for reading."""
    candidates: Literal["all", "selectable"]
    """Models kept on disk: `all` candidates, or those that a selection rule can still choose (best so far on a set, newest)."""
    verify_weights_every: Positive | None
    """Steps between comparisons of checksums of the trainer's and the sampler's weights; null compares none."""

    @property
    def world_size(self) -> int:
        return self.nodes * self.ranks_per_node


def indivisible(train: Train, where: str) -> list[str]:
    """Sentences about sizes that do not divide over updates, ranks and micro-batches; `where` names the section in them."""
    shares = train.updates_per_rollout * train.world_size
    per_update = train.prompts_per_step * train.group_size // shares
    if train.prompts_per_step % shares:
        return [
            f"config: {where}.prompts_per_step = {train.prompts_per_step} does not divide into {train.updates_per_rollout} "
            f"updates on {train.world_size} ranks; make it a multiple of {shares} or change nodes, ranks_per_node or "
            "updates_per_rollout."
        ]
    if train.micro_batch_tokens is None and per_update % train.micro_batch:
        return [
            f"config: {where}.micro_batch = {train.micro_batch} does not divide the {per_update} sequences of one update on one "
            "rank; choose a divisor."
        ]
    return []
