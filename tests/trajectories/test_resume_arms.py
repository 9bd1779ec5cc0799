"""Every arm, stopped after its first step and started again, ends with the weights and rows of an undisturbed run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from trajectory import OVERRIDES, SHAPE, TRAIN

from asymgrpo.errors import Preempted
from asymgrpo.method.arm import Arm
from asymgrpo.method.arms import ARMS, GRPO, get_arm
from asymgrpo.progress import Progress
from asymgrpo.study.config import Train
from asymgrpo.training.policy import Policy
from asymgrpo.training.run import Run
from tests.helpers.tiny_trainer import distance, even_wins_in_time, join, make_trainer, tiny_model, weights

SHORT = TRAIN.model_copy(update={"steps": 3, "evaluate_every": 100, "checkpoint_every": 100, "rollouts_every": 100})
EXTRA = {
    "dynamic_sampling": GRPO.but(dynamic_sampling=3),
    "random_reward_batch": ARMS["lite_ppo"].but(reward="random"),
    "kl": GRPO.but(kl_coef=0.1),
    "icepop": GRPO.but(sampler_mask={"low": 0.5, "high": 2.0}),
    "dual_clip": GRPO.but(dual_clip=1.01),
    "rising_coefficient": get_arm(
        "grpo_adaptive_entropy", {"adaptive_entropy": {"target": 9.0, "delta": 0.1, "low": 0.0, "high": 1.0}}
    ),
}
"""Fields that no arm of the library changes, or changes with others."""
CASES = {name: get_arm(name, OVERRIDES.get(name)) for name in ARMS} | EXTRA


class Silent:
    """A tokenizer that has nothing to save."""

    def save_pretrained(self, folder: Path) -> None:
        pass


@pytest.fixture(scope="module", autouse=True)
def _process_group():
    join()


def new_run(arm: Arm, workspace: Path, train: Train = SHORT) -> Run:
    """A run as a fresh process would build it."""
    reference = Policy(tiny_model(seed=1, **SHAPE), 1.0, None).requires_grad_(False) if arm.kl_coef else None
    trainer = make_trainer(arm, train, tiny_model(**SHAPE), grade=even_wins_in_time, run_seed=3, reference=reference)
    return Run(trainer, train, workspace, {}, str, Silent())


def go_on(run: Run) -> Run:
    """Resume and train until the run ends or is stopped."""
    done = run.resume(warn=pytest.fail)
    run.train_to_the_end(done + 1, Progress("", run.train.steps, enabled=False))
    return run


def stopped_after_one_step(arm: Arm, workspace: Path, train: Train = SHORT) -> None:
    run = new_run(arm, workspace, train)
    run.stop_requested = True
    with pytest.raises(Preempted, match="stopped after step 1"):
        go_on(run)


def assert_same(one: Run, other: Run) -> None:
    assert one.history.metrics == other.history.metrics
    assert distance(weights(one.engine), weights(other.engine)) == 0


@pytest.mark.parametrize("name", CASES)
def test_a_killed_run_of_every_arm_ends_as_if_nothing_had_happened(name, tmp_path):
    arm = CASES[name]
    whole = go_on(new_run(arm, tmp_path / "whole"))
    stopped_after_one_step(arm, tmp_path / "stopped")
    resumed = go_on(new_run(arm, tmp_path / "stopped"))
    assert [row["step"] for row in whole.history.metrics] == [1, 2, 3]
    assert distance(weights(whole.engine), weights(new_run(arm, tmp_path / "new").engine)) > 0, "it learns"
    assert_same(resumed, whole)
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("arm", [GRPO, EXTRA["dynamic_sampling"]], ids=["grpo", "dynamic_sampling"])
def test_a_budget_of_tokens_ends_the_run_in_the_step_that_reaches_it(arm, tmp_path, capsys):
    """Also if it was killed before: what the first step spent is not forgotten. The last step has a candidate, no checkpoint."""
    whole = go_on(new_run(arm, tmp_path / "whole"))
    spent = [row["sampled_tokens"] for row in whole.history.metrics]
    assert [row["sampled_tokens_total"] for row in whole.history.metrics] == [spent[0], sum(spent[:2]), sum(spent)]
    for budget, steps in ((1, 1), (spent[0], 1), (spent[0] + 1, 2), (sum(spent[:2]), 2), (sum(spent[:2]) + 1, 3)):
        train = SHORT.model_copy(update={"token_budget": budget})
        folder = tmp_path / str(budget)
        if steps > 1:
            stopped_after_one_step(arm, folder, train)
        capsys.readouterr()
        run = go_on(new_run(arm, folder, train))
        assert run.history.metrics == whole.history.metrics[:steps]
        assert [path.name for path in (folder / "candidates").iterdir()] == [f"step{steps:06d}"]
        assert not (folder / "checkpoints" / f"step{steps:06d}").exists()
        said = f"the run ends with step {steps} of 3: {sum(spent[:steps])} response tokens were sampled"
        assert said in capsys.readouterr().err


def test_dynamic_sampling_spends_the_budget_in_fewer_steps(tmp_path):
    """One budget for all arms: what an arm throws away it cannot train on."""
    steps = {}
    for name, arm in (("grpo", GRPO), ("dynamic", EXTRA["dynamic_sampling"])):
        train = SHORT.model_copy(update={"steps": 50, "token_budget": 600})
        run = go_on(new_run(arm, tmp_path / name, train))
        totals = [row["sampled_tokens_total"] for row in run.history.metrics]
        assert totals[-2] < 600 <= totals[-1]
        steps[name] = len(totals)
    assert steps["dynamic"] < steps["grpo"] < 50
