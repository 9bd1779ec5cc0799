"""F: the vLLM sampler with a home that cannot be written: probabilities, greedy text, and many rounds of sleep and weights."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import torch
from accept_models import config_of, device_of, named, random_model, swap
from accept_options import Options
from accept_report import Report, release
from accept_vllm import (
    describe,
    disagreement,
    dtype_of,
    first_differences,
    flat,
    need_vllm,
    requests_of,
    start_sampler,
    used_bytes,
)

from asymgrpo.rollout import SamplerError

EMBEDDING = 3.0
"""Logits with a standard deviation of about 2: a favourite token, as in real models."""
ERROR = {"float32": 1.001, "bfloat16": 1.05}
"""Largest token_mult_prob_error. bfloat16: logits of random weights, wider than those of part G."""
NEAR_TIE = {"float32": 1e-3, "bfloat16": 0.15}
"""Nats between two tokens that rounding may exchange."""
SLACK = 0.2e9
"""Bytes by which memory may differ from one sleep to another."""


def run(options: Options, report: Report) -> None:
    model = sampler = None
    with report.section("start") as found:
        need_vllm()
        found["home"] = os.environ.get("HOME")
        dtype = getattr(torch, dtype_of(options))
        model = random_model(config_of(options.sizes.shape), device_of(options), dtype, embedding=EMBEDDING)
        start = time.perf_counter()
        sampler = start_sampler(options, named(model))
        found |= {"start_s": time.perf_counter() - start, "used_gb": used_bytes(options) / 1e9}
    if sampler is None:
        return
    with report.section("configuration") as found:
        found |= describe(sampler)
    with report.section("probabilities") as found:
        compare(options, sampler, model, report, found)
    plant(options, sampler)
    with report.section("cycles") as found:
        found["rounds"] = rounds = []
        for number in range(options.sizes.cycles):
            rounds.append(cycle(options, sampler, model, number, report))
        need_constant([one["asleep"] for one in rounds], report)
    with report.section("stale_weight") as found:
        find_stale(sampler, model, report, found)


def compare(options: Options, sampler: Any, model: Any, report: Report, found: dict[str, Any]) -> None:
    """Against transformers by log-probability, against the torch sampler by greedy text."""
    from asymgrpo.rollout.torch_sampler import TorchSampler

    size, dtype = options.sizes, dtype_of(options)
    sampled = flat(sampler.generate(requests_of(options, 4), 1.0, 1.0, size.response_tokens))
    found["sampled"] = told = disagreement(model, sampled, size.chunk, options.head_dtype)
    report.at_most("sampled tokens: token_mult_prob_error", told["token_mult_prob_error"], ERROR[dtype])
    requests = requests_of(options, 1)
    tokens = min(64, size.response_tokens)
    ours = flat(sampler.generate(requests, 0.0, 1.0, tokens))
    in_torch = TorchSampler(model.config, named(model), sampler.eos_ids, head_dtype=options.head_dtype)
    theirs = flat(in_torch.generate(requests, 0.0, 1.0, tokens))
    gaps, common = first_differences(model, ours, theirs)
    found["greedy"] = {"responses": len(ours), "part": len(gaps), "gaps": gaps, "common_tokens": common}
    for gap in gaps:
        report.at_most(
            "greedy text: nats between the two tokens where it parts from the torch sampler's", gap, NEAR_TIE[dtype]
        )
    report.at_least("greedy text: share of tokens before the two part", sum(common) / (len(ours) * tokens), 0.1)
    release()


def cycle(options: Options, sampler: Any, model: Any, number: int, report: Report) -> dict[str, Any]:
    """Sleep, new weights (which wake it and are verified), probabilities of the new weights."""
    told: dict[str, Any] = {"awake": used_bytes(options)}
    for name in ("sleep", "update", "generate"):
        start = time.perf_counter()
        if name == "sleep":
            sampler.sleep()
            told["asleep"] = used_bytes(options)
        elif name == "update":
            renew(model)
            sampler.update_weights(named(model))
        else:
            requests = requests_of(options, 2, first_seed=10_000 * number, prompts=4)
            rollouts = flat(sampler.generate(requests, 1.0, 1.0, options.sizes.response_tokens))
        told[f"{name}_s"] = round(time.perf_counter() - start, 3)
    try:
        sampler.verify(checksums(sampler, model))
    except SamplerError as error:
        report.require(False, f"round {number}: {error}")
    error = disagreement(model, rollouts, options.sizes.chunk, options.head_dtype)["token_mult_prob_error"]
    told["token_mult_prob_error"] = error
    report.at_most(f"round {number}: token_mult_prob_error", error, ERROR[dtype_of(options)])
    if options.device == "cuda":
        freed = (told["awake"] - told["asleep"]) / 1e9
        report.at_least(
            f"round {number}: GB that sleep gives back", freed, 0.5 * torch.cuda.mem_get_info()[1] / 1e9 * 0.35
        )
    return told


@torch.no_grad()
def renew(model: Any) -> None:
    """Other weights of the same distribution: every matrix turned by one row."""
    for _, weight in named(model):
        weight.copy_(weight.roll(1, 0))


def checksums(sampler: Any, model: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for _ in sampler.handed_over(named(model), found):
        pass
    return found


def need_constant(sizes: list[int], report: Report) -> None:
    """The first round is left out: libraries allocate once."""
    later = sizes[1:] or sizes
    report.at_most("GB by which memory differs from sleep to sleep", (max(later) - min(later)) / 1e9, SLACK / 1e9)


def find_stale(sampler: Any, model: Any, report: Report, found: dict[str, Any]) -> None:
    """A weight that vLLM does not have right is found by its checksum."""
    sampler.llm.collective_rpc(spoil)
    try:
        sampler.verify(checksums(sampler, model))
    except SamplerError as error:
        found["said"] = str(error)[:200]
    else:
        report.require(False, "a weight that is not the trainer's passed the comparison of checksums")


def spoil(worker: Any) -> None:
    """One number of one weight, in the memory that vLLM computes with."""
    weight = worker.model_runner.model.model.norm.weight
    weight.data[3] = weight.data[3] * 1.5 + 0.25


def plant(options: Options, sampler: Any) -> None:
    """The faults that this part must notice."""
    kept: list[Any] = []

    def leaking(method: Callable[[], None]) -> Callable[[], None]:
        def sleep() -> None:
            method()
            kept.append(torch.ones(125_000_000, device=device_of(options)))

        return sleep

    def stale(method: Callable[[Any], None]) -> Callable[[Any], None]:
        def update_weights(weights: Any) -> None:
            method(weights)
            sampler.llm.collective_rpc(spoil)

        return update_weights

    if "leak" in options.faults:
        swap(sampler, "sleep", leaking)
    if "stale" in options.faults:
        swap(sampler, "update_weights", stale)
