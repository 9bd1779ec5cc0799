"""G: whole steps of the trainer with vLLM; stale weights against the gate; seconds of an iteration and of new weights."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch
from accept_models import config_of, device_of, engine_of, named, random_model, settings, swap, synchronise
from accept_options import Options
from accept_report import Report
from accept_vllm import EOS, describe, dtype_of, need_vllm, requests_of, start_sampler, used_bytes

from asymgrpo.method.arms import ARMS
from asymgrpo.planner.shapes import shape_from_config
from asymgrpo.planner.time import RATES, Lengths, decoding_seconds, gpu_kind_of
from asymgrpo.study.sections.train import Train
from asymgrpo.training.stopwatch import Stopwatch

ERROR = 1.02
"""Largest token_mult_prob_error of a step, and the gate that a stale sampler must fail at."""
STEPS = 3


def run(options: Options, report: Report) -> None:
    trainer = sampler = None
    with report.section("start") as found:
        need_vllm()
        start = time.perf_counter()
        trainer = make_trainer(options)
        found |= {"start_s": time.perf_counter() - start, "used_gb": used_bytes(options) / 1e9}
    if trainer is None:
        return
    with report.section("configuration") as found:
        found |= describe(trainer.sampler)
    sampler = trainer.sampler
    plant(options, trainer)
    with report.section("steps") as found:
        for number in range(1, STEPS + 1):
            found[number] = take_step(options, trainer, number, report)
    with report.section("sync") as found:
        time_sync(options, trainer, report, found)
    with report.section("iterations") as found:
        time_iterations(options, sampler, report, found)
    with report.section("gate") as found:
        stop_at_the_gate(options, trainer, report, found)


def train_section(options: Options) -> Train:
    size = options.sizes
    return settings(
        dtype=dtype_of(options),
        zero_stage=2,
        rollout_engine="vllm",
        prompts_per_step=size.prompts,
        group_size=size.prompts,
        micro_batch=size.prompts,
        max_prompt_tokens=size.prompt_tokens,
        max_tokens=size.response_tokens,
        logits_chunk=size.chunk,
        head_dtype=options.head_dtype,
        displacement_every=1,
        learning_rate=1e-6,
        mismatch_gate=None,  # measured here, and judged after the step
        importance_cap=2.0,
    )


def make_trainer(options: Options) -> Any:
    """As asymgrpo.training.build makes it, on a random model and with a rule on tokens for a verifier."""
    from asymgrpo.training.trainer import Problem, Trainer
    from tests.helpers.tiny_trainer import even_wins

    train = train_section(options)
    engine = engine_of(options, train, config_of(options.sizes.shape), train.prompts_per_step)
    sampler = start_sampler(options, engine.weights())
    prompts = [request.prompt_ids for request in requests_of(options, 1, prompts=4 * train.prompts_per_step)]
    problems = [Problem(f"p{i}", ids, "0") for i, ids in enumerate(prompts)]
    assert sampler.eos_ids == sorted(EOS)
    return Trainer(ARMS["asymgrpo"], train, engine, sampler, even_wins, problems, run_seed=0)


def take_step(options: Options, trainer: Any, number: int, report: Report) -> dict[str, Any]:
    clock = Stopwatch()
    row, groups, _ = trainer.step(number, clock)
    names = ("token_mult_prob_error", "gap_mean", "gap_p999", "gap_max", "kl_k3", "loss", "grad_norm", "entropy")
    told = {name: row[name] for name in names}
    told["tokens"] = sum(len(rollout.response_ids) for group in groups for rollout in group)
    told |= {
        "seconds": {name: round(s, 3) for name, s in clock.seconds.items() if s},
        "used_gb": used_bytes(options) / 1e9,
    }
    if options.device == "cuda":
        told["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
    report.at_most(f"step {number}: token_mult_prob_error", told["token_mult_prob_error"], ERROR)
    return told


def time_sync(options: Options, trainer: Any, report: Report, found: dict[str, Any]) -> None:
    """New weights for the sampler, with and without a comparison of checksums."""
    sampler = trainer.sampler
    size = sum(weight.numel() * weight.element_size() for _, weight in trainer.engine.weights()) / 1e9
    found["gb"] = size
    for name, every in (("verified", 1), ("plain", 0)):
        sampler.verify_every = every
        seconds = []
        for _ in range(3):
            synchronise(options)
            start = time.perf_counter()
            sampler.update_weights(trainer.engine.weights())
            synchronise(options)
            seconds.append(time.perf_counter() - start)
        found[f"{name}_s"] = min(seconds)
    if options.device == "cuda":
        report.rate("sync_s_per_gb", found["plain_s"] / size)


def time_iterations(options: Options, sampler: Any, report: Report, found: dict[str, Any]) -> None:
    """One token of every running sequence; responses of equal length, none stops by itself."""
    from part_speed import kind_of

    size, kind = options.sizes, kind_of(options)
    shape = shape_from_config(config_of(size.shape).to_dict())
    ends, sampler.eos_ids = sampler.eos_ids, []
    sampler.wake()
    try:
        for sequences in size.sequences:
            seconds = {}
            for tokens in (size.iterations // 4, size.iterations):
                requests = requests_of(options, 1, first_seed=tokens, prompts=sequences)
                start = time.perf_counter()
                sampler.generate(requests, 1.0, 1.0, tokens)
                seconds[tokens] = time.perf_counter() - start
            short, long = seconds.values()
            found[f"{sequences} sequences"] = told = {
                "iteration_s": (long - short) / (size.iterations - size.iterations // 4),
                "tokens_per_s": sequences * size.iterations / long,
            }
            if kind is not None:
                lengths = Lengths(size.prompt_tokens, size.iterations)
                rest = decoding_seconds(
                    shape=shape,
                    width=2,
                    gpu_kind=gpu_kind_of(kind),
                    prompts=sequences,
                    responses=sequences,
                    lengths=lengths,
                    longest=size.iterations,
                    cache_tokens=10**9,
                    rates=replace(RATES, decoding_iteration_s=0.0),
                )
                told["decoding_iteration_s"] = max(1e-4, (long - rest) / size.iterations)
                report.rate("decoding_iteration_s", told["decoding_iteration_s"])  # of the last: most sequences
    finally:
        sampler.eos_ids = ends


def stop_at_the_gate(options: Options, trainer: Any, report: Report, found: dict[str, Any]) -> None:
    """A sampler that has other weights than the trainer must end the step before anything is updated."""
    from asymgrpo.training.trainer import MismatchError

    other = random_model(config_of(options.sizes.shape), device_of(options), getattr(torch, dtype_of(options)), seed=1)
    trainer.sampler.verify_every = 1
    trainer.sampler.update_weights(named(other))
    trainer.train = trainer.train.model_copy(update={"mismatch_gate": ERROR})
    updates = trainer.engine.updates
    try:
        trainer.step(STEPS + 1, Stopwatch())
    except MismatchError as error:
        found["said"] = str(error)[:200]
    else:
        report.require(False, "a sampler with other weights than the trainer's passed the gate")
    report.require(trainer.engine.updates == updates, "the gate came after an update")


def plant(options: Options, trainer: Any) -> None:
    """The faults that this part must notice."""
    if "stale" in options.faults:
        old = random_model(
            config_of(options.sizes.shape), device_of(options), getattr(torch, dtype_of(options)), seed=1
        )
        swap(trainer.sampler, "update_weights", lambda method: lambda weights: method(named(old)))
    if "nan" in options.faults:
        calls = []

        def spoilt(method: Any) -> Any:
            def generate(*arguments: Any) -> Any:
                groups = method(*arguments)
                calls.append(1)
                if len(calls) == STEPS:
                    first = groups[0][0]
                    groups[0][0] = replace(first, logprobs=(float("nan"), *first.logprobs[1:]))
                return groups

            return generate

        swap(trainer.sampler, "generate", spoilt)
