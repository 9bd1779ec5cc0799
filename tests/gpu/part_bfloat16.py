"""C: bfloat16 on Qwen3-0.6B's shape: chunked logits, first ratio, attention kernel, sum of gradients, checksums."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accept_models import config_of, device_of, engine_of, random_batch, random_model, settings, whole
from accept_options import Options
from accept_report import Report, release

from asymgrpo.rollout.checksum import checksum
from asymgrpo.training.batch import Batch
from asymgrpo.training.policy import Policy

PARTS = 16
"""Micro-batches whose gradients are added up."""
COSINE = 0.9999
FLOAT32_COSINE = 0.99
"""Against a model in float32, whose products are rounded otherwise: a wrong sign or scale is far below, rounding is above."""


def run(options: Options, report: Report) -> None:
    size, device = options.sizes, device_of(options)
    config = config_of(size.shape)
    prompt, vocabulary = size.tokens // 8, size.shape["vocab_size"]
    batches = [random_batch(1, size.tokens, prompt, vocabulary, seed) for seed in range(PARTS)]
    model = random_model(config, device, torch.bfloat16)
    with report.section("checksums") as found:
        compare_checksums(model, report, found)
    with report.section("chunked") as found:
        if "nan" in options.faults:
            with torch.no_grad():
                model.model.layers[-1].mlp.down_proj.weight[0, 0] = float("nan")
        compare_chunks(model, whole(batches[0], device), size.chunk // 4, report, found)
    with report.section("attention") as found:
        name_kernels(model, whole(random_batch(4, size.tokens, prompt, vocabulary), device), options, report, found)
    del model
    release()
    train = settings(
        dtype="bfloat16",
        zero_stage=2,
        micro_batch=1,
        logits_chunk=size.chunk,
        prompts_per_step=PARTS // 2,
        group_size=2,
        learning_rate=1e-30,  # the weights stay, to be compared with after the update
        max_grad_norm=1e6,
    )
    engine = engine_of(options, train, config, PARTS)
    with report.section("first_ratio") as found:
        compare_ratio(engine, [whole(batch, device) for batch in batches[:2]], report, found)
    with report.section("gradient_sum") as found:
        compare_gradients(engine, config, batches, device, report, found)


def compare_checksums(model: Any, report: Report, found: dict[str, Any]) -> None:
    """Sums of bits do not depend on where they are taken."""
    name, weight = next((n, w.detach()) for n, w in model.named_parameters() if n.endswith("down_proj.weight"))
    for dtype in (torch.bfloat16, torch.float32):
        here, there = checksum(weight.to(dtype)), checksum(weight.cpu().to(dtype))
        found[str(dtype)] = here == there
        report.require(here == there, f"checksum of {name} in {dtype} is {here} on the device and {there} on the CPU")


@torch.no_grad()
def compare_chunks(model: Any, batch: Batch, chunk: int, report: Report, found: dict[str, Any]) -> None:
    """Products of other sizes may be added in another order: a logit may move by the distance of two bfloat16 numbers."""
    parts = {n: Policy(model, 1.0, n)(batch)[0] for n in (None, chunk)}
    gap = (parts[None] - parts[chunk])[batch.mask.bool()].abs()
    hidden = model.model(input_ids=batch.input_ids[:, -64:], use_cache=False).last_hidden_state
    highest = float(model.lm_head(hidden).abs().max())
    quantum = 2.0**-7 * highest
    found |= {"gap_max": float(gap.max()), "gap_mean": float(gap.mean()), "logit_max": highest, "quantum": quantum}
    report.at_most("gap between chunked and whole logits", float(gap.max()), quantum)
    report.at_most("mean gap between chunked and whole logits", float(gap.mean()), quantum / 10)
    whole_again = Policy(model, 1.0, None)(batch)[0]
    report.require(torch.equal(whole_again, parts[None]), "the same forward pass twice gives other log-probabilities")


def name_kernels(model: Any, batch: Batch, options: Options, report: Report, found: dict[str, Any]) -> None:
    """Which attention runs, forward and backward, by the names of torch's operators."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        logp, _ = Policy(model, 1.0, options.sizes.chunk)(batch)
        logp.sum().backward()
    model.zero_grad(set_to_none=True)
    names = {event.name for event in profile.events() if "attention" in event.name.lower()}
    kinds = sorted(name for name in names if name.startswith("aten::_") and name != "aten::_fused_sdp_choice")
    found["operators"] = kinds
    fused = [name for name in kinds if any(kernel in name for kernel in ("flash", "cudnn", "efficient"))]
    report.require(any("backward" in name for name in fused), f"attention is not fused in both directions: {kinds}")


