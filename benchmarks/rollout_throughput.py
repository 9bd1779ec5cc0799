"""Rollouts by vLLM: our sampler against bare `LLM.generate` on the same requests, weight updates, and a step by phase.

    python -m benchmarks.rollout_throughput --out benchmarks/rollout_throughput.json
    python -m benchmarks.rollout_throughput --model results/models/smollm2/base --prompts 4 --group 4 --out ...

Without --model it runs a random Qwen3 of 3.4M parameters, which rarely stops early. Needs `make vllm`.
Medians over repetitions, ours and bare in turn. Nothing else should run on the machine.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
import yaml

VOCABULARY, PROMPT_TOKENS = 512, 40


def main(
    out: Annotated[Path, typer.Option(help="JSON file to write")],
    model: Annotated[Path | None, typer.Option(help="model directory; none: a random Qwen3")] = None,
    prompts: int = 64,
    group: int = 8,
    tokens: int = 64,
    repetitions: int = 5,
    threads: int = 1,
) -> None:
    import torch

    from asymgrpo.files import write_json
    from asymgrpo.training.engine import start_process_group

    torch.set_num_threads(threads)
    start_process_group()
    with tempfile.TemporaryDirectory() as folder:
        directory = model or random_model(Path(folder))
        trainer = build(directory, prompts, group, tokens)
        report = {
            "model": model.name if model else "random Qwen3, 3.4M parameters",
            "work": f"{prompts} prompts x {group} samples x at most {tokens} tokens, {threads} thread(s)",
            **throughput(trainer.sampler, trainer, repetitions),
            **updates(trainer, repetitions),
            "seconds_per_step_by_phase": phases(trainer, repetitions),
        }
    write_json(report, out)
    torch.distributed.destroy_process_group()


def random_model(directory: Path) -> Path:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=512,
        eos_token_id=1,
    )
    Qwen3ForCausalLM(config).save_pretrained(directory)
    return directory


def build(directory: Path, prompts: int, group: int, tokens: int) -> Any:
    """A trainer on random prompts whose verifier is a coin of the response's length: only seconds matter here."""
    import numpy as np

    from asymgrpo.method.arms import get_arm
    from asymgrpo.models.load import load_model
    from asymgrpo.rollout import Limits
    from asymgrpo.rollout.vllm_sampler import VllmSampler
    from asymgrpo.study.config import parse_section
    from asymgrpo.training.build import micro_batches_per_update
    from asymgrpo.training.engine import Engine
    from asymgrpo.training.trainer import Problem, Trainer
    from asymgrpo.verifier import Verdict

    section = yaml.safe_load(Path("config/default.yaml").read_text(encoding="utf-8"))["train"] | {
        "prompts_per_step": prompts,
        "group_size": group,
        "max_tokens": tokens,
        "updates_per_rollout": 2,
        "micro_batch": min(32, prompts * group // 2),
    }
    train = parse_section("train", section)
    engine = Engine(load_model(directory, "float32"), train, micro_batches_per_update(train))
    rng = np.random.default_rng(0)
    problems = [
        Problem(f"p{i}", tuple(rng.integers(3, VOCABULARY, PROMPT_TOKENS).tolist()), "") for i in range(prompts)
    ]
    limits = Limits(PROMPT_TOKENS + tokens, train.engine_memory_fraction, verify_weights_every=0, sleeps=True)
    sampler = VllmSampler(directory, engine.weights(), [1], "float32", limits)

    def coin(rollouts, reference_answers):
        return [Verdict.correct if sum(r.response_ids) % 2 else Verdict.wrong for r in rollouts]

    return Trainer(get_arm("grpo"), train, engine, sampler, coin, problems, 0)


def throughput(sampler: Any, trainer: Any, repetitions: int) -> dict[str, float]:
    """Response tokens per second, ours and bare, and their ratio by wall clock and by CPU seconds."""
    problems, train = trainer.draw(1), trainer.train
    groups = trainer.rollout(problems, 1)  # warm-up, and the requests for both
    flat = [r for rollouts in groups for r in rollouts]
    tokens = sum(len(r.response_ids) for r in flat)
    inputs = [{"prompt_token_ids": list(r.prompt_ids)} for r in flat]
    settings = [sampler.sampling(r.seed, train.temperature, 1.0, train.max_tokens) for r in flat]

    def bare() -> None:
        sampler.llm.reset_prefix_cache()
        sampler.llm.generate(inputs, settings, use_tqdm=False)

    ours, theirs = [], []
    for _ in range(repetitions):
        ours.append(timed(lambda: trainer.rollout(problems, 1)))
        theirs.append(timed(bare))
    our_wall, our_cpu = map(median, zip(*ours, strict=True))
    bare_wall, bare_cpu = map(median, zip(*theirs, strict=True))
    return {
        "tokens_per_second": round(tokens / our_wall),
        "bare_tokens_per_second": round(tokens / bare_wall),
        "share_of_bare": round(bare_wall / our_wall, 3),
        "share_of_bare_by_cpu_seconds": round(bare_cpu / our_cpu, 3),
    }


def updates(trainer: Any, repetitions: int) -> dict[str, float]:
    """Seconds per weight update, without and with the comparison of checksums."""
    sampler, found = trainer.sampler, {}
    for name, every in (("seconds_per_update", 0), ("seconds_per_verified_update", 1)):
        sampler.verify_every = every
        runs = [timed(lambda: sampler.update_weights(trainer.engine.weights()))[0] for _ in range(repetitions)]
        found[name] = round(median(runs), 4)
    sampler.verify_every = 0
    return found


def phases(trainer: Any, repetitions: int) -> dict[str, float]:
    """Median seconds of a training step's phases, after one step that is not counted."""
    from asymgrpo.training.stopwatch import PHASES, Stopwatch

    rows = []
    for step in range(1, repetitions + 2):
        clock = Stopwatch()
        trainer.step(step, clock)
        rows.append(clock.seconds)
    return {p: round(median(row[p] for row in rows[1:]), 4) for p in PHASES if any(row[p] for row in rows)}


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """(wall-clock, CPU) seconds; the second does not count what other jobs of the machine take."""
    start = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start[0], time.process_time() - start[1]


if __name__ == "__main__":
    typer.run(main)
