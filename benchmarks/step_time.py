"""Seconds per rollout batch, ours against TRL's GRPOTrainer: same model, prompts, batch, lengths, updates, reward and threads.

    python -m benchmarks.step_time ours --model results/models/tiny/base --problems results/data/train.parquet
    PYTHONPATH=.venv-peers python -m benchmarks.step_time trl --model ... --problems ...

`trl` needs the optional peers (`make peers`). Each prints one JSON line with the median over steps; run them in turn, with
nothing else on the machine. Work per step: 16 prompts x 8 rollouts of at most 48 tokens, two updates of 64 sequences.
"""

from __future__ import annotations

import json
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
import yaml

app = typer.Typer(add_completion=False, help=__doc__)
Model = Annotated[Path, typer.Option(help="model directory")]
Problems = Annotated[Path, typer.Option(help="training problems (Parquet)")]
Steps = Annotated[int, typer.Option(help="measured steps, after two that are not")]
WARM_UP = 2


def settings():
    from asymgrpo.study.config import parse_section

    train = yaml.safe_load(Path("config/default.yaml").read_text(encoding="utf-8"))["train"]
    return parse_section("train", train | {"updates_per_rollout": 2, "micro_batch": 32, "learning_rate": 1e-4})


def report(name: str, seconds: list[float], tokens: list[float], **more) -> None:
    row = {
        "trainer": name,
        "seconds_per_rollout_batch": round(median(seconds), 4),
        "least": round(min(seconds), 4),
        "response_tokens_per_second": round(sum(tokens) / sum(seconds)),
        "steps": len(seconds),
    }
    print(json.dumps(row | more))


@app.command()
def ours(model: Model, problems: Problems, steps: Steps = 20, threads: int = 1) -> None:
    """Our trainer, DeepSpeed ZeRO 0 and the torch sampler."""
    import torch

    from asymgrpo.method.arms import get_arm
    from asymgrpo.models.directory import load_tokenizer
    from asymgrpo.models.load import load_model
    from asymgrpo.training.build import make_grader, micro_batches_per_update, sampler_of
    from asymgrpo.training.engine import Engine, start_process_group
    from asymgrpo.training.inputs import read_problems
    from asymgrpo.training.stopwatch import PHASES, Stopwatch
    from asymgrpo.training.trainer import Trainer

    torch.set_num_threads(threads)
    train = settings()
    start_process_group()
    tokenizer = load_tokenizer(model)
    engine = Engine(load_model(model, train.dtype), train, micro_batches_per_update(train))
    sampler = sampler_of(train, model, engine, tokenizer, train.max_prompt_tokens + train.max_tokens)
    training_set = read_problems(problems, "plain", tokenizer, train.max_prompt_tokens)
    trainer = Trainer(get_arm("grpo"), train, engine, sampler, make_grader(tokenizer, workers=1), training_set, 0)
    seconds, tokens, phases = [], [], []
    for step in range(1, steps + WARM_UP + 1):
        clock, start = Stopwatch(), time.perf_counter()
        row, _, _ = trainer.step(step, clock)
        if step > WARM_UP:
            seconds.append(time.perf_counter() - start)
            tokens.append(row["response_tokens_mean"] * train.prompts_per_step * train.group_size)
            phases.append(clock.seconds)
    by_phase = {p: round(median(row[p] for row in phases), 4) for p in PHASES if any(row[p] for row in phases)}
    report("asymgrpo", seconds, tokens, phases=by_phase)


@app.command()
def trl(model: Model, problems: Problems, steps: Steps = 20, threads: int = 1) -> None:
    """TRL's GRPOTrainer with the same sizes and our verifier as its reward."""
    import pyarrow.parquet as pq
    import torch
    import trl as peer
    from datasets import Dataset
    from transformers import TrainerCallback

    from asymgrpo.models.directory import load_tokenizer
    from asymgrpo.models.load import load_model
    from asymgrpo.verifier import reward, verify_many

    torch.set_num_threads(threads)
    train = settings()
    rows = pq.read_table(problems, columns=["problem", "answer"]).to_pylist()
    data = Dataset.from_list([{"prompt": row["problem"] + "\n", "answer": row["answer"]} for row in rows])
    lengths: list[float] = []

    def correct(completions, answer, completion_ids, **_):
        lengths.append(sum(map(len, completion_ids)))
        return [reward(v) for v in verify_many(list(zip(completions, answer, strict=True)), workers=1)]

    per_update = train.prompts_per_step * train.group_size // train.updates_per_rollout
    arguments = peer.GRPOConfig(
        output_dir=tempfile.mkdtemp(),
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        max_steps=train.updates_per_rollout * (steps + WARM_UP),
        per_device_train_batch_size=per_update,
        gradient_accumulation_steps=1,
        steps_per_generation=train.updates_per_rollout,
        num_generations=train.group_size,
        max_completion_length=train.max_tokens,
        temperature=train.temperature,
        top_p=1.0,
        top_k=0,
        beta=0.0,
        epsilon=0.2,
        loss_type="dapo",
        learning_rate=train.learning_rate,
        lr_scheduler_type="constant",
        max_grad_norm=train.max_grad_norm,
        bf16=False,
        gradient_checkpointing=False,
    )
    moments: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_, **__):
            moments.append(time.perf_counter())

    trainer = peer.GRPOTrainer(
        model=load_model(model, train.dtype),
        processing_class=load_tokenizer(model),
        reward_funcs=correct,
        args=arguments,
        train_dataset=data,
        callbacks=[Clock()],
    )
    trainer.train()
    ends = moments[train.updates_per_rollout - 1 :: train.updates_per_rollout]
    seconds = [b - a for a, b in pairwise(ends)][WARM_UP - 1 :]
    report(f"trl {peer.__version__}", seconds, lengths[WARM_UP : WARM_UP + len(seconds)])


if __name__ == "__main__":
    app()
