"""Run as a process: real training steps of small random models on the CPU -> peak bytes of live tensors, as JSON.

The allocator's own events are summed, so the number is exact and does not depend on what else the process holds.
"""

import json
import sys

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from asymgrpo.method.arms import get_arm
from asymgrpo.method.objective import loss_terms
from asymgrpo.method.reduce import reduce
from asymgrpo.rollout import Rollout
from asymgrpo.training.batch import pack
from asymgrpo.training.policy import Policy

PROMPT = 8


def batch_of(sequences: int, tokens: int, vocabulary: int):
    """Random rollouts, all of the same length: the planner's micro-batch."""
    ids = torch.randint(0, vocabulary, (sequences, tokens + 1)).tolist()
    response = tokens + 1 - PROMPT
    return pack(
        [Rollout(tuple(r[:PROMPT]), tuple(r[PROMPT:]), (0.0,) * response, "stop", i) for i, r in enumerate(ids)]
    )


def update(policy, optimizer, micro_batches, arm) -> None:
    """One optimizer update, as Trainer.update does it, with the loss's own terms."""
    total = sum(int(b.mask.sum()) for b in micro_batches)
    for b in micro_batches:
        part = b.rows(torch.arange(len(b)))
        logp, entropy = policy(part)
        per_token, _ = loss_terms(
            arm, logp, logp.detach(), torch.ones_like(logp), entropy, entropy_coef=arm.entropy_coef
        )
        loss = reduce(per_token, part.mask, "token", n_tokens=total, n_sequences=1, max_tokens=1)
        loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def peak_of(events) -> int:
    """Highest running sum of allocations and releases."""
    live = peak = 0
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


def measure(request: dict) -> dict[str, int]:
    """Peak over one update of two micro-batches, and what stands before it: parameters and optimizer state."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**request["config"]), dtype=request["dtype"])
    if request["checkpointing"]:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()  # transformers checkpoints nothing in evaluation mode
    policy = Policy(model, request["temperature"], request["logits_chunk"])
    policy.packs = False  # a GPU, which is what is planned for, computes the layers of transformers on padded rows
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-6)
    arm = get_arm(request["arm"])
    parts = [batch_of(request["sequences"], request["tokens"], model.config.vocab_size) for _ in range(2)]
    update(policy, optimizer, parts, arm)  # makes the optimizer's state
    held = [*policy.parameters(), *(t for s in optimizer.state.values() for t in s.values())]
    standing = sum(t.numel() * t.element_size() for t in held)
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        update(policy, optimizer, parts, arm)
    return {"peak": standing + peak_of(profile.kineto_results.events()), "standing": standing}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps([measure(request) for request in json.loads(sys.argv[1])]))
