"""CPU seconds of a step of each arm beside GRPO's: same model, prompts, rollouts and rows that train.

    python -m benchmarks.arm_cost --model results/models/tiny/base --problems results/data/train.parquet

All arms live in one process and take turns, step by step. The learning rate is so small that all sample the same responses, and
every second response is correct, so that no group is without a signal. The ratio of each round is one measurement, GRPO's own
time being the mean of its turns before and after; `grpo again` says what the machine's noise alone gives. Arms that sample more
are left out.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.step_time import settings, spread

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


def main(
    model: Annotated[Path, typer.Option(help="model directory")],
    problems: Annotated[Path, typer.Option(help="training problems (Parquet)")],
    rounds: Annotated[int, typer.Option(help="steps of each arm that count")] = 7,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 1,
) -> None:
    """One JSON object: GRPO's CPU seconds per step, and each arm's as a multiple of them."""
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

    turns = {"grpo": trainer("grpo")} | {arm: trainer(arm) for arm in ARMS} | {"grpo again": trainer("grpo")}
    seconds: dict[str, list[float]] = {arm: [] for arm in turns}
    tokens: set[int] = set()
    for step in range(1, rounds + 2):
        for arm, mine in turns.items():
            began = time.process_time()
            row, _, _ = mine.step(step, Stopwatch())
            seconds[arm].append(time.process_time() - began)
            tokens.add(row["sampled_tokens"]) if step == 1 else None
    assert len(tokens) == 1, "all arms sample the same responses"
    grpo = [(a + b) / 2 for a, b in zip(seconds["grpo"][1:], seconds["grpo again"][1:], strict=True)]
    ratios = {arm: spread([x / y for x, y in zip(found[1:], grpo, strict=True)]) for arm, found in seconds.items()}
    print(json.dumps({"grpo_cpu_seconds": spread(grpo), "times_grpo": ratios, "rounds": rounds}, indent=1))


if __name__ == "__main__":
    typer.run(main)
