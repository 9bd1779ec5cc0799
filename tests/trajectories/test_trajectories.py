"""Every arm still trains as it did when it was recorded; a wanted change is recorded anew by a separate command."""

import itertools

import numpy as np
import pytest
from trajectory import COLUMNS, RELATIVE, STEPS, SYSTEMATIC, faults, read, residuals, trajectory

from asymgrpo.method.arms import ARMS
from tests.helpers import tiny_trainer

pytestmark = pytest.mark.slow
RECORDED = read()


@pytest.fixture(scope="module")
def found() -> dict[str, dict]:
    tiny_trainer.join()
    return {name: trajectory(name, RECORDED[name]["run_seed"]) for name in RECORDED}


def test_every_arm_is_recorded():
    assert list(RECORDED) == list(ARMS), "run: python -m tests.trajectories.record_trajectories"
    assert {len(recorded[column]) for recorded in RECORDED.values() for column in COLUMNS} == {STEPS}


@pytest.mark.parametrize("name", RECORDED)
def test_it_trains_as_recorded(found, name):
    said = faults(found[name], RECORDED[name])
    assert not said, (
        f"{name}: {'; '.join(said)}. If that is wanted, run: python -m tests.trajectories.record_trajectories"
    )


def test_no_column_is_systematically_off(found):
    """Over all arms together the signs of rounding cancel; a small change of a formula does not."""
    for column in COLUMNS:
        off = np.array([residuals(found[name], RECORDED[name])[column] for name in RECORDED])
        assert abs(off.mean()) < SYSTEMATIC / 2, column


def test_the_recordings_tell_arms_apart():
    for one, other in itertools.combinations(RECORDED, 2):
        assert faults(RECORDED[one], RECORDED[other]), (one, other)


@pytest.mark.parametrize("column", COLUMNS)
def test_one_wrong_step_and_a_small_bias_are_noticed(column):
    recorded = RECORDED["asymgrpo"]
    scale = np.abs(recorded[column]).max()
    jump, bias = (dict(recorded) for _ in range(2))
    jump[column] = [value + (step == 7) * 1.5 * RELATIVE * scale for step, value in enumerate(recorded[column])]
    bias[column] = [value + 0.5 * RELATIVE * scale for value in recorded[column]]
    assert faults(jump, recorded) == [f"{column} is off by 1.5e-04 (relative) at step 8"]
    assert faults(bias, recorded) == [f"{column} is off by 5.0e-05 (relative) on average: rounding has no direction"]
    assert not faults(recorded, recorded)


def test_the_runs_are_worth_recording():
    """They learn, and their rewards move: a trajectory of nothing would pass every other test."""
    assert np.mean([r["reward_mean"][-5:] for r in RECORDED.values()]) > 0.6
    assert np.mean([r["reward_mean"][:2] for r in RECORDED.values()]) < 0.5
    assert all(min(r["grad_norm"]) < max(r["grad_norm"]) for r in RECORDED.values())
