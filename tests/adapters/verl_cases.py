"""What verl itself computes with our arms; a program for the peers' environment (tests/adapters/conftest.py):

VERL_USE_EXTERNAL_MODULES=asymgrpo.adapters.verl python tests/adapters/verl_cases.py REWARDS.json        prints JSON
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_module
from verl import DataProto
from verl.trainer.ppo import core_algos

from asymgrpo.adapters.verl import overrides, register
from asymgrpo.errors import ArmError
from asymgrpo.method.arms import ARMS, get_arm
from asymgrpo.method.rewards import RewardError

sys.path.append(str(Path(__file__).parents[1] / "method" / "peers"))  # the peers bring a package `tests` of their own
from record import Absent

sys.meta_path.append(Absent("cachetools", "fastapi", "uvicorn"))  # of verl's servers
from verl.trainer.ppo.ray_trainer import compute_advantage  # noqa: E402

TOKENS = 5


def batch(rewards: torch.Tensor) -> DataProto:
    """verl's batch of these rewards [prompts, group], in a shuffled order: the prompts' ids alone say what belongs together."""
    order = torch.randperm(rewards.numel(), generator=torch.Generator().manual_seed(0))
    prompts = np.array([f"prompt-{i}" for i in range(len(rewards)) for _ in range(rewards.shape[1])], dtype=object)
    mask = (torch.arange(TOKENS) <= torch.arange(rewards.numel())[:, None] % TOKENS).float()
    last = torch.nn.functional.one_hot(mask.sum(dim=1).long() - 1, TOKENS)
    data = {
        "token_level_rewards": last * rewards.reshape(-1, 1),
        "response_mask": mask,
        "place": torch.arange(len(mask)),
    }
    return DataProto.from_dict({key: value[order] for key, value in data.items()}, {"uid": prompts[order.numpy()]})


def advantages(rewards: torch.Tensor, estimator: str) -> list:
    """By verl's own dispatch -> [prompts, group], and what stands on tokens that do not exist."""
    found = compute_advantage(batch(rewards), adv_estimator=estimator, config=None).batch
    values, mask = found["advantages"], found["response_mask"]
    assert torch.equal(values, found["returns"])
    assert torch.equal(values, values[:, :1] * mask)
    grid = torch.empty(rewards.numel())
    grid[found["place"]] = values[:, 0]
    return grid.view_as(rewards).tolist()


def refused(act: Any, error: type[Exception]) -> str:
    try:
        act()
    except error as found:
        return str(found)
    return "nothing"


def uneven() -> None:
    rewards = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    compute_advantage(batch(rewards).select_idxs([0, 1, 2]), adv_estimator="arm_grpo", config=None)


def options(arm: str) -> dict[str, Any]:
    """What verl's own configuration says after the arm's overrides and the choice of its advantages."""
    with initialize_config_module("verl.trainer.config", version_base=None):
        told = [*overrides(ARMS[arm]), f"algorithm.adv_estimator=arm_{arm}"]
        config = compose("ppo_trainer", told)
    names = [line.split("=")[0].rpartition(".")[2] for line in told[:-1]]
    return {name: config.actor_rollout_ref.actor[name] for name in names} | {"chosen": config.algorithm.adv_estimator}


def main(rewards: torch.Tensor) -> None:
    names = [name.removeprefix("arm_") for name in core_algos.ADV_ESTIMATOR_REGISTRY if str(name).startswith("arm_")]
    register(get_arm("mine", {"base": "asymgrpo", "beta_pos": 0.8}))
    found = {
        "names": names,
        "advantages": {name: advantages(rewards, f"arm_{name}") for name in (*names, "mine")},
        "grpo of verl": advantages(rewards, "grpo_vectorized"),
        "uneven": refused(uneven, RewardError),
        "kl_cov": refused(lambda: overrides(ARMS["kl_cov"]), ArmError),
        "options": {arm: options(arm) for arm in ("grpo", "dr_grpo", "asymgrpo_clip_higher")},
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(torch.tensor(json.loads(Path(sys.argv[1]).read_text())))