def compare_ratio(engine: Any, batches: list[Batch], report: Report, found: dict[str, Any]) -> None:
    """The old log-probabilities and those of the first update come from two passes that must agree to the bit."""
    gaps = []
    for batch in batches:
        old, entropy = engine.score(batch)
        new, other = engine.forward(batch)
        gaps += [float((new.detach() - old).abs().max()), float((other.detach() - entropy).abs().max())]
    found["gaps"] = gaps
    for gap in gaps:
        report.at_most("gap between scoring and the first update's pass", gap, 0.0)


def compare_gradients(
    engine: Any, config: Any, batches: list[Batch], device: torch.device, report: Report, found: dict
):
    """What DeepSpeed adds up over micro-batches, against the float32 sum of the same gradients one by one, and against a model
    in float32.
    """
    model = engine._policy.model
    weights = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with kept_gradient(engine) as summed:
        for batch in batches:
            engine.backward(loss_of(engine.forward(whole(batch, device))))
    found["grad_norm"] = engine.grad_norm
    for dtype, bound in ((torch.bfloat16, COSINE), (torch.float32, FLOAT32_COSINE)):
        plain = random_model(config, device, dtype)
        with torch.no_grad():
            for name, parameter in plain.named_parameters():
                parameter.copy_(weights[name])
        plain.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        plain.train()
        policy, total = Policy(plain, engine._policy.temperature, engine._policy.logits_chunk), dict[str, Any]()
        for batch in batches:
            loss_of(policy(whole(batch, device))).backward()
            for name, parameter in plain.named_parameters():
                grad = parameter.grad.float()
                total[name] = grad if name not in total else total[name].add_(grad)
                parameter.grad = None
        cosine, ratio = agreement(summed, total)
        label = str(dtype).removeprefix("torch.")
        found |= {f"cosine_{label}": cosine, f"ratio_{label}": ratio}
        report.at_least(f"cosine of the sum of gradients with that in {label}", cosine, bound)
        report.at_most(f"relative gap of the norms of the gradient and that in {label}", abs(ratio - 1), 1 - bound)
        del plain, policy, total
        release()


def loss_of(scored: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Some loss with weights of both signs, as advantages have."""
    logp, _ = scored
    signs = torch.linspace(-1.0, 1.3, logp.numel(), device=logp.device).view_as(logp)
    return -(signs * logp).sum() / logp.numel()


@contextmanager
def kept_gradient(engine: Any) -> Iterator[dict[str, torch.Tensor]]:
    """Name -> the gradient that the update is made from, taken before DeepSpeed's step."""
    from deepspeed.utils import safe_get_full_grad

    found: dict[str, torch.Tensor] = {}
    original = engine._ds.step

    def step() -> None:
        if engine._ds.is_gradient_accumulation_boundary():
            found.update((n, safe_get_full_grad(p).float().clone()) for n, p in engine._policy.model.named_parameters())
        original()

    engine._ds.step = step
    try:
        yield found
    finally:
        del engine._ds.step


def agreement(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> tuple[float, float]:
    """(cosine, ratio of norms) of two sets of tensors, as one vector each, added up in float64."""

    def dot(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
        return sum(float((a[name].double() * b[name].double()).sum()) for name in a)

    mixed, left, right = dot(one, other), dot(one, one), dot(other, other)
    return mixed / (left * right) ** 0.5, (left / right) ** 0.5
