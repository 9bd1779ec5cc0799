"""asymgrpo.adapters.trl in the real TRL: what it computes from recorded rollouts is what our trainer computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asymgrpo.method import frameworks
from asymgrpo.method.arms import ARMS
from asymgrpo.method.objective import loss_terms
from asymgrpo.method.reduce import counts, reduce
from asymgrpo.training.batch import pack
from asymgrpo.training.policy import Policy
from asymgrpo.training.stopwatch import Stopwatch
from tests.adapters.conftest import with_peers
from tests.helpers.tiny_trainer import distance, join, make_trainer, settings, tiny_model, weights

EQUAL = ("grpo", "dr_grpo", "asymgrpo")
CHANGED = ("grpo_clip_higher", "random_reward", "a_grae")
"""Arms with another bound, with coins for rewards, with advantages of the whole batch."""
TRAIN = settings(updates_per_rollout=1, learning_rate=3e-4, warmup_updates=0)
RUN = "asymgrpo"


@pytest.fixture(scope="module")
def recorded() -> dict:
    """Five steps of our trainer: their rollouts and rewards, and the weights after them."""
    join()
    trainer = make_trainer(ARMS[RUN], TRAIN)
    steps = []
    for step in range(1, 6):
        _, groups, rewards = trainer.step(step, Stopwatch())
        flat = [rollout for group in groups for rollout in group]
        steps.append(list(zip(flat, rewards.ravel().tolist(), strict=True)))
    batch = pack([rollout for rollout, _ in steps[0]])
    noise = 0.3 * torch.randn(batch.mask.shape, generator=torch.Generator().manual_seed(0))
    return {
        "steps": steps,
        "rewards": torch.tensor([reward for _, reward in steps[0]]).view(TRAIN.prompts_per_step, TRAIN.group_size),
        "old": (batch.logp_sampler + noise) * batch.mask,
        "weights": weights(trainer.engine),
    }


@pytest.fixture(scope="module")
def theirs(recorded, tmp_path_factory) -> dict:
    """What tests/adapters/trl_cases.py makes of it."""
    folder = tmp_path_factory.mktemp("trl")
    tiny_model().save_pretrained(folder / "model")
    steps = [
        [
            {
                "prompt": list(r.prompt_ids),
                "response": list(r.response_ids),
                "logprobs": list(r.logprobs),
                "reward": reward,
            }
            for r, reward in step
        ]
        for step in recorded["steps"]
    ]
    optimizer = {
        "learning_rate": TRAIN.learning_rate,
        "adam_beta1": TRAIN.adam_beta1,
        "adam_beta2": TRAIN.adam_beta2,
        "adam_epsilon": TRAIN.adam_eps,
        "weight_decay": TRAIN.weight_decay,
        "max_grad_norm": TRAIN.max_grad_norm,
    }
    sizes = {
        "num_generations": TRAIN.group_size,
        "max_completion_length": TRAIN.max_tokens,
        "temperature": TRAIN.temperature,
    }
    whole = {"batch": steps[0], "old": recorded["old"], "sizes": sizes, "arms": [*EQUAL, *CHANGED]}
    torch.save(whole | {"steps": steps, "arm": RUN, "optimizer": optimizer}, folder / "recorded.pt")
    with_peers(Path(__file__).with_name("trl_cases.py"), folder)
    return torch.load(folder / "trl.pt")


def ours(recorded: dict, arm) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """Advantages, loss and gradient of the recorded batch."""
    batch, model = pack([rollout for rollout, _ in recorded["steps"][0]]), tiny_model()
    advantages = arm.estimate(recorded["rewards"]).flatten()
    logp, entropy = Policy(model, TRAIN.temperature, None)(batch)
    per_token, _ = loss_terms(arm, logp, recorded["old"], advantages[:, None], entropy, entropy_coef=arm.entropy_coef)
    n_tokens, n_sequences = counts(batch.mask)
    loss = reduce(
        per_token, batch.mask, arm.reduction, n_tokens=n_tokens, n_sequences=n_sequences, max_tokens=TRAIN.max_tokens
    )
    names, parameters = zip(*model.named_parameters(), strict=True)
    return advantages, loss, dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


def assert_same(found: dict, recorded: dict, arm) -> None:
    advantages, loss, gradient = ours(recorded, arm)
    assert advantages.unique().numel() > 2
    torch.testing.assert_close(torch.tensor(found["advantages"]), advantages, rtol=1e-6, atol=1e-6)
    assert found["loss"] == pytest.approx(loss.item(), abs=1e-6)
    assert found["gradient"].keys() == gradient.keys()
    for name, value in gradient.items():
        torch.testing.assert_close(found["gradient"][name], value, rtol=1e-4, atol=1e-7, msg=name)
    assert max(float(value.abs().max()) for value in gradient.values()) > 1e-3


@pytest.mark.parametrize("arm", [*EQUAL, "grpo_clip_higher", "a_grae"])
def test_with_the_adapter_trl_computes_the_arm(theirs, recorded, arm):
    assert_same(theirs["arms"][arm], recorded, ARMS[arm])


@pytest.mark.parametrize("arm", ["grpo", "dr_grpo"])
def test_without_it_trl_computes_its_own_arms_as_ours_with_its_conventions(theirs, recorded, arm):
    assert_same(theirs["plain"][arm], recorded, frameworks.like(ARMS[arm], "trl"))


def test_the_arms_differ(theirs):
    values = [tuple(theirs["arms"][arm]["advantages"]) for arm in (*EQUAL, "random_reward", "a_grae")]
    assert len(set(values)) == len(values)
    assert theirs["arms"]["grpo"]["loss"] != theirs["arms"]["grpo_clip_higher"]["loss"]


def test_coins_take_the_place_of_rewards(theirs):
    """Standardised coins of groups of four: one of few values, and not the rewards'."""
    grid = torch.tensor(theirs["arms"]["random_reward"]["advantages"]).view(-1, TRAIN.group_size)
    assert grid.sum(dim=1).abs().max() < 1e-5
    assert set(grid.square().sum(dim=1).round().tolist()) <= {0.0, float(TRAIN.group_size)}


def test_five_steps_from_the_same_rollouts_end_with_the_same_weights(theirs, recorded):
    """In two micro-batches there, in as many as ours makes here."""
    start = weights_of(tiny_model())
    assert distance(recorded["weights"], start) > 1e-3
    assert distance(recorded["weights"], theirs["run"]["weights"]) < 1e-5


def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def test_what_trl_cannot_be_told_is_refused(theirs):
    assert theirs["refused"]["a loss that TRL lacks"] == (
        "arm 'kl_cov': TRL cannot be told covariance; choose another arm."
    )
    assert theirs["refused"]["another epsilon"] == (
        "args.epsilon = 0.3, but arm 'asymgrpo' has 0.2; leave it out, or change the arm (asymgrpo.method.arms.get_arm)."
    )
    assert {"kl_cov", "gspo", "dapo", "grpo_adaptive_entropy"}.isdisjoint(theirs["arms that TRL has options for"])
    assert {*EQUAL, *CHANGED, "rloo", "pass_at_k"} <= set(theirs["arms that TRL has options for"])
