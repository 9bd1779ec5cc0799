"""What part B compares between two devices; as a program, on whatever device torch finds: parity_cases.py SIZE RESULTS.pt"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2] / folder) for folder in ("", "tests/gpu")]

import torch
from accept_options import SIZES, Size

from asymgrpo.rollout import Request
from asymgrpo.rollout.torch_sampler import TorchSampler
from asymgrpo.training.engine import own_device
from tests.helpers.tiny_trainer import EOS, PROBLEMS, join, tiny_model
from tests.helpers.update_cases import CASES, one_update, short_run


def results(size: Size) -> dict[str, Any]:
    """Updates and short runs by name, and what the torch sampler says, on this process's device."""
    join()
    found: dict[str, Any] = {}
    for case in CASES:
        found |= {f"update {case}, micro {micro}": one_update(case, micro) for micro in size.micro_batches}
    for stage in size.stages:
        found[f"update, stage {stage}"] = one_update("token", 4, zero_stage=stage)
        found[f"five steps, stage {stage}"] = short_run(stage)
    return {"updates": found, "sampled": sampled()}


def sampled() -> dict[str, Any]:
    """Greedy and random responses of the torch sampler: temperature -> (tokens, log-probabilities)."""
    model = tiny_model()
    weights = {name: weight.detach().to(own_device()) for name, weight in model.named_parameters()}
    sampler = TorchSampler(model.config, weights.items(), EOS)
    requests = [Request(p.prompt_ids, (10 * i, 10 * i + 1)) for i, p in enumerate(PROBLEMS)]
    found = {}
    for temperature in (0.0, 1.0):
        flat = [r for group in sampler.generate(requests, temperature, 1.0, 24) for r in group]
        found[temperature] = [r.response_ids for r in flat], [r.logprobs for r in flat]
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.save(results(SIZES[sys.argv[1]]), sys.argv[2])
    torch.distributed.destroy_process_group()
