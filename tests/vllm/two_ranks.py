"""Two ranks, a vLLM sampler in each: torchrun --nproc-per-node 2 tests/vllm/two_ranks.py MODEL_DIRECTORY RESULTS.json"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from vllm_models import model_of

from asymgrpo.method.arms import ARMS
from asymgrpo.rollout import Limits, Request
from asymgrpo.rollout.vllm_sampler import VllmSampler
from asymgrpo.training.engine import start_process_group
from tests.helpers.tiny_trainer import EOS, make_trainer, settings, steps


def sum_over_ranks() -> int:
    """1 + 2 if the training's group is still whole."""
    value = torch.tensor([torch.distributed.get_rank() + 1])
    torch.distributed.all_reduce(value)
    return int(value)


def main(directory: Path, results: Path) -> None:
    rank, world_size = start_process_group()
    limits = Limits(max_model_len=64, memory_fraction=0.3, verify_weights_every=1, sleeps=True)
    sampler = VllmSampler(directory, model_of("untied").named_parameters(), EOS, "float32", limits)
    sums = [sum_over_ranks()]
    calls = 3 if rank == 0 else 0  # a sampler that waited for the other rank's would wait for ever
    alone = [sampler.generate([Request((3, 4, 5), (i, i + 1))], 1.0, 1.0, 8) for i in range(calls)]
    sums.append(sum_over_ranks())
    train = settings(ranks_per_node=2, zero_stage=3, learning_rate=1e-2, prompts_per_step=4)
    trainer = make_trainer(ARMS["grpo"], train, model=model_of("untied"), sampler=sampler)
    rows = steps(trainer, 1, 3)
    seeds = [r.seed for group in trainer.rollout(trainer.draw(4), 4) for r in group]
    report = {
        "world": [world_size, torch.distributed.get_world_size()],
        "sums": [*sums, sum_over_ranks()],
        "calls": len(alone),
        "gap_max": max(row["gap_max"] for row in rows),
        "seeds": seeds,
    }
    reports = trainer.engine.gather_objects(report)
    del sampler, trainer
    sums.append(sum_over_ranks())
    if rank == 0:
        results.write_text(json.dumps(reports))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
