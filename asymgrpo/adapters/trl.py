"""Any arm in TRL: a GRPOTrainer with the arm's advantages, and its loss by TRL's own options (docs/adapters.md)."""

from __future__ import annotations

import copy
from typing import Any

import torch
from trl import GRPOConfig, GRPOTrainer

from asymgrpo.errors import ArmError
from asymgrpo.method.arm import Arm
from asymgrpo.method.arms import differences, get_arm
from asymgrpo.seeds import derive

LOSS = {"token": "dapo", "sequence": "grpo", "constant": "dr_grpo"}
KNOWN = {"reward", "advantage", "reduction", "clip_low", "clip_high", "dual_clip", "entropy_coef", "kl_coef"}


def options(arm: Arm) -> dict[str, Any]:
    """GRPOConfig's names for the arm's loss. Raises ArmError where TRL has none: then its loss is another one."""
    if other := differences(arm).keys() - KNOWN:
        raise ArmError(f"arm {arm.name!r}: TRL cannot be told {', '.join(sorted(other))}; choose another arm.")
    return {
        "loss_type": LOSS[arm.reduction],
        "epsilon": arm.clip_low,
        "epsilon_high": arm.clip_high,
        "delta": arm.dual_clip,
        "entropy_coef": arm.entropy_coef,
        "beta": arm.kl_coef,
    } | ({"use_bias_correction_kl": False} if arm.kl_coef else {})


class ArmTrainer(GRPOTrainer):
    """GRPOTrainer for an arm, by name or as an `Arm`. Options of `args` that are TRL's defaults become the arm's."""

    def __init__(self, arm: str | Arm, *, args: GRPOConfig, **more: Any):
        self.arm, args = get_arm(arm) if isinstance(arm, str) else arm, copy.copy(args)
        for key, value in options(self.arm).items():
            if getattr(args, key) not in (GRPOConfig.__dataclass_fields__[key].default, value):
                told = f"args.{key} = {getattr(args, key)}, but arm {self.arm.name!r} has {value}"
                raise ArmError(f"{told}; leave it out, or change the arm (asymgrpo.method.arms.get_arm).")
            setattr(args, key, value)
        super().__init__(args=args, **more)

    def _calculate_rewards(self, *args: Any) -> torch.Tensor:
        found = super()._calculate_rewards(*args)
        self._rewards = (found * self.reward_weights.to(found.device)).sum(dim=1).double()  # of all processes
        return found

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output, log = super()._generate_and_score_completions(inputs), self._logs["advantages"]
        grid = self._rewards.view(-1, self.num_generations if self.model.training else self.num_generations_eval)
        seeds = [derive("trl", self.args.seed, self.state.global_step, group) for group in range(len(grid))]
        advantages, old = self.arm.advantage_fn(grid, seeds).flatten().float(), list(log)[: -grid.numel()]
        log.clear()
        log.extend([*old, *advantages.tolist()])
        first = self.accelerator.process_index * len(inputs)
        return output | {"advantages": advantages[first : first + len(inputs)]}
