"""The linear probe against the model itself, in float64: finite differences, and gradients of the trainer's own loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from asymgrpo.method.arms import ARMS, get_arm
from asymgrpo.method.objective import loss_terms
from asymgrpo.method.reduce import counts, reduce
from asymgrpo.probe.first_order import divisors
from asymgrpo.probe.gradients import Gradients, as_sources, sources_of
from asymgrpo.probe.held_out import TARGETS, Facts, Scores, changes, coefficients
from asymgrpo.probe.linear import Sources, effects, norm, of_signs, weights
from asymgrpo.rollout import Rollout
from asymgrpo.training.batch import Batch, pack
from asymgrpo.training.policy import Policy
from tests.helpers.tiny_trainer import settings, tiny_model

GROUPS, SIZE = 4, 4
TRAIN = settings(prompts_per_step=GROUPS, group_size=SIZE, updates_per_rollout=2)
CORRECT = np.array([[1, 0, 0, 0], [1, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]], float)


class Case:
    """A float64 model, a batch of groups, held-out responses to three prompts, and a metric."""

    def __init__(self):
        self.policy = Policy(in_float64(tiny_model()), 1.0, None, "model")
        self.parameters = list(self.policy.parameters())
        self.batch, self.held = responses(GROUPS, SIZE, 1), responses(3, 4, 2)
        generator = torch.Generator().manual_seed(3)
        self.metric = [0.01 + torch.rand(p.shape, generator=generator, dtype=p.dtype) for p in self.parameters]
        lengths = self.held.mask.sum(dim=1).numpy().reshape(3, 4)
        self.facts = Facts(np.array([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 0]], float), lengths)

    def scores(self) -> Scores:
        with torch.no_grad():
            logp, entropy = self.policy(self.held)
        return Scores(logp.sum(dim=1).numpy().reshape(3, 4), entropy.sum(dim=1).numpy().reshape(3, 4))

    def sources(self, folder) -> Sources:
        found = coefficients(self.facts, self.scores())
        rows = Gradients(self.parameters, 3 * GROUPS + len(TARGETS), folder)
        rows.fill(0, sources_of(CORRECT), self.policy, self.batch, self.batch.mask, torch.arange(16).split(4))
        wanted = [(a.ravel(), c.ravel()) for a, c in (found[name] for name in TARGETS)]
        rows.fill(3 * GROUPS, wanted, self.policy, self.held, self.held.mask, torch.arange(12).split(5))
        return as_sources(rows.inner(self.metric), GROUPS, TARGETS)

    def gradient(self, name: str) -> tuple[torch.Tensor, ...]:
        """Of minus an arm's loss, summed over the updates of the batch as if all were made at once."""
        arm, total = get_arm(name), torch.zeros((), dtype=torch.float64)
        advantages = arm.estimate(torch.from_numpy(CORRECT)).reshape(-1, 1).expand_as(self.batch.mask)
        for rows in torch.arange(16).split(8):
            part = self.batch.rows(rows)
            logp, entropy = self.policy(part)
            width = part.mask.shape[1]
            loss, _ = loss_terms(
                arm, logp, logp.detach(), advantages[rows, :width], entropy, entropy_coef=arm.entropy_coef
            )
            n_tokens, n_sequences = counts(part.mask)
            about = {"n_tokens": n_tokens, "n_sequences": n_sequences, "max_tokens": TRAIN.max_tokens}
            total = total - reduce(loss, part.mask, arm.reduction, **about)
        return torch.autograd.grad(total, self.parameters)

    def weights(self, name: str) -> np.ndarray:
        arm = get_arm(name)
        signs = of_signs(arm.estimate(torch.from_numpy(CORRECT)).numpy(), CORRECT)
        assert signs is not None
        return weights(*signs, arm.entropy_coef, divisors(arm, TRAIN, self.batch.mask))


def in_float64(model: torch.nn.Module) -> torch.nn.Module:
    """The model in float64 throughout: its norms round to float32 whatever they are given, which differences would see."""

    def exact(norm: Any) -> Any:
        return lambda x: norm.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + norm.variance_epsilon)

    for module in model.double().modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = exact(module)
    return model


def responses(prompts: int, each: int, seed: int) -> Batch:
    generator = np.random.default_rng(seed)
    rollouts = []
    for _ in range(prompts):
        prompt = tuple(generator.integers(3, 24, 3).tolist())
        for _ in range(each):
            said = tuple(generator.integers(3, 24, generator.integers(2, 8)).tolist())
            rollouts.append(Rollout(prompt, said, (0.0,) * len(said), "stop", 0))
    batch = pack(rollouts)
    return replace(batch, mask=batch.mask.double())


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


@pytest.fixture(scope="module")
def found(case, tmp_path_factory) -> Sources:
    return case.sources(tmp_path_factory.mktemp("gradients"))


ARMS_HERE = ("grpo", "asymgrpo", "reinforce", "positive_only", "maxrl", "dr_grpo", "grpo_entropy_0p01")


@pytest.mark.parametrize("name", ARMS_HERE)
def test_norm_from_the_gram_matrix_is_that_of_the_gradient_of_the_loss(case, found, name):
    direct = sum(float((g**2 / d).sum()) for g, d in zip(case.gradient(name), case.metric, strict=True))
    assert norm(found, case.weights(name)) == pytest.approx(direct**0.5, rel=1e-6)


@pytest.mark.parametrize("name", ARMS_HERE)
def test_predicted_change_is_that_of_a_small_step(case, found, name):
    """Central differences of the estimators that real steps are measured by: equal to 1e-5 of the largest effect's scale."""
    before, gradient, rate = case.scores(), case.gradient(name), 1e-6
    step = [g / d for g, d in zip(gradient, case.metric, strict=True)]
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            for parameter, part in zip(case.parameters, step, strict=True):
                parameter.add_(part, alpha=sign * rate)
            ends.append(changes(case.facts, before, case.scores()))
            for parameter, part in zip(case.parameters, step, strict=True):
                parameter.sub_(part, alpha=sign * rate)
    for target in TARGETS:
        measured = float(np.nanmean(ends[0][target]) - np.nanmean(ends[1][target])) / (2 * rate)
        predicted = effects(found, case.weights(name), target).sum()
        assert predicted == pytest.approx(measured, rel=1e-5, abs=1e-5)
    assert abs(effects(found, case.weights(name), "entropy").sum()) > 1e-2


def test_channels_without_responses_have_no_gradient(found):
    """Group 2 has no correct response, group 3 no wrong one."""
    assert found.gram[2, 0, 2, 0] == 0 == found.gram[3, 1, 3, 1]
    assert found.gram[2, 1, 2, 1] > 0 < found.gram[3, 0, 3, 0]


def test_divisors_are_the_counts_of_each_update(case):
    tokens = case.batch.mask.sum(dim=1).numpy().reshape(2, 8).sum(axis=1)
    assert divisors(ARMS["grpo"], TRAIN, case.batch.mask).tolist() == [tokens[0]] * 2 + [tokens[1]] * 2
    assert divisors(ARMS["dr_grpo"], TRAIN, case.batch.mask).tolist() == [TRAIN.max_tokens * 8] * 4
