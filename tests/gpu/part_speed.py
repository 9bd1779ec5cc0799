"""E: tokens per second of scoring and of updates, as shares of the card's nameplate by the planner's own formulas; AdamW."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from accept_models import config_of, device_of, engine_of, random_batch, settings, swap, synchronise, whole
from accept_options import Options
from accept_report import Report, release

from asymgrpo.planner.shapes import shape_from_config
from asymgrpo.planner.time import RATES, forward_flops_per_token, gpu_kind_of, training_flops_per_token

KINDS = {"H200": "h200-141gb", "H100": "h100-80gb", "L40S": "l40s-48gb"}
"""Part of a card's name -> its name in gpu_kinds.yaml."""
LEAST = 0.6
"""Of the planner's rate."""
LEAST_ON_CPU = 0.08
"""Of what one large matrix product reaches: there is no nameplate."""
MOST_APART = 4.0
"""Scoring and update do the same products: operations per second of one over those of the other."""
REPEATS = 2


def run(options: Options, report: Report) -> None:
    with report.section("products") as found:
        found["gemm_tflops"] = gemm = products(options)
        kind = kind_of(options)
        found["kind"] = kind
        nameplate = gpu_kind_of(kind).bf16_tflops if kind else gemm
        found["nameplate_tflops"] = nameplate
    with report.section("training") as found:
        measure(options, nameplate, report, found)
    with report.section("adamw") as found:
        for name, choice in {"default": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}.items():
            found[name] = adamw_seconds(options, choice)
            release()


def kind_of(options: Options) -> str | None:
    if options.device == "cpu":
        return None
    card = torch.cuda.get_device_properties(0)
    if "A100" in card.name:
        return "a100-80gb" if card.total_memory > 60e9 else "a100-40gb"
    return next((kind for part, kind in KINDS.items() if part in card.name), None)


def products(options: Options) -> float:
    """10^12 operations per second of a large matrix product, in the dtype of `measure`."""
    side = 8192 if options.device == "cuda" else 768
    one = torch.randn(side, side, device=device_of(options), dtype=dtype_of(options))
    seconds = best(options, lambda: one @ one, 5)
    return 2 * side**3 / seconds / 1e12


def dtype_of(options: Options) -> torch.dtype:
    return torch.bfloat16 if options.device == "cuda" else torch.float32


def best(options: Options, work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Seconds of the fastest of `repeats` calls, after one that is not timed."""
    seconds = []
    for _ in range(repeats + 1):
        synchronise(options)
        start = time.perf_counter()
        work()
        synchronise(options)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def measure(options: Options, nameplate: float, report: Report, found: dict[str, Any]) -> None:
    size, dtype = options.sizes, str(dtype_of(options)).removeprefix("torch.")
    config = config_of(size.wide | {"num_hidden_layers": size.speed_layers})
    shape = shape_from_config(config.to_dict())
    train = settings(
        dtype=dtype, zero_stage=2, micro_batch=2, logits_chunk=size.chunk, group_size=2, prompts_per_step=2
    )
    engine = engine_of(options, train, config, 10**6)  # so many micro-batches that no update comes
    if "slow" in options.faults:
        swap(engine, "backward", slowed)
    best_shares = {"score": 0.0, "update": 0.0}
    rates = []
    for tokens in size.speed_tokens:
        for micro in size.speed_micro:
            batch = whole(random_batch(micro, tokens + 1, tokens // 8, config.vocab_size), device_of(options))

            def update(batch=batch) -> None:
                engine.backward(-engine.forward(batch)[0].mean())

            n = micro * tokens
            operations = {
                "score": n * forward_flops_per_token(shape, tokens),
                "update": n * training_flops_per_token(shape, train, tokens),
            }
            seconds = {"score": best(options, lambda batch=batch: engine.score(batch)), "update": best(options, update)}
            shares = {name: operations[name] / seconds[name] / nameplate / 1e12 for name in operations}
            found[f"{tokens} tokens x {micro}"] = {
                "tokens_per_s": {name: round(n / s) for name, s in seconds.items()},
                "share": shares,
            }
            best_shares = {name: max(best_shares[name], share) for name, share in shares.items()}
            if tokens == max(size.speed_tokens):
                rates.append(sum(operations.values()) / sum(seconds.values()) / nameplate / 1e12)
    found |= {"best_share": best_shares, "planned_share": RATES.training_flops}
    if options.device == "cuda":
        report.rate("training_flops", max(rates))
    least = LEAST * RATES.training_flops if options.device == "cuda" else LEAST_ON_CPU
    for name, share in best_shares.items():
        report.at_least(f"{name}: share of {nameplate:.3g} TFLOPS", share, least)
    apart = best_shares["score"] / best_shares["update"]
    found["score_over_update"] = apart
    report.at_most("operations per second of scoring over those of an update", apart, MOST_APART)
    report.at_most("operations per second of an update over those of scoring", 1 / apart, MOST_APART)


def slowed(method: Callable[..., Any]) -> Callable[..., Any]:
    """The same, five times as slow."""

    def slow(*arguments: Any) -> Any:
        start = time.perf_counter()
        result = method(*arguments)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        time.sleep(4 * (time.perf_counter() - start))
        return result

    return slow


def adamw_seconds(options: Options, choice: dict[str, bool]) -> dict[str, float]:
    """One step on one flat float32 tensor, as DeepSpeed hands it over; also per 10^9 numbers."""
    numbers = options.sizes.adamw_numbers
    flat = torch.nn.Parameter(torch.randn(numbers, device=device_of(options)))
    flat.grad = torch.randn_like(flat)
    optimizer = torch.optim.AdamW([flat], lr=1e-6, **choice)
    seconds = best(options, optimizer.step, 3)
    return {"seconds": seconds, "seconds_per_1e9": seconds * 1e9 / numbers}
