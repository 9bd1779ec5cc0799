"""Our arms under a framework's defaults are what the framework itself computes, and one entry of a study does the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from asymgrpo.method.arms import ARMS, get_arm
from asymgrpo.method.conventions import main
from asymgrpo.method.frameworks import LIKE, like, listing
from asymgrpo.study.config import ConfigError, parse
from asymgrpo.study.settings import plan_of
from asymgrpo.study.stored import merged
from tests.helpers.started import started

RECORDED = json.loads((Path(__file__).parent / "peers" / "recorded.json").read_text())
PEER = {"verl": "verl grpo", "trl": "TRL group", "openrlhf": "OpenRLHF group_norm"}


def study(arms: dict, names: list[str]):
    mapping = merged([])
    return parse(mapping | {"arms": arms, "study": mapping["study"] | {"arms": names, "analyses": []}})


@pytest.mark.parametrize("framework", LIKE)
@pytest.mark.parametrize("group", [2, 4, 8, 16])
def test_grpo_is_the_frameworks_own(framework, group):
    rewards = torch.tril(torch.ones(group + 1, group, dtype=torch.float64), diagonal=-1)
    recorded = torch.tensor(RECORDED["advantages"][PEER[framework]][str(group)], dtype=torch.float64)
    ours = like(ARMS["grpo"], framework).estimate(rewards)[:, [0, -1]]
    torch.testing.assert_close(ours, recorded, rtol=2e-5, atol=2e-6)


def test_the_dual_clips_are_the_frameworks_own():
    assert LIKE["verl"]["dual_clip"] == RECORDED["defaults"]["verl"]["clip_ratio_c"]
    assert LIKE["trl"]["dual_clip"] == RECORDED["defaults"]["TRL"]["delta"]
    assert LIKE["openrlhf"]["dual_clip"] == RECORDED["defaults"]["OpenRLHF"]["actor.dual_clip"]


@pytest.mark.parametrize("framework", LIKE)
def test_the_listing_names_every_arm_and_the_entry_of_a_study_that_does_the_same(framework):
    text = started(main, "--like", framework).stdout.rstrip("\n")
    assert text == listing(framework)
    assert [line.split()[0] for line in text.splitlines()[1 : len(ARMS) + 1]] == list(ARMS)
    entry = yaml.safe_load(text.splitlines()[-1].removeprefix("In a configuration: "))
    entry["arms"]["all"]["eps"] = float(
        entry["arms"]["all"]["eps"]
    )  # YAML 1.1 reads 1e-06 as text, as our parser does not
    found = study(entry["arms"], list(ARMS))
    for name, arm in ARMS.items():
        assert get_arm(name, found.changes_of(name)) == like(arm, framework), name


def test_one_switch_turns_the_dual_clip_on_where_it_acts():
    plan = plan_of(
        study({"all": {"dual_clip": 3.0}, "reinforce": {"dual_clip": 5.0}}, ["grpo", "reinforce", "asymgrpo", "sapo"])
    )
    clips = {name: arm["dual_clip"] for name, arm in plan["arms"].items()}
    assert clips == {"grpo": 3.0, "reinforce": 5.0, "asymgrpo": 3.0, "sapo": None}


def test_a_new_arm_has_the_changes_of_all_arms_too():
    found = study({"all": {"clip_high": 0.28}, "mine": {"base": "asymgrpo", "beta_pos": 1.1}}, ["grpo", "mine"])
    arm = get_arm("mine", found.changes_of("mine"))
    assert (arm.clip_high, arm.advantage.beta_pos) == (0.28, 1.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dual_clip": 0.5}, r"arms\.all\.dual_clip = 0\.5 is not allowed"),
        ({"dual_clop": 3}, r"arms\.all\.dual_clop cannot be changed"),
        ({"advantage": {"estimator": "reinforce"}}, r"arms\.all\.advantage would make all arms one"),
        ({"base": "grpo"}, r"arms\.all\.base"),
    ],
)
def test_wrong_changes_of_all_arms_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        study({"all": changes}, ["grpo", "asymgrpo"])


def test_an_unknown_framework_is_refused():
    run = started(main, "--like", "vrl")
    assert run.code == 2
    assert "choose from verl, trl, openrlhf" in run.stderr
