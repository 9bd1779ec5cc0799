"""A user's own advantage: what is accepted, and one sentence for each way in which it may be wrong."""

from __future__ import annotations

import hashlib

import pytest
import torch
from pydantic import ValidationError

from asymgrpo.errors import ArmError
from asymgrpo.method.arm import Arm, UserFunction
from asymgrpo.method.arms import ARMS, differences, get_arm
from asymgrpo.method.conventions import describe
from asymgrpo.method.rewards import RewardError
from asymgrpo.method.user_function import check_function, rewards_grid

GOOD = """
import numpy as np

def advantage(rewards):
    return rewards - rewards.mean(axis=1, keepdims=True)
"""


def user_function(source: str, function: str = "advantage") -> UserFunction:
    digest = hashlib.sha256(source.encode()).hexdigest()
    return UserFunction(file="my_arm.py", function=function, sha256=digest, source=source)


def body(line: str, before: str = "") -> UserFunction:
    return user_function(f"import numpy as np\n{before}\ndef advantage(rewards):\n    {line}\n")


def test_a_good_one_is_an_estimator_like_the_others():
    advantage = user_function(GOOD)
    check_function(advantage, "mine", 8)
    arm = ARMS["grpo"].but(name="mine", advantage=advantage)
    rewards = torch.from_numpy(rewards_grid(8))
    torch.testing.assert_close(arm.advantage_fn(rewards, range(18)), ARMS["dr_grpo"].estimate(rewards))
    assert arm.estimate(rewards.float()).dtype == torch.float32
    assert set(differences(arm)) == {"advantage"}
    found = describe(arm)
    assert found["meaning"]["advantage"].startswith("the user's own: advantage of my_arm.py (sha256 ")
    assert found["meaning"]["non_binary_rewards"] == "refused"
    assert Arm.model_validate(arm.model_dump(mode="json")) == arm
    with pytest.raises(RewardError, match=r"my_arm\.py:advantage is defined for rewards 0 and 1 only"):
        arm.estimate(torch.tensor([[0.5, 1.0]]))


@pytest.mark.parametrize(
    ("advantage", "message"),
    [
        (
            body("return rewards / rewards.mean(axis=1, keepdims=True)"),
            "returns nan for a group with 0 of 4 correct",
        ),
        (body("return rewards.mean(axis=1)"), r"returns the shape \[10\] for rewards \[prompts, group\] = \[10, 4\]"),
        (body("return np.random.rand(*rewards.shape)"), "gives other values when it is called again"),
        (
            body("CALLS.append(0); return rewards + len(CALLS)", "CALLS = []"),
            "gives other values when it is called again",
        ),
        (
            body("return rewards - rewards.mean()"),
            "other values when other prompts are beside it",
        ),
        (body("return rewards / 0 if False else 1 / 0"), r"fails on rewards of the shape \[10, 4\]: ZeroDivisionError"),
        (body("return 'high'"), r"fails on rewards of the shape \[10, 4\]: ValueError"),
        (user_function(GOOD, "advantages"), "my_arm.py has no function 'advantages'; define it, or name another"),
        (user_function("def advantage(rewards:\n"), "my_arm.py cannot be run: SyntaxError"),
        (user_function("import sys\nsys.exit(3)\n"), "my_arm.py cannot be run: SystemExit: 3; correct it"),
        (body("sys.exit()", "import sys"), r"fails on rewards of the shape \[10, 4\]: SystemExit"),
        (user_function("import not_there\n"), "my_arm.py cannot be run: ModuleNotFoundError"),
    ],
)
def test_a_wrong_one_gets_one_sentence(advantage, message):
    with pytest.raises(ArmError, match=message) as caught:
        check_function(advantage, "mine", 4)
    assert "\n" not in str(caught.value)


def test_a_function_cannot_change_the_rewards_that_others_see():
    rewards = torch.from_numpy(rewards_grid(4))
    before = rewards.clone()
    ARMS["grpo"].but(advantage=body("rewards[:] = 7; return rewards")).estimate(rewards)
    assert torch.equal(rewards, before)


def test_another_text_than_that_of_the_sha256_is_refused():
    """What a job finds in its settings: neither a changed text nor a changed sum passes."""
    stated = ARMS["grpo"].but(name="mine", advantage=user_function(GOOD)).settings()
    Arm.model_validate(stated)
    stated["advantage"]["source"] += "# one more line\n"
    with pytest.raises(ValidationError, match=r"the text of my_arm\.py is not the one with this sha256"):
        Arm.model_validate(stated)


def test_a_new_arm_is_its_base_with_changes():
    arm = get_arm("mine", {"base": "asymgrpo", "beta_pos": 0.8, "clip_high": 0.3})
    assert (arm.name, arm.advantage.beta_pos, arm.advantage.beta_neg, arm.clip_high) == ("mine", 0.8, 0.4, 0.3)
    given = user_function(GOOD).model_dump(exclude={"estimator"})
    arm = get_arm("mine", {"base": "grpo_clip_higher", "python": given})
    assert (arm.advantage, arm.clip_high) == (user_function(GOOD), 0.28)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("grpo", {"base": "asymgrpo"}, "arms.grpo.base: there is an arm of this name"),
        ("base", {"base": "grpo"}, "arms.base.base: there is an arm of this name"),
        ("mine", {"base": "asymgrp"}, "arms.mine.base is unknown. Did you mean 'asymgrpo'"),
        ("my/arm", {"base": "grpo", "clip_high": 1}, "arms has the new name 'my/arm'; use letters, digits and _ only"),
        ("mine", {"base": "grpo", "clip_hi": 1}, "arms.mine.clip_hi cannot be changed; choose from reward"),
        ("mine", {"base": "grpo", "clip_high": -1}, "arms.mine.clip_high = -1 is not allowed"),
        ("mine", {"clip_high": 0.3}, "arm 'mine' is unknown"),
        ("mine", {"base": "grpo", "python": {}, "advantage": {}}, "give either advantage or python, not both"),
    ],
)
def test_a_wrong_definition_gets_one_sentence(name, changes, message):
    with pytest.raises(ArmError, match=message) as caught:
        get_arm(name, changes)
    assert "\n" not in str(caught.value)
