"""A whole trainer in this process, on a random tiny model: real engine and sampler, a rule on tokens for a verifier."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from asymgrpo.method.arm import Arm
from asymgrpo.method.arms import ARMS
from asymgrpo.rollout import Rollout
from asymgrpo.rollout.torch_sampler import TorchSampler
from asymgrpo.study.config import parse_section
from asymgrpo.study.sections.train import Train
from asymgrpo.training.build import micro_batches_per_update
from asymgrpo.training.engine import Engine, start_process_group
from asymgrpo.training.run import Run
from asymgrpo.training.stopwatch import Stopwatch
from asymgrpo.training.trainer import Problem, Trainer
from asymgrpo.verifier import Verdict
from tests.helpers import runs

EOS = (1, 2)
PROBLEMS = [Problem(f"p{i}", tuple(3 + (i * j) % 19 for j in range(1, 2 + i % 4)), "0") for i in range(12)]
"""Prompts of 1 to 4 tokens."""


def join() -> None:
    """Be the only rank, once per process; processes that other tests start must not believe to be it."""
    if not torch.distributed.is_initialized():
        start_process_group()
        for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
            del os.environ[name]


def tiny_model(seed: int = 0, **shape) -> torch.nn.Module:
    """A random Qwen3 of two layers; norms are moved off their initial value, so that none may be forgotten."""
    sizes = {
        "vocab_size": 24,
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 12,
        "max_position_embeddings": 64,
        "tie_word_embeddings": False,
    }
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(Qwen3Config(**sizes | shape, initializer_range=0.2)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def settings(**changes) -> Train:
    base = runs.TRAIN | {"prompts_per_step": 4, "group_size": 4, "micro_batch": 4, "displacement_every": 1}
    return parse_section("train", base | changes)


def even_wins(rollouts: Sequence[Rollout], reference_answers: Sequence[str]) -> list[Verdict]:
    """Correct: more even tokens than odd ones. About half of what a random model says."""
    even = [sum(1 if i % 2 == 0 else -1 for i in r.response_ids) > 0 for r in rollouts]
    return [Verdict.correct if e else Verdict.wrong for e in even]


def even_wins_in_time(rollouts: Sequence[Rollout], reference_answers: Sequence[str]) -> list[Verdict]:
    """The same, but a response cut at the limit is truncated."""
    verdicts = even_wins(rollouts, reference_answers)
    return [v if r.finish_reason == "stop" else Verdict.truncated for r, v in zip(rollouts, verdicts, strict=True)]


def make_engine(train: Train, model: torch.nn.Module | None = None) -> Engine:
    return Engine(model or tiny_model(), train, micro_batches_per_update(train))


def make_trainer(
    arm: Arm = ARMS["grpo"], train: Train | None = None, model=None, sampler=None, grade=even_wins, **more
) -> Trainer:
    """Everything that `python -m asymgrpo.training` builds, on `model` (a fresh random one if None)."""
    train = train or settings()
    model = model or tiny_model()
    engine = make_engine(train, model)
    sampler = sampler or TorchSampler(engine.hf_config, engine.weights(), EOS)
    more = {"problems": PROBLEMS, "run_seed": 0} | more
    return Trainer(arm, train, engine, sampler, grade, **more)


def steps(trainer: Trainer, first: int, last: int) -> list[dict]:
    """Rows of metrics of the steps first ... last."""
    return [trainer.step(step, Stopwatch())[0] for step in range(first, last + 1)]


def weights(engine: Engine) -> dict[str, torch.Tensor]:
    return {name: tensor.to("cpu", copy=True) for name, tensor in engine.weights()}


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Largest absolute difference of two sets of weights."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


class Tokenizer:
    """What a run asks of a tokenizer: that it saves itself."""

    def save_pretrained(self, directory: Path) -> None:
        (directory / "tokenizer.json").write_text("{}", encoding="utf-8")


def small_run(folder: Path, **changes) -> Run:
    """A run of four steps that is measured on no set."""
    train = settings(steps=4, keep_checkpoints=3, **changes)
    return Run(make_trainer(train=train), train, folder, {}, str, Tokenizer())
