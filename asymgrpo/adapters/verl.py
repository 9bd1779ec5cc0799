"""Every arm as an advantage estimator of verl: algorithm.adv_estimator=arm_NAME (docs/adapters.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from verl.trainer.ppo.core_algos import register_adv_est

from asymgrpo.errors import ArmError
from asymgrpo.method.arm import Arm
from asymgrpo.method.arms import ARMS, differences
from asymgrpo.method.rewards import RewardError

LOSS_AGG_MODE = {"token": "token-mean", "sequence": "seq-mean-token-mean", "constant": "seq-mean-token-sum-norm"}
KNOWN = {"advantage", "reduction", "clip_low", "clip_high", "dual_clip", "entropy_coef", "kl_coef"}
NO_DUAL_CLIP = 1e9
"""verl caps the loss of A < 0 in any case; a cap that is never reached is none."""


def overrides(arm: Arm) -> list[str]:
    """The arm's loss as overrides of verl's command. Raises ArmError for what verl's clipped loss has no option for."""
    if other := differences(arm).keys() - KNOWN:
        raise ArmError(f"arm {arm.name!r}: verl cannot be told {', '.join(sorted(other))}; choose another arm.")
    actor: dict[str, Any] = {"clip_ratio_low": arm.clip_low, "clip_ratio_high": arm.clip_high}
    actor |= {"clip_ratio_c": NO_DUAL_CLIP if arm.dual_clip is None else arm.dual_clip}
    actor |= {"loss_agg_mode": LOSS_AGG_MODE[arm.reduction], "entropy_coeff": arm.entropy_coef}
    if arm.kl_coef:
        actor |= {"use_kl_loss": True, "kl_loss_coef": arm.kl_coef, "kl_loss_type": "low_var_kl"}
    return [f"actor_rollout_ref.actor.{key}={value}" for key, value in actor.items()]


def register(arm: Arm) -> None:
    """Give verl the advantages of the arm, a changed one too, under the name arm_NAME."""

    @register_adv_est(f"arm_{arm.name}")
    def estimate(
        token_level_rewards: torch.Tensor, response_mask: torch.Tensor, index: np.ndarray, **more: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rewards and mask [responses, tokens], the prompt of each response -> advantages and returns, on every token."""
        _, prompt, sizes = np.unique(index, return_inverse=True, return_counts=True)
        if len(set(sizes.tolist())) > 1:
            raise RewardError(
                f"groups have {min(sizes)} to {max(sizes)} responses; set rollout.n for all prompts alike."
            )
        order = torch.from_numpy(prompt.argsort(kind="stable")).to(token_level_rewards.device)
        scores = token_level_rewards.sum(dim=1, dtype=torch.float64)
        advantages = torch.empty_like(scores)
        advantages[order] = arm.estimate(scores[order].view(len(sizes), -1)).flatten()
        spread = advantages.to(token_level_rewards.dtype)[:, None] * response_mask
        return spread, spread


for _arm in ARMS.values():
    if _arm.reward == "verifier":  # coins in place of rewards need seeds, which verl does not pass
        register(_arm)
