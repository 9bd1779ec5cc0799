"""CPU seconds and memory of a step of each arm beside GRPO's: same model, prompts, rollouts and rows that train.

    python -m benchmarks.arm_cost --model results/models/tiny/base --problems results/data/train.parquet

All arms live in one process and take turns, step by step. The learning rate is so small that all sample the same responses, and
every second response is correct, so that no group is without a signal. The ratio of each round is one measurement, GRPO's own
time being the mean of its turns before and after; `grpo again` says what the machine's noise alone gives. Arms that sample more
are left out.

Memory is the highest sum of live tensors on the CPU during one more step of each arm, and during the updates of another one,
beyond what stands before them (weights, moments, the sampler's copy, the first forward pass: the same for all arms). The
allocator's own events are summed, so the number has no noise.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.step_time import settings, spread

if TYPE_CHECKING:
    from asymgrpo.training.trainer import Trainer

ARMS = (
    "asymgrpo",
    "maxrl",
    "pass_at_k",
    "a_grae",
    "lite_ppo",
    "grpo_scaled",
    "dr_grpo",
    "grpo_entropy",
    "clip_cov",
    "kl_cov",
    "gspo",
    "gmpo",
    "sapo",
    "cispo",
    "dppo_tv",
    "grpo_off_policy",
)
"""One of each kind; the others differ from one of these in numbers alone."""


def peak_bytes(step: Callable[[], object]) -> int:
    """Highest sum of tensors on the CPU that `step` holds at a time, beyond those that were there before it."""
    from torch.autograd.profiler import profile

    with profile(profile_memory=True) as seen:
        step()
    live = peak = 0
    for event in sorted(
        (e for e in seen.kineto_results.events() if e.name() == "[memory]"), key=lambda e: e.start_ns()
    ):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


def peak_of_updates(trainer: Trainer, step: int) -> int:
    """The same during the updates of a step: without rollouts and scores that come before."""
    from asymgrpo.training.stopwatch import Stopwatch

    update, found = trainer.update, list[int]()

    def watched(*given: Any) -> Any:
        results: list[Any] = []
        found.append(peak_bytes(lambda: results.append(update(*given))))
        return results[0]

    trainer.update = watched  # type: ignore[method-assign]
    trainer.step(step, Stopwatch())
    trainer.update = update  # type: ignore[method-assign]
    return found[0]


def main(
    model: Annotated[Path, typer.Option(help="model directory")],
    problems: Annotated[Path, typer.Option(help="training problems (Parquet)")],
    rounds: Annotated[int, typer.Option(help="steps of each arm that count")] = 7,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 1,
    arm: Annotated[list[str] | None, typer.Option(help="only this arm (repeat it for more)")] = None,
) -> None:
    """One JSON object: GRPO's CPU seconds per step and its peak of memory, and each arm's as multiples of them."""
    import torch

    from asymgrpo.method.arms import get_arm
    from asymgrpo.models.directory import load_tokenizer
    from asymgrpo.models.load import load_model
    from asymgrpo.training.build import micro_batches_per_update, sampler_of
    from asymgrpo.training.engine import Engine, start_process_group
    from asymgrpo.training.inputs import read_problems
    from asymgrpo.training.stopwatch import Stopwatch
    from asymgrpo.training.trainer import Trainer
    from asymgrpo.verifier import Verdict

    torch.set_num_threads(threads)
    start_process_group()
    train, tokenizer = (
        settings(learning_rate=1e-12, displacement_every=10**6, mismatch_gate=None),
        load_tokenizer(model),
    )
    training_set = read_problems(problems, "plain", tokenizer, train.max_prompt_tokens)

    def trainer(arm: str) -> Trainer:
        engine = Engine(load_model(model, train.dtype), train, micro_batches_per_update(train))
        sampler = sampler_of(train, model, engine, tokenizer, train.max_prompt_tokens + train.max_tokens)
        return Trainer(get_arm(arm), train, engine, sampler, every_second, training_set, 0)

    def every_second(rollouts: object, _: object) -> list[Verdict]:
        return [Verdict.correct if i % 2 else Verdict.wrong for i in range(train.prompts_per_step * train.group_size)]

    named = tuple(arm or ARMS)
    turns = {"grpo": trainer("grpo")} | {name: trainer(name) for name in named} | {"grpo again": trainer("grpo")}
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    tokens: set[int] = set()
    for step in range(1, rounds + 2):
        for name, mine in turns.items():
            began = time.process_time()
            row, _, _ = mine.step(step, Stopwatch())
            seconds[name].append(time.process_time() - began)
            tokens.add(row["sampled_tokens"]) if step == 1 else None
    assert len(tokens) == 1, "all arms sample the same responses"
    grpo = [(a + b) / 2 for a, b in zip(seconds["grpo"][1:], seconds["grpo again"][1:], strict=True)]
    ratios = {name: spread([x / y for x, y in zip(mine[1:], grpo, strict=True)]) for name, mine in seconds.items()}
    whole = {name: peak_bytes(partial(mine.step, rounds + 2, Stopwatch())) for name, mine in turns.items()}
    updates = {name: peak_of_updates(mine, rounds + 3) for name, mine in turns.items()}
    memory = {
        kind: {"grpo_mb": peak["grpo"] / 1e6} | {name: peak[name] / peak["grpo"] for name in named}
        for kind, peak in (("step", whole), ("updates", updates))
    }
    found = {"grpo_cpu_seconds": spread(grpo), "times_grpo": ratios, "rounds": rounds, "memory_times_grpo": memory}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    typer.run(main)
