"""Sampling alone, by the torch sampler: 16 prompts x 32 samples of at most 48 tokens. One JSON object, medians over repetitions.

python -m benchmarks.sampling --model results/models/tiny/base --problems results/data/train.parquet
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from benchmarks.rollout_throughput import timed

PROMPTS, SAMPLES, TOKENS = 16, 32, 48


def main(
    model: Annotated[Path, typer.Option(help="model directory")],
    problems: Annotated[Path, typer.Option(help="training problems (Parquet)")],
    repetitions: Annotated[int, typer.Option(help="calls that count")] = 7,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 1,
) -> None:
    import torch

    from asymgrpo.models.checks import end_tokens
    from asymgrpo.models.directory import load_tokenizer
    from asymgrpo.models.load import load_model
    from asymgrpo.rollout import Request
    from asymgrpo.rollout.torch_sampler import TorchSampler
    from asymgrpo.training.inputs import read_problems

    torch.set_num_threads(threads)
    tokenizer, weights = load_tokenizer(model), load_model(model, "float32")
    ends = end_tokens(model, tokenizer, None)
    sampler = TorchSampler(weights.config, ((n, p.detach()) for n, p in weights.named_parameters()), ends)
    asked = [
        Request(problem.prompt_ids, tuple(range(SAMPLES * i, SAMPLES * (i + 1))))
        for i, problem in enumerate(read_problems(problems, "plain", tokenizer, 128)[:PROMPTS])
    ]
    groups = sampler.generate(asked, 1.0, 1.0, TOKENS)  # warm-up
    walls, cpus = zip(
        *(timed(lambda: sampler.generate(asked, 1.0, 1.0, TOKENS)) for _ in range(repetitions)), strict=True
    )
    tokens = sum(len(rollout.response_ids) for group in groups for rollout in group)
    print(json.dumps({"cpu": median(cpus), "wall": median(walls), "tokens": tokens}))


if __name__ == "__main__":
    typer.run(main)
