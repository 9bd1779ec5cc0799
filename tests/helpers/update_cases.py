"""Updates and short runs that must not depend on how they are cut; also a program, to do the same on several ranks:

torchrun --nproc-per-node 2 tests/helpers/update_cases.py RESULTS.pt
"""

from __future__ import annotations

import sys
from typing import Any

import torch

from asymgrpo.method.arm import Arm
from asymgrpo.method.arms import ARMS, GRPO
from asymgrpo.rollout import Rollout
from asymgrpo.training.batch import pack
from asymgrpo.training.scoring import Scores
from tests.helpers.tiny_trainer import distance, join, make_trainer, settings, steps, weights

PROMPTS, GROUP, MAX_TOKENS = 4, 4, 12
SEQUENCES = PROMPTS * GROUP
CASES: dict[str, Arm] = {
    "token": GRPO.but(entropy_coef=0.01),
    "sequence": GRPO.but(entropy_coef=0.01, reduction="sequence"),
    "sparse": GRPO,
    "constant": GRPO.but(entropy_coef=0.01, reduction="constant"),
    "clip_cov": ARMS["clip_cov"].but(covariance={"kind": "clip_cov", "fraction": 0.05, "low": 0.0, "high": 9.0}),
    "gspo": GRPO.but(surrogate={"kind": "gspo"}, reduction="sequence"),
    "gmpo": GRPO.but(surrogate={"kind": "gmpo", "log_clip": 0.2}),
    "sapo": GRPO.but(surrogate={"kind": "sapo", "tau_pos": 1.0, "tau_neg": 3.0}),
    "off_policy": GRPO.but(off_policy_delta=0.01, surrogate={"kind": "cispo", "cap": 1.1}),
    "kl_cov": ARMS["kl_cov"].but(covariance={"kind": "kl_cov", "fraction": 0.05, "coef": 1.0}),
}

OF_BATCH = ("a_grae", "lite_ppo", "grpo_scaled")
"""Arms whose advantages depend on the prompts of all ranks."""


def sequences() -> list[Rollout]:
    """Responses of 1 to 12 tokens after prompts of 1 to 5: as uneven as they get."""
    g = torch.Generator().manual_seed(0)

    def tokens(low: int, high: int) -> tuple[int, ...]:
        length = int(torch.randint(low, high + 1, (), generator=g))
        return tuple(torch.randint(3, 24, (length,), generator=g).tolist())

    prompts = [tokens(1, 5) for _ in range(PROMPTS) for _ in range(GROUP)]
    responses = [tokens(1, MAX_TOKENS) for _ in prompts]
    return [Rollout(p, r, (-3.0,) * len(r), "stop", 0) for p, r in zip(prompts, responses, strict=True)]


class Frozen(Scores):
    """Of another policy than the first update's, so that ratios are not 1."""

    def fill(self, *_: Any) -> None: ...


def one_update(case: str, micro_batch: int, **changes: Any) -> dict[str, Any]:
    """Loss, gradient norm and new weights after one update on `sequences()`, this rank's share of them.

    With learning rate 1 and an epsilon of 1, Adam's first step is g / (|g| + 1): weights move as gradients do.
    The bound on the norm is out of reach: it would hide a wrong factor.
    """
    world = torch.distributed.get_world_size()
    of_the_test = {
        "prompts_per_step": PROMPTS,
        "group_size": GROUP,
        "updates_per_rollout": 1,
        "micro_batch": micro_batch,
        "max_tokens": MAX_TOKENS,
        "learning_rate": 1.0,
        "adam_eps": 1.0,
        "max_grad_norm": 1e3,
        "ranks_per_node": world,
        "mismatch_gate": None,
    }
    train = settings(**of_the_test | changes)
    trainer = make_trainer(CASES[case], train)
    share = torch.arange(SEQUENCES).chunk(world)[trainer.engine.rank]
    batch = pack([sequences()[i] for i in share])
    g = torch.Generator().manual_seed(1)
    noise = 0.3 * torch.randn(SEQUENCES, MAX_TOKENS, generator=g)
    advantages = torch.randn(PROMPTS, GROUP, generator=g, dtype=torch.float64)
    if case == "sparse":  # of two ranks, one has no gradient at all
        advantages[: PROMPTS // 2] = 0
    does_train = (torch.arange(SEQUENCES) % 5 > 0).float()
    trains = batch.mask * does_train[share][:, None]
    mine = advantages.view(-1)[share]
    passes = trainer.passes(batch, mine, trains)
    logp_old = trainer.score(batch, passes.every).logp + noise[share, : batch.mask.shape[1]]
    scores = Frozen(logp_old * batch.mask, torch.zeros_like(batch.mask))
    ahead = trainer.forward(batch, passes.updates[0][0], scores)
    totals = trainer.update(batch, passes, scores, mine, trains, trainer.arm.entropy_coef, 1, ahead)
    return {
        "loss": totals.loss[0],
        "grad_norm": totals.grad_norm[0],
        "update_norm": trainer.engine.update_norm(),
        "weights": weights(trainer.engine),
    }


def short_run(zero_stage: int, micro_batch: int = 4, arm: str = "grpo_entropy_0p03") -> dict[str, Any]:
    """Metrics and final weights of five whole steps, two updates each: of 8 sequences on one rank, 4 on each of two."""
    ranks = torch.distributed.get_world_size()
    train = settings(ranks_per_node=ranks, zero_stage=zero_stage, micro_batch=micro_batch, adam_eps=1e-4)
    trainer = make_trainer(ARMS[arm], train)
    rows = steps(trainer, 1, 5)
    return {"rows": rows, "weights": weights(trainer.engine)}


def difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Largest difference of two updates: loss, norms of gradient and update (relative to them), weights."""
    norms = [abs(one[name] / other[name] - 1) for name in ("grad_norm", "update_norm")]
    return max(abs(one["loss"] - other["loss"]), *norms, distance(one["weights"], other["weights"]))


if __name__ == "__main__":
    join()
    results = {
        "updates": {(case, micro): one_update(case, micro) for case in CASES for micro in (1, 2, 8)},
        "by_tokens": {stage: one_update("token", 4, micro_batch_tokens=30, zero_stage=stage) for stage in (0, 2, 3)},
        "sparse": {stage: one_update("sparse", 2, zero_stage=stage) for stage in (1, 2, 3)},
        "zero_updates": {stage: one_update("token", 4, zero_stage=stage) for stage in (1, 2, 3)},
        "of_batch": {arm: short_run(2, arm=arm) for arm in OF_BATCH},
        "runs": {(stage, micro): short_run(stage, micro) for stage in (0, 1, 2, 3) for micro in (1, 4)},
    }
    if torch.distributed.get_rank() == 0:
        torch.save(results, sys.argv[1])
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
