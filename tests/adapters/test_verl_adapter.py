"""asymgrpo.adapters.verl in the real verl: its registry, its batch, its dispatch by algorithm.adv_estimator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from asymgrpo.method import advantages as adv
from asymgrpo.method.arms import ARMS, get_arm
from tests.adapters.conftest import with_peers

REWARDS = torch.tril(torch.ones(9, 8), diagonal=-1)
"""A group of every accuracy."""
NAMES = [name for name, arm in ARMS.items() if arm.reward == "verifier"]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> dict:
    rewards = tmp_path_factory.mktemp("verl") / "rewards.json"
    rewards.write_text(json.dumps(REWARDS.tolist()))
    program = Path(__file__).with_name("verl_cases.py")
    printed = with_peers(program, rewards, VERL_USE_EXTERNAL_MODULES="asymgrpo.adapters.verl")
    return json.loads(printed.splitlines()[-1])


def test_verl_knows_every_arm_by_name(theirs):
    assert theirs["names"] == NAMES


def test_its_advantages_are_the_arms(theirs):
    arms = {name: ARMS[name] for name in NAMES} | {"mine": get_arm("mine", {"base": "asymgrpo", "beta_pos": 0.8})}
    for name, arm in arms.items():
        found = torch.tensor(theirs["advantages"][name])
        torch.testing.assert_close(found, arm.estimate(REWARDS), rtol=1e-6, atol=1e-6, msg=name)
    assert theirs["advantages"]["mine"] != theirs["advantages"]["asymgrpo"]


def test_its_own_grpo_is_ours_with_its_conventions(theirs):
    """The batch, shuffled in verl, is the one that our functions get here."""
    ours = adv.group_standardized(REWARDS, ddof=1, eps=1e-6)
    torch.testing.assert_close(torch.tensor(theirs["grpo of verl"]), ours, rtol=1e-5, atol=1e-5)


def test_options_of_the_loss_are_options_of_verl(theirs):
    grpo = {
        "clip_ratio_low": 0.2,
        "clip_ratio_high": 0.2,
        "clip_ratio_c": 1e9,
        "loss_agg_mode": "token-mean",
        "entropy_coeff": 0.0,
        "chosen": "arm_grpo",
    }
    assert theirs["options"] == {
        "grpo": grpo,
        "dr_grpo": grpo | {"loss_agg_mode": "seq-mean-token-sum-norm", "chosen": "arm_dr_grpo"},
        "asymgrpo_clip_higher": grpo | {"clip_ratio_high": 0.28, "chosen": "arm_asymgrpo_clip_higher"},
    }


def test_refusals(theirs):
    assert theirs["uneven"] == "groups have 1 to 2 responses; set rollout.n for all prompts alike."
    assert theirs["kl_cov"] == "arm 'kl_cov': verl cannot be told covariance; choose another arm."
