"""Every tensor of a training step lies where the weights lie, for every arm: on a GPU that is none (elsewhere.py)."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from asymgrpo.method.arms import ARMS
from asymgrpo.training.batch import pack
from asymgrpo.training.policy import Policy
from asymgrpo.training.trainer import Trainer
from tests.helpers.elsewhere import ELSEWHERE, MixedDevicesError, PretendedGpu
from tests.helpers.tiny_trainer import even_wins, settings, tiny_model
from tests.helpers.update_cases import CASES, GROUP, MAX_TOKENS, PROMPTS, sequences


class EngineElsewhere:
    """What a trainer asks of an engine, without DeepSpeed: its policy's weights claim another device."""

    device, rank, world_size, updates, grad_norm = ELSEWHERE, 0, 1, 0, 1.0

    def __init__(self, mode: PretendedGpu, seed: int = 0):
        model = tiny_model(seed)
        for tensor in (*model.parameters(), *model.buffers()):
            mode.claims[tensor] = ELSEWHERE
        self.policy = Policy(model, temperature=0.8, logits_chunk=5)
        self.losses: list[torch.device] = []

    @torch.no_grad()
    def score(self, batch):
        return self.policy(batch)

    def forward(self, batch):
        return self.policy(batch)

    def backward(self, loss, last):
        """Nothing: torch computes a gradient where it computed the value."""
        self.losses.append(loss.device)

    def whole_update(self):
        return nullcontext()

    def sum_over_ranks(self, values):
        return values

    def gather_objects(self, value):
        return [value]


def trainer_of(arm, engine, **changes) -> Trainer:
    sizes = {"prompts_per_step": PROMPTS, "group_size": GROUP, "max_tokens": MAX_TOKENS, "updates_per_rollout": 2}
    changes = {"micro_batch": 3, "importance_cap": 2.0, "mismatch_gate": None} | changes
    reference = engine.policy if arm.kl_coef > 0 else None
    return Trainer(arm, settings(**sizes | changes), engine, None, even_wins, [], 0, reference)


def one_step(trainer: Trainer) -> None:
    """What `Trainer.step` does between the rollouts and the sampler's new weights."""
    rollouts = sequences()
    groups = [rollouts[i : i + GROUP] for i in range(0, len(rollouts), GROUP)]
    verdicts, rewards = trainer.verdicts_and_rewards(groups, [Answered()] * PROMPTS)
    advantages = trainer.arm.advantage_fn(rewards, list(range(PROMPTS)))
    batch = pack(rollouts)
    trains = trainer.trains(batch, verdicts)
    passes = trainer.passes(batch, advantages, trains)
    scores = trainer.score(batch, passes.first)
    assert {scores.logp.device, scores.entropy.device} == {torch.device("cpu")}
    coefficient = trainer.entropy_coef_now(batch, scores, 1)
    ahead = trainer.forward(batch, passes.updates[0][0], scores)
    totals = trainer.update(batch, passes, scores, advantages, trains, coefficient, 1, ahead)
    change = trainer.logp_change(batch, passes.every, scores, rewards.shape)
    assert np.isfinite([*np.ravel(totals.loss), *np.ravel(change)]).all()


class Answered:
    answer = "0"


CHOICES = [*ARMS.values(), *CASES.values(), ARMS["grpo"].but(kl_coef=0.1)]


@pytest.mark.parametrize("arm", CHOICES, ids=[*ARMS, *(f"case-{case}" for case in CASES), "kl"])
def test_a_step_stays_on_one_device(arm):
    with PretendedGpu() as mode:
        engine = EngineElsewhere(mode)
        one_step(trainer_of(arm, engine))
        assert set(engine.losses) == {ELSEWHERE}


def test_micro_batches_by_tokens_stay_on_one_device():
    with PretendedGpu() as mode:
        engine = EngineElsewhere(mode)
        one_step(trainer_of(ARMS["grpo"], engine, micro_batch_tokens=40))
        assert set(engine.losses) == {ELSEWHERE}


def test_a_forgotten_move_is_noticed():
    """Without this the tests above could pass for a mode that sees nothing."""
    with PretendedGpu() as mode:
        trainer = trainer_of(ARMS["grpo"], EngineElsewhere(mode))
        trainer.cells = lambda batch, rows: (
            lambda grid: None if grid is None else grid[rows, : batch.rows(rows).mask.shape[1]]
        )
        with pytest.raises(MixedDevicesError):
            one_step(trainer)
